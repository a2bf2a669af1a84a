"""Deliveries into our own boxes give way to the doors: a peer that waits for its 250 comes first, for a while.

What it is: `Courtesy`, which counts letters between their end of data and their answer, and lets a delivery wait
until the doors are quiet or its letter has waited long enough. What it is not: a queue; a letter is durable
before it comes here. In a burst all letters are acknowledged early and put into boxes a moment later; under a
load that never ends both share the process, because patience is short.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from core.clock import Clock

PATIENCE = 2.0  # ours: seconds that a letter may wait for quiet doors; nobody notices them in a mailbox
QUIET = 0.02  # ours: seconds without a letter at any door
LOOK = 0.02  # ours: seconds between two looks


class Courtesy:
    """One for each process."""

    def __init__(
        self,
        clock: Clock,
        patience: float = PATIENCE,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._patience = patience
        self._sleep = sleep
        self._at_the_doors = 0
        self._last_seen = -QUIET

    @contextmanager
    def letter_at_the_door(self) -> Iterator[None]:
        """While a letter is checked and made durable."""
        self._at_the_doors += 1
        try:
            yield
        finally:
            self._at_the_doors -= 1
            self._last_seen = self._clock.monotonic()

    @property
    def is_quiet(self) -> bool:
        """Whether no letter stands at a door, or has just left one."""
        return not self._at_the_doors and self._clock.monotonic() - self._last_seen >= QUIET

    async def until_quiet(self, seconds: float) -> None:
        """For work that nobody waits for: return when the doors are quiet, or after so many seconds."""
        await self._wait(self._clock.monotonic() + seconds)

    async def _wait(self, until: float) -> None:
        while not self.is_quiet and self._clock.monotonic() < until:
            await self._sleep(LOOK)

    async def give_way(self, accepted_at: float) -> None:
        """Return when the doors are quiet, or when the letter (seconds since 1970) has waited for `patience`."""
        while not self.is_quiet and self._clock.now().timestamp() - accepted_at < self._patience:
            await self._sleep(LOOK)
