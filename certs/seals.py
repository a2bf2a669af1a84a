"""Which certificate may seal for which domain: one entry of the annuaire des sceaux, and who is entitled.

What it is: `Seal` (what one domain declares), the algorithms that entries may name, and the pure
`seal_entitled`. What it is not: the signed list that carries the entries (`trust_directory.seals`), the plan
(`routing.sealing`), or the sealing (`certs.smime`, `certs.openpgp`). Start at `Seal`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from cryptography import x509

from certs.certificate import fingerprint_of, subject_alternative_names, to_der
from certs.chain import ChainVerifier
from certs.profiles import Purpose
from certs.verdict import CertificateRefused, RevocationUnknown
from certs.verdict import Reason as CertificateReason
from core.address import AddressInvalid, Domain, Mailbox
from core.identity import DistinguishedName
from core.plan import KeyFacts, KeySource, KeyState, SealKind

MAX_CERTIFICATES = 4  # ours: two for signing and two for encryption, during a roll-over
MAX_OPENPGP_KEYS = 2  # ours: the same


class SealAlgorithm(Enum):
    """What a peer's software reads; the value is the word of the list."""

    AES_256_GCM = "aes256-gcm"  # RFC 5084 §3.2, in AuthEnvelopedData (RFC 5083)
    AES_128_GCM = "aes128-gcm"
    AES_256_CBC = "aes256-cbc"  # RFC 8551 §2.7.2: for old readers; no integrity
    RSA_OAEP = "rsa-oaep"  # RFC 3560
    RSA_PKCS1 = "rsa-pkcs1"
    RSA_PSS = "rsa-pss"  # RFC 4056
    ECDH_P256 = "ecdh-p256"  # RFC 5753
    ECDH_P384 = "ecdh-p384"
    X25519 = "x25519"  # RFC 8418
    ECDSA_P256 = "ecdsa-p256"
    ECDSA_P384 = "ecdsa-p384"
    OPENPGP_MDC = "openpgp-mdc"  # RFC 4880 §5.13
    OPENPGP_AEAD = "openpgp-aead"  # RFC 9580 §5.13.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """What a domain declares: which seal it opens, with which keys, from when to when.

    `subject_readable`: software behind these boxes reads subject and X-MSS-* headers, which stay outside.
    """

    domain: Domain
    capability: SealKind
    not_before: datetime
    not_after: datetime
    algorithms: frozenset[SealAlgorithm] = frozenset()
    signing: tuple[x509.Certificate, ...] = field(default=(), repr=False)
    encryption: tuple[x509.Certificate, ...] = field(default=(), repr=False)
    openpgp: tuple[bytes, ...] = field(default=(), repr=False)
    """Transferable public keys (RFC 4880 §11.1), binary."""
    openpgp_fingerprints: tuple[str, ...] = ()
    """Their primary keys, upper hexadecimal, in the same order: what gpg must find in them."""
    subject_readable: bool = False

    def is_in_dates(self, now: datetime) -> bool:
        """Whether the entry itself is in force; its certificates have their own dates."""
        return self.not_before <= now < self.not_after

    @property
    def signer_fingerprints(self) -> frozenset[str]:
        """The certificates and keys that may sign for this domain."""
        return frozenset(map(fingerprint_of, self.signing)) | frozenset(self.openpgp_fingerprints)


def certificate_facts(seal: Seal, chains: ChainVerifier, *, at: datetime) -> tuple[KeyFacts, ...]:
    """The certificates that the entry offers to encrypt for, each with its verdict at a time: facts for the plan."""
    return tuple(
        KeyFacts(
            kind=SealKind.SMIME,
            fingerprint=fingerprint_of(certificate),
            source=KeySource.SEALS_LIST,
            state=_state_of(certificate, chains, at),
            not_before=certificate.not_valid_before_utc,
        )
        for certificate in seal.encryption
    )


def _state_of(certificate: x509.Certificate, chains: ChainVerifier, at: datetime) -> KeyState:
    try:
        chains.verify(to_der(certificate), purpose=Purpose.SEAL_READ, at=at)
    except RevocationUnknown:
        return KeyState.UNKNOWN
    except CertificateRefused as refusal:
        return _STATES.get(refusal.reason, KeyState.REFUSED)
    return KeyState.VALID


_STATES = {
    CertificateReason.EXPIRED: KeyState.EXPIRED,
    CertificateReason.NOT_YET_VALID: KeyState.EXPIRED,
    CertificateReason.REVOKED: KeyState.REVOKED,
}


class Entitlement(Enum):
    """By which right a signature vouches for the From field."""

    ORGANISATION = "organisation"
    PERSON = "person"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Who signed, once the signature and the chain were found good.

    `emails`: the addresses that the certificate holds, or that the operator configured for an OpenPGP key; the
    user IDs of a key are its holder's own words and never count.
    """

    fingerprint: str
    emails: tuple[str, ...] = ()

    @classmethod
    def of(cls, certificate: x509.Certificate) -> Signer:
        """The signer of an S/MIME signature, by a certificate that `parse_certificate` read."""
        return cls(fingerprint=fingerprint_of(certificate), emails=subject_alternative_names(certificate)[1])


def seal_entitled(
    signer: Signer,
    author: Mailbox,
    *,
    sealed_domains: Iterable[Domain],
    names_of: Callable[[Domain], frozenset[DistinguishedName]],
) -> Entitlement:
    """Whether the signer may vouch for a letter whose only From address is `author`.

    `sealed_domains` are those whose entry in the annuaire des sceaux lists the signer for signing; `names_of` is the
    trust list's answer. An organisation's seal is good for every domain that the trust list gives that organisation;
    a person's own signature needs the address in the certificate.
    """
    # RFC 3183 §4.1 asks for the domain in the certificate's name; here two signed lists say it.
    of_author = names_of(author.domain)
    if of_author and any(
        domain == author.domain or of_author & names_of(domain) for domain in sealed_domains
    ):
        return Entitlement.ORGANISATION
    # RFC 8550 §3: the address of From must be one of the certificate.
    return Entitlement.PERSON if author in _addresses(signer.emails) else Entitlement.NONE


def _addresses(emails: Iterable[str]) -> frozenset[Mailbox]:
    found = set()
    for email in emails:
        try:
            found.add(Mailbox.parse(email))
        except AddressInvalid:  # a name with two readings vouches for nobody
            continue
    return frozenset(found)
