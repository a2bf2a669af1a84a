"""The audit trail on both engines: order of commits, secrecy, erasure, and the witness outside."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from core.audit import AuditEvent, AuditKind
from core.errors import ConfigurationError, LocalProtocolError, ReplyError
from core.reply import MAILBOX_FULL
from core.unit_of_work import Change, UnitOfWork
from mailstore.keys import FileKek
from vaguemestre.observability import audit_log
from vaguemestre.observability.audit_chain import Damage, VerifyReport
from vaguemestre.observability.audit_checkpoints import SigningKey
from vaguemestre.observability.audit_log import AuditLog, AuditSettings

ANNE = "anne.test-rivage@ch-rivage.mssante.example"
PAUL = "paul.test-dune@cabinet.mssante.example"
MESSAGE_ID = "<louise-test-goeland@ch-rivage.mssante.example>"
_lives = itertools.count(1)


class Trail:
    """An audit log on a mail room, and its verification."""

    def __init__(self, room: Any, folder: Path, slot: str = "rivage/0") -> None:
        self.room, self.folder, self.slot = room, folder, slot
        if not (folder / "audit.pem").exists():
            SigningKey.create(folder / "audit.pem")
        self.log = AuditLog(
            database=room.database,
            committer=room.committer,
            vault=room.vault,
            clock=room.clock,
            settings=AuditSettings(
                slot=slot,
                started=str(next(_lives)),
                checkpoint_file=folder / f"{slot.replace('/', '-')}.jsonl",
                signing_key=folder / "audit.pem",
            ),
        )
        room.committer.register(self.log)

    async def open(self) -> Trail:
        await self.room.vault.open()
        await self.log.open()
        return self

    async def write(self, count: int, **values: Any) -> None:
        for number in range(count):
            await self.log.append(event(facts={"n": str(number)}, **values))

    async def verify(self, *slots: str) -> VerifyReport:
        files = {slot: self.folder / f"{slot.replace('/', '-')}.jsonl" for slot in (slots or (self.slot,))}
        return await audit_log.verify(
            self.room.database,
            self.room.vault,
            checkpoint_files=files,
            public_key=self.folder / "audit.pem.pub",
        )


def event(kind: AuditKind = AuditKind.SPOOLED, **values: Any) -> AuditEvent:
    whole = {
        "spool_id": "s1",
        "message_id": MESSAGE_ID,
        "persons": {"reverse-path": ANNE, "forward-path-0": PAUL, "login": ANNE},
        **values,
    }
    return AuditEvent(kind=kind, **whole)


async def test_a_letter_s_life_is_read_back(mail: Any, tmp_path: Path) -> None:
    trail = await Trail(mail, tmp_path).open()
    await trail.log.append(event(facts={"peer": "CN=mss.ch-rivage.mssante.example"}))
    mail.clock.advance(1)
    await trail.log.append(AuditEvent(kind=AuditKind.RELAYED, spool_id="s1"))
    await trail.log.append(AuditEvent(kind=AuditKind.LOGIN, persons={"login": PAUL}))
    for asked in ({"message_id": MESSAGE_ID}, {"spool_id": "s1"}):
        first, second = await trail.log.events_of(**asked)
        assert first.event == event(facts={"peer": "CN=mss.ch-rivage.mssante.example"})
        assert second.event.kind is AuditKind.RELAYED
        assert (first.sequence, second.sequence) == (1, 2)
        assert second.at - first.at == pytest.approx(1)
        assert first.writer == trail.log.writer
    assert await trail.log.events_of(message_id="<other@x>") == []
    assert await trail.log.events_of() == []


async def test_nobody_s_name_lies_in_clear(mail: Any, tmp_path: Path) -> None:
    trail = await Trail(mail, tmp_path).open()
    await trail.write(3)
    await trail.log.checkpoint()
    everything = (tmp_path / "rivage-0.jsonl").read_bytes()
    for table in ("audit_event", "audit_head", "audit_subject", "audit_checkpoint"):
        for row in await mail.sql(f"SELECT * FROM {table}"):
            everything += b"|".join(
                bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
                for value in row
            )
    assert b"spooled" in everything
    for canary in (b"anne", b"paul", b"louise", b"goeland", b"test-", b"cabinet"):
        assert canary not in everything.lower()


async def test_an_erased_person_is_unreadable_and_the_chain_is_whole(mail: Any, tmp_path: Path) -> None:
    trail = await Trail(mail, tmp_path).open()
    await trail.write(2)
    await trail.log.checkpoint()
    await trail.log.erase(ANNE)
    [first, _] = await trail.log.events_of(spool_id="s1")
    assert ANNE not in first.event.persons.values()
    assert "(erased)" in first.event.persons.values()
    assert first.event.persons["forward-path-0"] == PAUL
    assert (await trail.verify()).is_whole
    await trail.write(1)
    assert (await trail.log.events_of(spool_id="s1"))[-1].event.persons["login"] == ANNE


async def test_the_chain_has_the_order_of_commits_and_skips_what_was_undone(
    mail: Any, tmp_path: Path
) -> None:
    trail = await Trail(mail, tmp_path).open()

    class Refuses:
        name = "refuses"

        async def apply(self, connection: Any, changes: Any) -> None:
            raise ReplyError(MAILBOX_FULL)

    class Refused(Change):
        applier: ClassVar[str] = "refuses"

    mail.committer.register(Refuses())

    async def commit(number: int) -> None:
        unit = UnitOfWork()
        who = f"person{number}@ch-rivage.mssante.example"
        trail.log.record(unit, event(facts={"n": str(number)}, persons={"login": who}))
        if number % 3 == 1:
            unit.add(Refused())
        await mail.committer.commit(unit)

    results = await asyncio.gather(*(commit(number) for number in range(12)), return_exceptions=True)
    assert sum(result is None for result in results) == 8
    events = await trail.log.events_of(spool_id="s1")
    by_sequence = sorted(events, key=lambda recorded: recorded.sequence)
    assert [recorded.sequence for recorded in by_sequence] == list(range(1, 9))
    assert [recorded.event.facts["n"] for recorded in by_sequence] == [
        str(number) for number in range(12) if number % 3 != 1
    ]
    # a person whose first event was undone is still readable in the next one
    await trail.log.append(event(persons={"login": "person1@ch-rivage.mssante.example"}, spool_id="s2"))
    [again] = [e for e in await trail.log.events_of(spool_id="s2") if e.event.spool_id == "s2"]
    assert again.event.persons["login"].startswith("person1@")
    assert (await trail.verify()).is_whole


async def test_two_lives_and_two_nodes_are_whole_together(
    mail: Any, another_room: Callable[..., Any], kek: FileKek, tmp_path: Path
) -> None:
    first = await Trail(mail, tmp_path).open()
    await first.write(5)  # killed before its checkpoint: the next life vouches for it
    second = await Trail(another_room(kek), tmp_path).open()
    await second.write(3)
    other = await Trail(another_room(kek), tmp_path, slot="ville/0").open()
    await asyncio.gather(second.write(10), other.write(10))
    await second.log.close()
    await other.log.close()
    report = await second.verify("rivage/0", "ville/0")
    assert report.is_whole, report.findings
    assert (report.events, report.writers) == (28, 3)
    await mail.sql(f"DELETE FROM audit_event WHERE writer = '{first.log.writer}' AND sequence = 5")
    await mail.sql(f"UPDATE audit_head SET sequence = 4 WHERE writer = '{first.log.writer}'")
    [finding] = (await second.verify("rivage/0", "ville/0")).findings
    assert (finding.damage, finding.writer, finding.sequence) == (Damage.TAIL_CUT, first.log.writer, 5)


async def test_verified_beside_a_process_that_writes(mail: Any, tmp_path: Path) -> None:
    trail = await Trail(mail, tmp_path).open()

    async def go_on() -> None:
        for _ in range(15):
            await trail.write(2)
            await trail.log.checkpoint()

    writing = asyncio.ensure_future(go_on())
    while not writing.done():
        report = await trail.verify()
        assert report.is_whole, report.findings
    await writing
    assert (await trail.verify()).events == 30


async def test_a_restart_vouches_only_for_what_no_checkpoint_named(
    mail: Any, another_room: Callable[..., Any], kek: FileKek, tmp_path: Path
) -> None:
    for _ in range(4):
        life = await Trail(another_room(kek), tmp_path).open()
        await life.write(2)
        await life.log.close()
    lines = (tmp_path / "rivage-0.jsonl").read_bytes().splitlines()
    assert [len(json.loads(line)["heads"]) for line in lines] == [1, 1, 1, 1]
    killed = await Trail(another_room(kek), tmp_path).open()
    await killed.write(1)
    life = await Trail(another_room(kek), tmp_path).open()
    last = (tmp_path / "rivage-0.jsonl").read_bytes().splitlines()[-1]
    assert list(json.loads(last)["heads"]) == [killed.log.writer]
    assert (await life.verify()).is_whole


async def test_nothing_new_is_nothing_to_vouch_for(mail: Any, tmp_path: Path) -> None:
    trail = await Trail(mail, tmp_path).open()
    await trail.write(1)
    for _ in range(3):
        await trail.log.checkpoint()
    assert len((tmp_path / "rivage-0.jsonl").read_bytes().splitlines()) == 1


async def test_a_line_that_a_crash_left_unfinished_is_removed(mail: Any, tmp_path: Path) -> None:
    trail = await Trail(mail, tmp_path).open()
    await trail.write(1)
    await trail.log.checkpoint()
    with (tmp_path / "rivage-0.jsonl").open("ab") as file:
        file.write(b'{"at":17')
    await trail.write(1)
    await trail.log.checkpoint()
    assert (await trail.verify()).is_whole


async def test_a_month_has_its_partition(mail: Any, tmp_path: Path) -> None:
    trail = await Trail(mail, tmp_path).open()
    await trail.write(1)
    mail.clock.advance(31 * 86_400)
    await trail.log.checkpoint()
    await trail.write(1)
    assert await mail.sql("SELECT DISTINCT month FROM audit_event ORDER BY month") == [(202603,), (202604,)]
    if not mail.database.is_sqlite:
        [(count,)] = await mail.sql("SELECT count(*) FROM audit_event_other")
        assert count == 0
    assert (await trail.verify()).is_whole


async def test_the_signing_key_is_ours_alone(mail: Any, tmp_path: Path) -> None:
    await Trail(mail, tmp_path).open()
    key = tmp_path / "audit.pem"
    assert key.stat().st_mode & 0o777 == 0o600
    key.chmod(0o644)
    with pytest.raises(ConfigurationError):
        await Trail(mail_again(mail), tmp_path, slot="ville/0").open()


def mail_again(mail: Any) -> Any:
    """The same room, on whose committer the second log may register under the same name."""
    mail.committer._appliers.pop("audit")
    return mail


async def test_a_trail_that_is_not_open_takes_nothing(mail: Any, tmp_path: Path) -> None:
    trail = Trail(mail, tmp_path)
    with pytest.raises(LocalProtocolError):
        await trail.log.append(event())
    with pytest.raises(LocalProtocolError):
        await trail.log.checkpoint()
    await trail.log.close()
