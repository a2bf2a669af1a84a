"""The authority at rest: its folder, written atomically, keys readable by their owner alone.

What it is: `save`, `open_authority`, `write_crls`, `write_identity`. What it is not: the place where an
operator keeps production keys. Layout: `root.pem root.key organisations.pem
organisations.key anchors.pem state.json crl/root.crl crl/organisations.crl`.
"""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from certs.authority import Authority, CertificateAuthority, Issued, KeyFactory, generate_key
from certs.certificate import parse_certificate, to_pem
from certs.keystore import IdentityFiles, PrivateKey
from certs.verdict import CertificateRefused
from core.clock import Clock
from core.errors import ConfigurationError, TemporaryError

SECRET = 0o600
PUBLIC = 0o644


def save(authority: Authority, folder: Path) -> None:
    """Write keys, certificates, anchors and state. Raises `TemporaryError` when the disk refuses."""
    for name, member in (("root", authority.root), ("organisations", authority.organisations)):
        write_atomically(folder / f"{name}.key", _key_pem(member.key), SECRET)
        write_atomically(folder / f"{name}.pem", to_pem(member.certificate), PUBLIC)
    write_atomically(folder / "anchors.pem", authority.anchors_pem(), PUBLIC)
    _save_state(authority, folder)


def write_crls(
    authority: Authority,
    folder: Path,
    *,
    this_update: datetime | None = None,
    next_update: datetime | None = None,
) -> Path:
    """Make fresh CRLs and write them under `crl/`; the state (CRL numbers, revocations) goes first.

    Returns the folder of the CRLs.
    """
    root, organisations = authority.crls(this_update=this_update, next_update=next_update)
    _save_state(authority, folder)
    write_atomically(folder / "crl" / "root.crl", root, PUBLIC)
    write_atomically(folder / "crl" / "organisations.crl", organisations, PUBLIC)
    return folder / "crl"


def open_authority(folder: Path, *, clock: Clock, keys: KeyFactory = generate_key) -> Authority:
    """Open what `save` wrote. Raises `ConfigurationError`."""
    try:
        state = json.loads((folder / "state.json").read_text("utf-8"))
        root = _member(folder, "root", state["root"])
        organisations = _member(folder, "organisations", state["organisations"])
        url = str(state["crl_url"])
    except (OSError, ValueError, KeyError, TypeError, CertificateRefused) as error:
        raise ConfigurationError(f"no authority can be opened at {folder}") from error
    return Authority(root, organisations, clock=clock, keys=keys, crl_url=url)


def write_identity(issued: Issued, folder: Path, name: str) -> IdentityFiles:
    """Write `name.pem` (certificate and chain) and `name.key` (0600); returns their paths."""
    chain = b"".join(to_pem(member) for member in (issued.certificate, *issued.chain))
    files = IdentityFiles(certificate=folder / f"{name}.pem", key=folder / f"{name}.key")
    write_atomically(files.key, _key_pem(issued.key), SECRET)
    write_atomically(files.certificate, chain, PUBLIC)
    return files


def write_atomically(target: Path, octets: bytes, mode: int) -> None:
    """Write, fsync, rename. The file never exists with other rights or half its octets."""
    temporary = target.with_name(f".{target.name}.new")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(octets)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        raise TemporaryError(f"cannot write {target.name}: {error.strerror}") from error


def _save_state(authority: Authority, folder: Path) -> None:
    state = {
        "root": _state_of(authority.root),
        "organisations": _state_of(authority.organisations),
        "crl_url": authority.crl_url,
    }
    write_atomically(folder / "state.json", json.dumps(state, indent=1).encode("utf-8"), PUBLIC)


def _state_of(member: CertificateAuthority) -> dict[str, object]:
    revoked = [
        {"serial": f"{serial:x}", "at": at.isoformat(), "reason": reason.value}
        for serial, (at, reason) in sorted(member.revoked.items())
    ]
    return {"crl_number": member.crl_number, "revoked": revoked}


def _member(folder: Path, name: str, state: dict[str, object]) -> CertificateAuthority:
    key = serialization.load_pem_private_key((folder / f"{name}.key").read_bytes(), None)
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise ValueError("an authority's key is RSA or elliptic")
    member = CertificateAuthority(parse_certificate((folder / f"{name}.pem").read_bytes()), key)
    member.crl_number = int(str(state["crl_number"]))
    entries = state["revoked"]
    if not isinstance(entries, list):
        raise TypeError("revoked is a list")
    for entry in entries:
        at = datetime.fromisoformat(entry["at"])
        member.revoked[int(entry["serial"], 16)] = (at, x509.ReasonFlags(entry["reason"]))
    return member


def _key_pem(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
