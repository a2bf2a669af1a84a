"""What can be said about a seal: verified, refused for a closed reason, opened, or not opened.

What it is: the values and the two errors of this package. What it is not: the verification
(`certs.smime.verify`). A signature that fails says why, for the log; a decryption that fails never says why,
because the difference is what an attacker asks for (EFAIL).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from certs.verdict import VerifiedPeer
from core.errors import PermanentError


class SealReason(Enum):
    """Why a signature proves nothing about a letter; the value is the word of logs and audit."""

    NOT_SIGNED = "not-signed"
    UNEXPECTED_SHAPE = "unexpected-shape"
    MALFORMED = "malformed"
    SIGNERS = "signers"
    CONTENT = "content"
    ATTRIBUTES = "attributes"
    WEAK_DIGEST = "weak-digest"
    ALGORITHM = "algorithm"
    DIGEST = "digest"
    VALUE = "value"
    NO_CERTIFICATE = "no-certificate"
    CERTIFICATE = "certificate"
    SIGNING_TIME = "signing-time"
    NOT_ENTITLED = "not-entitled"


class SignatureInvalid(PermanentError):
    """The letter is not sealed by anybody. `detail` is for the log."""

    def __init__(self, reason: SealReason, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail


class DecryptionFailed(PermanentError):
    """It cannot be opened. One error without a cause for every failure: key, padding, tag, structure."""

    def __init__(self) -> None:
        super().__init__("the letter cannot be opened")


class Integrity(Enum):
    """What the encryption proves about the octets that came out of it."""

    AUTHENTICATED = "authenticated"  # AES-GCM: nobody changed them after they were encrypted
    NONE = "none"  # AES-CBC: anybody may have changed them; only a signature inside proves something


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedSeal:
    """A whole root entity signed by exactly one signer with a good chain.

    `entity` are the octets that were signed and nothing else; `span` is their place in the letter, None when
    they were inside the signature (opaque form). `signed_at` is what the signer says, or the moment of
    arrival when it says nothing (`dated` is False then).
    """

    signer: VerifiedPeer
    signed_at: datetime
    dated: bool
    entity: bytes
    span: tuple[int, int] | None
    scheme: str
    capabilities: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"VerifiedSeal({self.signer.fingerprint[:16]}…, {len(self.entity)} octets)"


@dataclass(frozen=True, slots=True)
class Opened:
    """The octets of a MIME entity that was encrypted, all of them released at once, and what that proves."""

    entity: bytes
    integrity: Integrity

    def __repr__(self) -> str:
        return f"Opened({len(self.entity)} octets, integrity={self.integrity.value})"
