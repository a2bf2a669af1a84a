"""A serving node without doors: what happens to the process when something beside the doors ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from core.audit import AuditKind
from core.errors import FatalStoreError, StoreError
from mta.refusal_ledger import Refused
from trust_directory.signed_list import Freshness
from vaguemestre import supervise
from vaguemestre.config.load import load
from vaguemestre.config.schema import Configuration
from vaguemestre.node import Node
from vaguemestre.observability.gauges import LATE_LOOK


class Life:
    """What the process would hear."""

    def __init__(self) -> None:
        self.fatal: list[FatalStoreError] = []
        self.broken: list[str] = []
        self.heard = asyncio.Event()

    def on_fatal(self, error: FatalStoreError) -> None:
        self.fatal.append(error)
        self.heard.set()

    def on_broken(self, name: str) -> None:
        self.broken.append(name)
        self.heard.set()

    @asynccontextmanager
    async def node(self, config: Path) -> AsyncIterator[Node]:
        node = await Node.open(load(config, Configuration), self.on_fatal, self.on_broken)
        try:
            yield node
        finally:
            await node.close()


def _raising(error: Exception) -> Callable[..., Awaitable[Any]]:
    async def fail(*_: object, **__: object) -> None:
        raise error

    return fail


async def test_a_fatal_error_while_looking_for_letters_ends_the_process(
    operator: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = Life()
    async with life.node(operator) as node:
        monkeypatch.setattr(node.operator.spool, "lanes", _raising(FatalStoreError("read")))
        await node.start()
        await life.heard.wait()
    assert ([str(error) for error in life.fatal], life.broken) == (["read"], [])


@pytest.mark.parametrize(("part", "name"), [("refresher", "trust-list"), ("audit", "audit")])
async def test_a_bug_that_ends_a_task_stops_the_process(
    operator: Path, monkeypatch: pytest.MonkeyPatch, part: str, name: str
) -> None:
    life = Life()
    async with life.node(operator) as node:
        monkeypatch.setattr(getattr(node.operator, part), "run", _raising(KeyError("a bug")))
        with structlog.testing.capture_logs() as logs:
            await node.start()
            await life.heard.wait()
    assert (life.fatal, life.broken) == ([], [name])
    assert "clockwork-ended" in {line["event"] for line in logs if line["log_level"] == "critical"}


async def test_health_has_a_sentence_for_the_scheduler_and_the_database(
    operator: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = Life()
    async with life.node(operator) as node:
        await node.start()
        assert node.health.failures() == {}
        late = node.operator.clock.monotonic() + LATE_LOOK + 1.0
        monkeypatch.setattr(node.operator.clock, "monotonic", lambda: late)
        node.operator.committer.trouble = "the last commit failed (the disk is full)"
        assert node.health.failures() == {
            "scheduler": "the spool was last looked at 16 seconds ago",
            "database": "the last commit failed (the disk is full)",
        }
    assert (life.fatal, life.broken) == ([], [])


async def test_the_age_of_the_list_is_counted_from_its_confirmation_and_has_an_alarm(
    operator: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = Life()
    async with life.node(operator) as node:
        directory, registry = node.operator.directory, node.metrics.registry
        assert directory.current is not None
        later = directory.current.generated_at + timedelta(hours=20)
        directory.put_in_force(directory.current.confirmed(later))
        monkeypatch.setattr(node.operator.clock, "now", lambda: later + timedelta(seconds=5))
        await node._gauges.read()
        assert registry.get_sample_value("vaguemestre_trust_list_age_seconds") == 5.0
        assert registry.get_sample_value("vaguemestre_trust_list_generated_age_seconds") == 72_005.0
        with structlog.testing.capture_logs() as logs:
            monkeypatch.setattr(node.operator.clock, "now", lambda: later + timedelta(days=40))
            node.operator.refresher._watch_freshness()
        freshness = {
            each: registry.get_sample_value("vaguemestre_trust_list_freshness", {"freshness": each.value})
            for each in Freshness
        }
        assert freshness == {Freshness.FRESH: 0.0, Freshness.AGEING: 0.0, Freshness.STALE: 1.0}
        assert [(line["event"], line["reason"], line["log_level"]) for line in logs] == [
            ("trust-list-freshness", "stale", "warning")
        ]


async def test_commits_are_timed_and_refusals_of_strangers_are_told_at_the_end(operator: Path) -> None:
    life = Life()
    async with life.node(operator) as node:
        await node.start()
        node._refusals.note(
            Refused(
                kind=AuditKind.REFUSED, network="192.0.2.7", listener="relay", reply="CERTIFICATE_REQUIRED"
            )
        )
        told: list[AuditKind] = []
        append = node.operator.audit.append

        async def listen(event: Any) -> None:
            told.append(event.kind)
            await append(event)

        node.operator.audit.append = listen  # type: ignore[method-assign]
    assert told == [AuditKind.REFUSED, AuditKind.STOPPED]
    assert (node.metrics.registry.get_sample_value("vaguemestre_commit_seconds_count") or 0.0) >= 2.0


async def test_a_read_that_finds_the_store_broken_ends_the_process(
    operator: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = Life()
    async with life.node(operator) as node:
        for meaning in (StoreError("away"), FatalStoreError("the disk")):
            monkeypatch.setattr("vaguemestre.database.translated", lambda error, as_=meaning: as_)
            with pytest.raises(type(meaning)):
                async with node.operator.database.read() as connection:
                    await connection.exec_driver_sql("SELECT * FROM nowhere")
    assert [str(error) for error in life.fatal] == ["the disk"]


class FakeReactor:
    def __init__(self) -> None:
        self.stops = 0

    def stop(self) -> None:
        self.stops += 1


class FakeLoop:
    def add_signal_handler(self, number: int, handler: object) -> None:
        """Nobody signals."""

    def time(self) -> float:
        return asyncio.get_running_loop().time()


async def test_a_process_whose_clockwork_broke_drains_and_leaves_with_70(
    operator: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Breaking:
        closed = False

        @classmethod
        async def open(cls, configuration: object, on_fatal: object, on_broken: Callable[[str], None]) -> Any:
            node = cls()
            node.on_broken = on_broken  # type: ignore[attr-defined]
            return node

        def reload(self) -> None:
            """Nobody asks."""

        async def start(self) -> None:
            self.on_broken("scheduler")  # type: ignore[attr-defined]

        async def close(self) -> None:
            Breaking.closed = True

    monkeypatch.setattr("vaguemestre.node.Node", Breaking)
    monkeypatch.setattr("gc.freeze", lambda: None)
    loop: Any = FakeLoop()
    reactor = FakeReactor()
    life = supervise._Life(load(operator, Configuration), loop)
    assert await life.live(reactor) == supervise.EX_SOFTWARE
    assert (Breaking.closed, reactor.stops) == (True, 1)
