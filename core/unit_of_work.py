"""One transaction, seen from the rooms: a list of changes that become durable together or not at all.

What it is: `Change` (a value that says what to write), `UnitOfWork` (the list) and `Committer` (the one
writer). What it is not: SQL; each `storage.py` has an applier that writes its own kind of change, many at a
time, in the batch of the writer (group commit). Start at `UnitOfWork.add`.

The order of work: a room stages changes with `unit.add(...)`, awaits `committer.commit(unit)`, and only then
says 250. Numbers that are given at the write (a UID, a modification sequence) are put by the applier into the
change itself; read them after the commit. A batch that fails is replayed unit by unit, so an applier may be
called twice for the same change and must start afresh each time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol


class Change:
    """Base of every change. `applier` names the storage that writes it."""

    applier: ClassVar[str]
    __slots__ = ()


class UnitOfWork:
    """The changes of one unit, in their order, and what to call once they are durable."""

    __slots__ = ("_after", "changes")

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self._after: list[Callable[[], None]] = []

    def add(self, change: Change) -> None:
        """Stage one change."""
        self.changes.append(change)

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call this (quick, not failing) when the unit is durable: to wake IDLE sessions, to count."""
        self._after.append(callback)

    def committed(self) -> None:
        """For the committer only: the unit is durable."""
        for callback in self._after:
            callback()


class Applier(Protocol):
    """What a storage gives to the committer."""

    name: str
    """The value of `Change.applier` that this applier writes."""

    async def apply(self, connection: Any, changes: Sequence[Change]) -> None:
        """Write these changes, of many units, in order, on the open transaction, in as few statements as can be.

        Raises a GatewayError when one of them cannot be (then the units are replayed one by one).
        """
        ...


class Committer(Protocol):
    """The one writer of the process."""

    async def commit(self, unit: UnitOfWork) -> None:
        """Return when the unit is durable; raise what its applier raised, or StoreError, when it is not."""
        ...
