"""A box moves: our Maildir export is served by a Dovecot, and imported from it over TLS, with flags and dates.

What it is: three formats in one round: ours, Dovecot's reading of our Maildir++, and IMAP. Dovecot is a process of
this test on its own port, with a certificate of an authority made here.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
import trustme

from core.address import Mailbox
from core.bal import BalKind
from core.folder import NewMessage
from core.testing import small_operator
from core.testing.small_operator import ANNE, DOMAIN, command, letter, work
from core.unit_of_work import UnitOfWork
from mta.imap.summary import summarise
from trust_directory.boxes import Actor
from vaguemestre.demo.space import free_ports
from vaguemestre.wiring import Operator

LOUISE = f"louise.test-goeland@{DOMAIN}"
PASSWORD = "houle-grise"
FOLDERS = ("INBOX", "Sent", "Réseau ville/Avis 2026", "Éléments envoyés")
FLAGS = (
    frozenset[str](),
    frozenset({"\\Seen", "$label1"}),
    frozenset({"\\Flagged", "\\Answered", "\\Draft"}),
)
_CONFIGURATION = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = imap
listen = 127.0.0.1
ssl = required
ssl_cert = <{folder}/server.pem
ssl_key = <{folder}/server.key
mail_location = maildir:{folder}/Maildir
first_valid_uid = 1
first_valid_gid = 1
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/home
}}
namespace inbox {{
  inbox = yes
  separator = {separator}
  prefix = {prefix}
  mailbox "R&AOk-seau" {{
    special_use = \\Junk
  }}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = 0
  }}
  inet_listener imaps {{
    port = {port}
    ssl = yes
  }}
}}
service stats {{
  chroot =
}}
"""


@dataclass(frozen=True, slots=True)
class OtherServer:
    """A Dovecot with one Maildir."""

    port: int
    authority: Path
    password_file: Path


@pytest.fixture
def operator(tmp_path: Path) -> Path:
    """Anne's box with letters; Louise's is empty."""
    small_operator.build(tmp_path / "operator")
    config = tmp_path / "operator" / "vaguemestre.toml"

    async def fill(opened: Operator) -> None:
        await opened.boxes.create(
            Mailbox.parse(LOUISE), BalKind.PERSONNELLE, name="Dr Louise", by=Actor("test")
        )
        bal = await opened.accounts.bal(ANNE)
        assert bal is not None
        store = opened.mail_store
        for name in FOLDERS:
            folder = await store.folder(bal.bal_id, name) or await store.create_folder(bal.bal_id, name)
            for number in range(7):
                octets = letter(f"texte {number} de {name}\r\nFrom la suite", subject=f"s{number}")
                stored = await opened.blobs.seal(octets)
                unit = UnitOfWork()
                opened.blobs.keep(unit, stored)
                date = 1_700_000_000 + number
                message = NewMessage(
                    bal_id=bal.bal_id,
                    folder_id=folder.folder_id,
                    octets=stored,
                    summary=summarise(octets, date),
                    flags=FLAGS[number % len(FLAGS)],
                    internal_date=date,
                )
                store.add(unit, message)
                await opened.committer.commit(unit)

    work(config, fill)
    return config


@pytest.fixture(params=[("/", ""), (".", "INBOX.")], ids=["slash", "courier"])
def other(request: pytest.FixtureRequest, operator: Path) -> Iterator[OtherServer]:
    """A Dovecot that serves our export of Anne's box."""
    separator, prefix = request.param
    folder = Path(tempfile.mkdtemp(prefix="vm-import-"))
    folder.chmod(0o755)
    user = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    exported = command(
        ["export", "maildir", str(ANNE), "--out", str(folder / "Maildir"), "--config", str(operator)]
    )
    assert exported[0] == 0, exported
    for path in (folder / "Maildir", *(folder / "Maildir").rglob("*")):
        os.chown(path, user.pw_uid, user.pw_gid)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(folder / "server.key")
    for part in certificate.cert_chain_pems:
        part.write_to_path(folder / "server.pem", append=True)
    (folder / "password").write_text(PASSWORD + "\n")
    (port,) = free_ports(1)
    configuration = _CONFIGURATION.format(
        folder=folder, password=PASSWORD, uid=user.pw_uid, gid=user.pw_gid,
        port=port, separator=separator, prefix=prefix,
    )  # fmt: skip
    (folder / "dovecot.conf").write_text(configuration)
    process = subprocess.Popen(["/usr/sbin/dovecot", "-F", "-c", str(folder / "dovecot.conf")])
    try:
        _wait_for(port)
        yield OtherServer(port, folder / "ca.pem", folder / "password")
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
    raise AssertionError("Dovecot does not listen")


def content(config: Path, address: str) -> set[tuple[str, str, frozenset[str], int]]:
    """(folder, digest, flags, date) of every letter of a box."""

    async def look(operator: Operator) -> set[tuple[str, str, frozenset[str], int]]:
        bal = await operator.accounts.bal(Mailbox.parse(address))
        assert bal is not None
        store = operator.mail_store
        found = set()
        for folder in await store.folders(bal.bal_id):
            for row in (await store.changes(folder.folder_id)).rows:
                whole = await store.octets(folder.folder_id, row.uid)
                found.add((folder.name, sha256(whole).hexdigest(), row.flags, row.internal_date))
        return found

    return work(config, look)


def imported(config: Path, server: OtherServer, *more: str) -> tuple[int, str, str]:
    return command(
        ["import", "imap", LOUISE, "--host", "localhost", "--port", str(server.port), "--user", "louise",
         "--password-file", str(server.password_file), "--ca", str(server.authority), *more,
         "--config", str(config)]
    )  # fmt: skip


def test_a_box_moves_over_imap(operator: Path, other: OtherServer) -> None:
    status, said, wrong = imported(operator, other)
    assert status == 0, (said, wrong)
    assert said.startswith("28 letters are imported")
    expected = {
        ("Sent" if folder == "Éléments envoyés" else folder, *rest)
        for folder, *rest in content(operator, str(ANNE))
    }
    assert content(operator, LOUISE) == expected
    again = imported(operator, other)
    assert (again[0], again[1].splitlines()) == (0, ["0 letters are imported, 0 octets.", "28 already-there"])


def test_another_server_that_is_refused_or_refuses(operator: Path, other: OtherServer) -> None:
    wrong = other.password_file.with_name("wrong")
    wrong.write_text("rien\n")
    status, _, said = imported(operator, OtherServer(other.port, other.authority, wrong))
    assert (status, "refuses this user" in said) == (78, True)
    stranger = other.authority.with_name("stranger.pem")
    trustme.CA().cert_pem.write_to_path(stranger)
    status, _, said = imported(operator, OtherServer(other.port, stranger, other.password_file))
    assert (status, "--ca" in said) == (78, True)
    nobody = OtherServer(free_ports(1)[0], other.authority, other.password_file)
    assert imported(operator, nobody)[0] == 75
    missing = OtherServer(other.port, other.authority.with_name("missing"), other.password_file)
    assert imported(operator, missing)[0] == 78
    assert content(operator, LOUISE) == set()
