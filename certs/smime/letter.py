"""A letter through S/MIME, whole: sealed on the way out, opened and judged on the way in.

What it is: `seal_letter` and `open_letter`, which put header protection, signature and encryption in their
order (sign, then encrypt; RFC 8551 §3.7). What it is not: a plan (who gets which seal is decided before), nor
the judgment whether the signer may speak for From. Letters that a client sealed itself do not come here on
the way out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from certs.chain import ChainVerifier
from certs.keystore import Identity
from certs.smime.capabilities import Reading
from certs.smime.decrypt import decrypt_letter
from certs.smime.encrypt import encrypt, encrypt_without_integrity
from certs.smime.entity import RootSeal, root_of
from certs.smime.protection import HeaderPolicy, is_protected, protect, restore
from certs.smime.sign import Signer
from certs.smime.verdict import Integrity, SealReason, SignatureInvalid, VerifiedSeal
from certs.smime.verify import verify_letter
from core.errors import LocalProtocolError

MAX_LINE = 998  # octets; RFC 5321 §4.5.3.1.6, the CRLF left out


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedLetter:
    """What came in, opened: the letter to deliver, and what can be said about it.

    `integrity` is None when it was not encrypted. `seal` is there only when the signature is good; `failure`
    says why a signature that was there is not (then the letter keeps it, for whoever wants to look).
    """

    letter: bytes
    integrity: Integrity | None
    seal: VerifiedSeal | None
    failure: SealReason | None
    from_differs: bool = False

    def __repr__(self) -> str:
        return f"OpenedLetter({len(self.letter)} octets, seal={self.seal!r}, integrity={self.integrity})"


def seal_letter(
    letter: bytes,
    *,
    signer: Signer | None,
    readings: Sequence[Reading] = (),
    at: datetime,
    policy: HeaderPolicy = HeaderPolicy.HIDDEN,
) -> bytes:
    """The letter signed (with a signer), then encrypted (with readings). Raises `LocalProtocolError`.

    Readings must share one cipher; a cipher without integrity is refused without a signer.
    """
    if signer is None and not readings:
        raise LocalProtocolError("a seal signs, encrypts, or both")
    protected = protect(letter, is_encrypted=bool(readings), policy=policy)
    entity = protected.payload
    if signer is not None:
        in_clear = not readings and _is_fragile(entity)
        entity = signer.opaque(entity, at=at) if in_clear else signer.detached(entity, at=at)
    if readings and readings[0].cipher.is_authenticated:
        entity = encrypt(entity, readings)
    elif readings:
        if signer is None:
            raise LocalProtocolError("what has no integrity must be signed")
        entity = encrypt_without_integrity(entity, readings)
    return protected.outer + b"MIME-Version: 1.0\r\n" + entity


def open_letter(
    letter: bytes, *, keys: Sequence[Identity], chain: ChainVerifier, now: datetime
) -> OpenedLetter:
    """Open and judge a letter: its root is decrypted at most once, then its root is verified at most once.

    Raises `DecryptionFailed` (nothing was released) and `RevocationUnknown` (try again later). A signature
    that fails is no error here.
    """
    entity, integrity = letter, None
    if root_of(letter) is RootSeal.ENCRYPTED:
        opened = decrypt_letter(letter, keys)
        entity, integrity = opened.entity, opened.integrity
    seal, failure = None, None
    if root_of(entity) in (RootSeal.DETACHED, RootSeal.OPAQUE):
        try:
            seal = verify_letter(entity, chain=chain, now=now)
        except SignatureInvalid as error:
            failure = error.reason
    payload = _payload(entity, seal)
    if payload is letter:
        return OpenedLetter(letter=letter, integrity=None, seal=seal, failure=failure)
    restored = restore(letter, payload)
    return OpenedLetter(
        letter=restored.letter,
        integrity=integrity,
        seal=seal,
        failure=failure,
        from_differs=restored.from_differs,
    )


def _payload(entity: bytes, seal: VerifiedSeal | None) -> bytes:
    """What is delivered: what was signed when it is ours to unpack, else the entity with its signature.

    A detached signature without header protection is a person's own: the reader's client will want it.
    """
    if seal is not None and (seal.span is None or is_protected(seal.entity)):
        return seal.entity
    return entity


def _is_fragile(entity: bytes) -> bool:
    """Whether those who convert on the way (8-bit octets, long lines) would break a detached signature."""
    return not entity.isascii() or max(map(len, entity.split(b"\r\n"))) > MAX_LINE
