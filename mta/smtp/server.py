"""The listening side of SMTP: one socket, many connections, a sweep each second, a graceful end.

What it is: `listen(door, host, port) -> Running`. What it is not: a conversation (`mta.smtp.connection`).
Connections are accepted here and not by `loop.create_server`, because the TLS context of an implicit-TLS
listener must be the one of the moment (certificates are renewed while we run), and because too many
connections must be known before the first handshake is paid for.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Coroutine
from typing import Any

import structlog

from mta.smtp import extensions
from mta.smtp.connection import SmtpConnection
from mta.smtp.door import Door, tls_failure

log = structlog.get_logger()
BACKLOG = 1024  # ours: connections the kernel keeps for us while the loop is busy
SWEEP_SECONDS = 1.0  # ours: how exact timeouts are
ACCEPT_PAUSE = 0.5  # ours, seconds: when the machine has no descriptor left, let some conversations end


class Running:
    """A listener at work."""

    def __init__(self, door: Door, listening: socket.socket) -> None:
        self._door, self._socket = door, listening
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port: int = listening.getsockname()[1]
        """The TCP port, also when 0 was asked for."""
        self._start(self._accept_for_ever())
        self._timer = self._loop.call_later(SWEEP_SECONDS, self._tick)

    @property
    def connections(self) -> int:
        """How many conversations are open."""
        return len(self._door.connections)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept_for_ever(self) -> None:
        while True:
            try:
                accepted, address = await self._loop.sock_accept(self._socket)
            except OSError as error:
                log.warning("smtp_accept_failed", listener=self._door.listener.value, error=str(error.errno))
                await asyncio.sleep(ACCEPT_PAUSE)
                continue
            self._start(self._welcome(accepted, str(address[0])))

    async def _welcome(self, accepted: socket.socket, address: str) -> None:
        """Count the connection in, shake hands where TLS comes first, and begin the conversation."""
        door = self._door
        is_admitted = door.limits.enter(address)
        is_implicit = extensions.is_implicit_tls(door.listener)
        try:
            if is_implicit and not is_admitted:
                accepted.close()  # without TLS nothing can be said there
                return
            await self._loop.connect_accepted_socket(
                lambda: SmtpConnection(door, self._loop, is_admitted=is_admitted),
                accepted,
                ssl=door.context() if is_implicit else None,
                ssl_handshake_timeout=door.settings.handshake_timeout if is_implicit else None,
            )
        except BaseException as error:
            accepted.close()
            if is_admitted:
                door.limits.leave(address)
            if not isinstance(error, Exception):
                raise
            log.info("smtp_tls_failed", listener=door.listener.value, reason=tls_failure(error))

    def _tick(self) -> None:
        self.sweep()
        self._timer = self._loop.call_later(SWEEP_SECONDS, self._tick)

    def sweep(self) -> None:
        """End what waits too long."""
        now = self._door.clock.monotonic()
        for connection in tuple(self._door.connections):
            connection.expire(now)

    async def close(self, grace: float = 30.0) -> None:
        """Take no more, answer 421 to the idle, wait `grace` seconds for letters under way, cut the rest."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._socket.close()
        for connection in tuple(self._door.connections):
            connection.stop()
        await self._wait(grace)
        for connection in tuple(self._door.connections):
            connection.abort()
        await self._wait(grace)
        self._timer.cancel()

    async def _wait(self, seconds: float) -> None:
        endings = {asyncio.ensure_future(connection.ended()) for connection in self._door.connections}
        if endings:
            _, late = await asyncio.wait(endings, timeout=seconds)
            for ending in late:
                ending.cancel()


async def listen(door: Door, host: str, port: int, *, reuse_port: bool = False) -> Running:
    """Begin to listen. Raises OSError when the address cannot be had.

    `host` is an address ("::" takes IPv4 too); `reuse_port` lets several processes share the port.
    """
    # aiosmtpd's own log prints peers and commands; ours is a closed list of fields.
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)
    listening = socket.create_server(
        (host, port),
        family=socket.AF_INET6 if ":" in host else socket.AF_INET,
        backlog=BACKLOG,
        reuse_port=reuse_port,
        dualstack_ipv6=host == "::",
    )
    listening.setblocking(False)
    return Running(door, listening)
