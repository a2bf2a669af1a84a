"""What the engine is made of and how much it does at once: values for `vaguemestre.wiring`."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from core.errors import FatalStoreError
from core.plan import RoutingPlan
from core.ports import AuditTrail, BlobStore
from core.unit_of_work import Committer
from mta.checkpoints import Checkpoints
from mta.delivery.agent import KEEP_OCTETS, DeliveryAgent, LetterInHand, PlannedRecipient
from mta.delivery.reports import Reporter
from mta.spool.item import RecipientState, SpoolItem
from mta.spool.retry import RetrySettings
from mta.spool.store import SpoolStore

Planner = Callable[[SpoolItem, Sequence[RecipientState]], Awaitable[RoutingPlan]]
"""Room 5: one action for each of these recipients, in their order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How much at once."""

    in_hand: int = 2_000
    """Recipients worked on at the same time; beyond it letters wait in the database."""
    lane_width: int = 4
    """Attempts at the same time to one domain."""
    lane_length: int = 200
    """Attempts that wait for one domain in memory; beyond it letters wait in the database."""
    local_width: int = 16
    """Deliveries into our own boxes at the same time: more would hold the loop, fewer would make small batches."""
    keep_octets: int = KEEP_OCTETS
    """Letters up to this size stay in memory from the door to their delivery; larger ones are read back."""
    retry: RetrySettings = dataclasses.field(default_factory=RetrySettings)


class DeliveryObserver(Protocol):
    """Where the engine counts."""

    def concluded(self, state: str) -> None:
        """One recipient is now `delivered`, `waiting`, `failed`, `held` or `expired`."""
        ...

    def held(self) -> None:
        """A letter waits for a person: an alarm."""
        ...


def _nobody_to_tell(_error: FatalStoreError) -> None:
    """The program ends by other means."""


async def _at_once(_accepted_at: float) -> None:
    """Nobody to give way to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineParts:
    """What the engine works with."""

    spool: SpoolStore
    blobs: BlobStore
    committer: Committer
    audit: AuditTrail
    planner: Planner
    agents: Mapping[str, DeliveryAgent]
    """By action name: `local`, `relay`."""
    reporter: Reporter
    observer: DeliveryObserver
    checkpoints: Checkpoints
    dice: Callable[[], float]
    """A number in [0, 1), for the spread of retries."""
    give_way: Callable[[float], Awaitable[None]] = _at_once
    """Called with a letter's acceptance (seconds since 1970) before it goes into a box (`mta.courtesy`)."""
    on_fatal: Callable[[FatalStoreError], None] = _nobody_to_tell
    """The store cannot be trusted any more: ends the program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The recipients of one letter that go together: one action, one lane, one attempt, one unit."""

    letter: LetterInHand
    action: str
    lane: str
    states: tuple[RecipientState, ...]
    planned: tuple[PlannedRecipient, ...]
    """In the order of `states`; empty when no plan could be made."""
