"""What a measure is, and the stage it plays on.

What it is: the protocol `Measure`, the `Sample` one run gives, and `Stage` (a running server with what the
measures share: connections that watch the boxes, large mailboxes). What it is not: the order of the runs; that is
`bench/runner.py`.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from bench.letters import mailbox_letter
from bench.load.control import Endpoint
from bench.load.imap_wire import ImapFailed, ImapWire
from bench.rows import RowSpec
from bench.servers import Account, BenchError, Running, Variant

ARRIVAL_SECONDS = 120.0
POLL_SECONDS = 0.05
FILL_CONNECTIONS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much is measured: letters on each connection, connections, messages in the large mailbox."""

    letters: int = 100
    connections: int = 20
    messages: int = 10_000
    fetches: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One run: the values by row name, the CPU seconds of the server and of the load generators."""

    values: Mapping[str, float]
    server_cpu: float
    generator_cpu: float
    facts: Mapping[str, float] = field(default_factory=dict)


class Stage:
    """A running server during the whole benchmark."""

    def __init__(self, server: Running, scale: Scale) -> None:
        self.server = server
        self.scale = scale
        self._watchers: dict[str, ImapWire] = {}
        self._full: set[str] = set()
        self._tokens = itertools.count(1)

    def next_token(self) -> int:
        """A number that makes the letters of one run differ from those of all other runs."""
        return next(self._tokens) << 44

    def close(self) -> None:
        """Close the watching connections and end the server."""
        for wire in self._watchers.values():
            wire.close()
        self.server.stop()

    def count(self, account: Account) -> int:
        """How many letters are in the box, asked on a connection that stays open between rounds."""
        wire = self._watchers.get(account.address)
        if wire is None:
            wire = self._watchers[account.address] = connect(self.server, account)
        try:
            return wire.messages()
        except (ImapFailed, OSError) as error:
            raise BenchError(f"{self.server.name}: {error}") from error

    def await_arrival(self, expected: Mapping[Account, int]) -> None:
        """Return when every box holds what it should. Raises BenchError when letters do not come."""
        deadline = time.monotonic() + ARRIVAL_SECONDS
        for account, count in expected.items():
            while (there := self.count(account)) < count:
                if time.monotonic() > deadline:
                    raise BenchError(f"{self.server.name}: {there} letters of {count} arrived")
                time.sleep(POLL_SECONDS)

    def fill(self, variant: Variant) -> None:
        """Make sure that the large mailbox of `variant` holds its messages (APPEND, a few connections)."""
        if variant.name in self._full:
            return
        try:
            with connect(self.server, variant.reader) as wire:
                there = wire.messages()
        except (ImapFailed, OSError) as error:
            raise BenchError(f"{self.server.name}: {error}") from error
        failures: list[str] = []
        share = list(range(there, self.scale.messages))
        threads = [
            threading.Thread(
                target=self._append, args=(variant.reader, share[first::FILL_CONNECTIONS], failures)
            )
            for first in range(FILL_CONNECTIONS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise BenchError(f"{self.server.name}: APPEND: {failures[0]}")
        self._full.add(variant.name)

    def _append(self, account: Account, numbers: list[int], failures: list[str]) -> None:
        try:
            with connect(self.server, account) as wire:
                wire.append(mailbox_letter(account.address, number) for number in numbers)
        except (ImapFailed, OSError) as error:
            failures.append(str(error))


class Measure(Protocol):
    """One experiment."""

    @property
    def rows(self) -> tuple[RowSpec, ...]:
        """The rows it gives."""
        ...

    @property
    def decides(self) -> str:
        """The row by which the warm-up round chooses a server's fastest variant: the calmest of them."""
        ...

    @property
    def every_variant(self) -> bool:
        """Whether each round measures all variants; else the warm-up round chooses the fastest."""
        ...

    def prepare(self, stage: Stage, variant: Variant) -> None:
        """What must be there before the first run; not measured."""
        ...

    def run(self, stage: Stage, variant: Variant) -> Sample:
        """One run. Raises BenchError."""
        ...


def connect(server: Running, account: Account) -> ImapWire:
    """An IMAP connection, logged in. Raises ImapFailed, OSError."""
    end = Endpoint.imaps(server)
    wire = ImapWire(end.host, end.port, server_name=end.server_name, authority=end.authority)
    wire.login(account.login, account.password)
    return wire
