"""The life of a serving process: one loop, signals, drain, the end.

What it is: how the loop is made (uvloop under Twisted's asyncio reactor), which signals do what, and with which
status the process leaves. What it is not: what runs on it (`vaguemestre.wiring`). Start at `serve`.

SIGTERM and SIGINT drain and leave with 0; SIGHUP reloads certificates, CRLs and the trust list. A store that
cannot be trusted any more ends the process at once with 74 (EX_IOERR): a failed fsync is never tried again. A task
beside the doors that ends by itself (a bug) drains and leaves with 70 (EX_SOFTWARE): the service manager starts anew.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from typing import Any

import structlog

from core.clock import SystemClock
from core.errors import ConfigurationError, FatalStoreError, GatewayError, TemporaryError
from vaguemestre.config.schema import Configuration
from vaguemestre.observability.logging import configure

EX_SOFTWARE = 70  # sysexits.h
EX_IOERR = 74
EX_TEMPFAIL = 75
EX_CONFIG = 78
LAG_PERIOD = 0.5  # seconds between two looks at how late the loop wakes
_log = structlog.get_logger()


def serve(configuration: Configuration) -> int:
    """Run one operator until it is told to stop; the exit status."""
    import uvloop
    from twisted.internet import asyncioreactor

    configure(clock=SystemClock(), log_format=configuration.log.format, level=configuration.log.level)
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    asyncioreactor.install(loop)  # before anything imports twisted.internet.reactor
    from twisted.internet import reactor

    life = loop.create_task(_Life(configuration, loop).live(reactor))
    twisted: Any = reactor  # mypy sees the interface, whose run has no arguments
    twisted.run(installSignalHandlers=False)
    return life.result()


def _status(error: GatewayError) -> int:
    """What a service manager reads: change something, start me again later, or neither."""
    if isinstance(error, ConfigurationError):
        return EX_CONFIG
    return EX_TEMPFAIL if isinstance(error, TemporaryError) else 1


class _Life:
    """From the first open file to the last closed one."""

    def __init__(self, configuration: Configuration, loop: asyncio.AbstractEventLoop) -> None:
        self._configuration = configuration
        self._loop = loop
        self._over = asyncio.Event()
        self._status = 0

    async def live(self, reactor: Any) -> int:
        """Build, start, wait, drain; stop the reactor last."""
        from vaguemestre.node import Node

        try:
            node = await Node.open(self._configuration, self._on_fatal, self._on_broken)
            try:
                for number in (signal.SIGTERM, signal.SIGINT):
                    self._loop.add_signal_handler(number, self._over.set)
                self._loop.add_signal_handler(signal.SIGHUP, node.reload)
                await node.start()
                gc.collect()
                gc.freeze()  # what a start leaves is not looked through again while letters wait
                _log.info("serving", component=self._configuration.operator.node)
                await self._watch(node)
            finally:
                await node.close()
        except GatewayError as error:
            print(f"vaguemestre: {error}", file=sys.stderr, flush=True)  # noqa: T201 - one clear line at start
            return _status(error)
        finally:
            reactor.stop()
        _log.info("stopped", component=self._configuration.operator.node)
        return self._status

    async def _watch(self, node: Any) -> None:
        while not self._over.is_set():
            due = self._loop.time() + LAG_PERIOD
            try:
                async with asyncio.timeout(LAG_PERIOD):
                    await self._over.wait()
            except TimeoutError:
                node.metrics.loop_lag.set(max(0.0, self._loop.time() - due))

    def _on_broken(self, _task: str) -> None:
        """A task that must not end has ended; it was logged. What is under way is brought to its end."""
        self._status = EX_SOFTWARE
        self._over.set()

    def _on_fatal(self, error: FatalStoreError) -> None:
        _log.critical("store-failed", error=type(error).__name__)
        sys.stderr.flush()
        # No drain: what would be said to peers now could not be trusted. Unanswered letters are theirs still.
        os._exit(EX_IOERR)
