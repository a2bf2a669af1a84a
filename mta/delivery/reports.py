"""Room REPORT: the letter to the author about a letter, made ready to be spooled like any other.

What it is: `Reporter`, what the engine asks for, and `SpooledReport`, what it stages in the unit of the outcome
that is told. What it is not: the report's form (`mta.dsn`). Nobody is told of a letter that has the null
reverse-path, so reports never answer each other (RFC 5321 §4.5.5, RFC 3461 §6.2).
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from core.outcome import Outcome
from core.unit_of_work import UnitOfWork
from mta.delivery.agent import LetterInHand
from mta.spool.item import RecipientState, SpoolItem


class ReportKind(enum.Enum):
    """The Action field of RFC 3464 §2.3.3 that a report of ours may carry."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"


@dataclass(frozen=True, slots=True)
class ReportedRecipient:
    """One recipient that the author shall hear of."""

    state: RecipientState
    kind: ReportKind
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
