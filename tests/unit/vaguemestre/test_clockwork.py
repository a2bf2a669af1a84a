"""The tasks beside the doors: none ends unseen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import structlog

from core.errors import FatalStoreError
from vaguemestre.clockwork import Clockwork


class Turns:
    """Work that fails as told at its turns, and then waits for ever."""

    def __init__(self, *errors: Exception | None) -> None:
        self.errors = list(errors)
        self.turns = 0
        self.is_over = asyncio.Event()

    async def __call__(self) -> None:
        self.turns += 1
        if not self.errors:
            self.is_over.set()
            await asyncio.Event().wait()
        error = self.errors.pop(0)
        if error is not None:
            raise error


class House:
    def __init__(self) -> None:
        self.fatal: list[FatalStoreError] = []
        self.broken: list[str] = []
        self.heard = asyncio.Event()
        self.clockwork = Clockwork(self._on_fatal, self._on_broken)

    def _on_fatal(self, error: FatalStoreError) -> None:
        self.fatal.append(error)
        self.heard.set()

    def _on_broken(self, name: str) -> None:
        self.broken.append(name)
        self.heard.set()


async def test_a_fatal_error_of_any_task_is_told_at_once() -> None:
    for begin in _ways(Turns(FatalStoreError("read")), Turns(FatalStoreError("read"))):
        house = House()
        begin(house.clockwork)
        await house.heard.wait()
        assert ([str(error) for error in house.fatal], house.broken) == (["read"], [])
        await house.clockwork.stop()


def _ways(one: Turns, other: Turns) -> list[Callable[[Clockwork], None]]:
    return [
        lambda clockwork: clockwork.run("audit", one()),
        lambda clockwork: clockwork.every("sweep", 0.0, other),
    ]


@pytest.mark.parametrize("error", [KeyError("a bug"), None])
async def test_a_task_that_ends_by_itself_stops_the_process(error: Exception | None) -> None:
    house = House()
    with structlog.testing.capture_logs() as logs:
        house.clockwork.run("trust-list", Turns(error)())
        await house.heard.wait()
    assert (house.fatal, house.broken) == ([], ["trust-list"])
    assert [(line["event"], line["log_level"], line["reason"]) for line in logs] == [
        ("clockwork-ended", "critical", "trust-list")
    ]
    await house.clockwork.stop()


async def test_a_bug_of_one_turn_is_logged_and_the_next_turn_comes() -> None:
    house, turns = House(), Turns(KeyError("a bug"), None)
    with structlog.testing.capture_logs() as logs:
        house.clockwork.every("gauges", 0.0, turns)
        await turns.is_over.wait()
    assert (turns.turns, house.broken) == (3, [])
    assert [(line["event"], line["reason"]) for line in logs] == [("clockwork-failed", "gauges")]
    await house.clockwork.stop()


async def test_what_is_done_once_may_end_and_may_fail() -> None:
    house = House()
    with structlog.testing.capture_logs() as logs:
        house.clockwork.once("reload", Turns(KeyError("a bug"))())
        house.clockwork.once("reload", Turns(None)())
        await house.clockwork.idle()
    assert (house.fatal, house.broken, len(logs)) == ([], [], 1)


async def test_a_stop_is_no_end_by_itself() -> None:
    house, turns = House(), Turns()
    house.clockwork.run("scheduler", turns())
    await turns.is_over.wait()
    await house.clockwork.stop()
    house.clockwork.run("late", Turns(None)())
    await house.clockwork.idle()
    assert (house.fatal, house.broken) == ([], [])
