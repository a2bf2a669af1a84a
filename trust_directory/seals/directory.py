"""Who opens which seal, now? The holder of the annuaire des sceaux in force, in memory, never waiting.

What it is: the answers that the plan and the verifier of arriving letters need. What it is not: fetching or
judging a list (`trust_directory.refresh`, with `SEALS_LIST` as its name).
"""

from __future__ import annotations

from certs.seals import Entitlement, Seal, Signer, seal_entitled
from core.address import Domain, Mailbox
from core.ports import TrustDirectory
from trust_directory.seals.snapshot import KnownSeals
from trust_directory.signed_list import Freshness, ListInForce

SEALS_LIST = "seals-list"


class SealsDirectory(ListInForce[KnownSeals]):
    """The list in force and its answers."""

    def is_stale(self) -> bool:
        """Whether the list is too old, or was never there: no seal may be counted on."""
        return self.freshness() is Freshness.STALE

    def entry_of(self, domain: Domain) -> Seal | None:
        """What the domain declares, or None."""
        return self.current.entry_of(domain) if self.current else None

    def entitlement(self, signer: Signer, author: Mailbox, trust: TrustDirectory) -> Entitlement:
        """Whether a verified signer may vouch for this From address; a stale list gives no organisation a seal."""
        current = self.current
        sealed: frozenset[Domain] = frozenset()
        if current is not None and not self.is_stale() and not trust.state().is_stale:
            sealed = current.domains_sealed_by(signer.fingerprint, self._clock.now())
        return seal_entitled(signer, author, sealed_domains=sealed, names_of=trust.names_of)
