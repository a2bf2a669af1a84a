"""One SMTP door in memory: no socket, no TLS, no waiting; for dialogues, attacks and unit tests.

What it is: `MemoryDoor`, whose `connect` gives a `MemoryClient` (a `core.testing.dialogue.Peer`). Where the
real connection shakes hands for TLS, this one only notes that TLS was begun. What it is not: a test of TLS
(`tests/unit/mta/smtp/test_smtp_sockets.py` has real ones).
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from core import reply
from core.clock import Clock
from core.errors import ReplyError
from core.testing.clock import FakeClock
from core.testing.rooms import ScriptedRooms
from mta.rooms import Listener
from mta.smtp import extensions
from mta.smtp.connection import SmtpConnection
from mta.smtp.door import Door
from mta.smtp.metrics import NoMetrics
from mta.smtp.settings import SmtpSettings

HOSTNAME = "mss.ch-rivage.mssante.example"
WAIT_SECONDS = 5.0  # for an answer that should have come at once
ONE_TURN = 0  # asyncio.sleep(0): let the others run


class MemoryTls:
    """What a transport knows of a handshake that never was."""

    def __init__(self, certificate: bytes | None) -> None:
        self._certificate = certificate

    def version(self) -> str:
        """See `ssl.SSLObject`."""
        return "TLSv1.3"

    def cipher(self) -> tuple[str, str, int]:
        """See `ssl.SSLObject`."""
        return ("TLS_AES_256_GCM_SHA384", "TLSv1.3", 256)

    def getpeercert(self, *, binary_form: bool) -> bytes | None:
        """See `ssl.SSLObject`."""
        return self._certificate


class MemoryTransport(asyncio.Transport):
    """The server's end of the wire."""

    def __init__(self, protocol: asyncio.Protocol, address: str, tls: MemoryTls | None) -> None:
        super().__init__({"peername": (address, 40_000), "ssl_object": tls})
        self.heard = asyncio.StreamReader()
        self._protocol = protocol
        self._is_closing = False
        self._extra: dict[str, Any]

    def begin_tls(self, tls: MemoryTls) -> None:
        """From now on the wire is encrypted, so to say."""
        self._extra["ssl_object"] = tls

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """What the server says."""
        if not self._is_closing:
            self.heard.feed_data(bytes(data))

    def close(self) -> None:
        """The server closes."""
        if not self._is_closing:
            self._is_closing = True
            self.heard.feed_eof()
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    abort = close

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self._is_closing

    def pause_reading(self) -> None:
        """The reader has enough; in memory there is nothing to hold back."""

    def resume_reading(self) -> None:
        """See `pause_reading`."""


class MemoryConnection(SmtpConnection):
    """A connection whose STARTTLS is a note in its session."""

    certificate: bytes | None = None

    async def _begin_tls(self, context: ssl.SSLContext) -> None:
        self.transport.begin_tls(MemoryTls(self.certificate))
        self._note_tls()


class NoContexts:
    """Implements `core.ports.TlsContexts` where nobody looks at the contexts; or has none to give."""

    def __init__(self, *, is_broken: bool = False) -> None:
        self._is_broken = is_broken

    def submission_server(self) -> ssl.SSLContext:
        """See `TlsContexts`."""
        if self._is_broken:
            raise ReplyError(reply.TLS_NOT_AVAILABLE)
        return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    relay_server = submission_server

    def relay_client(self) -> ssl.SSLContext:
        """See `TlsContexts`."""
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    def twisted_server(self) -> Any:
        """See `TlsContexts`."""
        raise ReplyError(reply.TLS_NOT_AVAILABLE)


class MemoryClient:
    """The client's end; implements `core.testing.dialogue.Peer`."""

    def __init__(self, connection: MemoryConnection, transport: MemoryTransport) -> None:
        self.connection, self.transport = connection, transport

    async def send(self, octets: bytes) -> None:
        """Say these octets, in one segment."""
        if not self.transport.is_closing():
            self.connection.data_received(octets)
        await asyncio.sleep(ONE_TURN)

    async def receive_line(self) -> bytes:
        """The server's next line; b"" when it closed."""
        return await asyncio.wait_for(self.transport.heard.readline(), WAIT_SECONDS)

    async def receive_exactly(self, count: int) -> bytes:
        """The server's next octets."""
        return await asyncio.wait_for(self.transport.heard.readexactly(count), WAIT_SECONDS)

    async def receive_all(self) -> bytes:
        """Everything until the server closes."""
        return await asyncio.wait_for(self.transport.heard.read(), WAIT_SECONDS)

    async def reply(self) -> list[str]:
        """One reply, all its lines, without line ends."""
        lines: list[str] = []
        while not lines or lines[-1][3:4] == "-":
            lines.append((await self.receive_line()).decode("ascii").removesuffix("\r\n"))
        return lines

    async def say(self, line: str) -> str:
        """Send one command, give the last line of its reply."""
        await self.send(line.encode() + b"\r\n")
        return (await self.reply())[-1]

    async def act(self, action: str) -> None:
        """`closed`: the server has closed; `end`: the client ends its side; `tls`: nothing to do in memory."""
        match action:
            case "closed":
                rest = await self.receive_all()
                if rest:
                    raise AssertionError(f"expected the end, the server said {rest!r}")
            case "end":
                self.connection.eof_received()
            case "tls":
                pass
            case _:
                raise ValueError(f"no action is called {action}")

    async def hang_up(self) -> None:
        """Leave without QUIT, and wait until the server knows."""
        self.transport.close()
        await asyncio.wait_for(self.connection.ended(), WAIT_SECONDS)


class MemoryDoor:
    """A listener without a socket."""

    def __init__(
        self,
        listener: Listener = Listener.RELAY,
        *,
        rooms: ScriptedRooms | None = None,
        clock: Clock | None = None,
        tls: NoContexts | None = None,
        metrics: NoMetrics | None = None,
        **changes: Any,
    ) -> None:
        self.rooms = rooms or ScriptedRooms()
        self.clock = clock or FakeClock()
        self.certificate: bytes | None = b"certificate of the peer"
        settings = SmtpSettings(hostname=HOSTNAME, **{"linger": 0.0, "error_delay": 0.0, **changes})
        self.door = Door(
            listener=listener,
            rooms=self.rooms,
            tls=tls or NoContexts(),
            clock=self.clock,
            settings=settings,
            metrics=metrics or NoMetrics(),
        )

    def connect(self, address: str = "192.0.2.7") -> MemoryClient:
        """A new connection; the greeting is still to be read."""
        is_admitted = self.door.limits.enter(address)
        connection = MemoryConnection(self.door, asyncio.get_running_loop(), is_admitted=is_admitted)
        connection.certificate = self.certificate
        is_implicit = extensions.is_implicit_tls(self.door.listener)
        transport = MemoryTransport(connection, address, MemoryTls(self.certificate) if is_implicit else None)
        connection.connection_made(transport)
        return MemoryClient(connection, transport)

    async def open(self, *, login: str = "", password: str = "") -> MemoryClient:
        """A connection that is greeted, encrypted, and logged in when a login is given."""
        client = self.connect()
        await client.reply()
        if self.door.listener in (Listener.RELAY, Listener.SUBMISSION):
            await client.say("EHLO poste.example")
            await client.say("STARTTLS")
        await client.say("EHLO poste.example")
        if login:
            await client.say("AUTH LOGIN")
            await client.say(_base64(login))
            await client.say(_base64(password))
        return client

    def sweep(self) -> None:
        """What the listener does each second."""
        for connection in tuple(self.door.connections):
            connection.expire(self.clock.monotonic())


def _base64(text: str) -> str:
    import base64

    return base64.b64encode(text.encode()).decode()
