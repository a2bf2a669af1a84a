"""Who may we talk to? The implementation of `core.ports.TrustDirectory`, in memory, never waiting.

What it is: the holder of the list in force, swapped in one assignment. What it is not: fetching or judging a
list (`refresh`, `trusted_domains`). Start at `ListedDirectory.state`: an answer counts only while the state is
not stale, and without any list it is stale (the doors then say 451, never yes and never no).
"""

from __future__ import annotations

from core.address import Domain
from core.identity import DistinguishedName
from core.ports import TrustState
from trust_directory.signed_list import Freshness, ListInForce
from trust_directory.trusted_domains.snapshot import TrustedDomains


class ListedDirectory(ListInForce[TrustedDomains]):
    """Implements `core.ports.TrustDirectory`."""

    def state(self) -> TrustState:
        """See the port."""
        current = self._current
        return TrustState(
            is_stale=self.freshness() is Freshness.STALE,
            generated_at=current.generated_at if current else None,
            entries=len(current) if current else 0,
        )

    def is_on_trusted_list(self, domain: Domain) -> bool:
        """See the port."""
        return self._current is not None and domain in self._current

    def names_of(self, domain: Domain) -> frozenset[DistinguishedName]:
        """See the port."""
        return self._current.names_of(domain) if self._current else frozenset()

    def is_listed(self, name: DistinguishedName) -> bool:
        """See the port."""
        return self._current is not None and bool(self._current.domains_of(name))

    def may_speak_for(self, name: DistinguishedName, domain: Domain) -> bool:
        """See the port."""
        return self._current is not None and self._current.may_speak_for(name, domain)
