"""Open an encrypted entity: all of it, authenticated, or one error without a cause.

What it is: `decrypt`, which returns `Opened` after the tag was verified, and `DecryptionFailed` for all else.
What it is not: a stream, and that is the point: no octet leaves before the last one is verified. A key that
does not fit is replaced by a random one and the work goes on (RFC 3218 §2.3.2): bad structure, bad key, bad
padding and bad tag take the same way to the same answer. CBC is read for old senders; what comes out of it is
marked, because anybody may have changed it (EFAIL).
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from asn1crypto import algos
from asn1crypto import core as asn1
from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes, keywrap
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, x25519
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.padding import PKCS7

from certs.keystore import AgreementFailed, Identity
from certs.smime import algorithms as names
from certs.smime.agreement import derive
from certs.smime.certificates import names_of
from certs.smime.der import OCTET_STRING, integer, oid, sequence, set_of, tlv
from certs.smime.encrypt import NONCE_SIZE, TAG_SIZE
from certs.smime.entity import NotBase64, RootSeal, root_of, sealed_octets
from certs.smime.structure import (
    FOREIGN_ERRORS,
    AgreedKey,
    Algorithm,
    CmsMalformed,
    Envelope,
    TransportedKey,
    read_algorithm,
    read_envelope,
)
from certs.smime.verdict import DecryptionFailed, Integrity, Opened, SignatureInvalid

_KEY_SIZES = {**names.GCM_KEY_SIZES, **names.CBC_KEY_SIZES}
_DIGESTS = {"1.3.14.3.2.26": hashes.SHA1, **names.DIGESTS}  # SHA-1 is the default of RFC 4055 §4.1
_UNWRAP_ERRORS = (AgreementFailed, CmsMalformed, UnsupportedAlgorithm, *FOREIGN_ERRORS)

# A letter to nobody, opened in the place of one that cannot be read, so that both cost the same.
_STAND_IN = sequence(
    oid(names.ID_AUTH_ENVELOPED_DATA),
    tlv(
        0xA0,
        sequence(
            integer(0),
            set_of(
                sequence(integer(0), sequence(sequence(), integer(1)), names.OAEP_SHA256, tlv(OCTET_STRING))
            ),
            sequence(
                oid(names.ID_DATA),
                names.algorithm(
                    names.AES_256_GCM, sequence(tlv(OCTET_STRING, bytes(NONCE_SIZE)), integer(TAG_SIZE))
                ),
                tlv(0x80),
            ),
            tlv(OCTET_STRING, bytes(TAG_SIZE)),
        ),
    ),
)


def decrypt_letter(letter: bytes, keys: Sequence[Identity]) -> Opened:
    """Open the application/pkcs7-mime at the root of a letter; one further down is never opened.

    Raises `DecryptionFailed`.
    """
    try:
        octets = sealed_octets(letter) if root_of(letter) is RootSeal.ENCRYPTED else b""
    except (NotBase64, SignatureInvalid):
        octets = b""
    return decrypt(octets or letter, keys)  # what is no CMS fails below, on the same way as all else


def names_a_key_of(letter: bytes, keys: Sequence[Identity]) -> bool:
    """Whether an encrypted letter names one of our certificates; if not, it is sealed for somebody else.

    Read from what is written in clear; says nothing about whether it opens.
    """
    try:
        if root_of(letter) is not RootSeal.ENCRYPTED:
            return False
        recipients = read_envelope(sealed_octets(letter)).recipients
    except (NotBase64, SignatureInvalid, CmsMalformed):
        return False
    ours = {name for identity in keys for name in names_of(identity.certificate_der())}
    return any(recipient.name in ours for recipient in recipients)


def decrypt(octets: bytes, keys: Sequence[Identity]) -> Opened:
    """Open a ContentInfo with an AuthEnvelopedData or EnvelopedData, with the first key that it names.

    Raises `DecryptionFailed`. Costs one operation with a private key, whatever the octets say.
    """
    envelope = _readable(octets)
    if envelope is None:
        _spend((), octets)
    read = envelope or read_envelope(_STAND_IN)
    entity = _content(read, _content_key(read, keys))
    if envelope is None or entity is None:
        raise DecryptionFailed
    return Opened(entity, Integrity.AUTHENTICATED if envelope.is_authenticated else Integrity.NONE)


def _readable(octets: bytes) -> Envelope | None:
    try:
        envelope = read_envelope(octets)
        _initial(envelope.cipher)
    except (CmsMalformed, *FOREIGN_ERRORS):
        return None
    known = names.GCM_KEY_SIZES if envelope.is_authenticated else names.CBC_KEY_SIZES
    if envelope.cipher.identifier not in known or envelope.content_type != names.ID_DATA:
        return None
    return envelope


def _initial(cipher: Algorithm) -> bytes:
    """The nonce or initialisation vector. Raises one of `FOREIGN_ERRORS`."""
    if cipher.identifier in names.GCM_KEY_SIZES:
        read = algos.CcmParams.load(cipher.parameters, strict=True)
        nonce, size = bytes(read["aes_nonce"]), int(read["aes_icvlen"])
        if len(nonce) != NONCE_SIZE or size != TAG_SIZE:  # RFC 5084 §3.2; a shorter tag proves less
            raise ValueError("nonce or tag of another size")
        return nonce
    initial = bytes(asn1.OctetString.load(cipher.parameters, strict=True))
    if len(initial) != (8 if cipher.identifier == names.DES_EDE3_CBC else 16):
        raise ValueError("initialisation vector")
    return initial


def _content(envelope: Envelope, key: bytes) -> bytes | None:
    initial = _initial(envelope.cipher)
    try:
        if envelope.is_authenticated:
            if len(envelope.mac) != TAG_SIZE:
                return None
            associated = envelope.associated or None  # RFC 5083 §2.2
            return AESGCM(key).decrypt(initial, envelope.ciphertext + envelope.mac, associated)
        is_old = envelope.cipher.identifier == names.DES_EDE3_CBC
        cipher = TripleDES(key) if is_old else AES(key)
        decryptor = Cipher(cipher, modes.CBC(initial)).decryptor()
        padded = decryptor.update(envelope.ciphertext) + decryptor.finalize()
        unpadder = PKCS7(cipher.block_size).unpadder()
        return unpadder.update(padded) + unpadder.finalize()
    except (InvalidTag, ValueError):
        return None


# --- the content key ----------------------------------------------------------------------------------------
def _content_key(envelope: Envelope, keys: Sequence[Identity]) -> bytes:
    """The content key, or a random one of its size: the difference shows only where the content is verified."""
    fallback = os.urandom(_KEY_SIZES[envelope.cipher.identifier])
    ours = {name: identity for identity in keys for name in names_of(identity.certificate_der())}
    for recipient in envelope.recipients:
        identity = ours.get(recipient.name)
        if identity is not None:
            return _unwrapped(recipient, identity, fallback)
    _spend(keys, b"")
    return fallback


def _unwrapped(recipient: TransportedKey | AgreedKey, identity: Identity, fallback: bytes) -> bytes:
    try:
        if isinstance(recipient, TransportedKey):
            own = identity.certificate.public_key()
            if not isinstance(own, rsa.RSAPublicKey) or len(recipient.encrypted_key) != own.key_size // 8:
                raise CmsMalformed("transported key")
            return identity.unwrap(recipient.encrypted_key, _padding(recipient.algorithm), fallback)
        key = _agreed_key(recipient, identity)
    except keywrap.InvalidUnwrap:
        return fallback
    except _UNWRAP_ERRORS:
        _spend([identity], b"")
        return fallback
    return key if len(key) == len(fallback) else fallback


def _padding(algorithm: Algorithm) -> padding.AsymmetricPadding:
    if algorithm.identifier == names.RSA_ENCRYPTION:
        return padding.PKCS1v15()
    if algorithm.identifier != names.RSAES_OAEP:
        raise CmsMalformed("key transport")
    read = algos.RSAESOAEPParams.load(algorithm.parameters, strict=True)
    mask, label = read["mask_gen_algorithm"], read["p_source_algorithm"]
    if mask["algorithm"].dotted != names.MGF1 or label["parameters"].native != b"":
        raise CmsMalformed("OAEP parameters")
    digest = _DIGESTS[read["hash_algorithm"]["algorithm"].dotted]()
    return padding.OAEP(padding.MGF1(_DIGESTS[mask["parameters"]["algorithm"].dotted]()), digest, None)


def _agreed_key(recipient: AgreedKey, identity: Identity) -> bytes:
    """Raises one of `_UNWRAP_ERRORS`."""
    derivation = names.AGREEMENTS[recipient.algorithm.identifier]
    wrap = read_algorithm(recipient.algorithm.parameters)
    secret = identity.agree(_originator(recipient, identity))
    size = names.WRAP_KEY_SIZES[wrap.identifier]
    wrapping_key = derive(derivation, secret, wrap=wrap.octets, size=size, ukm=recipient.ukm)
    return keywrap.aes_key_unwrap(wrapping_key, recipient.encrypted_key)


def _originator(
    recipient: AgreedKey, identity: Identity
) -> ec.EllipticCurvePublicKey | x25519.X25519PublicKey:
    own = identity.certificate.public_key()
    if recipient.originator.identifier == names.X25519:
        return x25519.X25519PublicKey.from_public_bytes(recipient.public_key)
    if recipient.originator.identifier != names.EC_PUBLIC_KEY or not isinstance(
        own, ec.EllipticCurvePublicKey
    ):
        raise CmsMalformed("originator key")
    return ec.EllipticCurvePublicKey.from_encoded_point(own.curve, recipient.public_key)


def _spend(keys: Sequence[Identity], octets: bytes) -> None:
    """The work that opening these octets would have cost, for a failure that came too early to cost it."""
    for identity in keys[:1]:
        own = identity.certificate.public_key()
        if isinstance(own, rsa.RSAPublicKey):
            identity.unwrap(bytes(own.key_size // 8 - 1) + b"\x02", padding.PKCS1v15(), b"")
        elif isinstance(own, ec.EllipticCurvePublicKey | x25519.X25519PublicKey):
            identity.agree(own)
    if octets:
        AESGCM(bytes(32)).encrypt(bytes(NONCE_SIZE), octets, None)
