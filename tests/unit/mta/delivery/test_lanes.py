"""Lanes: so many at once, in order, and none waits for another's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from mta.delivery.lanes import Lanes


def work(gate: asyncio.Event, done: list[str], name: str) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        await gate.wait()
        done.append(name)

    return run


async def turn(times: int = 5) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


async def test_a_stalled_lane_holds_up_nobody_else() -> None:
    lanes, stalled, free, done = Lanes(2), asyncio.Event(), asyncio.Event(), list[str]()
    free.set()
    for number in range(5):
        lanes.put("stalled", work(stalled, done, f"s{number}"))
    for number in range(3):
        lanes.put("free", work(free, done, f"f{number}"))
    await turn()
    assert sorted(done) == ["f0", "f1", "f2"]
    assert lanes.waiting("stalled") == 3
    assert lanes.waiting("free") == 0
    assert (lanes.load("stalled"), lanes.load("free")) == (5, 0)
    stalled.set()
    await turn(10)
    assert sorted(done[3:]) == ["s0", "s1", "s2", "s3", "s4"]
    assert lanes.tasks == set()


async def test_what_has_not_begun_can_be_forgotten() -> None:
    lanes, gate, done = Lanes(1), asyncio.Event(), list[str]()
    for number in range(3):
        lanes.put("a", work(gate, done, f"a{number}"))
    await turn()
    lanes.clear()
    gate.set()
    await turn()
    assert done == ["a0"]
    lanes.put("a", work(gate, done, "again"))
    await turn()
    assert done == ["a0", "again"]
