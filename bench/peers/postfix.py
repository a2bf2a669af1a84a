"""Postfix → LMTP → Dovecot: the pair a hospital would otherwise run.

What it is: an own instance (configuration, queue and data directory in the folder of the run; /etc/postfix and
the system's service are never touched) with one submission listener of implicit TLS, SASL by Dovecot, senders
held to their own box as we hold them, and LMTP to Dovecot for the domain. Everything else is Postfix's default:
the queue file is synced before 250, no chroot, no debug, no milter. Its log goes to a file through its own
postlogd, as ours does through us: counted, 5 to 10 % of its CPU here.
What it is not: unprivileged: Postfix's master must be started by root, and `missing()` says so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from bench.keeper import Keeper
from bench.peers.dovecot import dovecot_missing, dovecot_version, start_dovecot
from bench.servers import DOMAIN, HOST, BenchError, Ground, Running, Variant, free_ports, wait_for_ports

_MAIN = """\
compatibility_level = 3.6
config_directory = {folder}/config
queue_directory = {folder}/queue
data_directory = {folder}/data
mail_owner = postfix
setgid_group = postdrop
myhostname = mail.{domain}
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks =
maillog_file = {folder}/log/postfix.log
maillog_file_prefixes = {folder}
biff = no
alias_maps =
alias_database =
virtual_mailbox_domains = {domain}
virtual_mailbox_maps = hash:{folder}/config/boxes
virtual_transport = lmtp:unix:{lmtp}
smtpd_tls_security_level = encrypt
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {sasl}
smtpd_sasl_security_options = noanonymous
smtpd_sender_login_maps = hash:{folder}/config/senders
smtpd_sender_restrictions = reject_sender_login_mismatch
smtpd_relay_restrictions = permit_sasl_authenticated, reject
"""

# The services of Debian's master.cf that this configuration uses, all without chroot.
_MASTER = """\
{host}:{port} inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp      unix  - - n - - smtp
relay     unix  - - n - - smtp
showq     unix  n - n - - showq
error     unix  - - n - - error
retry     unix  - - n - - error
discard   unix  - - n - - discard
lmtp      unix  - - n - - lmtp
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""


class PostfixAndDovecot:
    """The peer of the submission and reading rows. See the module."""

    def __init__(self, name: str = "Postfix+Dovecot") -> None:
        self._name = name

    @property
    def name(self) -> str:
        """See `Server.name`."""
        return self._name

    def missing(self) -> str | None:
        """See `Server.missing`."""
        if shutil.which("postfix", path=_path()) is None:
            return "postfix is not installed (Debian: postfix)"
        if os.geteuid() != 0:
            return "Postfix's master must be started by root: run the benchmark as root or with sudo"
        return dovecot_missing()

    def start(self, ground: Ground) -> Running:
        """See `Server.start`."""
        submissions, imaps = free_ports(2)
        site = start_dovecot(ground, imaps)
        try:
            wait_for_ports([site.keeper], [imaps])
            postfix = self._start_postfix(ground, submissions, site.lmtp, site.sasl, site.variants)
        except BaseException:
            site.keeper.stop()
            raise
        return Running(
            name=self.name, submissions=submissions, imaps=imaps, variants=site.variants,
            keepers=(postfix, site.keeper), authority=ground.tls.authority,
            versions={"Postfix": _postconf("mail_version"), "Dovecot": dovecot_version()},
        )  # fmt: skip

    def _start_postfix(
        self, ground: Ground, port: int, lmtp: Path, sasl: Path, variants: tuple[Variant, ...]
    ) -> Keeper:
        folder = ground.folder / "postfix"
        config = folder / "config"
        for path in (folder, config, folder / "queue", folder / "data", folder / "log"):
            path.mkdir()
            path.chmod(0o755)
        shutil.chown(folder / "data", "postfix", "postfix")
        (config / "main.cf").write_text(
            _MAIN.format(
                folder=folder, domain=DOMAIN, lmtp=lmtp, sasl=sasl, certificate=ground.tls.certificate,
                key=ground.tls.key,
            )
        )  # fmt: skip
        (config / "master.cf").write_text(_MASTER.format(host=HOST, port=port))
        addresses = [
            account.address for variant in variants for account in (*variant.senders, variant.reader)
        ]
        (config / "boxes").write_text("".join(f"{address} {address}\n" for address in addresses))
        (config / "senders").write_text("".join(f"{address} {address}\n" for address in addresses))
        for table in ("boxes", "senders"):
            _run(["postmap", "-c", str(config), f"hash:{config / table}"])
        keeper = Keeper(["postfix", "-c", str(config), "start-fg"], log=folder / "started.log",
                        environment={**os.environ, "PATH": _path()})  # fmt: skip
        try:
            wait_for_ports([keeper], [port])
        except BaseException:
            keeper.stop()
            raise
        return keeper


def _path() -> str:
    return os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin"


def _postconf(name: str) -> str:
    return _run(["postconf", "-d", "-h", name]).strip()


def _run(command: list[str]) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PATH": _path()}
    )
    if done.returncode:
        raise BenchError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
