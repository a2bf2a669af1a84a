"""Real engines that are full, locked, away or shared: bounded waits, our errors, nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigurationError, FatalStoreError, StoreError, StoreFull
from core.folder import NewMessage, Summary
from core.testing.postgresql import PostgresqlServer
from core.unit_of_work import UnitOfWork
from mailstore.storage.blobs import BlobApplier, KeepBlob
from vaguemestre.committer import GroupCommitter
from vaguemestre.database import Database, StoreAway, migrate


def _keep(number: int, size: int = 10) -> UnitOfWork:
    unit = UnitOfWork()
    unit.add(KeepBlob(blob_id=f"{number:032x}", size=size, created_at=1, sealed=bytes(size)))
    return unit


async def _count(database: Database) -> int:
    async with database.read() as connection:
        return int((await connection.exec_driver_sql("SELECT count(*) FROM blob_octets")).scalar() or 0)


# --- SQLite -------------------------------------------------------------------------------------------------
@pytest.fixture
def file_database(tmp_path: Path, sqlite_template: Path, await_now: Any) -> Iterator[Database]:
    """A migrated file with a short wait for locks."""
    (tmp_path / "mail.db").write_bytes(sqlite_template.read_bytes())
    opened = Database(f"sqlite:///{tmp_path / 'mail.db'}", max_wait_seconds=0.05)
    yield opened
    await_now(opened.close())


async def test_a_full_disk_is_said_and_recovers(file_database: Database) -> None:
    committer = GroupCommitter(file_database, [BlobApplier()])

    async def limit(pages: int) -> None:
        await file_database.run(lambda c: c.exec_driver_sql(f"PRAGMA max_page_count={pages}").scalar())

    await committer.commit(_keep(1))
    await limit(40)
    with pytest.raises(StoreFull):
        await committer.commit(_keep(2, 400_000))
    await limit(100_000)
    await committer.commit(_keep(2, 400_000))
    assert await _count(file_database) == 2


async def test_a_lock_of_another_program_is_waited_for_a_bounded_time(file_database: Database) -> None:
    committer = GroupCommitter(file_database, [BlobApplier()])
    other = sqlite3.connect(str(file_database.path), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    with pytest.raises(StoreAway):
        await committer.commit(_keep(1))
    assert time.monotonic() - started < 5
    assert await _count(file_database) == 0  # readers are not stopped
    other.execute("ROLLBACK")
    other.close()
    await committer.commit(_keep(1))
    assert await _count(file_database) == 1


async def test_a_reader_cannot_write(file_database: Database) -> None:
    async with file_database.read() as connection:
        with pytest.raises(Exception, match=r"readonly|read-only"):
            await connection.exec_driver_sql("DELETE FROM blob")


async def test_a_damaged_file_is_fatal(file_database: Database) -> None:
    assert file_database.path is not None
    await file_database.close()
    octets = bytearray(file_database.path.read_bytes())
    octets[:100] = b"x" * 100
    file_database.path.write_bytes(octets)
    with pytest.raises(FatalStoreError):
        async with file_database.read() as connection:
            await connection.exec_driver_sql("SELECT 1 FROM blob")


async def test_the_writer_syncs_in_full(file_database: Database) -> None:
    async def pragma(name: str) -> Any:
        return await file_database.run(lambda c: c.exec_driver_sql(f"PRAGMA {name}").scalar())

    assert (await pragma("synchronous"), await pragma("journal_mode"), await pragma("foreign_keys")) == (
        2,
        "wal",
        1,
    )


@pytest.mark.parametrize("url", ["mysql://x/y", "sqlite://", "sqlite:///:memory:"])
def test_a_database_that_cannot_keep_letters_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        Database(url)


# --- PostgreSQL ---------------------------------------------------------------------------------------------
@pytest.fixture
def own_server() -> Iterator[PostgresqlServer]:
    """A server that the test may kill."""
    server = PostgresqlServer()
    server.start()
    yield server
    server.stop()


async def test_a_server_that_dies_loses_nothing_and_is_found_again(own_server: PostgresqlServer) -> None:
    database = Database(own_server.url("postgres"))
    await migrate(database)
    committer = GroupCommitter(database, [BlobApplier()])
    await asyncio.gather(*(committer.commit(_keep(number)) for number in range(5)))
    await asyncio.to_thread(own_server.kill)
    for number in (5, 6):
        with pytest.raises(StoreError):
            await committer.commit(_keep(number))
    with pytest.raises(StoreError):
        await _count(database)
    await asyncio.to_thread(own_server.start)
    acknowledged = 5
    for number in range(7, 12):
        try:
            await committer.commit(_keep(number))
            acknowledged += 1
        except StoreError:
            continue  # a connection of before; at most one
    assert await _count(database) == acknowledged >= 9
    await database.close()


async def test_a_row_locked_by_another_is_waited_for_a_bounded_time(postgresql: PostgresqlServer) -> None:
    postgresql.sql("CREATE DATABASE locked TEMPLATE template_mail STRATEGY file_copy")
    first = Database(postgresql.url("locked"))
    second = Database(postgresql.url("locked"), max_wait_seconds=0.1)
    committer = GroupCommitter(second, [BlobApplier()])
    async with first.write() as connection:
        await connection.exec_driver_sql("LOCK TABLE blob")
        with pytest.raises(StoreError):
            await committer.commit(_keep(1))
    await committer.commit(_keep(1))
    await first.close()
    await second.close()


async def test_two_nodes_that_deliver_to_the_same_boxes_never_give_a_uid_twice(
    mail: Any, another_node: Any
) -> None:
    nodes = [mail, another_node]
    for bal_id in (1, 2, 3):
        await mail.store.create_box(bal_id, 0)
    inboxes = {bal_id: await mail.folder_id(bal_id, "INBOX") for bal_id in (1, 2, 3)}

    async def deliver(node: Any, order: tuple[int, ...]) -> list[NewMessage]:
        unit = UnitOfWork()
        stored = await node.blobs.seal(b"to all")
        node.blobs.keep(unit, stored)
        put = []
        for bal_id in order:
            message = NewMessage(
                bal_id=bal_id, folder_id=inboxes[bal_id], octets=stored, summary=summary, internal_date=1
            )
            node.store.add(unit, message)
            put.append(message)
        await node.committer.commit(unit)
        return put

    summary = Summary(envelope=b"", body=b"", body_structure=b"", parts=b"", header_size=0, sent_date=0)
    put = []
    for _ in range(10):  # one unit a batch: nothing is played again that a lock should have kept apart
        put += await asyncio.gather(deliver(nodes[0], (1, 2, 3)), deliver(nodes[1], (3, 2, 1)))
    put += await asyncio.gather(
        *(deliver(nodes[n % 2], (1, 2, 3) if n % 3 else (3, 2, 1)) for n in range(10))
    )
    for bal_id, inbox in inboxes.items():
        uids = sorted(message.uid for unit in put for message in unit if message.bal_id == bal_id)
        assert uids == list(range(1, 31))
        assert [row.uid for row in (await mail.store.changes(inbox)).rows] == uids
    assert await mail.sql("SELECT refs FROM blob") == [(3,)] * 30
