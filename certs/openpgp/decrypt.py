"""Open an encrypted letter (RFC 3156 §4): everything or nothing.

What it is: `decrypt`: the output of GnuPG is held back until its status has proven integrity (a good modification
detection code or AEAD tag) and one plaintext, inside the encryption. What it is not: a reason: every failure is the
same `CannotOpen`, and `certs.openpgp.protector` lets them all take the same time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import Any

from certs.openpgp.keyring import Keyring
from certs.openpgp.pgp_mime import Letter, NotPgpMime, is_signed, join_letter, read_encrypted, split_letter
from certs.openpgp.refusals import CannotOpen, CannotSeal, SignatureNotGood
from certs.openpgp.status import GoodSignature, judge_decryption
from certs.openpgp.verify import verify

_BARE_LF = re.compile(rb"(?<!\r)\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A letter as it was before it was encrypted. `signature` is None for none, or none that is good."""

    octets: bytes
    was_signed: bool
    signature: GoodSignature | None


def decrypt(ring: Keyring, octets: bytes) -> Opened:
    """Open the letter. Raises `CannotOpen`, whatever the reason; nothing of the plaintext is in it."""
    try:
        armour = read_encrypted(octets, limit=ring.limits.octets)
        for passphrase in ring.passphrases:
            told = ring.run(partial(_decrypt, armour=armour, passphrase=passphrase))
            if told.words("DECRYPTION_OKAY"):
                break
    except (NotPgpMime, CannotSeal) as error:
        raise CannotOpen from error
    opening = judge_decryption(told.lines, told.returncode)
    entity: bytes = told.data
    if not entity or len(entity) > ring.limits.octets:
        raise CannotOpen
    if opening.is_text:  # RFC 4880 §5.9: GnuPG gives lines of text the line ends of the machine
        entity = _BARE_LF.sub(b"\r\n", entity)
    letter = join_letter(Letter(split_letter(octets).outer, entity))
    if opening.was_signed or not is_signed(letter):
        return Opened(octets=letter, was_signed=opening.was_signed, signature=opening.signature)
    return _signed_inside(ring, letter)


def _decrypt(gpg: Any, *, armour: bytes, passphrase: str | None) -> Any:
    return gpg.decrypt(armour, passphrase=passphrase)


def _signed_inside(ring: Keyring, letter: bytes) -> Opened:
    """RFC 3156 §6.1: signed first, encrypted then; the signature stays in the letter for who wants to see it."""
    try:
        return Opened(octets=letter, was_signed=True, signature=verify(ring, letter))
    except SignatureNotGood:
        return Opened(octets=letter, was_signed=True, signature=None)
