"""Fixtures of the contract tests: `database` is an empty, migrated database, once on SQLite, once on PostgreSQL."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred

from core.testing.clock import FakeClock
from core.testing.postgresql import PostgresqlServer
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
