"""What every signed list of the trust space has in common: how it is opened, how it ages, what may replace it.

What it is: `ListOpener` (signature, signer's certificate, signer's name), `SignedSnapshot` (a list as a frozen
value), the pure `accept_next` (rollback, loss, the future) and `ListInForce`, who holds one. What it is not: what
a list says; that is `trusted_domains` (the liste blanche) and `seals` (the annuaire des sceaux). Start with
`accept_next`.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from fractions import Fraction
from typing import Any, Generic, Self, TypeVar

from certs.chain import ChainVerifier, demand_subject
from certs.profiles import Purpose
from certs.verdict import CertificateRefused, VerifiedPeer
from certs.verdict import Reason as CertificateReason
from certs.xml.parser import Limits as XmlLimits
from certs.xml.verify import SignatureInvalid, SignatureReason, VerifiedXml, verify_enveloped
from core.clock import Clock
from core.errors import ConfigurationError
from core.identity import DistinguishedName
from trust_directory.trusted_domains.reasons import Reason, TrustListRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When a list is suspicious, and when it is too old.

    `lost_share`: a list that loses this share of the grants in force, or more, waits for an operator.
    `alarm_after`: since the source last confirmed the list; an alarm, nothing else.
    `stale_after`: since the source last confirmed the list; decisions answer 451 from then on.
    `too_old_after`: since the list was generated; a source that serves an old list for ever is no source.
    """

    lost_share: Fraction = Fraction(1, 3)
    clock_skew: timedelta = timedelta(minutes=5)
    alarm_after: timedelta = timedelta(hours=24)
    stale_after: timedelta = timedelta(days=7)
    too_old_after: timedelta = timedelta(days=60)


class Freshness(Enum):
    """How old the list in force is."""

    FRESH = "fresh"
    AGEING = "ageing"
    STALE = "stale"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedSnapshot:
    """A verified list at one moment. `digest` is the SHA-256 (hexadecimal) of the octets that were signed."""

    generated_at: datetime
    confirmed_at: datetime
    digest: str
    signer: DistinguishedName
    unreadable: int = 0
    """How many entries could not be read and grant nothing."""

    @abstractmethod
    def __len__(self) -> int:
        """How many entries it has."""

    @property
    @abstractmethod
    def grants(self) -> frozenset[Any]:
        """What the list grants, as a set: what is in the one in force and not in the next is lost."""

    def freshness(self, now: datetime, limits: Limits) -> Freshness:
        """How the list stands at `now`."""
        since = now - self.confirmed_at
        if since >= limits.stale_after or now - self.generated_at >= limits.too_old_after:
            return Freshness.STALE
        return Freshness.AGEING if since >= limits.alarm_after else Freshness.FRESH

    def confirmed(self, at: datetime) -> Self:
        """The same list, seen again at its source; time never goes back."""
        return self.last_seen(max(at, self.confirmed_at))

    def last_seen(self, at: datetime) -> Self:
        """The same list, last confirmed at exactly this time."""
        return replace(self, confirmed_at=at)


S = TypeVar("S", bound=SignedSnapshot)


@dataclass(frozen=True, slots=True)
class Accepted(Generic[S]):
    """The candidate may take its place; how many grants it adds and removes."""

    snapshot: S
    added: int
    removed: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The list in force stays; `lost` of `before` grants would have gone."""

    reason: Reason
    lost: int = 0
    before: int = 0


def accept_next(
    current: S | None, candidate: S, limits: Limits, *, now: datetime, confirmed_digest: str = ""
) -> Accepted[S] | Refused:
    """Whether a verified candidate may replace the list in force (None at the first start).

    `confirmed_digest` is the digest of the one list whose losses an operator confirmed; it lifts no other
    refusal and no other list's.
    """
    if not len(candidate):
        return Refused(Reason.EMPTY)
    if candidate.generated_at > now + limits.clock_skew:
        return Refused(Reason.FROM_THE_FUTURE)
    if current is None:
        return Accepted(candidate, len(candidate.grants), 0)
    if candidate.generated_at < current.generated_at:
        return Refused(Reason.OLDER_THAN_CURRENT)
    before, after = current.grants, candidate.grants
    lost = len(before - after)
    too_many = bool(before) and Fraction(lost, len(before)) >= limits.lost_share
    if too_many and candidate.digest != confirmed_digest:
        return Refused(Reason.LOST_TOO_MANY, lost, len(before))
    return Accepted(candidate, len(after - before), lost)


class ListInForce(Generic[S]):
    """Holds the list in force, swapped in one assignment; without one the answer is: stale."""

    def __init__(self, clock: Clock, limits: Limits | None = None) -> None:
        self._clock = clock
        self.limits = limits or Limits()
        self._current: S | None = None

    @property
    def current(self) -> S | None:
        """The list in force; None until the first one is accepted."""
        return self._current

    def put_in_force(self, snapshot: S) -> None:
        """From the next question on, this list answers."""
        self._current = snapshot

    def freshness(self) -> Freshness:
        """How old the list in force is now; no list is a stale list."""
        if self._current is None:
            return Freshness.STALE
        return self._current.freshness(self._clock.now(), self.limits)


@dataclass(frozen=True, slots=True)
class ListOpener(Generic[S]):
    """How lists are verified: with which chains, and by whom they must be signed.

    The anchor **and** the signer's name are pinned: any organisation of the trust space holds a certificate that
    chains to the same anchor. `signers` holds the names; two during the roll-over of the signer's certificate.
    """

    chains: ChainVerifier
    signers: frozenset[DistinguishedName]

    def __post_init__(self) -> None:
        if not self.signers:
            raise ConfigurationError("the name of the list's signer must be configured")

    @abstractmethod
    def open_list(self, octets: bytes, *, at: datetime) -> S:
        """Verify and read a list at a time. Raises `TrustListRefused`, or `RevocationUnknown` (try later)."""

    def verified(self, octets: bytes, *, at: datetime, limits: XmlLimits) -> VerifiedXml:
        """The canonical octets that a pinned signer signed. Raises as `open_list`."""
        if len(octets) > limits.octets:
            raise TrustListRefused(Reason.TOO_LARGE)

        def judge(certificate: bytes, others: tuple[bytes, ...]) -> VerifiedPeer:
            peer = self.chains.verify(certificate, purpose=Purpose.LIST_SIGNER, at=at, presented=others)
            demand_subject(peer, allowed=self.signers)
            return peer

        try:
            return verify_enveloped(octets, judge, limits)
        except SignatureInvalid as error:
            raise TrustListRefused(_SIGNATURE[error.reason], str(error)) from error
        except CertificateRefused as error:
            raise TrustListRefused(_SIGNER.get(error.reason, Reason.SIGNER_REFUSED), str(error)) from error


def digest_of(octets: bytes) -> str:
    """SHA-256 of a list's octets, lower hexadecimal: its name in audit and confirmations."""
    return hashlib.sha256(octets).hexdigest()


_SIGNATURE = {
    SignatureReason.NOT_XML: Reason.UNREADABLE,
    SignatureReason.UNSIGNED: Reason.UNSIGNED,
    SignatureReason.SEVERAL_SIGNATURES: Reason.DAMAGED,
    SignatureReason.UNEXPECTED_SHAPE: Reason.DAMAGED,
    SignatureReason.ALGORITHM: Reason.DAMAGED,
    SignatureReason.DIGEST: Reason.DAMAGED,
    SignatureReason.VALUE: Reason.DAMAGED,
}
_SIGNER = {
    CertificateReason.NOT_PINNED: Reason.SIGNER_NOT_PINNED,
    CertificateReason.REVOKED: Reason.SIGNER_REVOKED,
}
