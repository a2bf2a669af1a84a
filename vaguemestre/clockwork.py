"""The tasks that a serving process does beside its doors; none of them ends unseen.

What it is: `Clockwork`: tasks for ever (`run`), work each so many seconds (`every`), work that was asked for
(`once`). What it is not: the work. A process whose scheduler or audit trail has ended must not keep its doors open:
what ends by itself is told to `on_broken` (the process stops in order and is started again), and FatalStoreError to
`on_fatal` (it stops at once).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

import structlog

from core.errors import FatalStoreError

_log = structlog.get_logger()


class Clockwork:
    """See the module."""

    def __init__(self, on_fatal: Callable[[FatalStoreError], None], on_broken: Callable[[str], None]) -> None:
        self._on_fatal = on_fatal
        self._on_broken = on_broken
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopping = False

    def run(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """A task that never ends while the process serves."""
        self._start(name, work, is_for_ever=True)

    def every(self, name: str, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        """Do this now and each so many seconds after it is done; a bug of one turn costs that turn."""
        self._start(name, self._turns(name, seconds, work), is_for_ever=True)

    def once(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Do this beside the rest."""
        self._start(name, work, is_for_ever=False)

    def stopping(self) -> None:
        """From now on tasks may end by themselves."""
        self._is_stopping = True

    async def stop(self) -> None:
        """End them all."""
        self.stopping()
        for task in self._tasks:
            task.cancel()
        await self.idle()

    async def idle(self) -> None:
        """Return when no task is left."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    # --- the watch -------------------------------------------------------------------------------------------
    def _start(self, name: str, work: Coroutine[Any, Any, None], *, is_for_ever: bool) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, is_for_ever=is_for_ever))

    async def _turns(self, name: str, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except FatalStoreError:
                raise
            except Exception as error:  # noqa: BLE001 - the clockwork must outlive a bug of one turn
                _log.error("clockwork-failed", component="clockwork", reason=name, exc_info=error)
            await asyncio.sleep(seconds)

    def _ended(self, task: asyncio.Task[None], *, is_for_ever: bool) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        name, error = task.get_name(), task.exception()
        if isinstance(error, FatalStoreError):
            self._on_fatal(error)
        elif is_for_ever and not self._is_stopping:
            _log.critical("clockwork-ended", component="clockwork", reason=name, exc_info=error)
            self._on_broken(name)
        elif error is not None:
            _log.error("clockwork-failed", component="clockwork", reason=name, exc_info=error)
