"""Is this certificate good, now, for this purpose? Path, dates, usage, strength, revocation.

What it is: `ChainVerifier.verify`, which returns a `VerifiedPeer` or raises. The path itself is built and
checked by the verifier of the `cryptography` library (RFC 5280 §6.1, bounded in depth and in signatures);
around it we say clearly what is wrong, demand the usage, and demand a CRL for every certificate of the path
below its root. What it is not: the decision whether that name may speak for a domain (the trust list's).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from cryptography import x509
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from certs.anchors import TrustAnchors
from certs.certificate import (
    fingerprint_of,
    key_is_weak,
    parse_certificate,
    signature_is_weak,
    subject_alternative_names,
    subject_of,
)
from certs.profiles import ClientAuthEku, Purpose, authority_allows, extension, usage_remarks
from certs.revocation import DEFAULT_GRACE, RevocationLists
from certs.verdict import CertificateRefused, Reason, RevocationUnknown, VerifiedPeer
from core.identity import DistinguishedName

MAX_INTERMEDIATES = 3  # ours: IGC-Santé has one between root and operator
MAX_PRESENTED = 8  # ours: more certificates than that from one peer are an attack on path building
VERDICT_LIFETIME = timedelta(minutes=5)  # how long a verdict is believed without looking again
MAX_VERDICTS = 1024  # ours: three times the operators of the trust space


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an operator may decide about verification; none of it turns a check off but the named one."""

    client_auth_eku: ClientAuthEku = ClientAuthEku.STRICT
    crl_grace: timedelta = DEFAULT_GRACE


@dataclass(frozen=True, slots=True)
class _Verdict:
    peer: VerifiedPeer
    since: datetime
    until: datetime


class ChainVerifier:
    """Verifies certificates against one set of anchors and the CRLs in force; keeps recent verdicts."""

    def __init__(
        self, *, anchors: TrustAnchors, revocation: RevocationLists, settings: Settings | None = None
    ) -> None:
        self._anchors = anchors
        self._store = Store(list(anchors.roots))
        self._revocation = revocation
        self._settings = settings or Settings()
        self._verdicts: OrderedDict[object, _Verdict] = OrderedDict()

    def use(self, anchors: TrustAnchors, revocation: RevocationLists) -> None:
        """Trust other anchors, with their CRLs, from now on; whoever holds this verifier follows."""
        self._anchors, self._revocation = anchors, revocation
        self._store = Store(list(anchors.roots))
        self._verdicts.clear()

    @property
    def anchors(self) -> TrustAnchors:
        """The anchors in force."""
        return self._anchors

    @property
    def revocation(self) -> RevocationLists:
        """The CRLs in force."""
        return self._revocation

    def verify(
        self, octets: bytes, *, purpose: Purpose, at: datetime, presented: Sequence[bytes] = ()
    ) -> VerifiedPeer:
        """Verify a DER or PEM certificate for a purpose at a time (timezone-aware).

        `presented` are the intermediates that came with it. Raises `CertificateRefused` (for good) or
        `RevocationUnknown` (for now). Only good verdicts are remembered, until the nearest expiry of a
        certificate or CRL of the path, at most five minutes, and while the CRLs stay the same.
        """
        certificate = parse_certificate(octets)
        key = (fingerprint_of(certificate), purpose, self._anchors.identity, self._revocation.numbers)
        known = self._verdicts.get(key)
        if known is not None and known.since <= at < known.until:
            self._verdicts.move_to_end(key)
            return known.peer
        verdict = self._judge(certificate, purpose, at, presented)
        self._verdicts[key] = verdict
        self._verdicts.move_to_end(key)
        while len(self._verdicts) > MAX_VERDICTS:
            self._verdicts.popitem(last=False)
        return verdict.peer

    def _judge(
        self, certificate: x509.Certificate, purpose: Purpose, at: datetime, presented: Sequence[bytes]
    ) -> _Verdict:
        _demand_strength_and_dates(certificate, at)
        remarks = usage_remarks(certificate, purpose, self._settings.client_auth_eku)
        if remarks is None:
            raise CertificateRefused(Reason.WRONG_USAGE, purpose.value)
        path = self._path(certificate, at, presented)
        if not all(authority_allows(authority, purpose) for authority in path[1:-1]):
            raise CertificateRefused(Reason.WRONG_USAGE, "of an intermediate authority")
        until = [at + VERDICT_LIFETIME, *(member.not_valid_after_utc for member in path)]
        until += self._revocation_holds(path, at)
        return _Verdict(_peer(certificate, remarks), at, min(until))

    def _revocation_holds(self, path: list[x509.Certificate], at: datetime) -> list[datetime]:
        """Until when the CRLs answer for each certificate below the root; a revocation outweighs a doubt."""
        until, doubts = [], []
        for member, issuer in pairwise(path):
            try:
                until.append(self._revocation.check(member, issuer, at=at, grace=self._settings.crl_grace))
            except RevocationUnknown as doubt:
                doubts.append(doubt)
        if doubts:
            raise doubts[0]
        return until

    def _path(
        self, certificate: x509.Certificate, at: datetime, presented: Sequence[bytes]
    ) -> list[x509.Certificate]:
        if len(presented) > MAX_PRESENTED:
            raise CertificateRefused(Reason.UNTRUSTED, "too many certificates presented")
        intermediates = [*self._anchors.intermediates, *(parse_certificate(octets) for octets in presented)]
        verifier = (
            PolicyBuilder()
            .store(self._store)
            .time(at.astimezone(UTC).replace(tzinfo=None))
            .max_chain_depth(MAX_INTERMEDIATES)
            .extension_policies(ca_policy=_AUTHORITY_POLICY, ee_policy=_END_ENTITY_POLICY)
            .build_client_verifier()
        )
        try:
            path = verifier.verify(certificate, intermediates).chain
        except VerificationError as error:
            raise CertificateRefused(Reason.UNTRUSTED, str(error)[:300]) from error
        except ValueError as error:
            raise CertificateRefused(Reason.UNREADABLE, str(error)[:300]) from error
        # The library leaves the root's own dates to the caller.
        if not path[-1].not_valid_before_utc <= at < path[-1].not_valid_after_utc:
            raise CertificateRefused(Reason.UNTRUSTED, "the root is out of its dates")
        return path


class PeerJudge:
    """`core.ports.PeerVerifier` for one purpose: clients of our relay listener, or servers we relay to."""

    def __init__(self, verifier: Callable[[], ChainVerifier], purpose: Purpose) -> None:
        self._verifier = verifier
        self._purpose = purpose

    async def verify(self, certificate: bytes, at: datetime) -> VerifiedPeer:
        """See the port. Costs well under a millisecond of CPU, nothing when the verdict is remembered."""
        return self._verifier().verify(certificate, purpose=self._purpose, at=at)


def demand_subject(peer: VerifiedPeer, *, allowed: frozenset[DistinguishedName]) -> None:
    """Demand that the peer's subject is one of the pinned names. Raises `CertificateRefused(NOT_PINNED)`."""
    if peer.subject not in allowed:
        raise CertificateRefused(Reason.NOT_PINNED, str(peer.subject))


# IGC-Santé is not the public web's PKI: subjects without subjectAltName, usages that we check ourselves, and
# authorities whose key identifiers may be absent. Everything else of the library's defaults stays: critical
# unknown extensions, basicConstraints, keyCertSign, path length, name constraints, key and digest strength.
_AUTHORITY_POLICY = (
    ExtensionPolicy.webpki_defaults_ca()
    .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, None)
    .may_be_present(x509.SubjectKeyIdentifier, Criticality.AGNOSTIC, None)
    .may_be_present(x509.AuthorityKeyIdentifier, Criticality.AGNOSTIC, None)
)
_END_ENTITY_POLICY = ExtensionPolicy.permit_all()


def _demand_strength_and_dates(certificate: x509.Certificate, at: datetime) -> None:
    if key_is_weak(certificate):
        raise CertificateRefused(Reason.WEAK_KEY)
    if signature_is_weak(certificate):
        raise CertificateRefused(Reason.WEAK_SIGNATURE)
    if at < certificate.not_valid_before_utc:
        raise CertificateRefused(Reason.NOT_YET_VALID)
    if at >= certificate.not_valid_after_utc:
        raise CertificateRefused(Reason.EXPIRED)
    constraints = extension(certificate, x509.BasicConstraints)
    usage = extension(certificate, x509.KeyUsage)
    if (constraints is not None and constraints.ca) or (usage is not None and usage.key_cert_sign):
        raise CertificateRefused(Reason.IS_AUTHORITY)


def _peer(certificate: x509.Certificate, remarks: tuple[str, ...]) -> VerifiedPeer:
    names, emails = subject_alternative_names(certificate)
    return VerifiedPeer(
        subject=subject_of(certificate),
        fingerprint=fingerprint_of(certificate),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        names=names,
        emails=emails,
        remarks=remarks,
    )
