"""Submits letters over many TLS connections and times each from its end of data to the 250.

What it is: an asyncio program (`python -m bench.load.submit`): reads its specification, connects and
authenticates every connection, says ready, waits for `go`, sends, prints a report. One letter after the other on
each connection; MAIL, RCPT and DATA go out together (RFC 2920 §3.1), the letter after the 354.
What it is not: an SMTP client: it knows only the replies it expects, anything else is a failure of the run.

The latency of a letter starts when its last octet has been handed to the socket and ends when the line of the
reply has been decrypted; the scheduling of this process is in it, for every server alike.
"""

from __future__ import annotations

import asyncio
import json
import resource
import ssl
import sys
import time
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import uvloop

from bench.letters import LetterForm, letter_form


class UnexpectedReply(Exception):
    """The server said something else than a good server would."""


class _Wire(asyncio.Protocol):
    """Lines of one connection, with the moment at which the last of them came."""

    def __init__(self) -> None:
        self.moment = 0.0
        self._buffer = b""
        self._waiter: asyncio.Future[None] | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self.transport = transport  # type: ignore[assignment]  # uvloop's transports have no common base class

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self.moment = time.perf_counter()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._buffer += b"000 connection lost\r\n"
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def write(self, data: bytes) -> None:
        """Send octets."""
        assert self.transport is not None
        self.transport.write(data)

    async def expect(self, *codes: bytes) -> None:
        """Read one reply for each code. Raises UnexpectedReply."""
        for code in codes:
            line = await self._line()
            while line[3:4] == b"-":
                line = await self._line()
            if not line.startswith(code):
                raise UnexpectedReply(f"expected {code.decode()}, read {line!r}")

    async def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line


@dataclass(frozen=True, slots=True, kw_only=True)
class _Session:
    """One authenticated connection and the letters it sends to its own box."""

    wire: _Wire
    opening: bytes
    form: LetterForm
    first_token: int

    async def send(self, letters: int) -> list[float]:
        """Send `letters` letters; milliseconds from end of data to 250, one for each."""
        latencies = []
        for number in range(letters):
            letter = self.form.letter(self.first_token + number)
            self.wire.write(self.opening)
            await self.wire.expect(b"250", b"250", b"354")
            self.wire.write(letter)
            sent = time.perf_counter()
            await self.wire.expect(b"250")
            latencies.append((self.wire.moment - sent) * 1000)
        return latencies


async def _connect(spec: dict[str, Any], context: ssl.SSLContext, number: int) -> _Session:
    loop = asyncio.get_running_loop()
    account = spec["accounts"][number % len(spec["accounts"])]
    end = spec["endpoint"]
    _, wire = await loop.create_connection(
        _Wire, end["host"], end["port"], ssl=context, server_hostname=end["server_name"]
    )
    address, login, password = account["address"], account["login"], account["password"]
    await wire.expect(b"220")
    wire.write(b"EHLO poste.ch-rivage.mssante.example\r\n")
    await wire.expect(b"250")
    wire.write(b"AUTH PLAIN " + b64encode(f"\0{login}\0{password}".encode()) + b"\r\n")
    await wire.expect(b"235")
    opening = f"MAIL FROM:<{address}>\r\nRCPT TO:<{address}>\r\nDATA\r\n".encode()
    return _Session(
        wire=wire, opening=opening, form=letter_form(address, size=spec["size"]),
        first_token=spec["token"] + (number << 32),
    )  # fmt: skip


async def _run(spec: dict[str, Any]) -> dict[str, Any]:
    context = ssl.create_default_context(cafile=spec["endpoint"]["authority"])
    sessions: Sequence[_Session] = await asyncio.gather(
        *(_connect(spec, context, number) for number in range(spec["connections"]))
    )
    await asyncio.gather(*(session.send(spec["before"]) for session in sessions))
    print(json.dumps({"ready": True}), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    spent, began = _cpu_seconds(), time.perf_counter()
    latencies = await asyncio.gather(*(session.send(spec["letters"]) for session in sessions))
    wall, cpu = time.perf_counter() - began, _cpu_seconds() - spent
    for session in sessions:
        session.wire.write(b"QUIT\r\n")
    await asyncio.gather(*(session.wire.expect(b"221") for session in sessions))
    return {"wall": wall, "cpu": cpu, "latencies": [value for each in latencies for value in each]}


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> int:
    """Read the specification, do it, print the report or `{"error"}`."""
    spec = json.loads(sys.stdin.readline())
    try:
        report = uvloop.run(_run(spec))
    except (OSError, UnexpectedReply) as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
        return 1
    print(json.dumps(report), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
