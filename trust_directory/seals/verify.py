"""Open a signed annuaire des sceaux: the same doors as the liste blanche, then its own entries.

What it is: `open_list`, the only way from foreign octets to a `KnownSeals`. What it is not: the verification
itself (`trust_directory.signed_list`): anchor and signer's name are pinned there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from trust_directory.seals.parse import LIMITS, parse_seals
from trust_directory.seals.snapshot import KnownSeals
from trust_directory.signed_list import ListOpener, digest_of


@dataclass(frozen=True, slots=True)
class SealsVerifier(ListOpener[KnownSeals]):
    """Opens the annuaire des sceaux; see `ListOpener` for the fields."""

    def open_list(self, octets: bytes, *, at: datetime) -> KnownSeals:
        """Verify and read a list at a time. Raises `TrustListRefused`, or `RevocationUnknown` (try later)."""
        verified = self.verified(octets, at=at, limits=LIMITS)
        return KnownSeals.of(
            parse_seals(verified.octets),
            digest=digest_of(octets),
            signer=verified.signer.subject,
            confirmed_at=at,
        )
