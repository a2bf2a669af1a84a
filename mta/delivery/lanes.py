"""Queues side by side: what waits in one never delays another.

What it is: `Lanes`, a few works at a time for each name, first come first served. What it is not: durable, or an
opinion on what a lane is; the agents name them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

Work = Callable[[], Awaitable[None]]
"""Something to do that does not raise."""


class _Lane:
    __slots__ = ("running", "waiting")

    def __init__(self) -> None:
        self.running = 0
        self.waiting: deque[Work] = deque()


class Lanes:
    """`width`: works of one lane that go on at the same time."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._lanes: dict[str, _Lane] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        """What goes on."""

    def put(self, name: str, work: Work) -> None:
        """Begin it now, or when those before it in its lane are done."""
        lane = self._lanes.setdefault(name, _Lane())
        lane.waiting.append(work)
        if lane.running < self._width:
            lane.running += 1
            task = asyncio.get_running_loop().create_task(self._run(name, lane))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    def waiting(self, name: str) -> int:
        """How many works of this lane have not begun."""
        lane = self._lanes.get(name)
        return len(lane.waiting) if lane else 0

    def load(self, name: str) -> int:
        """How many works of this lane go on or have not begun."""
        lane = self._lanes.get(name)
        return lane.running + len(lane.waiting) if lane else 0

    async def _run(self, name: str, lane: _Lane) -> None:
        try:
            while lane.waiting:
                await lane.waiting.popleft()()
        finally:
            lane.running -= 1
            if not lane.running and not lane.waiting:
                self._lanes.pop(name, None)

    def clear(self) -> None:
        """Forget what has not begun."""
        for lane in self._lanes.values():
            lane.waiting.clear()
