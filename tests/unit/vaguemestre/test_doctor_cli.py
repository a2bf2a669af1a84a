"""`vaguemestre doctor` on a small operator: well, and with one thing broken at a time."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.testing.small_operator import CITY, DOMAIN, SUBJECT, command, put_list, spool, work
from vaguemestre.config.load import load
from vaguemestre.config.schema import Configuration, ListenSettings
from vaguemestre.doctor import Port
from vaguemestre.doors import Ourselves, look_at_doors
from vaguemestre.examination import _quick_check
from vaguemestre.wiring import material_settings


def examine(config: Path, *arguments: str) -> tuple[int, dict[str, list[dict[str, str]]]]:
    status, said, _ = command(["doctor", "--json", *arguments, "--config", str(config)])
    told: dict[str, list[dict[str, str]]] = {}
    form = json.loads(said)
    assert form["status"] == ("OK", "WARN", "FAIL")[status]
    for check in form["checks"]:
        told.setdefault(check["name"], []).append(check)
    return status, told


def level(told: dict[str, list[dict[str, str]]], name: str) -> str:
    return told[name][0]["level"]


def test_a_new_operator_is_well_but_for_what_was_never_done(operator: Path) -> None:
    status, told = examine(operator, "--everything")
    assert status == 1
    assert [name for name in told if level(told, name) != "OK"] == ["directory", "backup"]
    assert {"configuration", "key kek", "certificate path", "revocation list", "trust list", "our entry", "disk",
            "database", "database file", "vault", "audit trail", "clock", "spool"} <= set(told)  # fmt: skip


def test_for_people_each_line_says_what_to_do(operator: Path) -> None:
    status, said, _ = command(["doctor", "--config", str(operator)])
    assert status == 1
    assert "→ vaguemestre directory import EXTRACT" in said
    assert said.splitlines()[0].split()[:2] == ["OK", "configuration"]


def test_a_backup_makes_the_doctor_content(operator: Path, tmp_path: Path) -> None:
    assert command(["backup", "create", "--out", str(tmp_path / "b"), "--config", str(operator)])[0] == 0
    assert level(examine(operator)[1], "backup") == "OK"


def test_a_configuration_that_cannot_be_read_ends_the_round(operator: Path) -> None:
    operator.write_text("[operator]\nnom = 1\n")
    status, told = examine(operator)
    assert (status, list(told)) == (2, ["configuration"])


def _open_key(folder: Path) -> None:
    (folder / "keys" / "kek.key").chmod(0o640)


def _no_key(folder: Path) -> None:
    (folder / "keys" / "kek.key").unlink()


def _other_kek(folder: Path) -> None:
    (folder / "keys" / "kek.key").write_bytes(bytes(32))


def _no_crls(folder: Path) -> None:
    shutil.rmtree(folder / "igc" / "crl")
    (folder / "igc" / "crl").mkdir()


def _no_database(folder: Path) -> None:
    (folder / "data" / "vaguemestre.db").unlink()


def _no_tables(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "data" / "vaguemestre.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = 'later'")
        database.commit()


def _no_list(folder: Path) -> None:
    (folder / "data" / "liste-blanche.xml").unlink()


def _forged_list(folder: Path) -> None:
    file = folder / "data" / "liste-blanche.xml"
    file.write_bytes(file.read_bytes().replace(CITY.encode(), b"autre.mssante.example"))


def _not_listed(folder: Path) -> None:
    put_list(folder, [(CITY, SUBJECT)])


def _old_list(folder: Path) -> None:
    put_list(folder, [(DOMAIN, SUBJECT)], at=datetime.now(UTC) - timedelta(days=8))


def _cut_trail(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "data" / "vaguemestre.db")) as database:
        database.execute("DELETE FROM audit_event")
        database.commit()


def _no_witness(folder: Path) -> None:
    shutil.rmtree(folder / "data" / "audit")


def _scratched_witness(folder: Path) -> None:
    (file,) = (folder / "data" / "audit").glob("*.jsonl")
    file.write_bytes(file.read_bytes().replace(b'"number":1', b'"number":2'))


@pytest.mark.parametrize(
    ("damage", "name"),
    [
        (_open_key, "key kek"),
        (_no_key, "key kek"),
        (_other_kek, "vault"),
        (_no_crls, "certificate path"),
        (_no_crls, "revocation list"),
        (_no_database, "database"),
        (_no_tables, "database"),
        (_no_list, "trust list"),
        (_forged_list, "trust list"),
        (_old_list, "trust list"),
        (_not_listed, "our entry"),
        (_cut_trail, "audit trail"),
        (_no_witness, "audit trail"),
        (_scratched_witness, "audit trail"),
    ],
)
def test_one_broken_thing_is_found_and_hides_nothing(
    operator: Path, damage: Callable[[Path], None], name: str
) -> None:
    damage(operator.parent)
    status, told = examine(operator)
    assert status == 2
    assert level(told, name) == "FAIL"
    assert "disk" in told
    assert "backup" in told


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE audit_event SET body = CAST('{}' AS BLOB) WHERE sequence = 3", "event 3 of"),
        ("UPDATE audit_event SET link = zeroblob(32) WHERE sequence = 5", "its checkpoint vouches for"),
        ("DELETE FROM audit_event WHERE sequence = 2", "is not tied"),
        ("UPDATE audit_event SET body = CAST('x' AS BLOB) WHERE sequence = 5", "event 5 of"),
    ],
)
def test_the_end_of_the_trail_is_tied_again(operator: Path, statement: str, words: str) -> None:
    from core.audit import AuditEvent, AuditKind
    from vaguemestre.wiring import Operator

    async def tell(operator: Operator) -> None:
        for _ in range(5):
            await operator.audit.append(AuditEvent(kind=AuditKind.LOGIN))

    work(operator, tell)
    assert level(examine(operator)[1], "audit trail") == "OK"
    with closing(sqlite3.connect(operator.parent / "data" / "vaguemestre.db")) as database:
        database.execute(statement)
        database.commit()
    (check,) = examine(operator)[1]["audit trail"]
    assert (check["level"], words in check["sentence"]) == ("FAIL", True)


def test_looking_makes_no_database(operator: Path) -> None:
    _no_database(operator.parent)
    examine(operator)
    assert not (operator.parent / "data" / "vaguemestre.db").exists()


def test_an_event_of_the_future_is_a_wrong_clock(operator: Path) -> None:
    from core.audit import AuditEvent, AuditKind
    from core.testing.clock import FakeClock
    from vaguemestre.wiring import Operator

    async def tell(operator: Operator) -> None:
        operator.audit._clock = FakeClock(datetime.now(UTC) + timedelta(hours=2))
        await operator.audit.append(AuditEvent(kind=AuditKind.LOGIN))

    work(operator, tell)
    status, told = examine(operator)
    assert (status, level(told, "clock")) == (2, "FAIL")
    assert "in the future" in told["clock"][0]["sentence"]


def test_letters_that_wait_too_long(operator: Path) -> None:
    work(operator, lambda operator: spool(operator, "aaaa", accepted_ago=5 * 3600.0))
    assert level(examine(operator)[1], "spool") == "WARN"


def test_a_list_that_waits_for_a_person(operator: Path) -> None:
    status = {"waiting": {"digest": "d", "lost": 4, "before": 9}}
    (operator.parent / "data" / "liste-blanche.xml.status").write_text(json.dumps(status))
    assert "waits for you" in examine(operator)[1]["trust list waiting"][0]["sentence"]


def test_a_damaged_database_file(operator: Path, tmp_path: Path) -> None:
    database = operator.parent / "data" / "vaguemestre.db"
    octets = bytearray(database.read_bytes())
    octets[8192:12288] = os.urandom(4096)
    (tmp_path / "bent.db").write_bytes(octets)
    assert _quick_check(tmp_path / "bent.db", None).level == 2
    (tmp_path / "no.db").write_bytes(b"no database" * 1000)
    assert "not a database" in _quick_check(tmp_path / "no.db", None).sentence
    assert _quick_check(tmp_path / "absent.db", None).level == 2


def test_a_large_database_is_read_for_a_while(operator: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "large.db")) as database:
        database.execute("CREATE TABLE t (a TEXT PRIMARY KEY, b TEXT)")
        database.executemany("INSERT INTO t VALUES (?, ?)", ((str(n), "x" * 20) for n in range(50_000)))
        database.commit()
    assert "--everything" in _quick_check(tmp_path / "large.db", -1.0).sentence


# --- doors --------------------------------------------------------------------------------------------------
async def _answering(greeting: bytes) -> tuple[asyncio.Server, int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


def _listen(**ports: int) -> ListenSettings:
    closed = dict.fromkeys(("submission", "submissions", "relay", "imap", "imaps", "management"), 0)
    return ListenSettings(host="127.0.0.1", **(closed | ports))


def _free_port() -> int:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


US = Ourselves(hostname=f"mss.{DOMAIN}", certificates=frozenset(), tls=None)


async def test_doors_of_ours_of_others_and_of_nobody() -> None:
    ours, relay = await _answering(f"220 mss.{DOMAIN} ESMTP\r\n".encode())
    others, imap = await _answering(b"* OK another\x1b[1m program\r\n")
    silent, submission = await _answering(b"")
    health, management = await _answering(b"HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\nok\n")
    free = _free_port()
    found = await look_at_doors(
        _listen(
            relay=relay,
            imap=imap,
            submission=submission,
            management=management,
            imaps=relay,
            submissions=free,
        ),
        US,
    )
    for server in (ours, others, silent, health):
        server.close()
    states = {name: state for name, _, state, _ in found}
    assert states == {
        "relay": Port.OURS,
        "imap": Port.OTHER,
        "submission": Port.OTHER,
        "management": Port.OURS,
        "imaps": Port.OTHER,
        "submissions": Port.FREE,
    }
    assert next(words for name, _, _, words in found if name == "imap") == "* OK another[1m program"


async def test_an_implicit_tls_door_is_known_by_its_certificate(operator: Path) -> None:
    from certs.trust_material import TrustMaterial
    from core.clock import SystemClock

    material = TrustMaterial.load(material_settings(load(operator, Configuration)), clock=SystemClock())

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=material.tls.submission_server())
    port = server.sockets[0].getsockname()[1]
    mine = frozenset({material.tls.identity.certificate_der()})
    for certificates, state in ((mine, Port.OURS), (frozenset(), Port.OTHER)):
        ourselves = Ourselves(
            hostname=f"mss.{DOMAIN}", certificates=certificates, tls=material.tls.relay_client()
        )
        ((_, _, found, _),) = await look_at_doors(_listen(imaps=port), ourselves)
        assert found is state
    plain, other = await _answering(b"220 no TLS here\r\n")
    ((_, _, found, _),) = await look_at_doors(_listen(imaps=other), ourselves)
    assert found is Port.OTHER
    server.close()
    plain.close()


async def test_a_free_port_and_one_that_is_only_held() -> None:
    ((_, _, state, _),) = await look_at_doors(_listen(relay=_free_port()), US)
    assert state is Port.FREE
    with closing(socket.socket()) as holder:
        holder.bind(("127.0.0.1", 0))
        ((_, _, state, words),) = await look_at_doors(_listen(relay=holder.getsockname()[1]), US)
    assert (state, words) == (Port.OTHER, "it holds the port and says nothing")
    other_machine = ListenSettings(host="192.0.2.1", submission=0, submissions=0, relay=25, imap=0, imaps=0,
                                   management=0)  # fmt: skip
    from vaguemestre.doors import _try_to_open

    assert _try_to_open(other_machine.host, 25)[0] is Port.FORBIDDEN
