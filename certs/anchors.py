"""The certificates that trust begins with, loaded from a configured file or folder.

What it is: `TrustAnchors`, the roots and the intermediate authorities known in advance (in the field: ACR-EL
and ACI-EL-ORG). What it is not: the system's trust store, which is never read. The intermediates are no
anchors: they only complete paths that peers leave incomplete, and make their CRLs verifiable.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import pkcs7

from certs.certificate import PARSE_ERRORS, fingerprint_of, key_is_weak, parse_certificate, to_pem
from certs.profiles import extension
from certs.verdict import CertificateRefused
from core.errors import ConfigurationError

MAX_ANCHOR_FILE = 4 * 1024 * 1024  # ours: the chain file of IGC-Santé has some 40 kB
SUFFIXES = (".pem", ".crt", ".cer", ".p7b")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustAnchors:
    """Roots we trust and intermediates we know; `identity` changes when either set does."""

    roots: tuple[x509.Certificate, ...]
    intermediates: tuple[x509.Certificate, ...]
    identity: str

    @classmethod
    def of(cls, certificates: Iterable[x509.Certificate]) -> TrustAnchors:
        """Sort authorities into roots (self-signed) and intermediates. Raises `ConfigurationError`."""
        unique = {fingerprint_of(certificate): certificate for certificate in certificates}
        roots: list[x509.Certificate] = []
        intermediates: list[x509.Certificate] = []
        for certificate in unique.values():
            _demand_authority(certificate)
            (roots if _is_self_signed(certificate) else intermediates).append(certificate)
        if not roots:
            raise ConfigurationError("the trust anchors hold no self-signed root certificate")
        identity = hashlib.sha256("".join(sorted(unique)).encode("ascii")).hexdigest()
        return cls(roots=tuple(roots), intermediates=tuple(intermediates), identity=identity)

    @classmethod
    def load(cls, path: Path) -> TrustAnchors:
        """Read a file or every `.pem .crt .cer .p7b` file of a folder. Raises `ConfigurationError`."""
        try:
            files = [path] if path.is_file() else sorted(f for f in path.iterdir() if f.suffix in SUFFIXES)
            found = [certificate for file in files for certificate in _read(file)]
        except OSError as error:
            raise ConfigurationError(f"cannot read the trust anchors at {path}: {error.strerror}") from error
        if not found:
            raise ConfigurationError(f"no certificate among the trust anchors at {path}")
        return cls.of(found)

    def pem(self) -> str:
        """Roots and intermediates as one PEM text, for a TLS library."""
        return b"".join(to_pem(c) for c in (*self.roots, *self.intermediates)).decode("ascii")


def _read(file: Path) -> list[x509.Certificate]:
    octets = file.read_bytes()
    if len(octets) > MAX_ANCHOR_FILE:
        raise ConfigurationError(f"{file} is too large to be a file of certificates")
    try:
        if file.suffix == ".p7b":
            pem = octets.lstrip().startswith(b"-----BEGIN")
            load = pkcs7.load_pem_pkcs7_certificates if pem else pkcs7.load_der_pkcs7_certificates
            return load(octets)
        if b"-----BEGIN CERTIFICATE-----" in octets:
            return x509.load_pem_x509_certificates(octets)
        return [parse_certificate(octets)]
    except (CertificateRefused, *PARSE_ERRORS) as error:
        raise ConfigurationError(f"{file} holds no readable certificate") from error


def _demand_authority(certificate: x509.Certificate) -> None:
    constraints = extension(certificate, x509.BasicConstraints)
    name = certificate.subject.rfc4514_string()
    if constraints is None or not constraints.ca:
        raise ConfigurationError(f"{name} is not an authority and cannot be a trust anchor")
    if key_is_weak(certificate):
        raise ConfigurationError(f"the key of the authority {name} is too weak")


def _is_self_signed(certificate: x509.Certificate) -> bool:
    if certificate.subject != certificate.issuer:
        return False
    try:
        certificate.verify_directly_issued_by(certificate)
    except (InvalidSignature, *PARSE_ERRORS):
        return False
    return True
