"""What the writer does when the disk, the lock or the connection fails: no second try, no half truth."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from core import reply
from core.errors import FatalStoreError, ReplyError, StoreError, StoreFull
from core.unit_of_work import Change, UnitOfWork
from vaguemestre import committer as committer_module
from vaguemestre.committer import GroupCommitter
from vaguemestre.database import OutcomeUnknown, StoreAway, translated


@dataclass(slots=True)
class Word(Change):
    """One word."""

    applier: ClassVar[str] = "words"
    word: str


class WordApplier:
    """Counts how often each word is applied."""

    name = "words"

    def __init__(self) -> None:
        self.applied: list[str] = []

    async def apply(self, connection: Any, changes: Sequence[Change]) -> None:
        for change in changes:
            assert isinstance(change, Word)
            self.applied.append(change.word)
            if change.word == "bad":
                raise StoreError("refused")


class FakeConnection:
    """Knows savepoints, nothing else."""

    @asynccontextmanager
    async def begin_nested(self) -> AsyncIterator[None]:
        yield


class FaultyDatabase:
    """Raises the given errors at the end of the coming transactions, one each; None is no error."""

    def __init__(self, *at_commit: Exception | None) -> None:
        self.at_commit = list(at_commit)
        self.transactions = 0
        self.inline: list[bool] = []

    @asynccontextmanager
    async def write(self, *, inline: bool = False) -> AsyncIterator[FakeConnection]:
        self.transactions += 1
        self.inline.append(inline)
        yield FakeConnection()
        await asyncio.sleep(0)
        error = self.at_commit.pop(0) if self.at_commit else None
        if error is not None:
            raise error


def _committer(database: FaultyDatabase, **options: Any) -> tuple[GroupCommitter, WordApplier]:
    applier = WordApplier()
    return GroupCommitter(database, [applier], **options), applier  # type: ignore[arg-type]


def _unit(word: str) -> UnitOfWork:
    unit = UnitOfWork()
    unit.add(Word(word))
    return unit


async def _commit_all(committer: GroupCommitter, *words: str) -> list[Any]:
    return await asyncio.gather(*(committer.commit(_unit(word)) for word in words), return_exceptions=True)


@pytest.mark.parametrize("error", [StoreFull(reply.STORAGE_FULL), StoreAway("x"), OutcomeUnknown("x")])
async def test_no_unit_is_played_again_when_the_whole_store_failed(error: Exception) -> None:
    committer, applier = _committer(FaultyDatabase(error))
    assert await _commit_all(committer, "a", "b") == [error, error]
    assert applier.applied == ["a", "b"]
    assert await _commit_all(committer, "c") == [None]


async def test_a_disk_that_fails_ends_everything_for_good() -> None:
    ended: list[FatalStoreError] = []
    database = FaultyDatabase(None, FatalStoreError("fsync"))
    committer, applier = _committer(database, on_fatal=ended.append)
    await _commit_all(committer, "a")
    results = await _commit_all(committer, "b", "c")
    late = await _commit_all(committer, "d", "e")
    assert all(isinstance(result, FatalStoreError) for result in (*results, *late))
    assert [str(error) for error in ended] == ["fsync"]
    assert (applier.applied, database.transactions) == (["a", "b", "c"], 2)


async def test_units_that_wait_behind_the_failed_batch_fail_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committer_module, "MAX_BATCH_UNITS", 1)
    ended: list[FatalStoreError] = []
    committer, applier = _committer(FaultyDatabase(FatalStoreError("fsync")), on_fatal=ended.append)
    results = await _commit_all(committer, "a", "b", "c")
    assert all(isinstance(result, FatalStoreError) for result in results)
    assert (applier.applied, len(ended)) == (["a"], 1)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (FatalStoreError("fsync"), FatalStoreError),
        (OutcomeUnknown("x"), OutcomeUnknown),
        (KeyError(), StoreError),
    ],
)
async def test_a_failure_of_the_replay_fails_every_unit(error: Exception, kind: type[Exception]) -> None:
    committer, _ = _committer(FaultyDatabase(error))
    results = await _commit_all(committer, "good", "bad", "better")
    assert [type(result) for result in results] == [kind] * 3


async def test_a_queue_that_grows_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committer_module, "MAX_WAITING_UNITS", 2)
    committer, _ = _committer(FaultyDatabase())
    results = await _commit_all(committer, "a", "b", "c")
    assert results[:2] == [None, None]
    assert isinstance(results[2], StoreError)


async def test_small_batches_run_on_the_loop_and_large_ones_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committer_module, "INLINE_WEIGHT", 2)
    database = FaultyDatabase()
    committer, _ = _committer(database)
    await _commit_all(committer, "a", "b")
    await _commit_all(committer, "a", "b", "c")
    assert database.inline == [True, False]


# --- what an error means ------------------------------------------------------------------------------------
def _sqlite_error(code: int) -> DBAPIError:
    original = sqlite3.OperationalError("told by sqlite")
    original.sqlite_errorcode = code
    return DBAPIError("INSERT", {}, original)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_IOERR, FatalStoreError),
        (sqlite3.SQLITE_IOERR_FSYNC, FatalStoreError),
        (sqlite3.SQLITE_IOERR_WRITE, FatalStoreError),
        (sqlite3.SQLITE_CORRUPT, FatalStoreError),
        (sqlite3.SQLITE_NOTADB, FatalStoreError),
        (sqlite3.SQLITE_FULL, StoreFull),
        (sqlite3.SQLITE_BUSY, StoreAway),
        (sqlite3.SQLITE_READONLY, StoreAway),
        (sqlite3.SQLITE_CANTOPEN, StoreAway),
        (sqlite3.SQLITE_CONSTRAINT, StoreError),
    ],
)
def test_what_sqlite_says_is_told_in_our_words(code: int, kind: type[Exception]) -> None:
    assert type(translated(_sqlite_error(code))) is kind


class PostgresqlError(Exception):
    """As asyncpg's, with a state."""

    def __init__(self, sqlstate: str | None) -> None:
        super().__init__("told by postgresql")
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("sqlstate", "invalidated", "kind"),
    [
        ("53100", False, StoreFull),
        ("57P01", False, StoreAway),
        ("08006", False, StoreAway),
        ("53300", False, StoreAway),
        (None, True, StoreAway),
        ("40P01", False, StoreError),
        ("23505", False, StoreError),
        (None, False, StoreError),
    ],
)
def test_what_postgresql_says_is_told_in_our_words(
    sqlstate: str | None, invalidated: bool, kind: type[Exception]
) -> None:
    error = DBAPIError("INSERT", {}, PostgresqlError(sqlstate), connection_invalidated=invalidated)
    assert type(translated(error)) is kind


def test_a_full_disk_knows_its_reply_and_is_temporary() -> None:
    error = translated(_sqlite_error(sqlite3.SQLITE_FULL))
    assert isinstance(error, ReplyError)
    assert isinstance(error, StoreError)
    assert error.reply is reply.STORAGE_FULL


@pytest.mark.parametrize("error", [PoolTimeout(), OSError(), TimeoutError()])
def test_no_answer_is_away(error: Exception) -> None:
    assert type(translated(error)) is StoreAway


async def test_each_batch_is_timed() -> None:
    timed: list[str] = []

    @contextmanager
    def timer() -> Iterator[None]:
        timed.append("begun")
        try:
            yield
        finally:
            timed.append("ended")

    committer, _ = _committer(FaultyDatabase(StoreAway("x")))
    committer.timer = timer
    await _commit_all(committer, "a")
    await _commit_all(committer, "b", "c")
    assert timed == ["begun", "ended"] * 2


async def test_a_store_that_refused_the_last_batch_is_in_trouble_until_it_takes_one_again() -> None:
    database = FaultyDatabase(None, StoreAway("no write lock"), StoreAway("still"), None)
    committer, applier = _committer(database)
    await _commit_all(committer, "a")
    await committer.look()
    assert (committer.trouble, database.transactions) == ("", 1)
    await _commit_all(committer, "b")
    assert "no write lock" in committer.trouble
    await committer.look()
    assert "still" in committer.trouble
    await committer.look()
    assert (committer.trouble, applier.applied) == ("", ["a", "b"])
    await _commit_all(committer, "bad")
    assert committer.trouble == ""
