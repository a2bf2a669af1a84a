"""From the shared secret of an ECDH to the key that wraps the content key; both sides call it.

What it is: the two key derivations of CMS, ANSI X9.63 (RFC 5753 §7.2) and HKDF (RFC 8418 §2.2), over an
ECC-CMS-SharedInfo. What it is not: the exchange itself.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF

from certs.smime.algorithms import KeyDerivation
from certs.smime.der import OCTET_STRING, sequence, tlv


def derive(derivation: KeyDerivation, secret: bytes, *, wrap: bytes, size: int, ukm: bytes = b"") -> bytes:
    """A key of `size` octets; `wrap` is the AlgorithmIdentifier of the key wrap, as it stands in the letter."""
    # RFC 5753 §7.2: keyInfo, entityUInfo when there is a ukm, and the size in bits in four octets.
    entity = tlv(0xA0, tlv(OCTET_STRING, ukm)) if ukm else b""
    bits = tlv(0xA2, tlv(OCTET_STRING, (8 * size).to_bytes(4, "big")))
    info = sequence(wrap, entity, bits)
    if derivation.is_hkdf:
        return HKDF(derivation.digest(), size, None, info).derive(secret)
    return X963KDF(derivation.digest(), size, info).derive(secret)
