"""Our own private keys: read from files, checked, never handed out as octets.

What it is: `Identity` (a certificate, its chain and a private key that stays inside) and `KeyStore`, which
holds several identities so that two certificates can live side by side during a roll-over. What it is not:
a generator of keys (`certs.authority`). Start at `KeyStore.newest_valid`.
"""

from __future__ import annotations

import os
import ssl
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, x25519
from cryptography.hazmat.primitives.serialization import pkcs12
from OpenSSL import SSL

from certs.certificate import fingerprint_of, key_is_weak, subject_of, to_der, to_pem
from core.errors import ConfigurationError, PermanentError
from core.identity import DistinguishedName

MAX_KEY_FILE = 256 * 1024  # ours: a PKCS#12 file with its chain has some 10 kB
WARN_DAYS = (60, 30, 7, 1)  # the field's T3 and F19: the days before expiry on which to raise an alarm

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
ReadingKey = PrivateKey | x25519.X25519PrivateKey  # X25519 opens letters; it neither signs nor serves TLS
AgreementPublicKey = ec.EllipticCurvePublicKey | x25519.X25519PublicKey


class SignatureScheme(Enum):
    """How an identity signs; the digest is part of the choice."""

    RSA_PKCS1_SHA256 = "rsa-pkcs1-sha256"
    RSA_PSS_SHA256 = "rsa-pss-sha256"
    ECDSA_SHA256 = "ecdsa-sha256"
    ECDSA_SHA384 = "ecdsa-sha384"


class AgreementFailed(PermanentError):
    """The peer's public key does not fit ours, or the shared secret would be no secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityFiles:
    """Where one identity lies: PEM certificate (with its chain) and PEM key, or one PKCS#12 file as both."""

    certificate: Path
    key: Path
    passphrase: Path | None = None


class Identity:
    """A certificate and the use of its private key. The key cannot be read from here, and does not print."""

    __slots__ = ("_chain", "_key", "certificate")

    def __init__(
        self, certificate: x509.Certificate, key: ReadingKey, chain: Sequence[x509.Certificate] = ()
    ) -> None:
        if certificate.public_key() != key.public_key():
            raise ConfigurationError("the private key is not the one of the certificate")
        if key_is_weak(certificate):
            raise ConfigurationError("the key of this certificate is too weak to be accepted anywhere")
        self.certificate = certificate
        self._key = key
        self._chain = tuple(chain)

    def __repr__(self) -> str:
        return f"Identity({self.fingerprint[:16]}…, key=…)"

    def __reduce__(self) -> str:
        raise TypeError("an identity with its private key is not serialised")

    @property
    def subject(self) -> DistinguishedName:
        """The name that the trust list must give."""
        return subject_of(self.certificate)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, lower hexadecimal."""
        return fingerprint_of(self.certificate)

    @property
    def not_after(self) -> datetime:
        """When the certificate expires."""
        return self.certificate.not_valid_after_utc

    @property
    def is_rsa(self) -> bool:
        """Whether the four ECDHE-RSA suites of the field can be served with it."""
        return isinstance(self._key, rsa.RSAPrivateKey)

    def is_valid(self, now: datetime) -> bool:
        """Whether `now` is inside the certificate's dates."""
        return self.certificate.not_valid_before_utc <= now < self.not_after

    def days_left(self, now: datetime) -> int:
        """Whole days until expiry; negative once it is past."""
        return (self.not_after - now).days

    def sign_sha256(self, octets: bytes) -> bytes:
        """RSASSA-PKCS1-v1_5 or ECDSA (DER) with SHA-256 over the octets."""
        is_rsa = isinstance(self._key, rsa.RSAPrivateKey)
        return self.sign(octets, SignatureScheme.RSA_PKCS1_SHA256 if is_rsa else SignatureScheme.ECDSA_SHA256)

    def sign(self, octets: bytes, scheme: SignatureScheme) -> bytes:
        """Sign the octets. Raises `ConfigurationError` when the key is of another kind than the scheme."""
        match self._key, scheme:
            case rsa.RSAPrivateKey() as key, SignatureScheme.RSA_PKCS1_SHA256:
                return key.sign(octets, padding.PKCS1v15(), hashes.SHA256())
            case rsa.RSAPrivateKey() as key, SignatureScheme.RSA_PSS_SHA256:
                # RFC 4056 §2.2: the salt is as long as the hash.
                return key.sign(octets, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
            case ec.EllipticCurvePrivateKey() as key, SignatureScheme.ECDSA_SHA256:
                return key.sign(octets, ec.ECDSA(hashes.SHA256()))
            case ec.EllipticCurvePrivateKey() as key, SignatureScheme.ECDSA_SHA384:
                return key.sign(octets, ec.ECDSA(hashes.SHA384()))
        raise ConfigurationError(f"this private key cannot sign with {scheme.value}")

    def unwrap(self, octets: bytes, scheme: padding.AsymmetricPadding, fallback: bytes) -> bytes:
        """The key transported in RSA octets, or `fallback` when there is none of that length.

        Whoever asks cannot tell the two apart (implicit rejection, RFC 8017 §7.2.2, RFC 3218 §2.3.2): the
        failure shows only where the content is authenticated.
        """
        if not isinstance(self._key, rsa.RSAPrivateKey):
            return fallback
        try:
            key = self._key.decrypt(octets, scheme)
        except ValueError:
            return fallback
        return key if len(key) == len(fallback) else fallback

    def agree(self, public_key: AgreementPublicKey) -> bytes:
        """The shared secret of an ECDH with an ephemeral public key. Raises `AgreementFailed`."""
        try:
            match self._key, public_key:
                case ec.EllipticCurvePrivateKey() as key, ec.EllipticCurvePublicKey() as public:
                    return key.exchange(ec.ECDH(), public)
                case x25519.X25519PrivateKey() as key, x25519.X25519PublicKey() as public:
                    return key.exchange(public)
        except ValueError as error:  # another curve, or the all-zero secret (RFC 7748 §6.1)
            raise AgreementFailed("the public key does not fit") from error
        raise AgreementFailed("keys of two kinds")

    def load_into(self, context: ssl.SSLContext) -> None:
        """Give certificate, chain and key to a context of the ssl module. Raises `ConfigurationError`.

        That module reads files only: the octets go through an anonymous file in memory, so that what was
        checked is what is loaded and nothing touches a disk.
        """
        descriptor = os.memfd_create("identity", os.MFD_CLOEXEC)
        try:
            chain = b"".join(to_pem(member) for member in (self.certificate, *self._chain))
            with os.fdopen(os.dup(descriptor), "wb") as file:
                file.write(chain + _pem_of(self._key))
            context.load_cert_chain(f"/proc/self/fd/{descriptor}")
        except (ssl.SSLError, OSError) as error:
            raise ConfigurationError("OpenSSL does not accept this certificate and key") from error
        finally:
            os.close(descriptor)

    def load_into_openssl(self, context: SSL.Context) -> None:
        """Give certificate, chain and key to a pyOpenSSL context. Raises `ConfigurationError`."""
        if isinstance(self._key, x25519.X25519PrivateKey):
            raise ConfigurationError("an X25519 key does not serve TLS")
        try:
            context.use_certificate(self.certificate)
            for member in self._chain:
                context.add_extra_chain_cert(member)
            context.use_privatekey(self._key)
            context.check_privatekey()
        except SSL.Error as error:
            raise ConfigurationError("OpenSSL does not accept this certificate and key") from error

    def certificate_der(self) -> bytes:
        """The certificate, DER."""
        return to_der(self.certificate)

    def chain_der(self) -> tuple[bytes, ...]:
        """The intermediates that we present with it, DER."""
        return tuple(to_der(member) for member in self._chain)


class KeyStore:
    """The identities of one role, of which the newest valid one is used."""

    def __init__(self, identities: Sequence[Identity]) -> None:
        if not identities:
            raise ConfigurationError("no certificate and key are configured")
        self._identities = tuple(identities)

    def __repr__(self) -> str:
        return f"KeyStore({len(self._identities)} identities)"

    @classmethod
    def load(cls, files: Sequence[IdentityFiles]) -> KeyStore:
        """Read every identity. Raises `ConfigurationError`, which names the file and the remedy."""
        return cls([load_identity(one) for one in files])

    @property
    def identities(self) -> tuple[Identity, ...]:
        """All of them, in the order of the configuration."""
        return self._identities

    def newest_valid(self, now: datetime) -> Identity:
        """The valid identity that began last (roll-over). Raises `ConfigurationError` when none is valid."""
        valid = [identity for identity in self._identities if identity.is_valid(now)]
        if not valid:
            raise ConfigurationError("none of our certificates is valid at this time")
        return max(valid, key=lambda identity: identity.certificate.not_valid_before_utc)

    def alarms(self, now: datetime) -> tuple[tuple[Identity, int], ...]:
        """The identities with at most 60 days left, with the smallest threshold of `WARN_DAYS` they passed.

        The threshold is 0 for an expired one.
        """
        found = []
        for identity in self._identities:
            days = identity.days_left(now)
            passed = [limit for limit in WARN_DAYS if days < limit]
            if not identity.is_valid(now) and now >= identity.not_after:
                passed.append(0)
            if passed:
                found.append((identity, min(passed)))
        return tuple(found)


def load_identity(files: IdentityFiles) -> Identity:
    """Read and check one identity. Raises `ConfigurationError`."""
    passphrase = _read_private(files.passphrase).strip() if files.passphrase else None
    key_octets = _read_private(files.key)
    try:
        if files.key.suffix in (".p12", ".pfx"):
            return _from_pkcs12(key_octets, passphrase)
        key = serialization.load_pem_private_key(key_octets, passphrase)
        chain = x509.load_pem_x509_certificates(_read(files.certificate))
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"cannot read the identity at {files.key}: {_hint(error)}") from error
    if not isinstance(key, ReadingKey):
        raise ConfigurationError(f"{files.key} holds neither an RSA nor an elliptic key")
    try:
        return Identity(chain[0], key, chain[1:])
    except ConfigurationError as error:
        raise ConfigurationError(f"{files.certificate} and {files.key}: {error}") from error


def _from_pkcs12(octets: bytes, passphrase: bytes | None) -> Identity:
    key, certificate, others = pkcs12.load_key_and_certificates(octets, passphrase)
    if certificate is None or not isinstance(key, ReadingKey):
        raise ValueError("the PKCS#12 file lacks a certificate or a key")
    return Identity(certificate, key, [other for other in others if other.subject != other.issuer])


def _read_private(path: Path) -> bytes:
    """The octets of a secret file that only its owner may read."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode  # of the open file: no race with a rename
            if stat.S_IMODE(mode) & (stat.S_IRWXG | stat.S_IRWXO):
                raise ConfigurationError(f"{path} is open to group or world: chmod 600 {path}")
            return file.read(MAX_KEY_FILE)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_KEY_FILE)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error


def _hint(error: Exception) -> str:
    return "a passphrase is needed" if isinstance(error, TypeError) else "wrong format or wrong passphrase"


def _pem_of(key: ReadingKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
