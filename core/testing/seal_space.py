"""A trust space whose people can seal: an authority, a verifier, and identities of every kind of key.

What it is: `SealSpace`, made once for a whole test session, at a fixed time. What it is not: secret. Who uses
it: the tests of `certs.smime` and the attacks on seals.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import x25519

from certs.anchors import TrustAnchors
from certs.authority import Authority, KeyAlgorithm, Request
from certs.certificate import to_der
from certs.chain import ChainVerifier
from certs.keystore import Identity, ReadingKey
from certs.profiles import PROFILES, ProfileName
from certs.revocation import RevocationLists
from core.testing.keys import key_factory

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
RIVAGE = "CN=mss.ch-rivage.mssante.example,OU=1990000010,O=CH DU RIVAGE TEST,ST=Finistère (29),C=FR"
DUNES = "CN=mss.cabinet.mssante.example,OU=1990000028,O=CABINET DES DUNES TEST,ST=Finistère (29),C=FR"
ADDRESS = "anne.test-rivage@ch-rivage.mssante.example"
READERS = ("rsa-2048", "ec-p256", "ec-p384", "x25519")


@dataclass
class StillClock:
    """A clock that stands."""

    time: datetime = NOW

    def now(self) -> datetime:
        """The time it was put to."""
        return self.time

    def monotonic(self) -> float:
        """The same in seconds."""
        return self.time.timestamp()


@dataclass(frozen=True)
class Member:
    """One certificate with its key, as an identity and as the key itself (for other programs)."""

    identity: Identity
    key: ReadingKey

    @property
    def certificate(self) -> bytes:
        """DER."""
        return self.identity.certificate_der()


class SealSpace:
    """Authority, anchors, fresh CRLs; members are made on demand and kept."""

    def __init__(self, first_key: int = 40) -> None:
        self.clock = StillClock()
        self.authority = Authority.create(clock=self.clock, keys=key_factory(first_key))
        organisations = self.authority.organisations.certificate
        self.anchors = TrustAnchors.of([self.authority.root.certificate, organisations])
        self._members: dict[tuple[str, ProfileName, str], Member] = {}

    def chain(self) -> ChainVerifier:
        """A verifier whose CRLs are of now."""
        lists = RevocationLists(self.anchors)
        for crl in self.authority.crls():
            lists.add(crl, at=self.clock.now())
        return ChainVerifier(anchors=self.anchors, revocation=lists)

    def signer(self, algorithm: str = "ec-p256", subject: str = RIVAGE) -> Member:
        """Somebody who signs."""
        return self._member(algorithm, ProfileName.SIGN, subject)

    def reader(self, algorithm: str = "ec-p256", subject: str = DUNES) -> Member:
        """Somebody who opens: one of READERS."""
        return self._member(algorithm, ProfileName.CONF, subject)

    def issue(self, algorithm: str, profile: ProfileName, subject: str, **more: datetime) -> Member:
        """A new certificate, kept nowhere."""
        request = Request(
            subject=subject,
            profile=profile,
            emails=(ADDRESS,) if profile is ProfileName.SIGN else (),
            algorithm=KeyAlgorithm(algorithm),
            not_before=more.get("not_before"),
            not_after=more.get("not_after"),
        )
        issued = self.authority.issue(request)
        return Member(issued.identity(), issued.key)

    def _member(self, algorithm: str, profile: ProfileName, subject: str) -> Member:
        name = (algorithm, profile, subject)
        if name not in self._members:
            is_new_curve = algorithm == "x25519"
            made = self._x25519(subject) if is_new_curve else self.issue(algorithm, profile, subject)
            self._members[name] = made
        return self._members[name]

    def _x25519(self, subject: str) -> Member:
        key = x25519.X25519PrivateKey.generate()
        issuer = self.authority.organisations
        usage = PROFILES[ProfileName.CONF].key_usage(elliptic=True)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name.from_rfc4514_string(subject))
            .issuer_name(issuer.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(days=1))
            .not_valid_after(NOW + timedelta(days=365))
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(issuer.key, hashes.SHA256())
        )
        return Member(Identity(certificate, key, (issuer.certificate,)), key)


@cache
def seal_space(first_key: int = 40) -> SealSpace:
    """The space of that number, one for the whole session."""
    return SealSpace(first_key)


def anchors_der(space: SealSpace) -> tuple[bytes, ...]:
    """The root and the intermediate, DER."""
    return tuple(to_der(one) for one in (*space.anchors.roots, *space.anchors.intermediates))
