"""Sign a MIME entity: one signer, signed attributes, the exact octets.

What it is: `Signer`, made once per identity (everything that does not change is encoded then), and its two
forms, detached and opaque. What it is not: a letter (`certs.smime.letter`) or a choice of identity. The key
stays in `certs.keystore.Identity`.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from certs.keystore import Identity, SignatureScheme
from certs.smime import algorithms as names
from certs.smime.certificates import issuer_and_serial
from certs.smime.der import NULL, OCTET_STRING, integer, oid, sequence, set_of, time_of, tlv
from certs.smime.entity import multipart_signed, pkcs7_mime
from core.errors import ConfigurationError

_ECDSA_SHA256, _ECDSA_SHA384 = (
    names.algorithm("1.2.840.10045.4.3.2"),  # RFC 5754 §3.3
    names.algorithm("1.2.840.10045.4.3.3"),
)
_ALGORITHMS: dict[SignatureScheme, tuple[str, bytes]] = {
    SignatureScheme.RSA_PKCS1_SHA256: (names.SHA256, names.algorithm(names.RSA_ENCRYPTION, NULL)),
    SignatureScheme.RSA_PSS_SHA256: (names.SHA256, names.PSS_SHA256),
    SignatureScheme.ECDSA_SHA256: (names.SHA256, _ECDSA_SHA256),
    SignatureScheme.ECDSA_SHA384: (names.SHA384, _ECDSA_SHA384),
}
# RFC 8551 §2.5.2: what we read, the preferred first.
OUR_CAPABILITIES = sequence(
    *(
        names.algorithm(one)
        for one in (names.AES_256_GCM, names.AES_128_GCM, names.AES_256_CBC, names.AES_128_CBC)
    ),
    names.OAEP_SHA256,
)
_HASHES = {names.SHA256: hashlib.sha256, names.SHA384: hashlib.sha384}
_MICALG = {names.SHA256: b"sha-256", names.SHA384: b"sha-384"}  # RFC 8551 §3.5.3.2


def default_scheme(identity: Identity) -> SignatureScheme:
    """What this identity signs with when nobody says otherwise. Raises `ConfigurationError`."""
    match identity.certificate.public_key():
        case rsa.RSAPublicKey():
            return SignatureScheme.RSA_PKCS1_SHA256  # RFC 8551 §2.2: what every reader knows
        case ec.EllipticCurvePublicKey() as key:
            return SignatureScheme.ECDSA_SHA384 if key.key_size >= 384 else SignatureScheme.ECDSA_SHA256
    raise ConfigurationError("this identity cannot sign letters")


class Signer:
    """One identity that seals; cheap to use, safe to share."""

    def __init__(self, identity: Identity, scheme: SignatureScheme | None = None) -> None:
        self._identity = identity
        self.scheme = scheme or default_scheme(identity)
        self._digest, algorithm = _ALGORITHMS[self.scheme]
        certificate = identity.certificate_der()
        self._hash = _HASHES[self._digest]
        self._attributes = (
            _attribute(names.CONTENT_TYPE, oid(names.ID_DATA)),
            _attribute(names.SMIME_CAPABILITIES, OUR_CAPABILITIES),
            # RFC 5035 §3: the certificate is part of what is signed; SHA-256 is the default and left out.
            _attribute(
                names.SIGNING_CERTIFICATE_V2,
                sequence(sequence(sequence(tlv(OCTET_STRING, hashlib.sha256(certificate).digest())))),
            ),
        )
        digest = names.DIGEST_ALGORITHMS[self._digest]
        self._before = integer(1) + issuer_and_serial(certificate) + digest
        self._algorithm = algorithm
        self._digests = set_of(digest)
        self._certificates = tlv(0xA0, *sorted({certificate, *identity.chain_der()}))

    @property
    def identity(self) -> Identity:
        """Who signs."""
        return self._identity

    def detached(self, entity: bytes, *, at: datetime) -> bytes:
        """A multipart/signed around the entity (RFC 8551 §3.5.3). The entity must have CRLF line ends."""
        signature = self.cms(entity, at=at, opaque=False)
        # The boundary comes from the digest of the signature over the entity: the entity cannot hold it.
        boundary = b"sceau-" + hashlib.sha256(signature).hexdigest()[:40].encode("ascii")
        return multipart_signed(entity, signature, micalg=_MICALG[self._digest], boundary=boundary)

    def opaque(self, entity: bytes, *, at: datetime) -> bytes:
        """An application/pkcs7-mime signed-data that holds the entity (RFC 8551 §3.5.2)."""
        return pkcs7_mime(self.cms(entity, at=at, opaque=True), b"signed-data")

    def cms(self, entity: bytes, *, at: datetime, opaque: bool) -> bytes:
        """The ContentInfo with its SignedData, DER (RFC 5652 §5)."""
        attributes = b"".join(
            sorted(
                (
                    *self._attributes,
                    _attribute(names.SIGNING_TIME, time_of(at)),
                    _attribute(names.MESSAGE_DIGEST, tlv(OCTET_STRING, self._hash(entity).digest())),
                )
            )
        )
        # RFC 5652 §5.4: the signature covers the attributes as a SET OF, whatever tag they are written with.
        value = self._identity.sign(tlv(0x31, attributes), self.scheme)
        signer = sequence(self._before, tlv(0xA0, attributes), self._algorithm, tlv(OCTET_STRING, value))
        content = (tlv(0xA0, tlv(OCTET_STRING, entity)),) if opaque else ()
        return sequence(
            oid(names.ID_SIGNED_DATA),
            tlv(
                0xA0,
                sequence(
                    integer(1),
                    self._digests,
                    sequence(oid(names.ID_DATA), *content),
                    self._certificates,
                    set_of(signer),
                ),
            ),
        )


def _attribute(identifier: str, value: bytes) -> bytes:
    return sequence(oid(identifier), tlv(0x31, value))
