"""What can be said about a certificate: a verified peer, a refusal, or a doubt.

What it is: the value that a successful verification returns and the two errors it raises, each with a closed
reason. What it is not: the verification (`certs.chain`). Start at `VerifiedPeer`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from core import ports
from core.errors import PermanentError, TemporaryError


class Reason(Enum):
    """Why a certificate is refused for good; the value is the word of logs and audit."""

    UNREADABLE = "unreadable"
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    WEAK_KEY = "weak-key"
    WEAK_SIGNATURE = "weak-signature"
    IS_AUTHORITY = "is-authority"
    WRONG_USAGE = "wrong-usage"
    UNTRUSTED = "untrusted"
    REVOKED = "revoked"
    NOT_PINNED = "not-pinned"


class Doubt(Enum):
    """Why nothing can be said now; the letter waits."""

    NO_CRL = "no-crl"
    CRL_STALE = "crl-stale"


class CertificateRefused(PermanentError):
    """The certificate will never do, as it is. `detail` is for the log, never for the peer."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail


class RevocationUnknown(TemporaryError):
    """No list of revoked certificates recent enough: fail closed, try again later."""

    def __init__(self, doubt: Doubt, issuer: str) -> None:
        super().__init__(f"{doubt.value}: {issuer}")
        self.doubt = doubt
        self.issuer = issuer


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedPeer(ports.VerifiedPeer):
    """Who presented a certificate, after path, dates, usage and revocation were all verified.

    `names` are the DNS names of the subjectAltName, `emails` its rfc822Names; authority over a domain never
    comes from them but from the trust list. `fingerprint` is SHA-256 over the DER form, in lower hexadecimal.
    `remarks` tells what was tolerated because a setting says so (closed words).
    """

    not_before: datetime
    names: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def days_left(self, now: datetime) -> int:
        """Whole days until the certificate expires; negative once it has."""
        return (self.not_after - now).days
