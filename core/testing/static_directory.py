"""A trust list that a test writes down."""

from __future__ import annotations

from core.address import Domain
from core.identity import DistinguishedName
from core.ports import TrustState


class StaticDirectory:
    """Implements `core.ports.TrustDirectory`: domain → names."""

    def __init__(self, entries: dict[Domain, frozenset[DistinguishedName]]) -> None:
        self.entries = entries
        self.is_stale = False

    def state(self) -> TrustState:
        """See the port."""
        return TrustState(is_stale=self.is_stale, generated_at=None, entries=len(self.entries))

    def is_on_trusted_list(self, domain: Domain) -> bool:
        """See the port."""
        return domain in self.entries

    def is_listed(self, name: DistinguishedName) -> bool:
        """Whether any domain has this name."""
        return any(name in names for names in self.entries.values())

    def names_of(self, domain: Domain) -> frozenset[DistinguishedName]:
        """See the port."""
        return self.entries.get(domain, frozenset())

    def may_speak_for(self, name: DistinguishedName, domain: Domain) -> bool:
        """See the port."""
        return name in self.names_of(domain)
