"""The one database of a node: SQLite beside the program, or PostgreSQL for many nodes.

What it is: two engines (one writer's connection, a small pool of readers), the translation of every driver's
error into ours, and the check of the schema's version. What it is not: SQL (each package's `storage.py`) nor the
batching (`vaguemestre.committer`). Start at `Database`; `migrate` makes the tables, `check_schema` only looks.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, column, inspect, literal, select, table
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from core import reply
from core.errors import ConfigurationError, FatalStoreError, GatewayError, StoreError, StoreFull
from vaguemestre.sqlite_connection import SqliteConnection

READERS = 4  # ours: connections that read at the same time
MAX_WAIT_SECONDS = 8.0  # ours: for a lock or a free connection; no request waits 10 s
STATEMENT_SECONDS = 10  # ours: PostgreSQL ends a statement that takes longer
CONNECT_SECONDS = 5.0  # ours: PostgreSQL that does not answer is away
STATEMENT_CACHE = 2000  # ours: compiled statements kept by SQLAlchemy
MIGRATE_COMMAND = "vaguemestre init"
VERSION_TABLE = "alembic_version"
REVISION_DIGITS = 4

SQLITE_PRAGMAS = (
    "page_size=8192",  # of a new file: a letter of 10 kB costs 6 % less CPU than with pages of 4 kB
    "journal_mode=WAL",
    "synchronous=FULL",  # the WAL is fsynced at each commit: what is acknowledged survives a power cut
    "foreign_keys=ON",
    "cache_size=-16384",  # 16 MiB a connection
    "cache_spill=OFF",  # an open transaction stays in memory: statements never wait for the disk
    "temp_store=MEMORY",
    "wal_autocheckpoint=20000",  # 160 MiB: a bound only, `Database.checkpoint` runs beside the writer each second
    "secure_delete=FAST",  # removed cells are overwritten in the pages that are written anyway
)
READER_PRAGMAS = (*SQLITE_PRAGMAS, "query_only=ON")

_SQLITE_FATAL = frozenset(
    {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}  # low octets of the extended codes
)
_SQLITE_AWAY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN})
_POSTGRESQL_FULL = "53100"  # PostgreSQL, appendix A: disk_full
_POSTGRESQL_AWAY = ("08", "57P", "53")  # connection exception, operator intervention, insufficient resources


class StoreAway(StoreError):
    """The whole database did not answer: trying each letter again now is of no use."""


class OutcomeUnknown(StoreError):
    """The COMMIT itself failed: the transaction must not be played a second time."""


def translated(error: BaseException) -> GatewayError:
    """The meaning of a driver's error. Unknown causes are a plain StoreError (temporary)."""
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, PoolTimeout | OSError | TimeoutError):
        return StoreAway("the database did not answer in time")
    original = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(original, sqlite3.Error):
        return _translated_sqlite(original)
    state = str(getattr(original, "sqlstate", None) or "")
    if state == _POSTGRESQL_FULL:
        return StoreFull(reply.STORAGE_FULL)
    invalidated = isinstance(error, DBAPIError) and error.connection_invalidated
    if invalidated or state.startswith(_POSTGRESQL_AWAY):
        return StoreAway("the connection to the database was lost")
    return StoreError("the database refused a statement")


def _translated_sqlite(error: sqlite3.Error) -> GatewayError:
    primary = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if primary == sqlite3.SQLITE_FULL:
        return StoreFull(reply.STORAGE_FULL)
    if primary in _SQLITE_FATAL:
        return FatalStoreError("the database file cannot be trusted any more")
    if primary in _SQLITE_AWAY:
        return StoreAway("the database file is locked, read-only or cannot be opened")
    return StoreError("the database refused a statement")


class Database:
    """`url` is `sqlite:///relative.db`, `sqlite:////absolute.db` or `postgresql://user@host/name?…`."""

    def __init__(
        self, url: str, *, readers: int = READERS, max_wait_seconds: float = MAX_WAIT_SECONDS
    ) -> None:
        self._url = make_url(url)
        self._readers_count = readers
        self._max_wait = max_wait_seconds
        self.dialect = self._url.get_backend_name()
        if self.dialect not in ("sqlite", "postgresql"):
            raise ConfigurationError("the database's URL begins with sqlite:/// or postgresql://")
        if self.dialect == "sqlite" and self._url.database in (None, "", ":memory:"):
            raise ConfigurationError(
                "the SQLite database needs a file: sqlite:////var/lib/vaguemestre/mail.db"
            )
        self._writer = self._engine(self._url, writer=True)
        self._reader = self._engine(self._url, writer=False)
        self._writer_lock = asyncio.Lock()
        self.on_fatal: Callable[[FatalStoreError], None] = lambda error: None
        """Called when a read finds that the store cannot be trusted; the committer tells of writes."""

    @property
    def is_sqlite(self) -> bool:
        """Whether one file holds everything; then exactly one process writes."""
        return self.dialect == "sqlite"

    @property
    def path(self) -> Path | None:
        """The database file of SQLite."""
        return Path(self._url.database or "") if self.is_sqlite else None

    def _engine(self, url: URL, *, writer: bool) -> AsyncEngine:
        options: dict[str, Any] = {
            "pool_size": 1 if writer else self._readers_count,
            "max_overflow": 0,
            "pool_timeout": self._max_wait,
            "query_cache_size": STATEMENT_CACHE,
            "hide_parameters": True,  # an error's text never holds a name or a key
        }
        if self.is_sqlite:
            pragmas = SQLITE_PRAGMAS if writer else READER_PRAGMAS
            path = url.database or ""

            async def connect(*_: Any, **__: Any) -> SqliteConnection:
                return await SqliteConnection.open(path, pragmas, self._max_wait)

            return create_async_engine(
                url.set(drivername="sqlite+aiosqlite"), async_creator=connect, **options
            )
        options["connect_args"] = {
            "timeout": CONNECT_SECONDS,
            "command_timeout": STATEMENT_SECONDS + 5,
            "server_settings": {
                "application_name": "vaguemestre",
                "lock_timeout": f"{int(self._max_wait * 1000)}",
                "statement_timeout": f"{STATEMENT_SECONDS * 1000}",
                "idle_in_transaction_session_timeout": f"{STATEMENT_SECONDS * 3000}",
            },
        }
        if not writer:
            options["isolation_level"] = "AUTOCOMMIT"
        return create_async_engine(url.set(drivername="postgresql+asyncpg"), **options)

    # --- reading --------------------------------------------------------------------------------------------
    @asynccontextmanager
    async def read(self, *, snapshot: bool = False) -> AsyncIterator[AsyncConnection]:
        """A connection that only reads. With `snapshot`, all its statements see the same moment.

        Raises StoreError, StoreFull or FatalStoreError instead of the driver's errors.
        """
        try:
            async with self._reader.connect() as connection:
                if not snapshot:
                    yield connection
                    return
                begin = "BEGIN" if self.is_sqlite else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
                await connection.exec_driver_sql(begin)
                try:
                    yield connection
                finally:
                    await connection.exec_driver_sql("ROLLBACK")
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            meaning = translated(error)
            if isinstance(meaning, FatalStoreError):
                self.on_fatal(meaning)
            raise meaning from error

    # --- writing (the committer only) ------------------------------------------------------------------------
    @asynccontextmanager
    async def write(self, *, inline: bool = False) -> AsyncIterator[AsyncConnection]:
        """The writer's connection in a transaction that commits at the end, or is undone by an error.

        `inline`: the statements are few and small, run them on the loop (SQLite). Raises what the block
        raised, translated; `OutcomeUnknown` (or a kind of `FatalStoreError`) when the COMMIT failed.
        """
        async with self._writer_lock:
            try:
                async with self._writer.connect() as connection:
                    await self._begin(connection, inline)
                    try:
                        yield connection
                    except BaseException:
                        await connection.rollback()
                        raise
                    await self._commit(connection)
            except (SQLAlchemyError, sqlite3.Error, OSError) as error:
                raise translated(error) from error

    async def _begin(self, connection: AsyncConnection, inline: bool) -> None:
        if not self.is_sqlite:
            await connection.begin()
            return
        raw = await connection.get_raw_connection()
        driver = raw.driver_connection
        assert isinstance(driver, SqliteConnection)
        driver.inline = inline
        try:
            await connection.exec_driver_sql("BEGIN IMMEDIATE")
        except SQLAlchemyError as error:
            meaning = translated(error)
            raise (meaning if isinstance(meaning, FatalStoreError) else StoreAway("no write lock")) from error

    async def _commit(self, connection: AsyncConnection) -> None:
        try:
            await connection.commit()
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            meaning = translated(error)
            # Whatever is still open on this connection must never be seen by the next transaction.
            await connection.invalidate()
            # Closing undoes what SQLite did not commit for certain; a lost server leaves doubt.
            if isinstance(meaning, FatalStoreError | StoreFull):
                raise meaning from error
            raise OutcomeUnknown("the commit failed") from error

    # --- the schema ------------------------------------------------------------------------------------------
    async def run(self, work: Any) -> Any:
        """Run a function of a synchronous SQLAlchemy connection in one transaction (migrations, backup)."""
        async with self.write() as connection:
            return await connection.run_sync(work)

    async def checkpoint(self) -> None:
        """Move what is committed from SQLite's WAL into its file, on a connection of its own; nothing on PostgreSQL.

        PASSIVE: it waits for nobody and nobody waits for it, so a commit never pays for the move.
        """
        if self.path is not None:
            try:
                await asyncio.to_thread(_checkpoint, self.path, self._max_wait)
            except sqlite3.Error as error:
                raise translated(error) from error

    async def close(self) -> None:
        """Close every connection."""
        await self._reader.dispose()
        await self._writer.dispose()


def _checkpoint(path: Path, patience: float) -> None:
    connection = sqlite3.connect(path, timeout=patience, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    finally:
        connection.close()


def revisions() -> tuple[str, ...]:
    """This program's schema versions, oldest first: each migration's file begins with its own."""
    folder = Path(__file__).parent / "migrations" / "versions"
    return tuple(sorted(path.name[:REVISION_DIGITS] for path in folder.glob("[0-9]*.py")))


async def migrate(database: Database) -> None:
    """Bring the tables to this program's version. Raises ConfigurationError for a database of a later one."""
    # Only here: a start of `serve` needs neither alembic nor its imports.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))

    def upgrade(connection: Connection) -> None:
        _refuse_newer(_versions(connection))
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        config.attributes["connection"] = connection
        command.upgrade(config, "heads")

    await database.run(upgrade)


async def check_schema(database: Database) -> None:
    """Raise ConfigurationError, naming the command, unless the tables are of this program's version."""

    def check(connection: Connection) -> None:
        versions = _versions(connection)
        _refuse_newer(versions)
        if versions != {revisions()[-1]}:
            raise ConfigurationError(
                f"the database is not prepared for this version: run `{MIGRATE_COMMAND}`"
            )
        is_postgresql = connection.dialect.name == "postgresql"
        if is_postgresql and connection.exec_driver_sql("SHOW synchronous_commit").scalar() in (
            "off",
            "local",
        ):
            raise ConfigurationError("PostgreSQL's synchronous_commit is off: letters would be lost")

    async with database.read() as connection:
        await connection.run_sync(check)


async def holds_rows(database: Database, name: str) -> bool:
    """Whether this table is there and not empty; also asked of a database that was never prepared."""

    def look(connection: Connection) -> bool:
        if not inspect(connection).has_table(name):
            return False
        return connection.execute(select(literal(1)).select_from(table(name)).limit(1)).first() is not None

    return bool(await database.run(look))


def _versions(connection: Connection) -> set[str]:
    if not inspect(connection).has_table(VERSION_TABLE):
        return set()
    return set(connection.execute(select(column("version_num")).select_from(table(VERSION_TABLE))).scalars())


def _refuse_newer(versions: set[str]) -> None:
    if not versions <= set(revisions()):
        raise ConfigurationError("the database was made by a later version of this program: install that one")
