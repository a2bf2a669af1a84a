"""Fixtures of the contract tests: `database` is an empty, migrated database, once on SQLite, once on PostgreSQL."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred

from core.errors import FatalStoreError
from core.folder import NewMessage, Summary
from core.testing.clock import FakeClock
from core.testing.postgresql import PostgresqlServer
from core.unit_of_work import UnitOfWork
from mailstore.feed import LocalFeed
from mailstore.files import BlobFiles
from mailstore.keys import FileKek, KeyVault
from mailstore.mailboxes import BoxKeys, MailboxStore
from mailstore.messages import SealedBlobs
from mailstore.storage.blobs import BlobApplier
from mailstore.storage.boxes import BoxApplier
from mailstore.storage.changes import MessageApplier
from mailstore.storage.keys import KeyApplier
from vaguemestre.committer import GroupCommitter
from vaguemestre.database import Database, migrate

Await = Callable[[Coroutine[Any, Any, Any]], Any]
_numbers = itertools.count(1)


def _await(coroutine: Coroutine[Any, Any, Any]) -> Any:
    from twisted.internet import reactor

    loop = reactor._asyncioEventloop  # type: ignore[attr-defined]
    return pytest_twisted.blockon(Deferred.fromFuture(asyncio.ensure_future(coroutine, loop=loop)))


@pytest.fixture(scope="session")
def await_now() -> Await:
    """Run a coroutine to its end on the reactor's loop; for fixtures and for tests that are not coroutines."""
    return _await


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """The session's PostgreSQL server with a migrated database named `template_mail`."""
    server = PostgresqlServer()
    server.start()
    try:
        server.sql("CREATE DATABASE template_mail")
        _await(_migrated(server.url("template_mail")))
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("template") / "mail.db"
    _await(_migrated(f"sqlite:///{path}"))
    return path


async def _migrated(url: str) -> None:
    database = Database(url)
    await migrate(database)
    await database.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a fresh, migrated database."""
    if request.param == "sqlite":
        template = request.getfixturevalue("sqlite_template")
        shutil.copy(template, tmp_path / "mail.db")
        yield f"sqlite:///{tmp_path / 'mail.db'}"
        return
    server: PostgresqlServer = request.getfixturevalue("postgresql")
    name = f"contract_{next(_numbers)}"
    server.sql(f"CREATE DATABASE {name} TEMPLATE template_mail STRATEGY file_copy")
    yield server.url(name)
    server.sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(database_url: str, await_now: Await) -> Iterator[Database]:
    """An open database; closed at the end."""
    opened = Database(database_url)
    yield opened
    await_now(opened.close())


@pytest.fixture
def clock() -> FakeClock:
    """A clock that the test moves."""
    return FakeClock()


@dataclass(slots=True)
class MailRoom:
    """Everything of `mailstore` on one database, wired as the program wires it."""

    database: Database
    committer: GroupCommitter
    clock: FakeClock
    kek: FileKek
    vault: KeyVault
    files: BlobFiles
    blobs: SealedBlobs
    feed: LocalFeed
    store: MailboxStore
    fatal: list[FatalStoreError]

    async def put(self, bal_id: int, folder_id: int, octets: bytes, **fields: Any) -> NewMessage:
        """Seal octets and add them to a folder, durably."""
        unit = UnitOfWork()
        stored = await self.blobs.seal(octets)
        self.blobs.keep(unit, stored)
        values: dict[str, Any] = {"summary": SUMMARY, "internal_date": 1_700_000_000, **fields}
        message = NewMessage(bal_id=bal_id, folder_id=folder_id, octets=stored, **values)
        self.store.add(unit, message)
        await self.committer.commit(unit)
        return message

    async def folder_id(self, bal_id: int, name: str) -> int:
        """The number of a folder that is there."""
        folder = await self.store.folder(bal_id, name)
        assert folder is not None
        return folder.folder_id

    async def sql(self, statement: str, *parameters: Any) -> list[Any]:
        """Look at the tables, or do what an intruder would."""
        async with self.database.write() as connection:
            result = await connection.exec_driver_sql(statement, tuple(parameters))
            return list(result.fetchall()) if result.returns_rows else []


SUMMARY = Summary(
    envelope=b'("Mon, 2 Mar 2026 08:00:00 +0000" "Bilan" NIL NIL NIL NIL NIL NIL NIL "<a@b.example>")',
    body=b'("TEXT" "PLAIN" NIL NIL NIL "7BIT" 5 1)',
    body_structure=b'("TEXT" "PLAIN" NIL NIL NIL "7BIT" 5 1 NIL NIL NIL NIL)',
    parts=b"\x00\x01\x02",
    header_size=120,
    sent_date=1_772_438_400,
)


def make_mail_room(database: Database, folder: Path, clock: FakeClock, kek: FileKek) -> MailRoom:
    """Wire `mailstore` on this database; `open_mail_room` is still to be awaited."""
    fatal: list[FatalStoreError] = []
    committer = GroupCommitter(database, on_fatal=fatal.append)
    vault = KeyVault(database, committer, clock, kek)
    files = BlobFiles(folder / "blobs")
    blobs = SealedBlobs(database, committer, clock, files, on_fatal=fatal.append)
    feed = LocalFeed()
    store = MailboxStore(database, committer, clock, vault=vault, blobs=blobs, feed=feed)
    for applier in (KeyApplier(), BlobApplier(), BoxApplier(), MessageApplier(BoxKeys(vault))):
        committer.register(applier)
    return MailRoom(database, committer, clock, kek, vault, files, blobs, feed, store, fatal)


@pytest.fixture
def kek() -> FileKek:
    """A key-encryption key that every test of a session shares."""
    return FileKek(bytes(range(32)))


@pytest.fixture
def mail(
    database: Database, tmp_path: Path, clock: FakeClock, kek: FileKek, await_now: Await
) -> Iterator[MailRoom]:
    """An open mail room without any box."""
    room = make_mail_room(database, tmp_path, clock, kek)
    await_now(room.vault.open())
    await_now(room.blobs.open())
    yield room
    await_now(room.committer.close())
    await_now(room.blobs.close())


@pytest.fixture
def another_room(
    database: Database, tmp_path: Path, clock: FakeClock, mail: MailRoom
) -> Callable[[FileKek], MailRoom]:
    """A second program on the same database and blobs, with this key-encryption key; its vault is to be opened."""
    return lambda kek: make_mail_room(database, tmp_path, clock, kek)


@pytest.fixture
def another_node(
    database_url: str, tmp_path: Path, clock: FakeClock, kek: FileKek, mail: MailRoom, await_now: Await
) -> Iterator[MailRoom]:
    """A second node with connections of its own; on SQLite, where one process writes, the first node again."""
    if mail.database.is_sqlite:
        yield mail
        return
    node = make_mail_room(Database(database_url), tmp_path, clock, kek)
    await_now(node.vault.open())
    yield node
    await_now(node.committer.close())
    await_now(node.database.close())
