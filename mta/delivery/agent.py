"""Room 7's contract: an agent carries a letter to the recipients of one action, in two steps.

What it is: `DeliveryAgent` (prepare, then what is staged in the unit that writes the outcomes), the values it
takes and gives, and the registry from action to agent. What it is not: retries, reports or the trace; the engine
does these for every agent. Agents may be called again for the same letter and must then do the same again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from core.envelope import ForwardPath
from core.outcome import Outcome
from core.plan import Action, DeliverToMailbox, Refuse, RelayTo
from core.ports import BlobStore
from core.unit_of_work import UnitOfWork
from mta.checkpoints import Checkpoint
from mta.spool.item import SpoolItem

KEEP_OCTETS = 32_768  # ours: larger letters wait outside memory and are read again when needed again


class LetterInHand:
    """An item with its octets, which are read (and opened) only when an agent asks; small ones only once."""

    def __init__(
        self,
        item: SpoolItem,
        blobs: BlobStore,
        octets: bytes | None = None,
        *,
        keep_octets: int = KEEP_OCTETS,
    ) -> None:
        """`octets`: the letter, when it is there already. It is kept from then on, up to `keep_octets` long."""
        self.item = item
        self._blobs = blobs
        self._keep_octets = keep_octets
        self._octets = octets if octets is not None and len(octets) <= keep_octets else None

    async def octets(self) -> bytes:
        """The whole letter. Raises NotStored, StoreError, or PermanentError when it was altered at rest."""
        if self._octets is not None:
            return self._octets
        octets = await self._blobs.read(self.item.octets)
        if len(octets) <= self._keep_octets:
            self._octets = octets
        return octets


@dataclass(frozen=True, slots=True)
class PlannedRecipient:
    """One recipient of a letter with what was decided for it."""

    index: int
    path: ForwardPath
    action: Action


def _nothing(unit: UnitOfWork) -> None:
    """Nothing to stage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What an agent did or is ready to do: an outcome for every recipient it was given."""

    outcomes: Mapping[int, Outcome]
    stage: Callable[[UnitOfWork], None] = _nothing
    """Adds the agent's own changes to the unit that writes these outcomes; may be called more than once."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """For the trace: next hop, certificate name, TLS. Nobody's name."""
    pieces: Sequence[Attempt] = ()
    """The same, divided into what can be written on its own when the whole is refused; empty: it cannot be."""
    success_is_told_elsewhere: bool = False
    """The next keeper understands DSN and tells of the success itself (RFC 3461 §5.2.1)."""


class DeliveryAgent(Protocol):
    """Delivers to the recipients of one kind of action."""

    @property
    def prepared(self) -> Checkpoint | None:
        """The point passed when `prepare` is done, if it has one."""
        ...

    @property
    def committed(self) -> Checkpoint:
        """The point passed when the outcomes are durable."""
        ...

    def lane_of(self, recipient: PlannedRecipient) -> str:
        """The queue this recipient belongs to; the letter's recipients of one lane go together."""
        ...

    async def prepare(self, letter: LetterInHand, recipients: Sequence[PlannedRecipient]) -> Attempt:
        """Do what can be done before the outcome is written. Every recipient gets an outcome."""
        ...


AGENT_OF: Mapping[type[Action], str] = MappingProxyType(
    {DeliverToMailbox: "local", RelayTo: "relay", Refuse: "refuse"}
)
"""Which agent carries out which action; `refuse` is the engine itself."""
