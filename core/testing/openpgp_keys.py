"""OpenPGP keys of the cast, made once for a whole test session, because GnuPG takes two seconds to make one.

What it is: `cast_key`. What it is not: secret, or in any ring; a test opens a ring of its own with them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from certs.openpgp.keyring import PublicKey, SecretKey

PASSPHRASE = "un mot de passe d'essai"


def gpg(home: str, *arguments: str, octets: bytes = b"", passphrase: str = "") -> bytes:
    """Run GnuPG as a stranger would, in that home; its output."""
    command = ["gpg", "--homedir", home, "--batch", "--yes", "--no-tty", "--pinentry-mode", "loopback"]
    command += ["--passphrase", passphrase, "--trust-model", "always", *arguments]
    return subprocess.run(command, input=octets, capture_output=True, check=True, timeout=60).stdout


def stranger_home() -> str:
    """A new home for `gpg`; close it with `leave_home`."""
    home = tempfile.mkdtemp(prefix="vgt-")
    Path(home, "gpg-agent.conf").write_text(
        "s2k-count 65536\n"
    )  # else each passphrase costs a tenth of a second
    return home


def leave_home(home: str) -> None:
    """End the agent of that home and remove it."""
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], capture_output=True, check=False)
    shutil.rmtree(home, ignore_errors=True)


@cache
def cast_key(user_id: str, passphrase: str = "", algorithm: str = "ed25519", born: str = "") -> SecretKey:
    """The secret key with that user ID; `algorithm` is `ed25519` (with cv25519) or `rsa2048`.

    A key that was `born` (20260101T000000) lives for one day; others do not expire.
    """
    home = stranger_home()
    then = ["--faked-system-time", f"{born}!"] if born else []
    expire = "1d" if born else "never"
    try:
        gpg(home, *then, "--quick-generate-key", user_id, algorithm, "sign", expire, passphrase=passphrase)
        listed = gpg(home, "--with-colons", "--list-keys").decode()
        fingerprint = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:"))
        second = "cv25519" if algorithm == "ed25519" else algorithm
        gpg(home, *then, "--quick-add-key", fingerprint, second, "encr", expire, passphrase=passphrase)
        octets = gpg(home, "--export-secret-keys", fingerprint, passphrase=passphrase)
        return SecretKey(fingerprint=fingerprint, octets=octets, passphrase=passphrase)
    finally:
        leave_home(home)


@cache
def public_of(key: SecretKey) -> PublicKey:
    """What its holder gives to everybody."""
    home = stranger_home()
    try:
        gpg(home, "--import", octets=key.octets, passphrase=key.passphrase)
        return PublicKey(fingerprint=key.fingerprint, octets=gpg(home, "--export", key.fingerprint))
    finally:
        leave_home(home)


def agents_in(folder: str) -> list[str]:
    """The command lines of processes that have a home below the folder."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                line = file.read().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if folder in line:
            found.append(line)
    return found
