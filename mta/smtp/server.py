"""The listening side of SMTP: one socket, many connections, a sweep each second, a graceful end.

What it is: `listen(door, host, port) -> Running`. What it is not: a conversation (`mta.smtp.connection`).
"""

from __future__ import annotations

import asyncio
import logging
import socket

from mta.smtp.connection import SmtpConnection
from mta.smtp.door import Door

BACKLOG = 1024  # ours: connections the kernel keeps for us while the loop is busy
SWEEP_SECONDS = 1.0  # ours: how exact timeouts are


class Running:
    """A listener at work."""

    def __init__(self, door: Door, server: asyncio.Server, loop: asyncio.AbstractEventLoop) -> None:
        self._door, self._server, self._loop = door, server, loop
        self._timer = loop.call_later(SWEEP_SECONDS, self._tick)

    @property
    def port(self) -> int:
        """The TCP port, also when 0 was asked for."""
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._door.connections)

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
        self._server.close()
        for connection in tuple(self._door.connections):
            connection.stop()
        await self._wait(grace)
        for connection in tuple(self._door.connections):
            connection.abort()
        await self._wait(grace)
        self._timer.cancel()
        await self._server.wait_closed()

    async def _wait(self, seconds: float) -> None:
        endings = {asyncio.ensure_future(connection.ended()) for connection in self._door.connections}
        if endings:
            _, late = await asyncio.wait(endings, timeout=seconds)
            for ending in late:
                ending.cancel()


async def listen(door: Door, host: str, port: int, *, reuse_port: bool = False) -> Running:
    """Begin to listen. Raises OSError when the address cannot be had.

    `reuse_port` lets several processes share the port.
    """
    # aiosmtpd's own log prints peers and commands; ours is a closed list of fields.
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SmtpConnection(door, loop),
        host,
        port,
        family=socket.AF_UNSPEC,
        backlog=BACKLOG,
        reuse_port=reuse_port or None,
    )
    return Running(door, server, loop)
