"""How a small value is sealed: AES-256-GCM, its name first, its place bound to it.

What it is: `seal`, `open_sealed` and `Opener` for thousands of values under one key. What it is not: where keys
come from (`mailstore.keys`) nor the sealing of letters (`mailstore.segments`). The algorithm's name stands in
front of each value, so that another one (hybrid HPKE) can follow without touching what is stored.
"""

from __future__ import annotations

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from core.errors import PermanentError

KEY_OCTETS = 32
NONCE_OCTETS = 12  # NIST SP 800-38D §5.2.1.1
TAG_OCTETS = 16  # NIST SP 800-38D §5.2.1.2
ALGORITHM = b"A256GCM:"  # the name of RFC 7518 §5.1, and a colon
_OVERHEAD = len(ALGORITHM) + NONCE_OCTETS + TAG_OCTETS
_BODY = len(ALGORITHM) + NONCE_OCTETS


class SealBroken(PermanentError):
    """The value is not the one that was sealed, or this is not its key or its place."""


def seal(cipher: AESGCM, plaintext: bytes, place: bytes) -> bytes:
    """Name, random nonce, ciphertext and tag. One key seals at most 2^32 values (NIST SP 800-38D §8.3)."""
    nonce = secrets.token_bytes(NONCE_OCTETS)
    return ALGORITHM + nonce + cipher.encrypt(nonce, plaintext, ALGORITHM + place)


def open_sealed(cipher: AESGCM, sealed: bytes, place: bytes) -> bytes:
    """The plaintext. Raises SealBroken."""
    if len(sealed) < _OVERHEAD or not sealed.startswith(ALGORITHM):
        raise SealBroken("a sealed value has an unknown form")
    try:
        return cipher.decrypt(sealed[8:_BODY], sealed[_BODY:], ALGORITHM + place)
    except InvalidTag as error:
        raise SealBroken("a sealed value does not open here") from error
