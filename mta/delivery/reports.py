"""Room REPORT, as the engine sees it: a letter to the author about a letter.

What it is: `Reporter` and the values it takes and gives. What it is not: when and what is told
(`mta.delivery.reporting`, `mta.dsn`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from core.outcome import Outcome
from core.unit_of_work import UnitOfWork
from mta.delivery.agent import LetterInHand
from mta.dsn import DsnAction
from mta.spool.item import RecipientState, SpoolItem


@dataclass(frozen=True, slots=True)
class ReportedRecipient:
    """One recipient that the author may have to hear of."""

    state: RecipientState
    action: DsnAction
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class SpooledReport:
    """A report and its octets, sealed already."""

    item: SpoolItem
    octets: bytes


class Reporter(Protocol):
    """Writes reports."""

    async def prepare(
        self, letter: LetterInHand, recipients: Sequence[ReportedRecipient]
    ) -> SpooledReport | None:
        """One report of these recipients, or None when nobody is to be told."""
        ...

    def stage(self, unit: UnitOfWork, report: SpooledReport) -> None:
        """Stage what names its octets; the engine stages the item itself."""
        ...
