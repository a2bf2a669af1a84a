"""The SQLite connection: nothing hidden between threads, transactions as told, errors as SQLite's."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from vaguemestre import sqlite_connection
from vaguemestre.sqlite_connection import SqliteConnection


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A file of its own."""
    return str(tmp_path / "a.db")


async def _open(path: str) -> SqliteConnection:
    connection = await SqliteConnection.open(path, ("journal_mode=WAL",), 0.05)
    await (await connection.cursor().__aenter__()).execute("CREATE TABLE IF NOT EXISTS t (a)")
    return connection


@pytest.mark.parametrize("inline", [False, True])
async def test_statements_rows_and_counts(path: str, inline: bool) -> None:
    connection = await _open(path)
    connection.inline = inline
    cursor = connection.cursor()
    await cursor.execute("BEGIN IMMEDIATE")
    await cursor.executemany("INSERT INTO t VALUES (?)", [(n,) for n in range(300)])
    assert (cursor.rowcount, cursor.description) == (300, None)
    await cursor.execute("SELECT a FROM t WHERE a < ? ORDER BY a", (3,))
    assert await cursor.fetchall() == [(0,), (1,), (2,)]
    assert await cursor.fetchall() == []
    assert cursor.description[0][0] == "a"
    await cursor.execute("DELETE FROM t WHERE a > 10")
    assert cursor.rowcount == 289
    await cursor.close()
    await connection.close()


async def test_commit_and_rollback_do_what_they_say(path: str) -> None:
    connection, other = await _open(path), await _open(path)
    cursor, reader = connection.cursor(), other.cursor()
    for end, count in ((connection.rollback, 0), (connection.commit, 1)):
        await cursor.execute("BEGIN IMMEDIATE")
        await cursor.execute("INSERT INTO t VALUES (1)")
        await end()
        await end()  # outside a transaction it is nothing
        await reader.execute("SELECT count(*) FROM t")
        assert await reader.fetchall() == [(count,)]
    await connection.close()
    await other.close()


async def test_what_waits_never_runs_on_the_loop(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = await _open(path)
    connection.inline = True
    threads: dict[str, bool] = {}
    real = SqliteConnection.execute_now

    def spy(self: SqliteConnection, operation: str, parameters: Any) -> Any:
        threads[operation.split()[0]] = threading.current_thread() is threading.main_thread()
        return real(self, operation, parameters)

    monkeypatch.setattr(SqliteConnection, "execute_now", spy)
    many: list[bool] = []
    real_many = SqliteConnection.executemany_now

    def spy_many(self: SqliteConnection, operation: str, parameters: Any) -> int:
        many.append(threading.current_thread() is threading.main_thread())
        return real_many(self, operation, parameters)

    monkeypatch.setattr(SqliteConnection, "executemany_now", spy_many)
    cursor = connection.cursor()
    await cursor.execute("BEGIN IMMEDIATE")
    await cursor.execute("INSERT INTO t VALUES (1)")
    await cursor.executemany("INSERT INTO t VALUES (?)", [(1,)] * sqlite_connection.INLINE_ROWS)
    await cursor.executemany("INSERT INTO t VALUES (?)", [(1,)] * (sqlite_connection.INLINE_ROWS + 1))
    await connection.rollback()
    assert threads == {"BEGIN": False, "INSERT": True}
    assert many == [True, False]
    await connection.close()


async def test_errors_are_those_of_sqlite_with_their_code(path: str) -> None:
    connection, other = await _open(path), await _open(path)
    await other.cursor().execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError) as caught:
        await connection.cursor().execute("BEGIN IMMEDIATE")
    assert caught.value.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
    await other.rollback()
    await connection.close()
    with pytest.raises(sqlite3.ProgrammingError):
        await connection.cursor().execute("SELECT 1")
    await connection.close()
    other.stop()
    other.stop()


async def test_a_file_that_cannot_be_opened_is_said(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        await SqliteConnection.open(str(tmp_path / "none" / "a.db"), (), 0.05)


async def test_a_reader_that_goes_away_leaves_the_connection_whole(path: str) -> None:
    connection = await _open(path)
    leaving = asyncio.ensure_future(connection.cursor().execute("SELECT 1"))
    await asyncio.sleep(0)
    leaving.cancel()
    cursor = connection.cursor()
    await cursor.execute("SELECT 2")
    assert await cursor.fetchall() == [(2,)]
    await connection.close()
