"""The authority of demos, tests and private spaces, modelled on IGC-Santé.

What it is: a root (like ACR-EL), an intermediate authority for organisations (like ACI-EL-ORG), certificates
by profile, revocation, CRLs. What it is not: the authority of a real trust space (that is ANS), nor OCSP.
Start at `Authority.create`; `certs.authority_folder` writes it to a folder and opens it again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from certs.certificate import to_der, to_pem
from certs.keystore import Identity, PrivateKey
from certs.profiles import PROFILES, Profile, ProfileName
from core.clock import Clock
from core.errors import PermanentError

ROOT_SUBJECT = "CN=ACR-EL VAGUEMESTRE TEST,OU=0002 990000010,O=ESPACE DE CONFIANCE TEST,C=FR"
INTERMEDIATE_SUBJECT = "CN=ACI-EL-ORG VAGUEMESTRE TEST,OU=0002 990000010,O=ESPACE DE CONFIANCE TEST,C=FR"
ROOT_LIFETIME = timedelta(days=20 * 365)
INTERMEDIATE_LIFETIME = timedelta(days=10 * 365)
CERTIFICATE_LIFETIME = timedelta(days=3 * 365)  # the field's organisation certificates live three years
CRL_LIFETIME = timedelta(days=7)
BACKDATE = timedelta(minutes=5)  # a peer's clock may be behind ours


class KeyAlgorithm(Enum):
    """RSA-2048 is what the four TLS suites of the field demand; P-256 serves modern spaces."""

    RSA_2048 = "rsa-2048"
    RSA_3072 = "rsa-3072"
    EC_P256 = "ec-p256"
    EC_P384 = "ec-p384"


KeyFactory = Callable[[KeyAlgorithm], PrivateKey]


def generate_key(algorithm: KeyAlgorithm) -> PrivateKey:
    """A fresh private key."""
    match algorithm:
        case KeyAlgorithm.EC_P256:
            return ec.generate_private_key(ec.SECP256R1())
        case KeyAlgorithm.EC_P384:
            return ec.generate_private_key(ec.SECP384R1())
        case KeyAlgorithm.RSA_3072:
            return rsa.generate_private_key(public_exponent=65537, key_size=3072)
        case KeyAlgorithm.RSA_2048:
            return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a certificate is to say. `subject` is text as in the trust list: `CN=…,OU=…,O=…,ST=…,C=FR`."""

    subject: str
    profile: ProfileName
    names: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    algorithm: KeyAlgorithm = KeyAlgorithm.RSA_2048
    not_before: datetime | None = None
    not_after: datetime | None = None


@dataclass(slots=True, repr=False)
class CertificateAuthority:
    """One authority: its certificate, its key, what it revoked, its CRL number."""

    certificate: x509.Certificate
    key: PrivateKey
    crl_number: int = 0
    revoked: dict[int, tuple[datetime, x509.ReasonFlags]] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"CertificateAuthority({self.certificate.subject.rfc4514_string()}, key=…)"

    def crl(self, *, this_update: datetime, next_update: datetime) -> bytes:
        """A new CRL (DER), one number further (RFC 5280 §5)."""
        self.crl_number += 1
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(this_update)
            .next_update(next_update)
            .add_extension(x509.CRLNumber(self.crl_number), critical=False)
            .add_extension(_key_identifier_of(self.certificate), critical=False)
        )
        for serial, (at, reason) in sorted(self.revoked.items()):
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(at)
            builder = builder.add_revoked_certificate(
                entry.add_extension(x509.CRLReason(reason), critical=False).build()
            )
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate and key just made. The key is written by `certs.authority_folder.write_identity`."""

    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    key: PrivateKey = field(repr=False)

    @property
    def der(self) -> bytes:
        """The certificate, DER."""
        return to_der(self.certificate)

    @property
    def serial(self) -> int:
        """The serial number, for `Authority.revoke`."""
        return self.certificate.serial_number

    def identity(self) -> Identity:
        """As one of our own identities."""
        return Identity(self.certificate, self.key, self.chain)


class Authority:
    """Root and intermediate together. One process writes at a time."""

    def __init__(
        self,
        root: CertificateAuthority,
        organisations: CertificateAuthority,
        *,
        clock: Clock,
        keys: KeyFactory = generate_key,
        crl_url: str = "",
    ) -> None:
        self.root = root
        self.organisations = organisations
        self._clock = clock
        self._keys = keys
        self.crl_url = crl_url

    @classmethod
    def create(
        cls,
        *,
        clock: Clock,
        algorithm: KeyAlgorithm = KeyAlgorithm.RSA_2048,
        keys: KeyFactory = generate_key,
        crl_url: str = "",
    ) -> Authority:
        """A new root and intermediate. `crl_url`, when given, is the base of the CRL distribution points."""
        start = clock.now() - BACKDATE
        root_key, key = keys(algorithm), keys(algorithm)
        root = _authority_certificate(ROOT_SUBJECT, root_key, start, start + ROOT_LIFETIME)
        between = _authority_certificate(
            INTERMEDIATE_SUBJECT, key, start, start + INTERMEDIATE_LIFETIME, issuer=(root, root_key)
        )
        return cls(
            CertificateAuthority(root, root_key),
            CertificateAuthority(between, key),
            clock=clock,
            keys=keys,
            crl_url=crl_url,
        )

    def issue(self, request: Request) -> Issued:
        """A certificate of that profile, signed by the intermediate for organisations.

        Raises `PermanentError` when the subject, a name or the dates cannot stand in a certificate.
        """
        profile = PROFILES[request.profile]
        key = self._keys(request.algorithm)
        try:
            certificate = self._build(request, profile, key.public_key())
        except (ValueError, TypeError) as error:
            raise PermanentError(f"no certificate can say this: {error}") from error
        return Issued(certificate=certificate, chain=(self.organisations.certificate,), key=key)

    def revoke(self, serial: int, *, reason: x509.ReasonFlags = x509.ReasonFlags.key_compromise) -> None:
        """Revoke a certificate, or the intermediate itself; seen by others with the next CRLs."""
        is_intermediate = serial == self.organisations.certificate.serial_number
        authority = self.root if is_intermediate else self.organisations
        authority.revoked.setdefault(serial, (self._clock.now().replace(microsecond=0), reason))

    def crls(
        self, *, this_update: datetime | None = None, next_update: datetime | None = None
    ) -> tuple[bytes, bytes]:
        """Fresh CRLs (DER) of the root and of the intermediate; by default from now, for a week."""
        begin = this_update or self._clock.now()
        end = next_update or begin + CRL_LIFETIME
        if end <= begin:
            raise PermanentError("a CRL must end after it begins")
        return (
            self.root.crl(this_update=begin, next_update=end),
            self.organisations.crl(this_update=begin, next_update=end),
        )

    def anchors_pem(self) -> bytes:
        """Root and intermediate, PEM: the file that `TrustAnchors.load` reads."""
        return to_pem(self.root.certificate) + to_pem(self.organisations.certificate)

    def _build(
        self, request: Request, profile: Profile, public_key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey
    ) -> x509.Certificate:
        start = request.not_before or self._clock.now() - BACKDATE
        end = request.not_after or start + CERTIFICATE_LIFETIME
        issuer = self.organisations.certificate
        builder = (
            _builder(request.subject, issuer.subject, public_key, start, end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                profile.key_usage(elliptic=isinstance(public_key, ec.EllipticCurvePublicKey)), critical=True
            )
            .add_extension(x509.ExtendedKeyUsage(profile.extended_usages), critical=False)
            .add_extension(_key_identifier_of(issuer), critical=False)
        )
        alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in request.names]
        alternatives += [x509.RFC822Name(email) for email in request.emails]
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        if self.crl_url:
            builder = builder.add_extension(_distribution_point(f"{self.crl_url}/organisations.crl"), False)
        return builder.sign(self.organisations.key, hashes.SHA256())


def _authority_certificate(
    subject: str,
    key: PrivateKey,
    start: datetime,
    end: datetime,
    *,
    issuer: tuple[x509.Certificate, PrivateKey] | None = None,
) -> x509.Certificate:
    name = x509.Name.from_rfc4514_string(subject)
    builder = (
        _builder(subject, issuer[0].subject if issuer else name, key.public_key(), start, end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0 if issuer else 1), critical=True)
        .add_extension(_AUTHORITY_USAGE, critical=True)
    )
    if issuer:
        builder = builder.add_extension(_key_identifier_of(issuer[0]), critical=False)
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256())


def _builder(
    subject: str,
    issuer: x509.Name,
    public_key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
    start: datetime,
    end: datetime,
) -> x509.CertificateBuilder:
    # RFC 4514 §2.1: the text begins with the last RDN. Values are UTF8String, C is PrintableString.
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name.from_rfc4514_string(subject))
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _key_identifier_of(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _distribution_point(url: str) -> x509.CRLDistributionPoints:
    point = x509.DistributionPoint([x509.UniformResourceIdentifier(url)], None, None, None)
    return x509.CRLDistributionPoints([point])


_AUTHORITY_USAGE = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
