"""What a certificate's holder can read, as a value with its reason.

What it is: `choose_reading`, from a certificate and what its holder declares (in the annuaire des sceaux, or
in the signed attributes of an earlier letter) to a key management and a cipher. What it is not: whether the
certificate is good (`certs.chain`, purpose SEAL_READ). RFC 8551 §2.7: assume S/MIME 4.0 of those who declare
nothing; a cipher without integrity is taken only where the caller permits it for that peer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519

from certs.certificate import key_is_weak, parse_certificate
from certs.profiles import ClientAuthEku, Purpose, usage_remarks
from certs.seals import SealAlgorithm
from certs.smime import algorithms as names
from certs.smime.structure import CmsMalformed, read_capabilities

Choice = TypeVar("Choice")
RecipientKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | x25519.X25519PublicKey


class KeyManagement(Enum):
    """How the content key reaches a recipient."""

    RSA_OAEP = "rsa-oaep"
    RSA_PKCS1 = "rsa-pkcs1"
    ECDH_P256 = "ecdh-p256"
    ECDH_P384 = "ecdh-p384"
    X25519 = "x25519"


class ContentCipher(Enum):
    """How the content is encrypted; the last one proves nothing about who changed it."""

    AES_256_GCM = names.AES_256_GCM
    AES_128_GCM = names.AES_128_GCM
    AES_256_CBC = names.AES_256_CBC

    @property
    def is_authenticated(self) -> bool:
        """Whether a changed octet is found."""
        return self.value in names.GCM_KEY_SIZES

    @property
    def key_size(self) -> int:
        """Octets of the content key."""
        return {**names.GCM_KEY_SIZES, **names.CBC_KEY_SIZES}[self.value]


class ReadingReason(Enum):
    """Why this was chosen, or why nothing can be."""

    DECLARED = "declared"
    ASSUMED = "assumed-smime-4"
    LEGACY_PERMITTED = "legacy-permitted"
    KEY_UNSUPPORTED = "key-unsupported"
    NOT_FOR_ENCRYPTION = "not-for-encryption"
    NO_COMMON_ALGORITHM = "no-common-algorithm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One recipient: the certificate (DER) and what will be done for it."""

    certificate: bytes = field(repr=False)
    public_key: RecipientKey = field(repr=False)
    key_management: KeyManagement
    cipher: ContentCipher
    reason: ReadingReason


@dataclass(frozen=True, slots=True)
class CannotRead:
    """Nothing that we write can be read with this certificate."""

    reason: ReadingReason


def choose_reading(
    certificate: bytes,
    declared: frozenset[SealAlgorithm] = frozenset(),
    *,
    permit_legacy: bool = False,
) -> Reading | CannotRead:
    """What to write for the holder of a DER certificate. Raises `CertificateRefused` when it is unreadable.

    `permit_legacy` permits, for this peer only, AES-CBC (which proves no integrity) and RSA PKCS #1 v1.5 key
    transport where the peer declares that it reads nothing better.
    """
    parsed = parse_certificate(certificate)
    key = parsed.public_key()
    offered = _key_managements(key)
    if not isinstance(key, RecipientKey) or key_is_weak(parsed) or not offered:
        return CannotRead(ReadingReason.KEY_UNSUPPORTED)
    if usage_remarks(parsed, Purpose.SEAL_READ, ClientAuthEku.STRICT) is None:
        return CannotRead(ReadingReason.NOT_FOR_ENCRYPTION)
    management, cipher = _first_declared(offered, declared), _first_declared(_CIPHERS, declared)
    is_legacy = management is KeyManagement.RSA_PKCS1 or not cipher.is_authenticated
    if is_legacy and not permit_legacy:
        return CannotRead(ReadingReason.NO_COMMON_ALGORITHM)
    reason = ReadingReason.DECLARED if declared else ReadingReason.ASSUMED
    return Reading(
        certificate=certificate,
        public_key=key,
        key_management=management,
        cipher=cipher,
        reason=ReadingReason.LEGACY_PERMITTED if is_legacy else reason,
    )


def declared_by(identifiers: Iterable[str]) -> frozenset[SealAlgorithm]:
    """The algorithms among the identifiers of SMIMECapabilities that we can write (`VerifiedSeal`)."""
    return frozenset(_DECLARATIONS[one] for one in identifiers if one in _DECLARATIONS)


def capabilities_in(value: bytes) -> tuple[str, ...]:
    """The identifiers of an SMIMECapabilities value, or nothing when it cannot be read."""
    try:
        return read_capabilities(value)
    except CmsMalformed:
        return ()


# The preferred first; the second member is the word by which a peer declares it.
_CIPHERS = (
    (ContentCipher.AES_256_GCM, SealAlgorithm.AES_256_GCM),
    (ContentCipher.AES_128_GCM, SealAlgorithm.AES_128_GCM),
    (ContentCipher.AES_256_CBC, SealAlgorithm.AES_256_CBC),
)
_RSA = (
    (KeyManagement.RSA_OAEP, SealAlgorithm.RSA_OAEP),
    (KeyManagement.RSA_PKCS1, SealAlgorithm.RSA_PKCS1),
)
_DECLARATIONS = {
    names.AES_256_GCM: SealAlgorithm.AES_256_GCM,
    names.AES_128_GCM: SealAlgorithm.AES_128_GCM,
    names.AES_256_CBC: SealAlgorithm.AES_256_CBC,
    names.RSAES_OAEP: SealAlgorithm.RSA_OAEP,
    names.RSA_ENCRYPTION: SealAlgorithm.RSA_PKCS1,
}


def _key_managements(key: object) -> tuple[tuple[KeyManagement, SealAlgorithm], ...]:
    match key:
        case rsa.RSAPublicKey():
            return _RSA
        case ec.EllipticCurvePublicKey(curve=ec.SECP256R1()):
            return ((KeyManagement.ECDH_P256, SealAlgorithm.ECDH_P256),)
        case ec.EllipticCurvePublicKey(curve=ec.SECP384R1()):
            return ((KeyManagement.ECDH_P384, SealAlgorithm.ECDH_P384),)
        case x25519.X25519PublicKey():
            return ((KeyManagement.X25519, SealAlgorithm.X25519),)
    return ()


def _first_declared(
    offered: tuple[tuple[Choice, SealAlgorithm], ...], declared: frozenset[SealAlgorithm]
) -> Choice:
    """The first that is declared; the best that there is when nothing of its kind is declared."""
    return next((choice for choice, word in offered if word in declared), offered[0][0])
