"""Reading one certificate: DER or PEM octets to a value, its names, its strength.

What it is: the only place where foreign errors of certificate parsing are translated. What it is not:
trust; nothing here says whether a certificate is good. Who calls: every module of this package.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519

from certs.profiles import extension
from certs.verdict import CertificateRefused, Reason
from core.identity import DistinguishedName, IdentityInvalid

MAX_CERTIFICATE = 64 * 1024  # ours: the certificates of IGC-Santé have 2 to 3 kB
MIN_RSA_BITS = 2048  # RGS v2 annexe B1 and RFC 9325 §4.5
MIN_EC_BITS = 256  # RFC 9325 §4.5
STRONG_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)

# What the library raises on octets that are no certificate or CRL; entries and extensions are parsed lazily.
PARSE_ERRORS = (
    ValueError,
    TypeError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)

_SHORT_TYPES = {
    "2.5.4.3": "CN",
    "2.5.4.4": "SN",
    "2.5.4.5": "SERIALNUMBER",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "STREET",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.12": "T",
    "2.5.4.42": "GN",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
    "1.2.840.113549.1.9.1": "EMAILADDRESS",
}


def parse_certificate(octets: bytes) -> x509.Certificate:
    """Read a DER or PEM certificate. Raises `CertificateRefused(UNREADABLE)`."""
    if len(octets) > MAX_CERTIFICATE:
        raise CertificateRefused(Reason.UNREADABLE, "too large")
    try:
        if octets.lstrip().startswith(b"-----BEGIN"):
            certificate = x509.load_pem_x509_certificate(octets)
        else:
            certificate = x509.load_der_x509_certificate(octets)
        _ = certificate.extensions, certificate.subject, certificate.public_key()  # parsed lazily: force it
    except PARSE_ERRORS as error:
        raise CertificateRefused(Reason.UNREADABLE, type(error).__name__) from error
    return certificate


def subject_of(certificate: x509.Certificate) -> DistinguishedName:
    """The subject in the form of the trust list. Raises `CertificateRefused(UNREADABLE)`."""
    return distinguished_name(certificate.subject)


def distinguished_name(name: x509.Name) -> DistinguishedName:
    """A name of a certificate, written from its last RDN to its first (RFC 4514 §2.1)."""
    pairs = []
    for rdn in reversed(name.rdns):
        for attribute in rdn:
            value = attribute.value
            if not isinstance(value, str):
                value = bytes(value).hex()
            oid = attribute.oid.dotted_string
            pairs.append((_SHORT_TYPES.get(oid, oid), value))
    try:
        return DistinguishedName.of(pairs)
    except IdentityInvalid as error:
        raise CertificateRefused(Reason.UNREADABLE, "empty subject") from error


def fingerprint_of(certificate: x509.Certificate) -> str:
    """SHA-256 over the DER form, lower hexadecimal."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def subject_alternative_names(certificate: x509.Certificate) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The DNS names and the rfc822Names of the subjectAltName (RFC 5280 §4.2.1.6)."""
    alternatives = extension(certificate, x509.SubjectAlternativeName)
    if alternatives is None:
        return (), ()
    names = tuple(alternatives.get_values_for_type(x509.DNSName))
    emails = tuple(alternatives.get_values_for_type(x509.RFC822Name))
    return names, emails


def key_is_weak(certificate: x509.Certificate) -> bool:
    """Whether the public key is of a kind or a size we do not accept."""
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size < MIN_RSA_BITS
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.key_size < MIN_EC_BITS
    return not isinstance(key, x25519.X25519PublicKey)  # RFC 8410; only ever for a letter's encryption


def signature_is_weak(signed: x509.Certificate | x509.CertificateRevocationList) -> bool:
    """Whether the issuer signed with a broken digest such as MD5 or SHA-1 (RFC 9155, RFC 6151)."""
    try:
        return not isinstance(signed.signature_hash_algorithm, STRONG_HASHES)
    except UnsupportedAlgorithm:  # an algorithm that the library does not know is not a strong one
        return True


def to_pem(certificate: x509.Certificate) -> bytes:
    """The PEM form (RFC 7468)."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def to_der(certificate: x509.Certificate) -> bytes:
    """The DER form."""
    return certificate.public_bytes(serialization.Encoding.DER)
