"""What is due, and whose it is: finds letters whose time has come and keeps the leases of those in hand.

What it is: `Scheduler.run`, one loop for each process that delivers, and `round`, its one step. What it is not:
delivery; what is found goes to the `Worker` (the engine). A letter that came straight from the door never passes
here, unless it has to be tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from core.clock import Clock
from core.errors import FatalStoreError, GatewayError
from mta.spool.item import Claim
from mta.spool.retry import HOUR
from mta.spool.store import SpoolStore

_log = structlog.get_logger()

MAX_TAKEN = 100  # ours: recipients of one domain taken in one step


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerSettings:
    """How often, in seconds."""

    look_every: float = 2.0
    """Longest wait between two looks: an operator's `queue retry` in another process is found within it."""
    longest_wait: float = HOUR
    """The longest wait between two attempts. What seems to wait more than twice as long is due: jitter does not
    reach so far, so the clock was set back."""
    forget_seen_every: float = 3600.0
    """How often the keys of letters seen long ago are removed."""


class Worker(Protocol):
    """Who works on what is found."""

    wake: Callable[[], None]

    def room_for(self, domain: str) -> int:
        """How many more recipients of this domain it takes now."""
        ...

    def take(self, claim: Claim) -> None:
        """Work on these."""
        ...

    def leases(self) -> Sequence[Claim]:
        """What is in hand."""
        ...


class Scheduler:
    """`tend` is called at each look, for connections that rest and the like."""

    def __init__(
        self,
        *,
        spool: SpoolStore,
        worker: Worker,
        clock: Clock,
        settings: SchedulerSettings,
        tend: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._spool = spool
        self._worker = worker
        self._clock = clock
        self._settings = settings
        self._tend = tend
        self._awake = asyncio.Event()
        self._is_stopping = False
        self._renewed_at = clock.monotonic()
        self._forgot_at = clock.monotonic()
        worker.wake = self._awake.set

    async def run(self) -> None:
        """Until `stop`. A store that is away is waited for; FatalStoreError ends it."""
        while not self._is_stopping:
            wait = self._settings.look_every
            try:
                wait = await self.round()
            except FatalStoreError:
                raise
            except GatewayError as error:
                _log.warning("spool-not-read", component="scheduler", error=type(error).__name__)
            except Exception as error:  # noqa: BLE001 - the loop must outlive a bug of one look
                _log.error("spool-look-failed", component="scheduler", exc_info=error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._awake.wait(), wait)
            self._awake.clear()

    def stop(self) -> None:
        """End `run` after the look that goes on."""
        self._is_stopping = True
        self._awake.set()

    async def round(self) -> float:
        """One look: renew leases, take what is due, tidy. Gives the seconds until the next is needed."""
        await self._renew()
        now = self._spool.now()
        horizon = now + 2 * self._settings.longest_wait
        lanes = await self._spool.lanes(horizon)
        wants = [
            (domain, min(room, MAX_TAKEN))
            for domain, due in lanes
            if due <= now and (room := self._worker.room_for(domain)) > 0
        ]
        taken = await self._spool.take(wants, horizon) if wants else []
        for claim in taken:
            self._worker.take(claim)
        await self._tidy()
        if taken:
            return 0.0  # there may be more of the same
        later = min((due - now for _, due in lanes if due > now), default=self._settings.look_every)
        return min(later, self._settings.look_every)

    async def _renew(self) -> None:
        now = self._clock.monotonic()
        if now - self._renewed_at < self._spool.settings.lease_seconds / 3:
            return
        self._renewed_at = now
        leases = self._worker.leases()
        if leases:
            await self._spool.renew(leases)

    async def _tidy(self) -> None:
        if self._tend is not None:
            await self._tend()
        now = self._clock.monotonic()
        if now - self._forgot_at >= self._settings.forget_seen_every:
            self._forgot_at = now
            await self._spool.forget_seen()
