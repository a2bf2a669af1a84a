"""Another operator's relay, played by a test: real sockets, real TLS, and whatever fault is asked for.

What it is: `RelayPeer`, a small SMTP server that remembers every octet it got in clear and every letter it took.
What it is not: strict; it answers what its `answers` say and does what its `faults` say.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from dataclasses import dataclass, field


@dataclass(slots=True)
class TakenLetter:
    """What came in one transaction."""

    mail: str
    rcpt: list[str]
    octets: bytes


@dataclass(slots=True)
class RelayPeer:
    """`context` is for the server's side; without one, STARTTLS is not offered."""

    context: ssl.SSLContext | None
    extensions: tuple[str, ...] = ("SIZE 1000000", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES")
    answers: dict[str, str] = field(default_factory=dict)
    """Beginning of a command (or `.` for the end of data, `greeting`) → the answer; the longest beginning counts."""
    faults: dict[str, str] = field(default_factory=dict)
    """Beginning of a command → `close`, `close-once` or `stall`."""
    inject_after_starttls: bytes = b""
    letters: list[TakenLetter] = field(default_factory=list)
    clear: bytes = b""
    """Every octet that came outside TLS."""
    connections: int = 0
    most_at_once: int = 0
    open_now: int = 0
    port: int = 0
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _current: TakenLetter = field(default_factory=lambda: TakenLetter("", [], b""))

    async def start(self) -> RelayPeer:
        """Listen on a free loopback port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**22)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        """Stop listening and drop every conversation."""
        assert self._server is not None
        self._server.close()
        await self.drop()

    async def drop(self) -> None:
        """Close every connection, as a peer that restarts does."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open_now += 1
        self.most_at_once = max(self.most_at_once, self.open_now)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._converse(reader, writer)
        finally:
            self.open_now -= 1
            self._tasks.discard(task)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_tls = False
        if not await self._play("greeting", "220 mx.cabinet.mssante.example ESMTP", writer):
            return
        current = TakenLetter("", [], b"")
        while line := await reader.readline():
            if not is_tls:
                self.clear += line
            command = line.decode("utf-8", "replace").rstrip("\r\n")
            verb = command.split(" ")[0].upper()
            default = "250 2.0.0 OK"
            if verb == "EHLO":
                offered = [*self.extensions, *(["STARTTLS"] if self.context and not is_tls else [])]
                words = ["mx.cabinet.mssante.example", *offered]
                default = "\r\n".join(
                    f"250{' ' if number == len(words) - 1 else '-'}{word}"
                    for number, word in enumerate(words)
                )
            elif verb == "STARTTLS":
                assert self.context is not None
                if not await self._play(command, "220 2.0.0 Ready", writer, self.inject_after_starttls):
                    return
                if not self._answer(command, "220").startswith("220"):
                    continue
                await writer.start_tls(self.context)
                is_tls = True
                continue
            elif verb == "MAIL":
                current = TakenLetter(command, [], b"")
            elif verb == "DATA":
                default = "354 Go on"
            elif verb == "QUIT":
                default = "221 2.0.0 Bye"
            if not await self._play(command, default, writer) or verb == "QUIT":
                return
            if verb == "RCPT" and self._answer(command, default).startswith("2"):
                current.rcpt.append(command)
            if verb == "DATA" and self._answer(command, default).startswith("354"):
                if not await self._take(current, reader, writer, is_tls):
                    return
                current = TakenLetter("", [], b"")

    async def _take(
        self,
        current: TakenLetter,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        is_tls: bool,
    ) -> bool:
        lines = []
        while (line := await reader.readline()) not in (b".\r\n", b""):
            if not is_tls:
                self.clear += line
            lines.append(line.removeprefix(b"."))
        current.octets = b"".join(lines)
        answer = self._answer(".", "250 2.0.0 Queued")
        if line and answer.startswith("2"):
            self.letters.append(current)
        return bool(line) and await self._play(".", "250 2.0.0 Queued", writer)

    def _answer(self, command: str, default: str) -> str:
        found = [start for start in self.answers if command.startswith(start)]
        return self.answers[max(found, key=len)] if found else default

    async def _play(
        self, command: str, default: str, writer: asyncio.StreamWriter, more: bytes = b""
    ) -> bool:
        start, fault = next((pair for pair in self.faults.items() if command.startswith(pair[0])), ("", ""))
        if fault == "close-once":
            del self.faults[start]
        if fault.startswith("close"):
            return False
        if fault == "stall":
            await asyncio.Event().wait()
        writer.write(self._answer(command, default).encode("utf-8") + b"\r\n" + more)
        await writer.drain()
        return True
