"""Rooms 5, 6, 7: takes a durable letter, plans, delivers, and has written what became of it.

What it is: `Engine`: `submitted` (a letter straight from the door, never read back) and `take` (one that the
scheduler found due). What it is not: rules (an injected planner), protocols (agents), the write of an outcome
(`mta.delivery.concluder`) or the search for due letters (`mta.spool.scheduler`). Start at `_work`.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import structlog

from core import reply as replies
from core.errors import FatalStoreError, GatewayError, LocalProtocolError, PermanentError
from core.outcome import Deferred, Failed, Held, Outcome
from core.plan import Refuse, RoutingPlan
from core.unit_of_work import UnitOfWork
from mta.delivery.agent import AGENT_OF, Attempt, DeliveryAgent, LetterInHand, PlannedRecipient
from mta.delivery.concluder import Concluder
from mta.delivery.lanes import Lanes
from mta.delivery.parts import EngineParts, EngineSettings, Group
from mta.spool.item import Claim, RecipientState, SpoolItem, State

LANE_SHARE = 4  # ours: of the room that is left, one lane may take a quarter
_log = structlog.get_logger()


def _nobody() -> None:
    """Nobody is to be woken."""


class Engine:
    """One for each process that delivers."""

    def __init__(self, parts: EngineParts, settings: EngineSettings) -> None:
        self._parts = parts
        self._settings = settings
        self._concluder = Concluder(parts, settings)
        self._lanes = Lanes(settings.lane_width)
        self._boxes = Lanes(settings.local_width)
        self._in_hand: dict[tuple[str, int], Claim] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closing = False
        self._starved: set[str] = set()
        """Domains of which more is due than there was room for."""
        self.wake: Callable[[], None] = _nobody
        """Set by the scheduler: called when something became due that is not in hand."""

    # --- in -------------------------------------------------------------------------------------------------
    @property
    def has_room(self) -> bool:
        """Whether a new letter may be handed over without waiting in the database."""
        return not self._is_closing and len(self._in_hand) < self._settings.in_hand

    def room_for(self, domain: str) -> int:
        """How many recipients of this domain the scheduler may bring now; it is woken when there is more."""
        room = self._room(domain)
        if room:
            self._starved.discard(domain)
        else:
            self._starved.add(domain)
        return room

    def _room(self, domain: str) -> int:
        return min(self._free, self._lane_room(domain)) if self.has_room else 0

    @property
    def _free(self) -> int:
        return self._settings.in_hand - len(self._in_hand)

    @property
    def _share(self) -> int:
        """The most that one lane may hold now: it shrinks as many fill, so that there is always room for another."""
        return max(self._settings.lane_width, self._free // LANE_SHARE)

    def _lane_room(self, lane: str) -> int:
        length = self._settings.lane_length - self._lanes.waiting(lane)
        return max(0, min(length, self._share - self._lanes.load(lane)))

    def _let_go(self, group: Group) -> None:
        """These are not in hand any more; half an empty lane is worth a look into the database."""
        for state in group.states:
            self._in_hand.pop((group.letter.item.spool_id, state.index), None)
        enough = (min(self._settings.lane_length, self._share) + 1) // 2
        if any(self._room(domain) >= enough for domain in self._starved):
            self._starved.clear()
            self.wake()

    def submitted(self, claim: Claim, octets: bytes | None = None) -> None:
        """Work on a letter that has just become durable; `octets` spares reading them back.

        An empty claim (the spool kept the letter for later) only wakes the scheduler.
        """
        if not claim.recipients:
            self.wake()
            return
        self.take(claim, octets)

    def take(self, claim: Claim, octets: bytes | None = None) -> None:
        """Work on an item under the leases of this claim."""
        for state in claim.recipients:
            self._in_hand[(claim.item.spool_id, state.index)] = Claim(claim.item, (state,))
        keep = self._settings.keep_octets
        letter = LetterInHand(claim.item, self._parts.blobs, octets, keep_octets=keep)
        task = asyncio.get_running_loop().create_task(self._work(letter, claim.recipients))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def leases(self) -> Sequence[Claim]:
        """What is in hand, for the renewal of leases."""
        return tuple(self._in_hand.values())

    async def idle(self) -> None:
        """Return when nothing goes on any more."""
        while tasks := {*self._tasks, *self._lanes.tasks, *self._boxes.tasks}:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done() and not task.cancelled():
                    task.result()

    async def drain(self, seconds: float) -> None:
        """Take nothing more; give what goes on so many seconds; leave the rest, leased, to the next life."""
        self._is_closing = True
        self._lanes.clear()
        self._boxes.clear()
        if tasks := {*self._tasks, *self._lanes.tasks, *self._boxes.tasks}:
            await asyncio.wait(tasks, timeout=seconds)
        left = {*self._tasks, *self._lanes.tasks, *self._boxes.tasks}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    # --- rooms 5 and 6 --------------------------------------------------------------------------------------
    async def _work(self, letter: LetterInHand, states: tuple[RecipientState, ...]) -> None:
        for group in await self._plan(letter, states):
            if group.action == "local":
                self._boxes.put("", partial(self._deliver_politely, group))
            elif group.action != "relay":
                await self._deliver(group)
            elif self._lane_room(group.lane):
                self._lanes.put(group.lane, partial(self._deliver, group))
            else:
                await self._give_back(group)

    async def _plan(self, letter: LetterInHand, states: tuple[RecipientState, ...]) -> list[Group]:
        """Groups, those of other operators first, so that our own boxes do not hold them up."""
        try:
            plan = await self._parts.planner(letter.item, states)
            groups = self._groups(letter, states, plan)
        except Exception as error:  # noqa: BLE001 - the room's door: unknown is temporary
            self._report_bug(letter.item, error)
            return [Group(letter=letter, action="", lane="", states=states, planned=())]
        return sorted(groups, key=lambda group: group.action != "relay")

    def _groups(
        self, letter: LetterInHand, states: Sequence[RecipientState], plan: RoutingPlan
    ) -> list[Group]:
        paths = letter.item.envelope.forward_paths
        groups: dict[tuple[str, str], list[tuple[RecipientState, PlannedRecipient]]] = {}
        for state, action in zip(states, plan.actions, strict=True):
            name = AGENT_OF[type(action)]
            recipient = PlannedRecipient(state.index, paths[state.index], action)
            lane = "" if name == "refuse" else self._agent(name).lane_of(recipient)
            groups.setdefault((name, lane), []).append((state, recipient))
        return [
            Group(
                letter=letter,
                action=name,
                lane=lane,
                states=tuple(state for state, _ in pairs),
                planned=tuple(recipient for _, recipient in pairs),
            )
            for (name, lane), pairs in groups.items()
        ]

    def _agent(self, name: str) -> DeliveryAgent:
        try:
            return self._parts.agents[name]
        except KeyError:
            raise LocalProtocolError("no agent carries out this action") from None

    # --- room 7 ---------------------------------------------------------------------------------------------
    async def _deliver_politely(self, group: Group) -> None:
        await self._parts.give_way(group.letter.item.accepted_at)
        await self._deliver(group)

    async def _deliver(self, group: Group) -> None:
        agent = self._parts.agents.get(group.action)
        try:
            attempt = await self._attempt(group, agent)
            reports = await self._concluder.conclude(group, attempt)
        except FatalStoreError as error:
            self._parts.on_fatal(error)
            return  # the program is ending; the lease tells the next life
        except Exception as error:  # noqa: BLE001 - the room's door: the lease ends, and the letter is tried again
            self._report_bug(group.letter.item, error)
            return
        finally:
            self._let_go(group)
        if agent is not None:
            self._parts.checkpoints(agent.committed)
        for report in reports:
            self.submitted(*report)

    async def _attempt(self, group: Group, agent: DeliveryAgent | None) -> Attempt:
        try:
            if agent is None or not group.planned:
                return Attempt(outcomes=_refusals(group))
            attempt = await agent.prepare(group.letter, group.planned)
            if agent.prepared is not None:
                self._parts.checkpoints(agent.prepared)
            return attempt
        except PermanentError as error:
            # The letter itself cannot be used any more (altered at rest): nobody is served by a report or a retry.
            self._report_bug(group.letter.item, error)
            outcome: Outcome = Held(replies.HELD_FOR_OPERATOR)
        except Exception as error:  # noqa: BLE001 - the room's door: unknown is temporary
            self._report_bug(group.letter.item, error)
            outcome = Deferred(replies.LOCAL_ERROR)
        return Attempt(outcomes={state.index: outcome for state in group.states})

    async def _give_back(self, group: Group) -> None:
        """The lane is full: these wait in the database, due at once."""
        item, unit = group.letter.item, UnitOfWork()
        for state in group.states:
            waiting = dataclasses.replace(
                state, state=State.WAITING, next_due=self._parts.spool.now(), owner=""
            )
            self._parts.spool.change(unit, item, state, waiting)
        try:
            await self._parts.committer.commit(unit)
        except GatewayError as error:
            self._report_bug(item, error)  # the lease ends, and the scheduler finds them
        finally:
            self._let_go(group)

    def _report_bug(self, item: SpoolItem, error: Exception) -> None:
        if isinstance(error, FatalStoreError):
            self._parts.on_fatal(error)
        _log.error("room-failed", component="delivery", spool_id=item.spool_id, exc_info=error)


def _refusals(group: Group) -> Mapping[int, Outcome]:
    """What the plan itself decided: the engine is the agent of `Refuse`."""
    outcomes: dict[int, Outcome] = {state.index: Deferred(replies.LOCAL_ERROR) for state in group.states}
    for recipient in group.planned:
        if isinstance(recipient.action, Refuse):
            reply = recipient.action.reply
            outcomes[recipient.index] = Failed(reply) if reply.is_permanent else Deferred(reply)
    return outcomes
