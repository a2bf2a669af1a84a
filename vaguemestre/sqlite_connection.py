"""One SQLite connection for SQLAlchemy's asyncio side, with as few jumps between threads as can be.

What it is: the part of `aiosqlite.Connection` and `Cursor` that SQLAlchemy's dialect calls. aiosqlite makes
four jumps to its thread for one statement (cursor, execute, fetchall, close); a reader here makes one, and the
writer none for small statements: in WAL mode these touch the page cache only. What waits for the disk or for a
lock (BEGIN, COMMIT) always goes to the thread. What it is not: a pool or a policy; `vaguemestre.database` has
both. Start at `SqliteConnection.open`.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

_T = TypeVar("_T")

INLINE_ROWS = 128
"""Ours: an executemany of more rows goes to the thread, so that the loop is never held for 20 ms."""

STATEMENT_CACHE = 512  # ours: more than the statements of the whole product


class SqliteCursor:
    """One statement; its rows are read at once, in the same jump."""

    __slots__ = ("_connection", "_rows", "arraysize", "description", "lastrowid", "rowcount")

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._rows: list[Any] = []
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.arraysize = 1

    async def __aenter__(self) -> SqliteCursor:
        return self

    async def execute(self, operation: str, parameters: Sequence[Any] = ()) -> SqliteCursor:
        """Run one statement and read its rows."""
        connection = self._connection
        if connection.inline and not operation.startswith(("BEGIN", "COMMIT", "PRAGMA")):
            self._take(connection.execute_now(operation, parameters))
        else:
            self._take(await connection.in_thread(connection.execute_now, operation, parameters))
        return self

    async def executemany(self, operation: str, parameters: Sequence[Any]) -> SqliteCursor:
        """Run one statement for each row of parameters."""
        connection = self._connection
        if connection.inline and len(parameters) <= INLINE_ROWS:
            self.rowcount = connection.executemany_now(operation, parameters)
        else:
            self.rowcount = await connection.in_thread(connection.executemany_now, operation, parameters)
        self.description = None
        return self

    def _take(self, answer: tuple[Any, list[Any], int, int | None]) -> None:
        self.description, self._rows, self.rowcount, self.lastrowid = answer

    async def fetchall(self) -> list[Any]:
        """All rows, once."""
        rows, self._rows = self._rows, []
        return rows

    async def close(self) -> None:
        """Forget the rows."""
        self._rows = []


class SqliteConnection:
    """See the module. `inline` is set by the owner of the writer for batches of small statements."""

    __slots__ = ("_connection", "_executor", "inline")

    def __init__(self, connection: sqlite3.Connection, executor: ThreadPoolExecutor) -> None:
        self._connection: sqlite3.Connection | None = connection
        self._executor = executor
        self.inline = False

    @classmethod
    async def open(cls, path: str, pragmas: Sequence[str], busy_timeout_seconds: float) -> SqliteConnection:
        """Open the file with these pragmas, in autocommit mode: transactions are begun by hand."""
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite")

        def connect() -> sqlite3.Connection:
            connection = sqlite3.connect(
                path,
                timeout=busy_timeout_seconds,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=STATEMENT_CACHE,
            )
            for pragma in pragmas:
                connection.execute(f"PRAGMA {pragma}").fetchall()
            return connection

        try:
            connection = await asyncio.get_running_loop().run_in_executor(executor, connect)
        except BaseException:
            executor.shutdown(wait=False)
            raise
        return cls(connection, executor)

    # --- what the cursor asks -------------------------------------------------------------------------------
    def execute_now(
        self, operation: str, parameters: Sequence[Any]
    ) -> tuple[Any, list[Any], int, int | None]:
        """Run one statement here: description, rows, row count, last row id."""
        cursor = self._open().execute(operation, parameters)
        rows = cursor.fetchall() if cursor.description is not None else []
        return cursor.description, rows, cursor.rowcount, cursor.lastrowid

    def executemany_now(self, operation: str, parameters: Sequence[Any]) -> int:
        """Run one statement for each row here: the count of changed rows."""
        return self._open().executemany(operation, parameters).rowcount

    async def in_thread(self, function: Callable[..., _T], *arguments: Any) -> _T:
        """Run this in the connection's own thread, in order. Raises sqlite3.ProgrammingError when closed."""
        self._open()
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise sqlite3.ProgrammingError("connection closed")
        return self._connection

    # --- what the dialect asks ------------------------------------------------------------------------------
    def cursor(self) -> SqliteCursor:
        """A cursor; it has no state of SQLite until a statement runs."""
        return SqliteCursor(self)

    async def create_function(self, *arguments: Any, **options: Any) -> None:
        """As of sqlite3."""
        self._open().create_function(*arguments, **options)

    async def commit(self) -> None:
        """Commit what was begun by hand; waits for the disk in the thread."""
        connection = self._open()
        if connection.in_transaction:
            await self.in_thread(connection.commit)

    async def rollback(self) -> None:
        """Undo what was begun by hand; in the thread, behind whatever still runs there."""
        connection = self._open()
        if connection.in_transaction:
            await self.in_thread(connection.rollback)

    async def close(self) -> None:
        """Close the file (this may checkpoint the WAL)."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await asyncio.get_running_loop().run_in_executor(self._executor, connection.close)
            self._executor.shutdown(wait=False)

    def stop(self) -> None:
        """Close without waiting."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._executor.submit(connection.close)
            self._executor.shutdown(wait=False)
