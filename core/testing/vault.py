"""A vault in memory: real enough that a wrong key, place or octet is found."""

from __future__ import annotations

import hashlib
import hmac

from core.errors import PermanentError

_TAG = 32


class MemoryVault:
    """Implements `core.ports.Vault`. Keys are derived from their names; `opened` counts calls of `unwrap`."""

    def __init__(self, secret: bytes = b"vault of a test") -> None:
        self._secret = secret
        self.opened = 0

    async def key(self, name: str) -> bytes:
        """See the port."""
        return hmac.digest(self._secret, name.encode(), "sha256")

    def wrap(self, key: bytes, plaintext: bytes, place: bytes) -> bytes:
        """See the port."""
        tag = hmac.digest(key, place + b"\0" + plaintext, "sha256")
        return b"test:" + tag + _stream(key, tag, plaintext)

    def unwrap(self, key: bytes, sealed: bytes, place: bytes) -> bytes:
        """See the port."""
        self.opened += 1
        tag, hidden = sealed[5 : 5 + _TAG], sealed[5 + _TAG :]
        plaintext = _stream(key, tag, hidden)
        if not hmac.compare_digest(tag, hmac.digest(key, place + b"\0" + plaintext, "sha256")):
            raise PermanentError("this value was not sealed here")
        return plaintext

    def pseudonym(self, text: str) -> str:
        """See the port."""
        return hmac.new(self._secret, b"pseudonym:" + text.encode(), "sha256").hexdigest()


def _stream(key: bytes, tag: bytes, octets: bytes) -> bytes:
    pad = hashlib.shake_256(key + tag).digest(len(octets))
    return bytes(one ^ other for one, other in zip(octets, pad, strict=True))
