"""What became of a letter for one forward-path: a value, never a boolean.

What it is: `Delivered | Deferred | Failed | Held`. What it is not: the retry rule (`mta.spool.retry`).
"""

from __future__ import annotations

from dataclasses import dataclass

from core.reply import Reply


@dataclass(frozen=True, slots=True)
class RemoteAnswer:
    """What the peer said, for traces and reports: its code, enhanced status and name, never its free text in logs."""

    code: int
    status: str
    text: str
    host: str


@dataclass(frozen=True, slots=True)
class Delivered:
    """The next keeper has it for certain."""

    reply: Reply
    answer: RemoteAnswer | None = None


@dataclass(frozen=True, slots=True)
class Deferred:
    """Try again later (4yz, network, doubt about the peer, unknown)."""

    reply: Reply
    answer: RemoteAnswer | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """Never (5yz): the author gets a report."""

    reply: Reply
    answer: RemoteAnswer | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """Kept, and a person is told; nothing is released."""

    reply: Reply
    answer: RemoteAnswer | None = None


Outcome = Delivered | Deferred | Failed | Held
