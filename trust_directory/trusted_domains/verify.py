"""Open a signed trust list: signature, signer's certificate, signer's name, then the entries.

What it is: `open_list`, the only way from foreign octets to a `TrustedDomains`. What it is not: the comparison
with the list in force, nor the verification itself, which every signed list shares (`trust_directory.signed_list`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from trust_directory.signed_list import ListOpener, digest_of
from trust_directory.trusted_domains.parse import LIMITS, parse_list
from trust_directory.trusted_domains.snapshot import TrustedDomains


@dataclass(frozen=True, slots=True)
class ListVerifier(ListOpener[TrustedDomains]):
    """Opens the liste blanche; see `ListOpener` for the fields."""

    def open_list(self, octets: bytes, *, at: datetime) -> TrustedDomains:
        """Verify and read a list at a time. Raises `TrustListRefused`, or `RevocationUnknown` (try later)."""
        verified = self.verified(octets, at=at, limits=LIMITS)
        return TrustedDomains.of(
            parse_list(verified.octets),
            digest=digest_of(octets),
            signer=verified.signer.subject,
            confirmed_at=at,
        )
