"""The scheduler's looks: what it takes, when it looks again, and what it outlives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from core.errors import FatalStoreError, StoreError
from core.testing.clock import FakeClock
from mta.spool.item import Claim
from mta.spool.scheduler import Scheduler, SchedulerSettings
from mta.spool.store import SpoolSettings, SpoolStore

CLAIM = cast(Claim, object())


class Spool:
    """A spool that answers as told."""

    settings = SpoolSettings(slot="rivage/0", started="1", lease_seconds=90)

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.due: list[tuple[str, float]] = []
        self.asked: list[list[tuple[str, int]]] = []
        self.horizons: list[float] = []
        self.calls: list[str] = []
        self.errors: list[Exception] = []

    def now(self) -> float:
        return self.clock.now().timestamp()

    async def lanes(self, horizon: float) -> list[tuple[str, float]]:
        self.horizons.append(horizon)
        self.calls.append("lanes")
        if self.errors:
            raise self.errors.pop(0)
        return self.due

    async def take(self, wants: Sequence[tuple[str, int]], horizon: float) -> list[Claim]:
        self.horizons.append(horizon)
        self.asked.append(list(wants))
        return [CLAIM]

    async def renew(self, claims: Sequence[Claim]) -> None:
        self.calls.append("renew")

    async def forget_seen(self) -> None:
        self.calls.append("forget")


class Worker:
    """Takes so many."""

    def __init__(self) -> None:
        self.wake: Callable[[], None] = lambda: None
        self.rooms: dict[str, int] = {}
        self.taken: list[Claim] = []

    def room_for(self, domain: str) -> int:
        return self.rooms.get(domain, 1000)

    def take(self, claim: Claim) -> None:
        self.taken.append(claim)

    def leases(self) -> Sequence[Claim]:
        return self.taken


def made(**settings: Any) -> tuple[Scheduler, Spool, Worker, FakeClock]:
    clock = FakeClock()
    spool, worker = Spool(clock), Worker()
    scheduler = Scheduler(
        spool=cast(SpoolStore, spool), worker=worker, clock=clock, settings=SchedulerSettings(**settings)
    )
    return scheduler, spool, worker, clock


async def test_what_is_due_is_taken_as_far_as_there_is_room() -> None:
    scheduler, spool, worker, _ = made()
    now = spool.now()
    spool.due = [
        ("a.example", now),
        ("b.example", now - 5),
        ("full.example", now),
        ("later.example", now + 1),
    ]
    worker.rooms = {"b.example": 3, "full.example": 0}
    assert await scheduler.round() == 0.0
    assert spool.asked == [[("a.example", 100), ("b.example", 3)]]
    assert worker.taken == [CLAIM]


async def test_the_next_look_is_when_the_next_is_due_but_soon() -> None:
    scheduler, spool, _, _ = made(look_every=2.0)
    spool.due = [("later.example", spool.now() + 1)]
    assert await scheduler.round() == pytest.approx(1.0)
    spool.due = [("later.example", spool.now() + 100)]
    assert await scheduler.round() == 2.0
    spool.due = []
    assert await scheduler.round() == 2.0
    assert spool.asked == []


async def test_leases_are_renewed_in_time_and_old_keys_forgotten() -> None:
    scheduler, spool, worker, clock = made()
    await scheduler.round()
    clock.advance(30)
    await scheduler.round()
    assert "renew" not in spool.calls  # nothing in hand
    worker.taken = [CLAIM]
    clock.advance(29)
    await scheduler.round()
    assert "renew" not in spool.calls
    clock.advance(1)
    await scheduler.round()
    assert spool.calls.count("renew") == 1
    clock.advance(3600)
    await scheduler.round()
    assert spool.calls.count("forget") == 1


async def test_the_loop_outlives_doubts_and_bugs_but_not_a_broken_disk() -> None:
    scheduler, spool, _, _ = made(look_every=0.001)
    spool.errors = [StoreError("away"), ValueError("bug"), FatalStoreError("fsync")]
    with pytest.raises(FatalStoreError):
        await scheduler.run()
    assert spool.calls == ["lanes"] * 3


async def test_a_wake_cuts_the_wait_short_and_stop_ends_it() -> None:
    scheduler, spool, worker, _ = made(look_every=60.0)
    running = asyncio.ensure_future(scheduler.run())
    for _ in range(5):
        await asyncio.sleep(0)
    assert spool.calls == ["lanes"]
    worker.wake()
    for _ in range(5):
        await asyncio.sleep(0)
    assert spool.calls == ["lanes", "lanes"]
    scheduler.stop()
    await running


async def test_no_wait_is_longer_than_twice_the_longest_that_is_ever_given() -> None:
    scheduler, spool, _, _ = made(longest_wait=60.0)
    spool.due = [("a.example", spool.now())]
    await scheduler.round()
    assert spool.horizons == [spool.now() + 120] * 2
