"""Sign a letter with a key of the ring (RFC 3156 §5).

What it is: `sign`, and the boundary that every writer here needs. What it is not: the choice of the key.
"""

from __future__ import annotations

import secrets

from certs.openpgp.keyring import Keyring
from certs.openpgp.pgp_mime import split_letter, write_signed
from certs.openpgp.refusals import CannotSeal
from certs.openpgp.status import STRONG_DIGESTS


def sign(ring: Keyring, octets: bytes, *, signer: str) -> bytes:
    """The letter with a signature over its MIME entity. `signer` is a fingerprint. Raises `CannotSeal`.

    The signature is over the octets as they stand (type 0x00): one octet changed on the way is found.
    """
    demand_size(ring, octets)
    letter = split_letter(octets)
    passphrase = ring.passphrase_of(signer)
    # --local-user: with --default-key alone GnuPG may sign with another key of the ring.
    told = ring.run(
        lambda gpg: gpg.sign(
            letter.entity,
            passphrase=passphrase,
            clearsign=False,
            detach=True,
            extra_args=["--local-user", signer],
        )
    )
    made = told.words("SIG_CREATED")  # D <pk_algo> <hash_algo> <class> <timestamp> <fingerprint>
    if told.returncode != 0 or len(made) != 1 or made[0][0] != "D" or made[0][2] not in STRONG_DIGESTS:
        raise CannotSeal
    return write_signed(
        letter, told.data, digest=STRONG_DIGESTS[made[0][2]], boundary=boundary_beside(letter.entity)
    )


def boundary_beside(octets: bytes) -> bytes:
    """A boundary that does not stand in the octets (RFC 2046 §5.1.1)."""
    while True:
        boundary = b"vgm-" + secrets.token_hex(16).encode("ascii")
        if boundary not in octets:
            return boundary


def demand_size(ring: Keyring, octets: bytes) -> None:
    """Raises `CannotSeal` for a letter larger than the ring's limit."""
    if len(octets) > ring.limits.octets:
        raise CannotSeal
