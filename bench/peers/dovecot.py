"""Dovecot as a peer: IMAP over implicit TLS, LMTP, and the SASL service that Postfix asks.

What it is: a configuration in the folder of the run (its own base and state directories; /etc/dovecot is never
read) and the boxes in three formats: maildir, sdbox, mdbox. What it is not: a tuned Dovecot nor a slowed one:
defaults of the package but for ports, paths, the user everything runs as, and the removal of chroot, which an
unprivileged server cannot do. `mail_fsync` is the default (optimized).
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from argon2 import PasswordHasher

from bench.keeper import Keeper
from bench.servers import HOST, PASSWORD, Ground, Variant

FORMATS = ("maildir", "sdbox", "mdbox")
UNPRIVILEGED = "nobody"  # who serves when the benchmark is run by root: Dovecot refuses to read mail as root
SAME_AS_OURS = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)  # the argon2id that we use

_CONFIG = """\
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
protocols = imap lmtp
listen = {host}
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
mail_uid = {uid}
mail_gid = {gid}
first_valid_uid = {uid}
first_valid_gid = {gid}
ssl = required
ssl_cert = <{certificate}
ssl_key = <{key}
auth_mechanisms = plain
passdb {{
  driver = passwd-file
  args = username_format=%u {folder}/users
}}
userdb {{
  driver = passwd-file
  args = username_format=%u {folder}/users
}}
namespace inbox {{
  inbox = yes
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = 0
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
service auth {{
  unix_listener {folder}/sasl {{
    mode = 0666
  }}
}}
service lmtp {{
  unix_listener {folder}/lmtp {{
    mode = 0666
  }}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DovecotSite:
    """A Dovecot that was started: its keeper, its boxes by format, and the two sockets Postfix needs."""

    keeper: Keeper
    variants: tuple[Variant, ...]
    lmtp: Path
    sasl: Path


def serving_user() -> tuple[str, int, int]:
    """Name, uid and gid that Dovecot runs as: the caller, or an unprivileged user when the caller is root."""
    entry = pwd.getpwnam(UNPRIVILEGED) if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    return entry.pw_name, entry.pw_uid, entry.pw_gid


def dovecot_missing() -> str | None:
    """Why Dovecot cannot run here; None when it can."""
    if shutil.which("dovecot", path=_path()) is None:
        return "dovecot is not installed (Debian: dovecot-imapd, dovecot-lmtpd)"
    if not Path("/usr/lib/dovecot/lmtp").exists():
        return "Dovecot's LMTP server is not installed (Debian: dovecot-lmtpd)"
    return None


def dovecot_version() -> str:
    """What `dovecot --version` says."""
    return subprocess.run(
        [_program(), "--version"], capture_output=True, text=True, check=True
    ).stdout.split()[0]


def start_dovecot(ground: Ground, imaps: int) -> DovecotSite:
    """Write the configuration and the boxes, start the server. The caller waits for its port."""
    name, uid, gid = serving_user()
    folder = ground.folder / "dovecot"
    for path in (folder, folder / "run", folder / "state", folder / "boxes"):
        path.mkdir()
        os.chown(path, uid, gid)
    variants = tuple(ground.variant(kind) for kind in FORMATS)
    _write_users(folder, variants, uid, gid)
    key = folder / "key.pem"
    shutil.copy(ground.tls.key, key)
    os.chown(key, uid, gid)
    config = folder / "dovecot.conf"
    group = subprocess.run(["id", "-gn", name], capture_output=True, text=True, check=True).stdout.strip()
    config.write_text(
        _CONFIG.format(
            folder=folder, host=HOST, user=name, group=group, uid=uid, gid=gid, imaps=imaps, key=key,
            certificate=ground.tls.certificate,
        )
    )  # fmt: skip
    keeper = Keeper(
        [_program(), "-F", "-c", str(config)], log=folder / "started.log",
        user=(uid, gid) if os.geteuid() == 0 else None,
    )  # fmt: skip
    return DovecotSite(keeper=keeper, variants=variants, lmtp=folder / "lmtp", sasl=folder / "sasl")


def _write_users(folder: Path, variants: tuple[Variant, ...], uid: int, gid: int) -> None:
    hashed = "{ARGON2ID}" + SAME_AS_OURS.hash(PASSWORD)
    lines = []
    for variant in variants:
        for account in (*variant.senders, variant.reader):
            home = folder / "boxes" / account.address
            lines.append(
                f"{account.address}:{hashed}:{uid}:{gid}::{home}::userdb_mail={variant.name}:~/mail\n"
            )
    users = folder / "users"
    users.write_text("".join(lines))
    os.chown(users, uid, gid)


def _path() -> str:
    return os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin"


def _program() -> str:
    return shutil.which("dovecot", path=_path()) or "dovecot"
