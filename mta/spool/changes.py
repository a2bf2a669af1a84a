"""What may change in the spool: the values that a unit of work carries to `mta.spool.storage`.

What it is: one class for each kind of change, as rows and places. What it is not: SQL, or the meaning of a state
(`mta.spool.store`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from core.unit_of_work import Change


@dataclass(slots=True)
class SpoolChange(Change):
    """Base of the changes of the spool."""

    applier: ClassVar[str] = "spool"


@dataclass(slots=True)
class PutItem(SpoolChange):
    """A new item and its recipients, as rows."""

    item: dict[str, Any]
    recipients: list[dict[str, Any]]

    @property
    def weight(self) -> int:
        """Rows to write."""
        return 1 + len(self.recipients)


@dataclass(slots=True)
class MarkSeen(SpoolChange):
    """Remember that these keys were received."""

    keys: Sequence[bytes]
    at: float


@dataclass(slots=True)
class ChangeRecipient(SpoolChange):
    """What became of one recipient, done under the lease `fence`. `row` holds every column that may change."""

    spool_id: str
    position: int
    fence: int
    row: dict[str, Any]


@dataclass(slots=True)
class TakeDue(SpoolChange):
    """Lease what is due, at most so many for each domain. `taken` is filled by the applier.

    What waits until after `horizon` is due as well.
    """

    owner: str
    now: float
    until: float
    wants: Sequence[tuple[str, int]]
    horizon: float = math.inf
    taken: list[dict[str, Any]] = field(default_factory=list)

    @property
    def weight(self) -> int:
        """Rows to write, at most."""
        return sum(limit for _, limit in self.wants)


@dataclass(slots=True)
class RenewLeases(SpoolChange):
    """Move the end of leases that are still held: (spool_id, position, fence)."""

    leases: Sequence[tuple[str, int, int]]
    until: float


@dataclass(slots=True)
class RecoverLeases(SpoolChange):
    """Make due at once what an earlier life of this very process slot had leased."""

    slot: str
    owner: str
    now: float


@dataclass(slots=True)
class ForgetSeen(SpoolChange):
    """Remove keys older than this."""

    before: float
