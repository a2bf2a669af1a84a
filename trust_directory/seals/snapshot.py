"""The annuaire des sceaux in force as a frozen value.

What it is: `KnownSeals` (questions in constant time), a `SignedSnapshot`. What it is not: a clock, nor the verdict
on a certificate. What may replace it: `trust_directory.signed_list.accept_next`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from certs.certificate import fingerprint_of
from certs.seals import Seal
from core.address import Domain
from core.identity import DistinguishedName
from core.plan import SealKind
from trust_directory.seals.parse import EntryProblem, SealsList
from trust_directory.signed_list import SignedSnapshot

NOTHING: frozenset[Domain] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownSeals(SignedSnapshot):
    """Who opens which seal. Build it with `of`."""

    entries: tuple[Seal, ...] = field(repr=False)
    problems: tuple[EntryProblem, ...] = ()
    _by_domain: Mapping[Domain, Seal] = field(repr=False, compare=False)
    _by_signer: Mapping[str, frozenset[Domain]] = field(repr=False, compare=False)

    @classmethod
    def of(
        cls, seals_list: SealsList, *, digest: str, signer: DistinguishedName, confirmed_at: datetime
    ) -> KnownSeals:
        """Index a list. `digest` is the SHA-256 (hexadecimal) of its octets, `confirmed_at` when it was seen."""
        by_signer: defaultdict[str, set[Domain]] = defaultdict(set)
        for seal in seals_list.entries:
            for fingerprint in seal.signer_fingerprints:
                by_signer[fingerprint].add(seal.domain)
        return cls(
            generated_at=seals_list.generated_at,
            confirmed_at=confirmed_at,
            digest=digest,
            signer=signer,
            unreadable=len(seals_list.problems),
            entries=seals_list.entries,
            problems=seals_list.problems,
            _by_domain=MappingProxyType({seal.domain: seal for seal in seals_list.entries}),
            _by_signer=MappingProxyType({name: frozenset(found) for name, found in by_signer.items()}),
        )

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def grants(self) -> frozenset[tuple[str, ...]]:
        """Which domain opens which seal, and each key: a list that strips seals loses, as one that swaps keys."""
        found: set[tuple[str, ...]] = set()
        for seal in self.entries:
            name = seal.domain.ascii
            if seal.capability is not SealKind.NONE:
                found.add((name, seal.capability.value))
            found.update((name, "sign", fingerprint) for fingerprint in seal.signer_fingerprints)
            found.update((name, "read", fingerprint_of(certificate)) for certificate in seal.encryption)
        return frozenset(found)

    def entry_of(self, domain: Domain) -> Seal | None:
        """What the domain declares (its children are not included), in its dates or not."""
        return self._by_domain.get(domain)

    def domains_sealed_by(self, fingerprint: str, now: datetime) -> frozenset[Domain]:
        """The domains whose entry, in force at `now`, lists this certificate or key for signing."""
        domains = self._by_signer.get(fingerprint, NOTHING)
        return frozenset(domain for domain in domains if self._by_domain[domain].is_in_dates(now))
