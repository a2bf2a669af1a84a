"""Lists of revoked certificates (CRL): kept, replaced only by newer ones, asked with a grace.

What it is: `RevocationLists`, which holds the last good CRL of each authority (requirement ECO.1.1.7 of the
field) and answers for one certificate. What it is not: a downloader; whoever fetches a CRL hands its octets
to `add`. A CRL past its nextUpdate still counts for a grace (a named setting, 24 hours); after that we fail
closed. Start at `RevocationLists.check`.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from certs.anchors import TrustAnchors
from certs.certificate import PARSE_ERRORS, signature_is_weak
from certs.profiles import extension
from certs.verdict import CertificateRefused, Doubt, Reason, RevocationUnknown
from core.errors import PermanentError, TemporaryError

MAX_CRL = 64 * 1024 * 1024  # ours: about 1.5 million revoked certificates
MAX_CLOCK_SKEW = timedelta(minutes=5)  # ours: what two clocks kept by NTP may differ, widely
DEFAULT_GRACE = timedelta(hours=24)  # the field's F20: nextUpdate + 24 h, then closed
CRL_SUFFIXES = (".crl", ".pem", ".der")


class CrlReason(Enum):
    """Why a CRL is not taken."""

    TOO_LARGE = "too-large"
    UNREADABLE = "unreadable"
    UNKNOWN_ISSUER = "unknown-issuer"
    SIGNATURE_INVALID = "signature-invalid"
    WEAK_SIGNATURE = "weak-signature"
    NO_NEXT_UPDATE = "no-next-update"
    FROM_THE_FUTURE = "from-the-future"
    OLDER_THAN_CURRENT = "older-than-current"
    UNSUPPORTED = "unsupported"


class CrlRefused(PermanentError):
    """This CRL is not taken; the one in force stays in force."""

    def __init__(self, reason: CrlReason, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationList:
    """One CRL whose signature was verified."""

    issuer: str
    key: str
    number: int
    this_update: datetime
    next_update: datetime
    revoked: frozenset[int]
    only_users: bool
    only_authorities: bool
    octets: bytes

    def covers(self, *, authority: bool) -> bool:
        """Whether certificates of that kind are in its scope (RFC 5280 §5.2.5)."""
        return not (self.only_users if authority else self.only_authorities)

    def good_until(self, grace: timedelta) -> datetime:
        """The moment from which it proves nothing any more."""
        return self.next_update + grace


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What a pass over a folder found: the CRLs now in force and the files that were refused."""

    taken: tuple[str, ...]
    refused: tuple[tuple[str, CrlReason], ...]


class RevocationLists:
    """The last good CRL of each authority. Replaced whole or not at all; one thread."""

    def __init__(self, anchors: TrustAnchors) -> None:
        self._authorities = (*anchors.roots, *anchors.intermediates)
        self._current: dict[str, RevocationList] = {}
        self._seen: dict[Path, tuple[int, int, int]] = {}

    @property
    def numbers(self) -> tuple[tuple[str, int, datetime], ...]:
        """What identifies the set in force: for each authority the CRL's number and date."""
        return tuple(sorted((c.key, c.number, c.this_update) for c in self._current.values()))

    @property
    def current(self) -> tuple[RevocationList, ...]:
        """The CRLs in force, for metrics and reports."""
        return tuple(self._current.values())

    def add(self, octets: bytes, *, at: datetime) -> RevocationList:
        """Take a CRL (DER or PEM) if it is good and not older than the one in force. Raises `CrlRefused`."""
        crl = _parse(octets)
        if signature_is_weak(crl):
            raise CrlRefused(CrlReason.WEAK_SIGNATURE)
        issuer = self._issuer_of(crl)
        candidate = _examined(crl, issuer, at)
        current = self._current.get(candidate.key)
        if current is not None and current.octets == candidate.octets:
            return current
        if current is not None and _goes_back(candidate, current):
            raise CrlRefused(CrlReason.OLDER_THAN_CURRENT, candidate.issuer)
        self._current = {**self._current, candidate.key: candidate}
        return candidate

    def load_folder(self, folder: Path, *, at: datetime) -> LoadReport:
        """Read the new or changed CRL files of a folder; call it again to reload. Raises `TemporaryError`.

        A file that is refused changes nothing: the last good CRL stays, and the report names the file.
        """
        taken: list[str] = []
        refused: list[tuple[str, CrlReason]] = []
        try:
            files = sorted(f for f in folder.iterdir() if f.suffix in CRL_SUFFIXES)
        except OSError as error:
            raise TemporaryError(f"cannot read the folder of CRLs: {error.strerror}") from error
        for file in files:
            try:
                if self._take(file, at):
                    taken.append(file.name)
            except CrlRefused as error:
                refused.append((file.name, error.reason))
        return LoadReport(tuple(taken), tuple(refused))

    def _take(self, file: Path, at: datetime) -> bool:
        """Read one file unless it was read before as it is. Raises `CrlRefused`."""
        try:
            stat = file.stat()
            mark = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if self._seen.get(file) == mark:
                return False
            with file.open("rb") as opened:
                octets = opened.read(MAX_CRL + 1)
        except OSError as error:
            raise CrlRefused(CrlReason.UNREADABLE, file.name) from error
        try:
            self.add(octets, at=at)
        except CrlRefused as error:
            if error.reason is not CrlReason.FROM_THE_FUTURE:  # that one will be good later without changing
                self._seen[file] = mark
            raise
        self._seen[file] = mark
        return True

    def save(self, folder: Path) -> None:
        """Write the CRLs in force into a folder, each atomically, so that a restart finds the last good."""
        folder.mkdir(parents=True, exist_ok=True)
        for crl in self._current.values():
            target = folder / f"{crl.key[:32]}.crl"
            temporary = target.with_suffix(".new")
            with temporary.open("wb") as file:
                file.write(crl.octets)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)

    def check(
        self, certificate: x509.Certificate, issuer: x509.Certificate, *, at: datetime, grace: timedelta
    ) -> datetime:
        """Demand that the certificate is not revoked; returns until when this answer holds.

        Raises `CertificateRefused(REVOKED)`, or `RevocationUnknown` without a CRL or past the grace. A
        certificate listed in a stale CRL is revoked all the same: a revocation does not fade.
        """
        name = issuer.subject.rfc4514_string()
        crl = self._current.get(_authority_key(issuer))
        if crl is None or not crl.covers(authority=_is_authority(certificate)):
            raise RevocationUnknown(Doubt.NO_CRL, name)
        if certificate.serial_number in crl.revoked:
            raise CertificateRefused(Reason.REVOKED, f"by {name}, CRL {crl.number}")
        until = crl.good_until(grace)
        if at >= until:
            raise RevocationUnknown(Doubt.CRL_STALE, name)
        return until

    def _issuer_of(self, crl: x509.CertificateRevocationList) -> x509.Certificate:
        candidates = [c for c in self._authorities if c.subject == crl.issuer and _may_sign_crls(c)]
        if not candidates:
            raise CrlRefused(CrlReason.UNKNOWN_ISSUER, crl.issuer.rfc4514_string())
        for authority in candidates:
            if _signed_by(crl, authority):
                return authority
        raise CrlRefused(CrlReason.SIGNATURE_INVALID, crl.issuer.rfc4514_string())


def _parse(octets: bytes) -> x509.CertificateRevocationList:
    if len(octets) > MAX_CRL:
        raise CrlRefused(CrlReason.TOO_LARGE)
    try:
        if octets.lstrip().startswith(b"-----BEGIN"):
            crl = x509.load_pem_x509_crl(octets)
        else:
            crl = x509.load_der_x509_crl(octets)
        _ = crl.extensions, crl.issuer, crl.last_update_utc
    except PARSE_ERRORS as error:
        raise CrlRefused(CrlReason.UNREADABLE, type(error).__name__) from error
    return crl


def _examined(crl: x509.CertificateRevocationList, issuer: x509.Certificate, at: datetime) -> RevocationList:
    if crl.next_update_utc is None:  # RFC 5280 §5.1.2.5 makes it mandatory
        raise CrlRefused(CrlReason.NO_NEXT_UPDATE)
    if crl.last_update_utc > at + MAX_CLOCK_SKEW:
        raise CrlRefused(CrlReason.FROM_THE_FUTURE)
    only_users, only_authorities = _scope(crl)
    try:
        revoked = frozenset(entry.serial_number for entry in crl)
    except PARSE_ERRORS as error:
        raise CrlRefused(CrlReason.UNREADABLE, type(error).__name__) from error
    return RevocationList(
        issuer=issuer.subject.rfc4514_string(),
        key=_authority_key(issuer),
        number=_number(crl),
        this_update=crl.last_update_utc,
        next_update=crl.next_update_utc,
        revoked=revoked,
        only_users=only_users,
        only_authorities=only_authorities,
        octets=crl.public_bytes(serialization.Encoding.DER),
    )


def _scope(crl: x509.CertificateRevocationList) -> tuple[bool, bool]:
    # RFC 5280 §5.2: a CRL with a critical extension that we do not process proves nothing.
    only_users = only_authorities = False
    for item in crl.extensions:
        if isinstance(item.value, x509.DeltaCRLIndicator):
            raise CrlRefused(CrlReason.UNSUPPORTED, "delta")
        if isinstance(item.value, x509.IssuingDistributionPoint):
            point = item.value
            if point.indirect_crl or point.only_contains_attribute_certs or point.only_some_reasons:
                raise CrlRefused(CrlReason.UNSUPPORTED, "partial scope")
            only_users, only_authorities = point.only_contains_user_certs, point.only_contains_ca_certs
        elif item.critical:
            raise CrlRefused(CrlReason.UNSUPPORTED, "unknown critical extension")
    return only_users, only_authorities


def _number(crl: x509.CertificateRevocationList) -> int:
    try:
        return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        return 0  # RFC 5280 §5.2.3 demands it; without one the date alone decides


def _goes_back(candidate: RevocationList, current: RevocationList) -> bool:
    return candidate.number < current.number or candidate.this_update < current.this_update


def _signed_by(crl: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    key = authority.public_key()
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        return False
    try:
        return crl.is_signature_valid(key)
    except PARSE_ERRORS:  # a key of another kind than the signature
        return False


def _may_sign_crls(authority: x509.Certificate) -> bool:
    usage = extension(authority, x509.KeyUsage)
    return usage is None or usage.crl_sign  # RFC 5280 §6.3.3 (f)


def _is_authority(certificate: x509.Certificate) -> bool:
    constraints = extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def _authority_key(authority: x509.Certificate) -> str:
    """One authority is a name and a key: a renewed certificate of both is the same authority."""
    spki = authority.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(authority.subject.public_bytes() + spki).hexdigest()
