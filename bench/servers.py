"""What a server under test is, for the harness: started on a ground, reached by ports, counted, ended.

What it is: the interface between the measures and the servers (`peers/…`, `ours.py`). What it is not: any one
server. A measure sees only `Running`, so peer against peer is measured by the same code as us against a peer.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bench.keeper import Keeper

DOMAIN = "ch-rivage.mssante.example"
HOST = "127.0.0.1"
PASSWORD = "correct-horse-battery-staple"  # of throw-away boxes on the loopback
START_SECONDS = 60.0
QUIET_WINDOW_SECONDS = 0.25
QUIET_CPU_SECONDS = 0.01
QUIET_LIMIT_SECONDS = 20.0


class BenchError(Exception):
    """Something did not run. The harness says which and exits with a status that is not zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One box of a server under test, and how its owner logs in."""

    address: str
    login: str
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way a server keeps mail (a mailbox format), with its own boxes.

    `senders` write to themselves; `reader` owns the large mailbox.
    """

    name: str
    senders: tuple[Account, ...]
    reader: Account


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """The RSA-2048 certificate of a run for "localhost", its key and the authority that signed it (PEM)."""

    certificate: Path
    key: Path
    authority: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What every server is given: its own folder, the certificate of the run, how many boxes."""

    folder: Path
    tls: TlsFiles
    senders: int

    def variant(self, name: str) -> Variant:
        """The boxes of one variant; the password is the same for all of them."""
        return Variant(
            name=name,
            senders=tuple(
                own_login(f"poste-{number:02d}-{name}@{DOMAIN}") for number in range(1, self.senders + 1)
            ),
            reader=own_login(f"archives-{name}@{DOMAIN}"),
        )


def own_login(address: str) -> Account:
    """A box whose login is its address."""
    return Account(address=address, login=address, password=PASSWORD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A server that answers: ports of implicit TLS on the loopback, boxes, keepers of its processes.

    `root` is given when a keeper holds more than the server: only that process and those below it count.
    """

    name: str
    submissions: int
    imaps: int
    variants: tuple[Variant, ...]
    keepers: tuple[Keeper, ...]
    authority: Path
    server_name: str = "localhost"
    versions: Mapping[str, str] = field(default_factory=dict)
    root: int | None = None

    def cpu_seconds(self) -> float:
        """User and system time of all its processes since the start, ended ones included."""
        return sum(keeper.spent(self.root).seconds for keeper in self.keepers)

    def pids(self) -> tuple[int, ...]:
        """The processes that live now."""
        return tuple(pid for keeper in self.keepers for pid in keeper.spent(self.root).pids)

    def settled_cpu_seconds(self) -> float:
        """`cpu_seconds` once the server has nothing left to do, so that deferred work is counted too."""
        before = self.cpu_seconds()
        deadline = time.monotonic() + QUIET_LIMIT_SECONDS
        while time.monotonic() < deadline:
            time.sleep(QUIET_WINDOW_SECONDS)
            now = self.cpu_seconds()
            if now - before < QUIET_CPU_SECONDS:
                return now
            before = now
        return before

    def tls(self) -> ssl.SSLContext:
        """A client context that trusts the authority of this run only."""
        return ssl.create_default_context(cafile=str(self.authority))

    def stop(self) -> None:
        """End every process."""
        for keeper in self.keepers:
            keeper.stop()


class Server(Protocol):
    """A kind of server that can be put under test."""

    @property
    def name(self) -> str:
        """How the table calls it."""
        ...

    def missing(self) -> str | None:
        """Why it cannot run on this machine, in one sentence; None when it can."""
        ...

    def start(self, ground: Ground) -> Running:
        """Start it and return when it answers. Raises BenchError."""
        ...


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on now."""
    sockets = [socket.create_server((HOST, 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_for_ports(keepers: Sequence[Keeper], ports: Sequence[int]) -> None:
    """Return when every port accepts. Raises BenchError with the server's last words when it does not."""
    deadline = time.monotonic() + START_SECONDS
    for port in ports:
        while not _accepts(port):
            for keeper in keepers:
                if keeper.ended():
                    raise BenchError(f"a server ended at its start:\n{keeper.log_tail()}")
            if time.monotonic() > deadline:
                raise BenchError(f"nothing listens on {port}:\n{keepers[0].log_tail()}")
            time.sleep(0.05)


def _accepts(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True
