"""When keys and CRLs are read again: changed, asked for, or a minute old; never lost by one failure."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Hashable
from datetime import UTC, datetime
from typing import Any

import structlog

from certs.revocation import CrlReason, LoadReport
from certs.trust_material import ReloadReport
from core.audit import AuditKind
from core.errors import ConfigurationError, StoreError
from core.testing.audit import MemoryAuditTrail
from core.testing.clock import FakeClock
from vaguemestre.material_watch import AT_LEAST_EVERY, MaterialWatch


class Identity:
    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint
        self.not_after = datetime(2027, 3, 2, tzinfo=UTC)


class Material:
    """Counts its reloads; fails, refuses CRLs and shows another certificate as told."""

    def __init__(self) -> None:
        self.tls: Any = type("Tls", (), {"identity": Identity("aa")})()
        self.reloads = 0
        self.failure: Exception | None = None
        self.refused: tuple[tuple[str, CrlReason], ...] = ()
        self.ends_in: tuple[tuple[Identity, int], ...] = ()
        self.gate: threading.Event | None = None
        self.inside = 0
        self.most_inside = 0

    def reload(self) -> Any:
        self.reloads += 1
        self.inside += 1
        self.most_inside = max(self.inside, self.most_inside)
        if self.gate is not None:
            self.gate.wait(5.0)
        self.inside -= 1
        if self.failure is not None:
            raise self.failure
        return ReloadReport(LoadReport(taken=("root.crl",), refused=self.refused), ())

    def alarms(self, now: datetime) -> tuple[tuple[Identity, int], ...]:
        return self.ends_in


class Desk:
    def __init__(self) -> None:
        self.material, self.audit, self.clock = Material(), MemoryAuditTrail(), FakeClock()
        self.mark: Hashable = "one"
        material: Any = self.material
        self.watch = MaterialWatch(material, self.audit, self.clock, lambda: self.mark)


async def test_files_that_changed_are_read_once() -> None:
    desk = Desk()
    await desk.watch.look()
    assert desk.material.reloads == 0
    desk.mark = "two"
    await desk.watch.look()
    await desk.watch.look()
    assert desk.material.reloads == 1


async def test_a_reload_that_failed_is_tried_again_and_told_once() -> None:
    desk = Desk()
    desk.mark, desk.material.failure = "two", ConfigurationError("half a file")
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            await desk.watch.look()
        desk.material.failure = None
        await desk.watch.look()
        await desk.watch.look()
    assert desk.material.reloads == 4
    assert [line["event"] for line in logs] == ["reload-refused", "reloaded"]


async def test_each_minute_time_itself_is_news() -> None:
    desk = Desk()
    desk.material.refused = (("future.crl", CrlReason.FROM_THE_FUTURE),)
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            desk.clock.advance(AT_LEAST_EVERY)
            await desk.watch.look()
            await desk.watch.look()
    assert desk.material.reloads == 3
    assert [line["event"] for line in logs] == ["crl-refused"]


async def test_who_asks_and_the_clock_never_read_at_once() -> None:
    desk = Desk()
    desk.material.gate = threading.Event()
    desk.mark = "two"
    both = asyncio.gather(desk.watch.reload(), desk.watch.look(), desk.watch.reload())
    asyncio.get_running_loop().call_later(0.02, desk.material.gate.set)
    await both
    assert (desk.material.reloads, desk.material.most_inside) == (2, 1)


async def test_another_certificate_of_ours_is_written_down_once_also_after_a_failure() -> None:
    desk = Desk()
    desk.material.tls.identity = Identity("bb")
    desk.audit.failure = StoreError("away")
    await desk.watch.reload()
    desk.audit.failure = None
    for _ in range(2):
        await desk.watch.reload()
    (event,) = desk.audit.of(AuditKind.CERTIFICATE_CHANGED)
    assert (event.facts["before"], event.facts["certificate"]) == ("aa", "bb")


async def test_a_certificate_that_ends_is_told_once_for_each_threshold() -> None:
    desk = Desk()
    with structlog.testing.capture_logs() as logs:
        for days in (30, 30, 7):
            desk.material.ends_in = ((Identity("aa"), days),)
            await desk.watch.alarm()
    assert [line["days_left"] for line in logs] == [30, 7]
