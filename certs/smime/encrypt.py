"""Encrypt a MIME entity for many recipients: AuthEnvelopedData with AES-GCM (RFC 5083, RFC 5084).

What it is: `encrypt`, from octets and `Reading` values to an application/pkcs7-mime. What it is not: the
choice of what a recipient reads (`certs.smime.capabilities`). Each call draws a new content key, nonce and
ephemeral keys; nothing of them is kept. `encrypt_without_integrity` is for the one old reader that needs it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import groupby

from cryptography.hazmat.primitives import hashes, keywrap
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, x25519
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from certs.smime import algorithms as names
from certs.smime.agreement import derive
from certs.smime.capabilities import ContentCipher, KeyManagement, Reading, RecipientKey
from certs.smime.certificates import issuer_and_serial
from certs.smime.der import BIT_STRING, NULL, OCTET_STRING, integer, oid, sequence, set_of, tlv
from certs.smime.entity import pkcs7_mime
from certs.smime.structure import MAX_RECIPIENTS
from core.errors import LocalProtocolError

NONCE_SIZE = 12  # octets; RFC 5084 §3.2
TAG_SIZE = 16  # octets; RFC 5084 §3.2 permits 12 to 16

_OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
_PKCS1 = names.algorithm(names.RSA_ENCRYPTION, NULL)


def encrypt(entity: bytes, readings: Sequence[Reading]) -> bytes:
    """An application/pkcs7-mime authEnveloped-data that each of the readings can open.

    Raises `LocalProtocolError` when there is none, too many, when their ciphers differ, or when one of them
    reads nothing with integrity.
    """
    cipher = _one_cipher(readings)
    if not cipher.is_authenticated:
        raise LocalProtocolError("a cipher without integrity")
    key, nonce = os.urandom(cipher.key_size), os.urandom(NONCE_SIZE)
    # RFC 5083 §2.2: without authenticated attributes there is no associated data.
    sealed = AESGCM(key).encrypt(nonce, entity, None)
    parameters = sequence(tlv(OCTET_STRING, nonce), integer(TAG_SIZE))
    octets = _content_info(
        names.ID_AUTH_ENVELOPED_DATA,
        integer(0),
        set_of(*_recipients(key, readings)),
        _encrypted_content(cipher, parameters, sealed[:-TAG_SIZE]),
        tlv(OCTET_STRING, sealed[-TAG_SIZE:]),
    )
    return pkcs7_mime(octets, b"authEnveloped-data")


def encrypt_without_integrity(entity: bytes, readings: Sequence[Reading]) -> bytes:
    """An application/pkcs7-mime enveloped-data with AES-256-CBC, for readers that open nothing better.

    Anybody on the way may change what comes out: the entity must be signed. Raises `LocalProtocolError` as
    above, and when the readings can open something better.
    """
    cipher = _one_cipher(readings)
    if cipher.is_authenticated:
        raise LocalProtocolError("these readers open AES-GCM")
    key, iv = os.urandom(cipher.key_size), os.urandom(16)
    padder = PKCS7(128).padder()
    padded = padder.update(entity) + padder.finalize()
    encryptor = Cipher(AES(key), modes.CBC(iv)).encryptor()
    recipients = _recipients(key, readings)
    version = 2 if any(one[0] != 0x30 for one in recipients) else 0  # RFC 5652 §6.1
    octets = _content_info(
        names.ID_ENVELOPED_DATA,
        integer(version),
        set_of(*recipients),
        _encrypted_content(cipher, tlv(OCTET_STRING, iv), encryptor.update(padded) + encryptor.finalize()),
    )
    return pkcs7_mime(octets, b"enveloped-data")


def _one_cipher(readings: Sequence[Reading]) -> ContentCipher:
    ciphers = {reading.cipher for reading in readings}
    if len(ciphers) != 1 or len(readings) > MAX_RECIPIENTS:
        raise LocalProtocolError("one content is encrypted for its readers with one cipher")
    return ciphers.pop()


def _content_info(identifier: str, *fields: bytes) -> bytes:
    return sequence(oid(identifier), tlv(0xA0, sequence(*fields)))


def _encrypted_content(cipher: ContentCipher, parameters: bytes, ciphertext: bytes) -> bytes:
    return sequence(oid(names.ID_DATA), names.algorithm(cipher.value, parameters), tlv(0x80, ciphertext))


# --- recipients ---------------------------------------------------------------------------------------------
def _recipients(key: bytes, readings: Sequence[Reading]) -> list[bytes]:
    """The RecipientInfos: one for each RSA key, one for all keys of one curve."""
    found: list[bytes] = []
    by_kind = sorted(readings, key=_kind)
    for kind, group in groupby(by_kind, key=_kind):
        members = list(group)
        if kind in (KeyManagement.RSA_OAEP.value, KeyManagement.RSA_PKCS1.value):
            found += [_transported(key, reading) for reading in members]
        else:
            found.append(_agreed(key, members))
    return found


def _kind(reading: Reading) -> str:
    return reading.key_management.value


def _transported(key: bytes, reading: Reading) -> bytes:
    """A KeyTransRecipientInfo (RFC 5652 §6.2.1) with RSAES-OAEP (RFC 3560) or PKCS #1 v1.5."""
    assert isinstance(reading.public_key, rsa.RSAPublicKey)
    is_oaep = reading.key_management is KeyManagement.RSA_OAEP
    encrypted = reading.public_key.encrypt(key, _OAEP if is_oaep else padding.PKCS1v15())
    return sequence(
        integer(0),
        issuer_and_serial(reading.certificate),
        names.OAEP_SHA256 if is_oaep else _PKCS1,
        tlv(OCTET_STRING, encrypted),
    )


# RFC 5753 §7.1.4 for the curves of NIST; RFC 8551 §2.3 and RFC 8418 §2.2 for X25519.
_SCHEMES = {
    KeyManagement.ECDH_P256: names.ECDH_SHA256_KDF,
    KeyManagement.ECDH_P384: names.ECDH_SHA384_KDF,
    KeyManagement.X25519: names.ECDH_HKDF_SHA256,
}
_CURVES: dict[KeyManagement, tuple[type[ec.SECP256R1] | type[ec.SECP384R1], str]] = {
    KeyManagement.ECDH_P256: (ec.SECP256R1, names.P256),
    KeyManagement.ECDH_P384: (ec.SECP384R1, names.P384),
}


def _agreed(key: bytes, readings: Sequence[Reading]) -> bytes:
    """A KeyAgreeRecipientInfo (RFC 5652 §6.2.2): one ephemeral key for all recipients of this curve."""
    management = readings[0].key_management
    scheme = _SCHEMES[management]
    originator, secrets = _exchange(management, [reading.public_key for reading in readings])
    wrapped = [
        sequence(
            issuer_and_serial(reading.certificate),
            tlv(OCTET_STRING, keywrap.aes_key_wrap(_wrapping_key(scheme, secret), key)),
        )
        for reading, secret in zip(readings, secrets, strict=True)
    ]
    return tlv(
        0xA1,
        integer(3),
        tlv(0xA0, tlv(0xA1, originator)),
        names.algorithm(scheme, names.AES_256_WRAP_ALGORITHM),
        sequence(*wrapped),
    )


def _wrapping_key(scheme: str, secret: bytes) -> bytes:
    return derive(names.AGREEMENTS[scheme], secret, wrap=names.AES_256_WRAP_ALGORITHM, size=32)


def _exchange(management: KeyManagement, publics: Sequence[RecipientKey]) -> tuple[bytes, list[bytes]]:
    """The contents of the OriginatorPublicKey, and the shared secret with each recipient."""
    if management is KeyManagement.X25519:
        own = x25519.X25519PrivateKey.generate()
        algorithm = names.algorithm(names.X25519)  # RFC 8410 §3: parameters absent
        point = own.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        secrets = [own.exchange(one) for one in publics if isinstance(one, x25519.X25519PublicKey)]
    else:
        curve, identifier = _CURVES[management]
        elliptic = ec.generate_private_key(curve())
        # RFC 5753 §3.1.1: the curve may be named; it is the recipient's.
        algorithm = names.algorithm(names.EC_PUBLIC_KEY, oid(identifier))
        point = elliptic.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        secrets = [
            elliptic.exchange(ec.ECDH(), one) for one in publics if isinstance(one, ec.EllipticCurvePublicKey)
        ]
    return algorithm + tlv(BIT_STRING, b"\x00" + point), secrets
