"""Group commit on both engines: order kept, results set, a failing unit alone, nothing half-written."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from core.errors import LocalProtocolError, PermanentError, StoreError
from core.unit_of_work import Change, UnitOfWork
from vaguemestre.committer import MAX_BATCH_UNITS, GroupCommitter
from vaguemestre.database import Database


@dataclass(slots=True)
class Note(Change):
    """Write a row named `name`; `position` tells when it was written in its batch."""

    applier: ClassVar[str] = "notes"
    name: str
    fault: str = ""
    position: int = -1
    weight: int = 1


class NoteApplier:
    """Writes notes into a table that is there anyway; fails as told."""

    name = "notes"

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.gate: asyncio.Event | None = None
        self.entered = asyncio.Event()

    async def apply(self, connection: Any, changes: Sequence[Change]) -> None:
        notes = [change for change in changes if isinstance(change, Note)]
        self.calls.append([note.name for note in notes])
        self.entered.set()
        if self.gate is not None:
            await self.gate.wait()
        for position, note in enumerate(notes):
            note.position = position
            await connection.exec_driver_sql(
                f"INSERT INTO vault_key VALUES ('{note.name}', 'k', 'w', {position})"
            )
            if note.fault == "ours":
                raise PermanentError("refused")
            if note.fault == "bug":
                raise KeyError(note.name)
            if note.fault == "sql":
                await connection.exec_driver_sql("INSERT INTO nowhere VALUES (1)")


class LaterApplier(NoteApplier):
    """A second kind of change."""

    name = "later"

    async def apply(self, connection: Any, changes: Sequence[Change]) -> None:
        self.calls.append([change.name for change in changes if isinstance(change, Later)])


@dataclass(slots=True)
class Later(Change):
    """A change of the second applier."""

    applier: ClassVar[str] = "later"
    name: str


def _unit(*changes: Change) -> UnitOfWork:
    unit = UnitOfWork()
    for change in changes:
        unit.add(change)
    return unit


async def _names(database: Database) -> list[str]:
    async with database.read() as connection:
        return sorted((await connection.exec_driver_sql("SELECT name FROM vault_key")).scalars())


async def test_units_that_wait_are_written_together_in_order(database: Database) -> None:
    applier, later = NoteApplier(), LaterApplier()
    committer = GroupCommitter(database, [applier, later])
    done: list[str] = []
    applier.gate = asyncio.Event()
    first = asyncio.create_task(committer.commit(_unit(Note("a"))))
    await applier.entered.wait()
    waiting = []
    for name in "bcdef":
        unit = _unit(Later(name), Note(name))
        unit.after_commit(lambda name=name: done.append(name))
        waiting.append(asyncio.create_task(committer.commit(unit)))
    await asyncio.sleep(0)
    assert not first.done()
    applier.gate.set()
    await asyncio.gather(first, *waiting)
    assert applier.calls == [["a"], ["b", "c", "d", "e", "f"]]
    assert later.calls == [["b", "c", "d", "e", "f"]]
    assert done == list("bcdef")
    assert await _names(database) == list("abcdef")
    assert committer.batches == 2


@pytest.mark.parametrize(
    ("fault", "expected"), [("ours", PermanentError), ("bug", StoreError), ("sql", StoreError)]
)
async def test_a_failing_unit_fails_alone(database: Database, fault: str, expected: type[Exception]) -> None:
    applier = NoteApplier()
    committer = GroupCommitter(database, [applier])
    notes = {name: Note(name) for name in "abcde"}
    notes["c"].fault = fault
    called: list[str] = []
    units = {}
    for name, note in notes.items():
        units[name] = _unit(note, Note(name * 2))
        units[name].after_commit(lambda name=name: called.append(name))
    results = await asyncio.gather(
        *(committer.commit(unit) for unit in units.values()), return_exceptions=True
    )
    assert [type(result) for result in results] == [type(None), type(None), expected, type(None), type(None)]
    assert called == ["a", "b", "d", "e"]
    assert await _names(database) == sorted(["a", "aa", "b", "bb", "d", "dd", "e", "ee"])


async def test_a_single_failing_unit_is_not_played_twice(database: Database) -> None:
    applier = NoteApplier()
    committer = GroupCommitter(database, [applier])
    with pytest.raises(PermanentError):
        await committer.commit(_unit(Note("a", fault="ours")))
    assert len(applier.calls) == 1
    await committer.commit(_unit(Note("a")))
    assert await _names(database) == ["a"]


async def test_any_mix_of_failures_leaves_exactly_the_good_units(database: Database) -> None:
    applier = NoteApplier()
    committer = GroupCommitter(database, [applier])
    chance = random.Random(20260302)
    expected = set()
    for turn in range(6):
        tasks = {}
        for number in range(12):
            name = f"{turn:02}{number:02}"
            fault = chance.choice(["", "", "ours", "bug", "sql"])
            size = chance.randint(1, 3)
            unit = _unit(
                *(Note(f"{name}{part}", fault=fault if part == size - 1 else "") for part in range(size))
            )
            tasks[name] = (fault, size, asyncio.create_task(committer.commit(unit)))
        for name, (fault, size, task) in tasks.items():
            (result,) = await asyncio.gather(task, return_exceptions=True)
            assert (result is None) == (fault == "")
            if result is None:
                expected |= {f"{name}{part}" for part in range(size)}
        assert await _names(database) == sorted(expected)


async def test_an_awaiter_that_goes_away_before_its_batch_leaves_no_trace(database: Database) -> None:
    applier = NoteApplier()
    committer = GroupCommitter(database, [applier])
    applier.gate = asyncio.Event()
    first = asyncio.create_task(committer.commit(_unit(Note("a"))))
    await applier.entered.wait()
    leaving = asyncio.create_task(committer.commit(_unit(Note("b"))))
    staying = asyncio.create_task(committer.commit(_unit(Note("c"))))
    await asyncio.sleep(0)
    leaving.cancel()
    applier.gate.set()
    await asyncio.gather(first, staying)
    assert leaving.cancelled()
    assert await _names(database) == ["a", "c"]


async def test_an_awaiter_that_goes_away_during_its_batch_harms_nobody(database: Database) -> None:
    applier = NoteApplier()
    committer = GroupCommitter(database, [applier])
    applier.gate = asyncio.Event()
    called: list[str] = []
    unit = _unit(Note("a"))
    unit.after_commit(lambda: called.append("a"))
    leaving = asyncio.create_task(committer.commit(unit))
    await applier.entered.wait()
    leaving.cancel()
    staying = asyncio.create_task(committer.commit(_unit(Note("b"))))
    await asyncio.sleep(0)
    applier.gate.set()
    await staying
    assert await _names(database) == ["a", "b"]
    assert called == ["a"]


async def test_a_batch_is_bounded(database: Database) -> None:
    applier = NoteApplier()
    committer = GroupCommitter(database, [applier])
    await asyncio.gather(*(committer.commit(_unit(Note(f"{n:03}"))) for n in range(MAX_BATCH_UNITS + 10)))
    assert [len(call) for call in applier.calls] == [MAX_BATCH_UNITS, 10]


async def test_a_callback_that_fails_does_not_unmake_what_is_durable(database: Database) -> None:
    committer = GroupCommitter(database, [NoteApplier()])
    unit = _unit(Note("a"))
    unit.after_commit(lambda: {}["none"])
    await committer.commit(unit)
    await committer.commit(_unit(Note("b")))
    assert await _names(database) == ["a", "b"]


async def test_close_writes_what_waits_and_then_refuses(database: Database) -> None:
    committer = GroupCommitter(database, [NoteApplier()])
    tasks = [asyncio.create_task(committer.commit(_unit(Note(name)))) for name in "abc"]
    await asyncio.sleep(0)
    await committer.close()
    await asyncio.gather(*tasks)
    assert await _names(database) == ["a", "b", "c"]
    with pytest.raises(StoreError):
        await committer.commit(_unit(Note("d")))
    await committer.close()


async def test_a_change_that_no_storage_writes_is_refused_at_once(database: Database) -> None:
    committer = GroupCommitter(database, [NoteApplier()])
    with pytest.raises(LocalProtocolError):
        await committer.commit(_unit(Note("a"), Later("b")))
    assert await _names(database) == []
    with pytest.raises(LocalProtocolError):
        committer.register(NoteApplier())


async def test_an_empty_unit_is_done_and_tells_so(database: Database) -> None:
    committer = GroupCommitter(database, [])
    called: list[int] = []
    unit = _unit()
    unit.after_commit(lambda: called.append(1))
    await committer.commit(unit)
    assert called == [1]


async def test_heavy_batches_are_written_as_well(database: Database) -> None:
    committer = GroupCommitter(database, [NoteApplier()])
    await committer.commit(_unit(Note("a", weight=100_000), Note("b")))
    assert await _names(database) == ["a", "b"]
