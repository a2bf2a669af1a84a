"""The liste blanche in force as a frozen value.

What it is: `TrustedDomains` (questions in constant time), a `SignedSnapshot`. What it is not: storage, fetching,
a clock: the time is given; nor whether another may take its place (`trust_directory.signed_list.accept_next`).
Who asks: `trust_directory.directory`, at each MAIL and RCPT.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from core.address import Domain
from core.identity import DistinguishedName
from trust_directory.signed_list import Accepted, Freshness, Limits, Refused, SignedSnapshot, accept_next
from trust_directory.trusted_domains.parse import Entry, EntryProblem, TrustList

__all__ = ["Accepted", "Freshness", "Limits", "Refused", "TrustedDomains", "accept_next"]

NOBODY: frozenset[DistinguishedName] = frozenset()
NOTHING: frozenset[Domain] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedDomains(SignedSnapshot):
    """The trust space at one moment. Build it with `of`; ask it anything, it never waits."""

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
            unreadable=len(trust_list.problems),
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

    @property
    def grants(self) -> frozenset[tuple[Domain, DistinguishedName]]:
        """What the list grants, as a set."""
        return frozenset((entry.domain, entry.name) for entry in self.entries)
