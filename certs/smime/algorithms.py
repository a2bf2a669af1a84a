"""The algorithms of the seal: object identifiers and the AlgorithmIdentifiers we write, in one table.

What it is: names. What it is not: a choice (`certs.smime.capabilities`) or the use of a key. Sources:
RFC 8551 §2, RFC 5753 §7.1, RFC 5754, RFC 8418 §2, RFC 4055, RFC 5084.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes

from certs.smime.der import NULL, integer, oid, sequence, tlv

ID_DATA = "1.2.840.113549.1.7.1"
ID_SIGNED_DATA = "1.2.840.113549.1.7.2"
ID_ENVELOPED_DATA = "1.2.840.113549.1.7.3"
ID_AUTH_ENVELOPED_DATA = "1.2.840.113549.1.9.16.1.23"  # RFC 5083 §2

CONTENT_TYPE = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
SIGNING_TIME = "1.2.840.113549.1.9.5"
SMIME_CAPABILITIES = "1.2.840.113549.1.9.15"
SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47"  # RFC 5035 §3

SHA256, SHA384, SHA512 = (f"2.16.840.1.101.3.4.2.{arc}" for arc in (1, 2, 3))
DIGESTS: dict[str, type[hashes.SHA256] | type[hashes.SHA384] | type[hashes.SHA512]] = {
    SHA256: hashes.SHA256,
    SHA384: hashes.SHA384,
    SHA512: hashes.SHA512,
}
# MD5, SHA-1, SHA-224: known, and refused by name (RFC 8551 §2.1, Appendix B)
WEAK_DIGESTS = frozenset({"1.2.840.113549.2.5", "1.3.14.3.2.26", "2.16.840.1.101.3.4.2.4"})

RSA_ENCRYPTION = "1.2.840.113549.1.1.1"
RSAES_OAEP = "1.2.840.113549.1.1.7"
MGF1 = "1.2.840.113549.1.1.8"
P_SPECIFIED = "1.2.840.113549.1.1.9"
RSASSA_PSS = "1.2.840.113549.1.1.10"
RSA_WITH = {"1.2.840.113549.1.1.11": SHA256, "1.2.840.113549.1.1.12": SHA384, "1.2.840.113549.1.1.13": SHA512}
ECDSA_WITH = {"1.2.840.10045.4.3.2": SHA256, "1.2.840.10045.4.3.3": SHA384, "1.2.840.10045.4.3.4": SHA512}

EC_PUBLIC_KEY = "1.2.840.10045.2.1"
X25519 = "1.3.101.110"
P256, P384 = "1.2.840.10045.3.1.7", "1.3.132.0.34"

AES_128_GCM, AES_192_GCM, AES_256_GCM = (f"2.16.840.1.101.3.4.1.{arc}" for arc in (6, 26, 46))
AES_128_CBC, AES_192_CBC, AES_256_CBC = (f"2.16.840.1.101.3.4.1.{arc}" for arc in (2, 22, 42))
DES_EDE3_CBC = "1.2.840.113549.3.7"
GCM_KEY_SIZES = {AES_128_GCM: 16, AES_192_GCM: 24, AES_256_GCM: 32}
CBC_KEY_SIZES = {AES_128_CBC: 16, AES_192_CBC: 24, AES_256_CBC: 32, DES_EDE3_CBC: 24}
AES_128_WRAP, AES_192_WRAP, AES_256_WRAP = (f"2.16.840.1.101.3.4.1.{arc}" for arc in (5, 25, 45))
WRAP_KEY_SIZES = {AES_128_WRAP: 16, AES_192_WRAP: 24, AES_256_WRAP: 32}

ECDH_SHA256_KDF = "1.3.132.1.11.1"
ECDH_SHA384_KDF = "1.3.132.1.11.2"
ECDH_HKDF_SHA256 = "1.2.840.113549.1.9.16.3.19"  # RFC 8418 §2.2


@dataclass(frozen=True, slots=True)
class KeyDerivation:
    """How a key agreement makes a key: its hash, and whether by HKDF or by ANSI X9.63."""

    digest: type[hashes.SHA1] | type[hashes.SHA256] | type[hashes.SHA384] | type[hashes.SHA512]
    is_hkdf: bool = False


# Our curves have cofactor 1, so the cofactor forms are the same numbers. SHA-1 is OpenSSL's default here; in a
# key derivation nobody needs collisions. RFC 5753 §7.1.4, RFC 8418 §2.
AGREEMENTS = {
    "1.3.133.16.840.63.0.2": KeyDerivation(hashes.SHA1),
    "1.3.133.16.840.63.0.3": KeyDerivation(hashes.SHA1),
    ECDH_SHA256_KDF: KeyDerivation(hashes.SHA256),
    ECDH_SHA384_KDF: KeyDerivation(hashes.SHA384),
    "1.3.132.1.11.3": KeyDerivation(hashes.SHA512),
    "1.3.132.1.14.1": KeyDerivation(hashes.SHA256),
    "1.3.132.1.14.2": KeyDerivation(hashes.SHA384),
    "1.3.132.1.14.3": KeyDerivation(hashes.SHA512),
    ECDH_HKDF_SHA256: KeyDerivation(hashes.SHA256, is_hkdf=True),
    "1.2.840.113549.1.9.16.3.20": KeyDerivation(hashes.SHA384, is_hkdf=True),
    "1.2.840.113549.1.9.16.3.21": KeyDerivation(hashes.SHA512, is_hkdf=True),
}


def algorithm(identifier: str, *parameters: bytes) -> bytes:
    """An AlgorithmIdentifier (RFC 5280 §4.1.1.2)."""
    return sequence(oid(identifier), *parameters)


DIGEST_ALGORITHMS = {digest: algorithm(digest) for digest in DIGESTS}  # RFC 5754 §2: parameters absent

_MGF1_SHA256 = algorithm(MGF1, algorithm(SHA256, NULL))
PSS_SHA256 = algorithm(  # RFC 4056 §2.2: one hash for both, a salt as long as the hash
    RSASSA_PSS,
    sequence(tlv(0xA0, algorithm(SHA256, NULL)), tlv(0xA1, _MGF1_SHA256), tlv(0xA2, integer(32))),
)
OAEP_SHA256 = algorithm(  # RFC 4055 §4.1; the empty label is the default and left out
    RSAES_OAEP, sequence(tlv(0xA0, algorithm(SHA256, NULL)), tlv(0xA1, _MGF1_SHA256))
)
AES_256_WRAP_ALGORITHM = algorithm(AES_256_WRAP)  # RFC 3565 §2.3.2: parameters absent
