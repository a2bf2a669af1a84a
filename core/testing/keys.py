"""Private keys made once for a whole test session, because making one takes 50 to 300 ms.

What it is: `KeyPool`, whose factories hand out the same keys in the same order. What it is not: secret.
Two authorities that must not share keys take factories with different starts.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@cache
def cached_key(algorithm: str, index: int) -> PrivateKey:
    """The key of that number: `rsa-2048`, `rsa-3072`, `rsa-1024` (weak, for refusals), `ec-p256` or `ec-p384`."""
    if algorithm.startswith("ec-"):
        return ec.generate_private_key(ec.SECP256R1() if algorithm == "ec-p256" else ec.SECP384R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=int(algorithm.removeprefix("rsa-")))


def key_factory(start: int = 0) -> Callable[[Any], PrivateKey]:
    """A key factory for `certs.authority.Authority` that hands out keys from number `start` on."""
    counter = [start]

    def next_key(algorithm: Any) -> PrivateKey:
        counter[0] += 1
        return cached_key(algorithm.value, counter[0] - 1)

    return next_key
