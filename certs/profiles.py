"""Which certificate may do what: the templates of issue and the purposes of verification, in two tables.

What it is: `PROFILES`, modelled on the templates of IGC-Santé (offers SERV and ORG, range *Élémentaire*,
domain *Organisations*), and `PURPOSES`, what we demand when somebody presents one. What it is not: path
validation. The names of the profiles are those of the field: SSL_SERV, AUTH_CLI, SIGN, CONF.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

Extension = TypeVar("Extension", bound=x509.ExtensionType)


class ProfileName(Enum):
    """The certificates that the authority issues."""

    SSL_SERV = "SSL_SERV"
    AUTH_CLI = "AUTH_CLI"
    SIGN = "SIGN"
    CONF = "CONF"
    LIST_SIGNER = "LIST_SIGNER"


class Purpose(Enum):
    """What a presented certificate is to be used for."""

    TLS_CLIENT = "tls-client"
    TLS_SERVER = "tls-server"
    LIST_SIGNER = "list-signer"
    SEAL_SIGN = "seal-sign"
    SEAL_READ = "seal-read"


class ClientAuthEku(Enum):
    """What to do when a peer's certificate lacks clientAuth (`require_client_auth_eku`).

    The templates of the field give serverAuth to every SSL_SERV certificate and clientAuth to some; a sender
    that presents one without clientAuth is refused (`STRICT`), tolerated with a remark (`WARN`) or tolerated.
    OpenSSL has its own word on the listener: it ends the handshake of a certificate that names extended usages
    without clientAuth, so the two tolerant values reach certificates that name none.
    """

    STRICT = "strict"
    WARN = "warn"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One template: the key usages and extended key usages written into a certificate."""

    name: ProfileName
    extended_usages: tuple[x509.ObjectIdentifier, ...]
    digital_signature: bool = True
    non_repudiation: bool = False
    key_encipherment: bool = False

    def key_usage(self, *, elliptic: bool) -> x509.KeyUsage:
        """The keyUsage extension (RFC 5280 §4.2.1.3); elliptic keys agree where RSA keys encipher."""
        return x509.KeyUsage(
            digital_signature=self.digital_signature,
            content_commitment=self.non_repudiation,
            key_encipherment=self.key_encipherment and not elliptic,
            data_encipherment=False,
            key_agreement=self.key_encipherment and elliptic,
            key_cert_sign=False,
            crl_sign=False,
            encipher_only=False,
            decipher_only=False,
        )


_SERVER = ExtendedKeyUsageOID.SERVER_AUTH
_CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
_EMAIL = ExtendedKeyUsageOID.EMAIL_PROTECTION

PROFILES: dict[ProfileName, Profile] = {
    profile.name: profile
    for profile in (
        Profile(name=ProfileName.SSL_SERV, extended_usages=(_SERVER, _CLIENT), key_encipherment=True),
        Profile(name=ProfileName.AUTH_CLI, extended_usages=(_CLIENT,)),
        Profile(name=ProfileName.SIGN, extended_usages=(_EMAIL,), non_repudiation=True),
        Profile(
            name=ProfileName.CONF, extended_usages=(_EMAIL,), digital_signature=False, key_encipherment=True
        ),
        Profile(name=ProfileName.LIST_SIGNER, extended_usages=(_EMAIL,), non_repudiation=True),
    )
}

PURPOSES: dict[Purpose, x509.ObjectIdentifier] = {
    Purpose.TLS_CLIENT: _CLIENT,
    Purpose.TLS_SERVER: _SERVER,
    Purpose.LIST_SIGNER: _EMAIL,
    Purpose.SEAL_SIGN: _EMAIL,
    Purpose.SEAL_READ: _EMAIL,
}

REMARK_NO_CLIENT_AUTH = "no-client-auth-eku"
REMARK_NO_EXTENDED_USAGE = "no-extended-usage"


def usage_remarks(
    certificate: x509.Certificate, purpose: Purpose, client_auth: ClientAuthEku
) -> tuple[str, ...] | None:
    """The remarks on a certificate that may serve the purpose, or None when it may not.

    An end-entity certificate must hold the key usage of the purpose in its keyUsage, when it has one, and the
    extended usage of the purpose; `anyExtendedKeyUsage` is not enough (RFC 5280 §4.2.1.12 leaves that to us).
    """
    key_usage = extension(certificate, x509.KeyUsage)
    if key_usage is not None and not _key_usage_allows(key_usage, purpose):
        return None
    usages = extension(certificate, x509.ExtendedKeyUsage)
    if usages is not None and PURPOSES[purpose] in usages:
        return ()
    if usages is None and purpose in (Purpose.SEAL_SIGN, Purpose.SEAL_READ):
        return (REMARK_NO_EXTENDED_USAGE,)  # RFC 8550 §4.4.4: without the extension, mail is not forbidden
    if purpose is not Purpose.TLS_CLIENT or client_auth is ClientAuthEku.STRICT:
        return None
    if client_auth is ClientAuthEku.OFF:
        return ()
    return (REMARK_NO_CLIENT_AUTH,)


def _key_usage_allows(usage: x509.KeyUsage, purpose: Purpose) -> bool:
    if purpose is Purpose.SEAL_READ:  # RFC 8551 §2.3: RSA keys are transported to, elliptic keys agree
        return usage.key_encipherment or usage.key_agreement
    if purpose is Purpose.SEAL_SIGN:  # RFC 8550 §4.4.2: either of the two signs mail
        return usage.digital_signature or usage.content_commitment
    return usage.digital_signature


def authority_allows(certificate: x509.Certificate, purpose: Purpose) -> bool:
    """Whether an intermediate authority, when it names extended usages, names one that covers the purpose."""
    usages = extension(certificate, x509.ExtendedKeyUsage)
    if usages is None:
        return True
    return PURPOSES[purpose] in usages or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usages


def extension(certificate: x509.Certificate, kind: type[Extension]) -> Extension | None:
    """The extension of that kind, or None."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
