"""The neighbours are strangers: a hospital of ours beside servers of other hands, with certificates of one authority.

What it is: `space` (our hospital runs; the city's place is taken by a Postfix, see `postfix`), `dovecot`. What
it is not: skipped anywhere; the Debian packages are installed by `make test`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from vaguemestre.demo.cast import CITY, HOSPITAL, HOSPITAL_DOMAIN
from vaguemestre.demo.space import OperatorProcess, Space, free_ports

PATH = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin"
PATIENCE = 30.0

_MAIN = """\
compatibility_level = 3.6
config_directory = {folder}/config
queue_directory = {folder}/queue
data_directory = {folder}/data
mail_owner = postfix
setgid_group = postdrop
myhostname = {hostname}
myorigin = {domain}
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
maillog_file = {folder}/log/postfix.log
maillog_file_prefixes = {folder}
biff = no
alias_maps =
alias_database =
message_size_limit = 30000000
virtual_mailbox_domains = {domain}
virtual_mailbox_base = {folder}/boxes
virtual_mailbox_maps = static:all/
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = {uid}
virtual_transport = virtual
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_tls_security_level = encrypt
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_tls_CAfile = {anchors}
smtpd_tls_ask_ccert = yes
smtpd_tls_received_header = yes
smtpd_tls_loglevel = 1
smtp_tls_security_level = encrypt
smtp_tls_cert_file = {certificate}
smtp_tls_key_file = {key}
smtp_tls_CAfile = {anchors}
smtp_tls_loglevel = 1
smtp_generic_maps =
smtputf8_enable = yes
strict_smtputf8 = no
header_checks =
always_add_missing_headers = no
local_header_rewrite_clients =
transport_maps = inline:{{ {ours}=smtp:[127.0.0.1]:{our_port} }}
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 1s
"""

_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 1 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
smtp      unix  - - n - - smtp
showq     unix  n - n - - showq
error     unix  - - n - - error
retry     unix  - - n - - error
discard   unix  - - n - - discard
virtual   unix  - n n - - virtual
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""


@dataclass(slots=True)
class Postfix:
    """The other operator: an own instance with an own queue; its mailbox is a Maildir."""

    folder: Path
    port: int

    @property
    def log(self) -> str:
        """What it wrote so far."""
        file = self.folder / "log" / "postfix.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def stored(self) -> list[bytes]:
        """Every letter it delivered."""
        return [path.read_bytes() for path in (self.folder / "boxes" / "all" / "new").glob("*")]

    def with_id(self, message_id: str) -> bytes | None:
        """The delivered letter of that Message-ID, once it is there."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for octets in self.stored():
                if message_id.encode() in octets:
                    return octets
            time.sleep(0.1)
        return None


@pytest.fixture(scope="session")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    """Our hospital, running; Postfix has the city's name, domain, certificate and port."""
    built = Space(tmp_path_factory.mktemp("interop"))
    with ThreadPoolExecutor(1) as pool:  # the product's commands make a loop of their own
        pool.submit(built.build, lambda said: None).result()
    hospital = built.operators["hospital"]
    hospital.write(letters=replace(hospital.configuration.letters, recipients=1000))
    hospital.start()
    try:
        yield built
    finally:
        hospital.stop()


@pytest.fixture(scope="session")
def hospital(space: Space) -> OperatorProcess:
    """Our operator."""
    return space.operators["hospital"]


@pytest.fixture(scope="session")
def postfix(space: Space) -> Iterator[Postfix]:
    """Postfix as the city's operator; its master needs root, as in operation."""
    folder = Path(tempfile.mkdtemp(prefix="vm-postfix-"))
    folder.chmod(0o755)
    made = Postfix(folder, space.operators["city"].ports["relay"])
    process = _start_postfix(space, made)
    try:
        _wait_for_port(made.port, process)
        yield made
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _start_postfix(space: Space, made: Postfix) -> subprocess.Popen[bytes]:
    folder = made.folder
    for name in ("config", "queue", "data", "log", "boxes"):
        (folder / name).mkdir()
    shutil.chown(folder / "data", "postfix", "postfix")
    shutil.chown(folder / "boxes", "nobody", "nogroup")
    for kind in ("pem", "key"):
        shutil.copy(
            space.folder / "city" / "keys" / f"operator.{kind}", folder / "config" / f"operator.{kind}"
        )
    entry = pwd.getpwnam("nobody")
    (folder / "config" / "main.cf").write_text(
        _MAIN.format(
            folder=folder, hostname=CITY.hostname, domain=CITY.domain, uid=entry.pw_uid, gid=entry.pw_gid,
            certificate=folder / "config" / "operator.pem", key=folder / "config" / "operator.key",
            anchors=space.ca, ours=HOSPITAL_DOMAIN,
            our_port=space.operators[HOSPITAL.key].ports["relay"],
        )
    )  # fmt: skip
    (folder / "config" / "master.cf").write_text(_MASTER.format(port=made.port))
    return subprocess.Popen(
        ["postfix", "-c", str(folder / "config"), "start-fg"],
        stdout=(folder / "log" / "started").open("wb"), stderr=subprocess.STDOUT,
        env={**os.environ, "PATH": PATH},
    )  # fmt: skip


def _wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended at its start"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"nothing listens on {port}")


@pytest.fixture(scope="session")
def spare_ports() -> list[int]:
    """Ports for a test's own servers."""
    return free_ports(4)
