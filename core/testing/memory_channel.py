"""A transport in memory: what a door writes is read by the test, what the test sends is given to the door.

What it is: both the channel that a conversation writes to and the `core.testing.dialogue.Peer` at its other
end, for any protocol. What it is not: a socket; TLS is only noted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

PATIENCE = 5.0  # seconds that a test waits for an answer before it fails


class MemoryChannel:
    """Give `receive` of the door to `connect`; then `send` and `receive_line`."""

    def __init__(self) -> None:
        self._octets = bytearray()
        self._came = asyncio.Event()
        self._receive: Callable[[bytes], None] = lambda octets: None
        self.is_closed = False
        self.is_tls = False
        self.is_held = False
        self.is_slow = False
        """When set, `drain` waits until it is cleared by `read_again`."""
        self._read_again = asyncio.Event()
        self.writes: list[int] = []
        """The size of every write."""

    def connect(self, receive: Callable[[bytes], None]) -> None:
        """Where the octets that are sent go."""
        self._receive = receive

    # --- as the door sees it --------------------------------------------------------------------------------
    def write(self, octets: bytes) -> None:
        """Octets for the client."""
        self._octets += octets
        self.writes.append(len(octets))
        self._came.set()

    async def drain(self) -> None:
        """Wait while the client is slow."""
        if self.is_slow:
            await self._read_again.wait()

    def read_again(self) -> None:
        """The client reads again."""
        self.is_slow = False
        self._read_again.set()

    def hold(self, *, held: bool) -> None:
        """Reading stops or goes on."""
        self.is_held = held

    def start_tls(self) -> None:
        """Noted only."""
        self.is_tls = True

    def close(self) -> None:
        """The door ends the connection."""
        self.is_closed = True
        self._came.set()

    # --- as the client sees it ------------------------------------------------------------------------------
    async def send(self, octets: bytes) -> None:
        """Octets to the door."""
        self._receive(octets)
        await asyncio.sleep(0)

    async def receive_line(self) -> bytes:
        """The next line with its end; b"" when the door closed."""
        end = await self._until(lambda: self._octets.find(b"\n") + 1)
        return self._take(end)

    async def receive_exactly(self, count: int) -> bytes:
        """The next `count` octets, fewer when the door closed."""
        await self._until(lambda: len(self._octets) >= count)
        return self._take(count)

    async def receive_until(self, end: bytes) -> bytes:
        """Everything up to and with these octets."""
        await self._until(lambda: end in self._octets)
        return self._take(self._octets.find(end) + len(end) if end in self._octets else len(self._octets))

    async def wait_closed(self) -> bytes:
        """What is left when the door has closed."""
        await self._until(lambda: 0)
        return self._take(len(self._octets))

    async def act(self, action: str) -> None:
        """`tls`: TLS was begun; `closed`: the door closed and said no more; `silence`: nothing was said."""
        if action == "tls":
            assert self.is_tls, "the door did not begin TLS"
        elif action == "closed":
            left = await self.wait_closed()
            assert not left, f"the door said {left!r} before it closed"
        elif action == "silence":
            for _ in range(20):
                await asyncio.sleep(0)
            assert not self._octets, f"the door said {bytes(self._octets)!r}"
        else:
            raise ValueError(f"unknown action {action}")

    async def _until(self, ready: Callable[[], int]) -> int:
        async with asyncio.timeout(PATIENCE):
            while not (found := ready()) and not self.is_closed:
                self._came.clear()
                await self._came.wait()
        return found or ready()

    def _take(self, count: int) -> bytes:
        taken = bytes(self._octets[:count])
        del self._octets[:count]
        return taken
