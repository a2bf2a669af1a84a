"""A raw IMAP connection over TLS that asks and counts but does not parse what it fetches.

What it is: a blocking client with the few commands the benchmark needs (LOGIN, SELECT, STATUS, FETCH, APPEND).
What it is not: an IMAP library: it costs little because it looks only for tags and counts `FETCH` lines.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterable
from types import TracebackType

TIMEOUT_SECONDS = 120.0
READ_SIZE = 1 << 18
APPENDS_IN_FLIGHT = 64
_STATUS = re.compile(rb"\* STATUS [^(]*\([^)]*MESSAGES (\d+)", re.IGNORECASE)
_EXISTS = re.compile(rb"\* (\d+) EXISTS", re.IGNORECASE)


class ImapFailed(Exception):
    """The server answered NO, BAD or nothing."""


class ImapWire:
    """One connection. Every method raises ImapFailed, or OSError when the connection breaks."""

    def __init__(self, host: str, port: int, *, server_name: str, authority: str) -> None:
        context = ssl.create_default_context(cafile=authority)
        plain = socket.create_connection((host, port), timeout=TIMEOUT_SECONDS)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = context.wrap_socket(plain, server_hostname=server_name)
        self._number = 0
        self._rest = b""
        self._line()

    def __enter__(self) -> ImapWire:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave without a word."""
        self._socket.close()

    def login(self, address: str, password: str) -> None:
        """LOGIN."""
        self.command(f'LOGIN "{address}" "{password}"'.encode())

    def select(self, mailbox: str = "INBOX") -> int:
        """SELECT; the number of messages."""
        found = _EXISTS.search(self.command(b"SELECT " + mailbox.encode()))
        if found is None:
            raise ImapFailed("SELECT without EXISTS")
        return int(found.group(1))

    def messages(self, mailbox: str = "INBOX") -> int:
        """STATUS (MESSAGES) of a mailbox that is not selected."""
        found = _STATUS.search(self.command(b"STATUS " + mailbox.encode() + b" (MESSAGES)"))
        if found is None:
            raise ImapFailed("STATUS without MESSAGES")
        return int(found.group(1))

    def fetch(self, items: bytes) -> int:
        """FETCH 1:* of `items`; how many messages the server answered for."""
        answered = 0
        tag = self._send(b"FETCH 1:* " + items)
        ending, tail = b"\r\n" + tag + b" ", b"\r\n"
        while True:
            data = self._receive()
            window = tail + data
            answered += window.count(b" FETCH (") - tail.count(b" FETCH (")
            place = window.rfind(ending)
            if place >= 0 and window.endswith(b"\r\n"):
                self._check(window[place + 2 :], tag)
                return answered
            tail = window[-512:]

    def append(self, letters: Iterable[bytes], mailbox: str = "INBOX") -> int:
        """APPEND every letter, many in flight when the server has LITERAL+ (RFC 7888); how many."""
        many = b"LITERAL+" in self.command(b"CAPABILITY").upper()
        sent, waiting = 0, 0
        for letter in letters:
            sent += 1
            head = b"APPEND %s {%d%s}" % (mailbox.encode(), len(letter), b"+" if many else b"")
            self._number += 1
            tag = b"b%d" % self._number
            if many:
                self._socket.sendall(b"%s %s\r\n%s\r\n" % (tag, head, letter))
                waiting += 1
                if waiting >= APPENDS_IN_FLIGHT:
                    waiting -= self._drain_one()
                continue
            self._socket.sendall(b"%s %s\r\n" % (tag, head))
            while not (line := self._line()).startswith(b"+"):
                if line.startswith(tag):
                    raise ImapFailed(line.decode(errors="replace"))
            self._socket.sendall(letter + b"\r\n")
            self._drain_one()
        while waiting:
            waiting -= self._drain_one()
        return sent

    def command(self, text: bytes) -> bytes:
        """One command; everything the server said, the tagged line last."""
        tag = self._send(text)
        said = b""
        while True:
            line = self._line()
            said += line + b"\r\n"
            if line.startswith(tag + b" "):
                self._check(line, tag)
                return said

    def _send(self, text: bytes) -> bytes:
        self._number += 1
        tag = b"b%d" % self._number
        self._socket.sendall(tag + b" " + text + b"\r\n")
        return tag

    def _drain_one(self) -> int:
        while True:
            line = self._line()
            if not line.startswith(b"b"):
                continue
            if line.split(b" ", 2)[1:2] != [b"OK"]:
                raise ImapFailed(line.decode(errors="replace"))
            return 1

    @staticmethod
    def _check(line: bytes, tag: bytes) -> None:
        if not line.startswith(tag + b" OK"):
            raise ImapFailed(line[:200].decode(errors="replace"))

    def _line(self) -> bytes:
        while b"\r\n" not in self._rest:
            self._rest += self._receive()
        line, _, self._rest = self._rest.partition(b"\r\n")
        return line

    def _receive(self) -> bytes:
        data = self._socket.recv(READ_SIZE)
        if not data:
            raise ImapFailed("the server closed the connection")
        return data
