"""What answers behind our ports: us, somebody else, or nobody. For the doctor.

What it is: `look_at_doors`: a connection, a greeting, a certificate, and when nobody answers an attempt to open the
port. What it is not: a judgement (`vaguemestre.doctor.judge_ports`).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from vaguemestre.config.schema import OFF, ListenSettings
from vaguemestre.doctor import Port

PATIENCE = 3.0  # ours: seconds for a connection and a greeting
MAX_GREETING = 2048  # ours: octets
MAX_WORDS = 60  # ours: of another program's greeting, shown to the operator
ANY_HOST = ("0.0.0.0", "::", "")  # noqa: S104 - compared with, not bound to

Found = tuple[str, int, Port, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ourselves:
    """By what we know ourselves: the name in our greetings, and our certificates (DER)."""

    hostname: str
    certificates: frozenset[bytes]
    tls: ssl.SSLContext | None
    """As for relaying: the chain is demanded. None when our own material cannot be read."""


async def look_at_doors(listen: ListenSettings, ourselves: Ourselves) -> list[Found]:
    """Every door that the configuration opens."""
    host = listen.host
    doors: list[tuple[str, str, int, Callable[[str, int], Awaitable[tuple[Port, str]]]]] = [
        ("submission", host, listen.submission, _greeting(ourselves)),
        ("submissions", host, listen.submissions, _certificate(ourselves)),
        ("relay", host, listen.relay, _greeting(ourselves)),
        ("imap", host, listen.imap, _greeting(ourselves)),
        ("imaps", host, listen.imaps, _certificate(ourselves)),
        ("management", listen.management_host, listen.management, _health),
    ]
    open_doors = [door for door in doors if door[2] != OFF]
    answers = await asyncio.gather(*(_look(where, port, ask) for _, where, port, ask in open_doors))
    return [
        (name, port, state, words)
        for (name, _, port, _), (state, words) in zip(open_doors, answers, strict=True)
    ]


async def _look(
    host: str, port: int, ask: Callable[[str, int], Awaitable[tuple[Port, str]]]
) -> tuple[Port, str]:
    reached = "127.0.0.1" if host in ANY_HOST else host
    try:
        async with asyncio.timeout(PATIENCE):
            return await ask(reached, port)
    except (ConnectionRefusedError, TimeoutError):
        return _try_to_open(host, port)
    except (OSError, EOFError):
        return Port.OTHER, ""


def _try_to_open(host: str, port: int) -> tuple[Port, str]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.closing(socket.socket(family)) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return Port.OTHER, "it holds the port and says nothing"
            return Port.FORBIDDEN, error.strerror or ""
    return Port.FREE, ""


def _greeting(ourselves: Ourselves) -> Callable[[str, int], Awaitable[tuple[Port, str]]]:
    async def ask(host: str, port: int) -> tuple[Port, str]:
        reader, writer = await asyncio.open_connection(host, port, limit=MAX_GREETING)
        try:
            line = (await reader.readline())[:MAX_GREETING].decode("ascii", "replace")
        except ValueError:
            line = ""
        finally:
            writer.close()
        return _judge(ourselves.hostname in line, line)

    return ask


def _certificate(ourselves: Ourselves) -> Callable[[str, int], Awaitable[tuple[Port, str]]]:
    async def ask(host: str, port: int) -> tuple[Port, str]:
        if ourselves.tls is None:
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
            return Port.OTHER, "our own certificates cannot be read, so it cannot be told who it is"
        try:
            _, writer = await asyncio.open_connection(
                host, port, ssl=ourselves.tls, server_hostname=ourselves.hostname
            )
        except ssl.SSLError:
            return Port.OTHER, "it speaks no TLS that we trust"
        try:
            shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        finally:
            writer.close()
        return _judge(shown in ourselves.certificates, "it shows a certificate that is not ours")

    return ask


async def _health(host: str, port: int) -> tuple[Port, str]:
    reader, writer = await asyncio.open_connection(host, port, limit=MAX_GREETING)
    try:
        writer.write(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
        answer = (await reader.read(MAX_GREETING)).decode("ascii", "replace")
    finally:
        writer.close()
    lines: Sequence[str] = answer.splitlines()
    is_ours = bool(lines) and lines[0].startswith("HTTP/") and ("text/plain" in answer)
    return _judge(is_ours, lines[0] if lines else "")


def _judge(is_ours: bool, words: str) -> tuple[Port, str]:
    if is_ours:
        return Port.OURS, ""
    return Port.OTHER, "".join(c for c in words if c.isprintable()).strip()[:MAX_WORDS]
