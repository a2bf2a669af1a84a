"""How CMS names a certificate: by the octets of its issuer and its serial, or by its key identifier.

What it is: the names as they stand in the certificate, never encoded again (two encodings of one name would
not be equal). What it is not: trust.
"""

from __future__ import annotations

from functools import lru_cache

from asn1crypto import x509 as asn1_x509
from cryptography import x509

from certs.certificate import parse_certificate
from certs.profiles import extension
from certs.smime.der import integer, sequence
from certs.smime.structure import FOREIGN_ERRORS, KeyName
from certs.verdict import CertificateRefused, Reason

MAX_NAMES = 4096  # ours: the certificates of the whole trust space


@lru_cache(maxsize=MAX_NAMES)
def names_of(certificate: bytes) -> tuple[KeyName, ...]:
    """The names (one or two) under which a DER certificate may stand. Raises `CertificateRefused`."""
    parsed = parse_certificate(certificate)
    try:
        issuer = bytes(asn1_x509.Certificate.load(certificate)["tbs_certificate"]["issuer"].dump())
    except FOREIGN_ERRORS as error:
        raise CertificateRefused(Reason.UNREADABLE, "issuer") from error
    issued = KeyName(issuer=issuer, serial=parsed.serial_number)
    identifier = extension(parsed, x509.SubjectKeyIdentifier)
    return (issued,) if identifier is None else (issued, KeyName(key_identifier=identifier.digest))


def issuer_and_serial(certificate: bytes) -> bytes:
    """An IssuerAndSerialNumber (RFC 5652 §10.2.4), DER. Raises `CertificateRefused`."""
    name = names_of(certificate)[0]
    return sequence(name.issuer, integer(name.serial))
