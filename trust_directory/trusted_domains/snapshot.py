"""The list in force as a frozen value, and whether another may take its place.

What it is: `TrustedDomains` (questions in constant time) and the pure `accept_next`. What it is not: storage,
fetching, a clock: the time is given. Who asks: `trust_directory.directory`, at each MAIL and RCPT.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from fractions import Fraction
from types import MappingProxyType

from core.address import Domain
from core.identity import DistinguishedName
from trust_directory.trusted_domains.parse import Entry, EntryProblem, TrustList
from trust_directory.trusted_domains.reasons import Reason

NOBODY: frozenset[DistinguishedName] = frozenset()
NOTHING: frozenset[Domain] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When a list is suspicious, and when it is too old.

    `lost_share`: a list that loses this share of the entries in force, or more, waits for an operator.
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
class TrustedDomains:
    """The trust space at one moment. Build it with `of`; ask it anything, it never waits."""

    generated_at: datetime
    confirmed_at: datetime
    digest: str
    signer: DistinguishedName
    entries: tuple[Entry, ...] = field(repr=False)
    problems: tuple[EntryProblem, ...] = ()
    _names: Mapping[Domain, frozenset[DistinguishedName]] = field(repr=False, compare=False)
    _domains: Mapping[DistinguishedName, frozenset[Domain]] = field(repr=False, compare=False)

    @classmethod
    def of(
        cls, trust_list: TrustList, *, digest: str, signer: DistinguishedName, confirmed_at: datetime
    ) -> TrustedDomains:
        """Index a list. `digest` is the SHA-256 (hexadecimal) of its octets, `confirmed_at` when it was seen."""
        names: defaultdict[Domain, set[DistinguishedName]] = defaultdict(set)
        domains: defaultdict[DistinguishedName, set[Domain]] = defaultdict(set)
        for entry in trust_list.entries:
            names[entry.domain].add(entry.name)
            domains[entry.name].add(entry.domain)
        return cls(
            generated_at=trust_list.generated_at,
            confirmed_at=confirmed_at,
            digest=digest,
            signer=signer,
            entries=trust_list.entries,
            problems=trust_list.problems,
            _names=MappingProxyType({domain: frozenset(found) for domain, found in names.items()}),
            _domains=MappingProxyType({name: frozenset(found) for name, found in domains.items()}),
        )

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, domain: object) -> bool:
        return domain in self._names

    def names_of(self, domain: Domain) -> frozenset[DistinguishedName]:
        """The certificate names listed for the domain, any of which is good; empty when it is not listed."""
        return self._names.get(domain, NOBODY)

    def domains_of(self, name: DistinguishedName) -> frozenset[Domain]:
        """The domains that the name may speak for; empty when the name is not listed."""
        return self._domains.get(name, NOTHING)

    def is_listed(self, name: DistinguishedName) -> bool:
        """Whether the list gives any domain to this name."""
        return name in self._domains

    def may_speak_for(self, name: DistinguishedName, domain: Domain) -> bool:
        """Whether the list gives this domain to this name (a domain's children are not included)."""
        return name in self._names.get(domain, NOBODY)

    def freshness(self, now: datetime, limits: Limits) -> Freshness:
        """How the list stands at `now`."""
        since = now - self.confirmed_at
        if since >= limits.stale_after or now - self.generated_at >= limits.too_old_after:
            return Freshness.STALE
        return Freshness.AGEING if since >= limits.alarm_after else Freshness.FRESH

    def confirmed(self, at: datetime) -> TrustedDomains:
        """The same list, seen again at its source; time never goes back."""
        return replace(self, confirmed_at=max(at, self.confirmed_at))

    @property
    def pairs(self) -> frozenset[tuple[Domain, DistinguishedName]]:
        """What the list grants, as a set."""
        return frozenset((entry.domain, entry.name) for entry in self.entries)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The candidate may take its place; what it adds and removes, as (domain, name) pairs."""

    snapshot: TrustedDomains
    added: int
    removed: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The list in force stays; `lost` of `before` grants would have gone."""

    reason: Reason
    lost: int = 0
    before: int = 0


def accept_next(
    current: TrustedDomains | None,
    candidate: TrustedDomains,
    limits: Limits,
    *,
    now: datetime,
    confirmed_digest: str = "",
) -> Accepted | Refused:
    """Whether a verified candidate may replace the list in force (None at the first start).

    `confirmed_digest` is the digest of the one list whose losses an operator confirmed; it lifts no other
    refusal and no other list's.
    """
    if not candidate.entries:
        return Refused(Reason.EMPTY)
    if candidate.generated_at > now + limits.clock_skew:
        return Refused(Reason.FROM_THE_FUTURE)
    if current is None:
        return Accepted(candidate, len(candidate.pairs), 0)
    if candidate.generated_at < current.generated_at:
        return Refused(Reason.OLDER_THAN_CURRENT)
    before, after = current.pairs, candidate.pairs
    lost = len(before - after)
    too_many = Fraction(lost, len(before)) >= limits.lost_share
    if too_many and candidate.digest != confirmed_digest:
        return Refused(Reason.LOST_TOO_MANY, lost, len(before))
    return Accepted(candidate, len(after - before), lost)
