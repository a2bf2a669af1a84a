"""A delivery agent that does what a test tells it, call after call.

What it is: `FailingAgent`, a double of `mta.delivery.agent.DeliveryAgent` in the place of the relay, and `Peer`, the
other operator behind it, which drops what it has already taken (invariant h).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from core import reply
from core.outcome import Delivered, Outcome
from core.plan import RelayTo
from mta.checkpoints import Checkpoint, Checkpoints, pass_by
from mta.delivery.agent import Attempt, LetterInHand, PlannedRecipient

Step = Outcome | Exception | Callable[[], Outcome]
RELAYED = Delivered(reply.RELAYED)


@dataclass(slots=True)
class Peer:
    """What another operator took: (recipient, octets), each once for one ENVID."""

    letters: list[tuple[str, bytes]] = field(default_factory=list)
    seen: set[tuple[str, str, bytes]] = field(default_factory=set)
    offers: int = 0

    def offer(self, envelope_id: str, recipient: str, octets: bytes) -> None:
        """One letter for one recipient; it counts once however often it comes."""
        self.offers += 1
        key = (envelope_id, recipient, octets)
        if key not in self.seen:
            self.seen.add(key)
            self.letters.append((recipient, octets))


class FailingAgent:
    """Gives the next step of its script to every recipient of a call; when the script is over, it relays."""

    prepared: Checkpoint | None = None
    committed = Checkpoint.RELAY_COMMITTED

    def __init__(self, *script: Step, peer: Peer | None = None, checkpoints: Checkpoints = pass_by) -> None:
        self.script = list(script)
        self.peer = peer or Peer()
        self.calls: list[tuple[str, ...]] = []
        self.gates: dict[str, asyncio.Event] = {}
        """Lane → an event that its calls wait for: a destination that does not answer."""
        self._checkpoints = checkpoints

    def lane_of(self, recipient: PlannedRecipient) -> str:
        """The domain, as the relay does."""
        assert isinstance(recipient.action, RelayTo)
        return recipient.action.domain.ascii

    async def prepare(self, letter: LetterInHand, recipients: Sequence[PlannedRecipient]) -> Attempt:
        """See `DeliveryAgent`."""
        self.calls.append(tuple(str(recipient.path.mailbox) for recipient in recipients))
        lane = self.lane_of(recipients[0])
        if lane in self.gates:
            await self.gates[lane].wait()
        step = self.script.pop(0) if self.script else RELAYED
        if isinstance(step, Exception):
            raise step
        outcome = step() if callable(step) else step
        if isinstance(outcome, Delivered):
            await self._relay(letter, recipients)
        facts = {"next-hop": f"mx.{lane}"}
        return Attempt(outcomes={recipient.index: outcome for recipient in recipients}, facts=facts)

    async def _relay(self, letter: LetterInHand, recipients: Sequence[PlannedRecipient]) -> None:
        self._checkpoints(Checkpoint.RELAY_CONNECTED)
        octets = await letter.octets()
        self._checkpoints(Checkpoint.RELAY_DATA_SENT)
        for recipient in recipients:
            self.peer.offer(letter.item.envelope_id, str(recipient.path.mailbox), octets)
        self._checkpoints(Checkpoint.RELAY_ANSWERED)
