"""Verify the signature beside a letter's entity (RFC 3156 §5).

What it is: `verify`: the whole root entity, exactly one good signature, a digest that is not broken. What it is not:
who may vouch for the author (`certs.seals.seal_entitled`).
"""

from __future__ import annotations

import os
import tempfile

from certs.openpgp.keyring import Keyring
from certs.openpgp.pgp_mime import NotPgpMime, Signed, read_signed
from certs.openpgp.refusals import CannotSeal, SignatureNotGood
from certs.openpgp.status import GoodSignature, judge_signature


def verify(ring: Keyring, octets: bytes) -> GoodSignature:
    """The signer of the letter. Raises `SignatureNotGood`, whatever the reason."""
    try:
        if len(octets) > ring.limits.octets:
            raise SignatureNotGood
        return _verify(ring, read_signed(octets))
    except (NotPgpMime, CannotSeal) as error:
        raise SignatureNotGood from error


def _verify(ring: Keyring, signed: Signed) -> GoodSignature:
    # The signature goes by a file, the letter by a pipe: python-gnupg has no other way for a detached signature.
    handle, name = tempfile.mkstemp(prefix="sig-", dir=ring.home)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(signed.signature)
        told = ring.run(lambda gpg: gpg.verify_data(name, signed.covered))
    finally:
        os.unlink(name)
    return judge_signature(told.lines, told.returncode)
