"""Open a signed list: signature, signer's certificate, signer's name, then the entries.

What it is: `open_list`, the only way from foreign octets to a `TrustedDomains`. What it is not: the comparison
with the list in force (`snapshot.accept_next`). The anchor **and** the signer's name are pinned: any
organisation of the trust space holds a certificate that chains to the same anchor.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from certs.chain import ChainVerifier, demand_subject
from certs.profiles import Purpose
from certs.verdict import CertificateRefused, VerifiedPeer
from certs.verdict import Reason as CertificateReason
from certs.xml.verify import SignatureInvalid, SignatureReason, verify_enveloped
from core.errors import ConfigurationError
from core.identity import DistinguishedName
from trust_directory.trusted_domains.parse import LIMITS, MAX_LIST, parse_list
from trust_directory.trusted_domains.reasons import Reason, TrustListRefused
from trust_directory.trusted_domains.snapshot import TrustedDomains


@dataclass(frozen=True, slots=True)
class ListVerifier:
    """How lists are verified: with which chains, and by whom they must be signed.

    `signers` holds the pinned names; two during the roll-over of the signer's certificate.
    """

    chains: ChainVerifier
    signers: frozenset[DistinguishedName]

    def __post_init__(self) -> None:
        if not self.signers:
            raise ConfigurationError("the name of the trust list's signer must be configured")

    def open_list(self, octets: bytes, *, at: datetime) -> TrustedDomains:
        """Verify and read a list at a time. Raises `TrustListRefused`, or `RevocationUnknown` (try later)."""
        if len(octets) > MAX_LIST:
            raise TrustListRefused(Reason.TOO_LARGE)

        def judge(certificate: bytes, others: tuple[bytes, ...]) -> VerifiedPeer:
            peer = self.chains.verify(certificate, purpose=Purpose.LIST_SIGNER, at=at, presented=others)
            demand_subject(peer, allowed=self.signers)
            return peer

        try:
            verified = verify_enveloped(octets, judge, LIMITS)
        except SignatureInvalid as error:
            raise TrustListRefused(_SIGNATURE[error.reason], str(error)) from error
        except CertificateRefused as error:
            raise TrustListRefused(_SIGNER.get(error.reason, Reason.SIGNER_REFUSED), str(error)) from error
        return TrustedDomains.of(
            parse_list(verified.octets),
            digest=hashlib.sha256(octets).hexdigest(),
            signer=verified.signer.subject,
            confirmed_at=at,
        )


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
