"""One trust space for every flow: built once by the product's own commands, its operators are real processes.

What it is: `space` (both operators run), `other` (a third operator, on PostgreSQL), `command`. What it is not:
the story (`test_story.py` has a space of its own). A test that stops an operator leaves it stopped: the next
test starts it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.testing.postgresql import PostgresqlServer
from vaguemestre.config.schema import DatabaseSettings, IdentitySettings, ListenSettings, RelaySettings
from vaguemestre.demo.cast import STRUCTURES, UNLISTED, Structure
from vaguemestre.demo.space import DOORS, OperatorProcess, Space, free_ports

OTHER = Structure(
    key="other",
    name="Autre opérateur",
    domain="autre.mssante.example",
    hostname="mss.autre.mssante.example",
    subject=UNLISTED,
)
DELAY_HOURS = 1.5 / 3600  # the author is told of a delay after 1.5 seconds
GIVE_UP_HOURS = 48.0  # not the default: a report of delay says until when
Command = Callable[..., str]


def _off_the_loop(work: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """In a thread of its own: the product's commands make a loop, and this one has the reactor's."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work, *arguments, **named).result()


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    """Hospital and city with their boxes, and the files of a third operator; nothing runs yet."""
    space = Space(tmp_path_factory.mktemp("flows"))
    _off_the_loop(space.build, lambda said: None)
    third = _third(space)
    _off_the_loop(space.publish_list, space.trust_list, structures=(*STRUCTURES, OTHER))
    hospital = space.operators["hospital"]
    routes = {**hospital.configuration.relay.routes, OTHER.domain: f"127.0.0.1:{third.ports['relay']}"}
    hospital.write(
        relay=replace(hospital.configuration.relay, routes=routes),
        spool=replace(
            hospital.configuration.spool,
            delay_report_after_hours=DELAY_HOURS,
            give_up_after_hours=GIVE_UP_HOURS,
        ),
    )
    space.operators["other"] = third
    try:
        yield space
    finally:
        space.stop()


def _third(space: Space) -> OperatorProcess:
    folder, hospital = space.folder / OTHER.key, space.operators["hospital"]
    keys = Path("keys")
    _off_the_loop(
        space.command, "simulate", "certificate", "--dir", str(space.folder / "igc"), "--out", str(folder / keys),
        "--name", "operator", "--subject", OTHER.subject, "--profile", "SSL_SERV", "--dns", OTHER.hostname,
        "--dns", "localhost",
    )  # fmt: skip
    ports: dict[str, Any] = dict(zip(DOORS, free_ports(len(DOORS)), strict=True))
    settings = hospital.configuration
    configuration = replace(
        settings,
        operator=replace(
            settings.operator,
            name=OTHER.name,
            hostname=OTHER.hostname,
            domains=(OTHER.domain,),
            node=OTHER.key,
        ),
        tls=replace(
            settings.tls,
            identity=(IdentitySettings(certificate=keys / "operator.pem", key=keys / "operator.key"),),
        ),
        listen=ListenSettings(host="127.0.0.1", **ports),
        relay=RelaySettings(
            routes={hospital.structure.domain: f"127.0.0.1:{hospital.ports['relay']}"}, connect_seconds=5.0
        ),
    )
    return OperatorProcess(OTHER, folder, configuration)


@pytest.fixture
def space(built: Space) -> Space:
    """The space, with both operators of the story at work."""
    pair = [built.operators["hospital"], built.operators["city"]]
    for operator in pair:
        operator.start(wait=False)
    for operator in pair:
        operator.wait_ready()
    return built


@pytest.fixture(scope="session")
def command(built: Space) -> Command:
    """`command("bal", "list", …, secret="")`: the output of one of the product's commands."""
    return lambda *arguments, **named: str(_off_the_loop(built.command, *arguments, **named))


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """A PostgreSQL server of the tests' own."""
    server = PostgresqlServer()
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def other(built: Space, command: Command, postgresql: PostgresqlServer) -> Iterator[OperatorProcess]:
    """The third operator, on PostgreSQL: `init` prepared its database, nothing runs yet."""
    postgresql.sql("CREATE DATABASE other")
    operator = built.operators["other"]
    operator.write(database=DatabaseSettings(url=postgresql.url("other")))
    command("init", "--config", str(operator.config_file))
    try:
        yield operator
    finally:
        operator.stop()
