"""Encrypt a letter for keys of the ring, and sign it inside (RFC 3156 §4 and §6.2).

What it is: `encrypt`. What it is not: the choice of recipients; they are fingerprints that the plan found.
"""

from __future__ import annotations

from collections.abc import Sequence

from certs.openpgp.keyring import Keyring
from certs.openpgp.pgp_mime import split_letter, write_encrypted
from certs.openpgp.refusals import CannotSeal
from certs.openpgp.sign import boundary_beside, demand_size


def encrypt(ring: Keyring, octets: bytes, *, recipients: Sequence[str], signer: str | None = None) -> bytes:
    """The letter, its entity encrypted for all of these or not at all. Raises `CannotSeal`.

    The outer header stays readable, the subject too: hide it before (RFC 9788 is for every seal, not for one).
    """
    demand_size(ring, octets)
    if not recipients or not ring.known.issuperset(
        recipients
    ):  # GnuPG would search user IDs for anything else
        raise CannotSeal
    letter = split_letter(octets)
    passphrase = ring.passphrase_of(signer) if signer else None
    local_user = ["--local-user", signer] if signer else []
    told = ring.run(
        lambda gpg: gpg.encrypt(
            letter.entity,
            list(recipients),
            sign=signer is not None,
            passphrase=passphrase,
            always_trust=True,
            armor=True,
            extra_args=[*local_user, "--set-filename", "", "--cipher-algo", "AES256"],
        )
    )
    keywords = [keyword for keyword, _ in told.lines]
    is_whole = told.returncode == 0 and keywords.count("END_ENCRYPTION") == 1
    if not is_whole or "INV_RECP" in keywords or keywords.count("SIG_CREATED") != (1 if signer else 0):
        raise CannotSeal
    return write_encrypted(letter.outer, told.data, boundary=boundary_beside(told.data))
