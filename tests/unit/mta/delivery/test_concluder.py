"""The one place where an outcome is written: whatever breaks there, a letter never goes round for ever."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from core import reply as replies
from core.address import Domain, Mailbox
from core.audit import AuditKind
from core.envelope import NULL_REVERSE_PATH, Envelope, ForwardPath, Notify, ReversePath
from core.errors import FatalStoreError, GatewayError, NotStored, ReplyError, StoreError
from core.outcome import Delivered, Failed, Outcome, RemoteAnswer
from core.plan import RelayTo
from core.testing.audit import MemoryAuditTrail
from core.testing.clock import FakeClock
from core.testing.mail_store import MemoryBlobStore, MemoryCommitter
from core.unit_of_work import Change, UnitOfWork
from mta.checkpoints import pass_by
from mta.delivery import concluder
from mta.delivery.agent import Attempt, LetterInHand, PlannedRecipient
from mta.delivery.concluder import Concluder
from mta.delivery.parts import EngineParts, EngineSettings, Group
from mta.delivery.reporting import DsnReporter
from mta.spool.item import INTERNAL_ORIGIN, Claim, RecipientState, SpoolItem, State

HERE = Domain("ch-rivage.mssante.example")
CABINET = Domain("cabinet.mssante.example")
ANNE = Mailbox("anne.test-rivage", HERE)
PAUL = Mailbox("paul.test-dune", CABINET)
NO = Failed(replies.PEER_REFUSED, RemoteAnswer(550, "5.1.1", "unknown", "mx"))
YES = Delivered(replies.RELAYED)


class Wrote(Change):
    """One recipient's new state."""

    applier: ClassVar[str] = "spool"

    def __init__(self, after: RecipientState) -> None:
        self.after = after


class Fills(Change):
    """An octet in a box that may be full."""

    applier: ClassVar[str] = "spool"

    def __init__(self, box: int) -> None:
        self.box = box


class Spool:
    """A SpoolStore that writes in memory, and the boxes' applier."""

    name = "spool"

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.refusals: dict[int, GatewayError] = {}
        """Box → why it takes nothing."""

    async def apply(self, connection: Any, changes: Sequence[Change]) -> None:
        """Part of a unit: the double of the committer undoes nothing, so what is refused comes first."""
        for change in changes:
            if isinstance(change, Fills) and change.box in self.refusals:
                raise self.refusals[change.box]

    def now(self) -> float:
        return self.clock.now().timestamp()

    def change(
        self, unit: UnitOfWork, item: SpoolItem, before: RecipientState, after: RecipientState
    ) -> None:
        unit.add(Wrote(after))

    def put(self, unit: UnitOfWork, item: SpoolItem) -> Claim:
        return Claim(item, ())


class Blobs(MemoryBlobStore):
    """Cannot seal what a test wants it not to."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: list[Exception] = []

    async def seal(self, octets: bytes) -> Any:
        if self.failures:
            raise self.failures.pop(0)
        return await super().seal(octets)


class Counts:
    """A DeliveryObserver."""

    def __init__(self) -> None:
        self.alarms = 0

    def concluded(self, state: str) -> None:
        """Not looked at."""

    def held(self) -> None:
        self.alarms += 1


class Desk:
    """A concluder with everything around it."""

    def __init__(self) -> None:
        self.blobs, self.audit, self.counts, self.spool = Blobs(), MemoryAuditTrail(), Counts(), Spool()
        self.committer = MemoryCommitter(self.spool)
        spool: Any = self.spool
        parts = EngineParts(
            spool=spool,
            blobs=self.blobs,
            committer=self.committer,
            audit=self.audit,
            planner=lambda item, states: None,  # type: ignore[arg-type, return-value]  # never asked
            agents={},
            reporter=DsnReporter(
                blobs=self.blobs,
                clock=self.spool.clock,
                reporting_mta=HERE,
                postmaster=Mailbox("postmaster", HERE),
                new_spool_id=lambda: "report1",
            ),
            observer=self.counts,
            checkpoints=pass_by,
            dice=lambda: 0.5,
        )
        self.concluder = Concluder(parts, EngineSettings())

    async def conclude(
        self,
        *outcomes: Outcome,
        notify: Notify = Notify.ABSENT,
        sender: ReversePath = ANNE,
        pieces: tuple[Attempt, ...] = (),
    ) -> int:
        """The number of reports. With `pieces`, all of them are the attempt."""

        def stage(unit: UnitOfWork) -> None:
            for piece in pieces:
                piece.stage(unit)

        paths = tuple(ForwardPath(PAUL, notify) for _ in outcomes)
        item = SpoolItem(
            spool_id="s1",
            envelope=Envelope(reverse_path=sender, forward_paths=paths),
            octets=await MemoryBlobStore.seal(self.blobs, b"Subject: x\r\n\r\nx\r\n"),
            message_id="",
            accepted_at=self.spool.now(),
            origin=INTERNAL_ORIGIN,
        )
        group = Group(
            letter=LetterInHand(item, self.blobs),
            action="relay",
            lane=CABINET.ascii,
            states=tuple(
                RecipientState(index=index, state=State.LEASED, domain=CABINET.ascii)
                for index in range(len(outcomes))
            ),
            planned=tuple(
                PlannedRecipient(index, path, RelayTo(CABINET)) for index, path in enumerate(paths)
            ),
        )
        attempt = Attempt(outcomes=dict(enumerate(outcomes)), stage=stage, pieces=pieces)
        return len(await self.concluder.conclude(group, attempt))

    @property
    def states(self) -> list[RecipientState]:
        changes = [change for unit in self.committer.units for change in unit.changes]
        return [change.after for change in changes if isinstance(change, Wrote)]


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concluder, "COMMIT_PAUSE", 0.0)


async def test_a_failure_is_written_with_its_report() -> None:
    desk = Desk()
    assert await desk.conclude(NO) == 1
    assert [state.state for state in desk.states] == [State.FAILED]


async def test_a_failure_whose_report_cannot_be_made_is_held_and_told() -> None:
    desk = Desk()
    desk.blobs.failures = [ValueError("bug")]
    assert await desk.conclude(NO, YES) == 0
    held, delivered = desk.states
    assert (held.state, held.reply, held.attempts) == (State.HELD, "HELD_FOR_OPERATOR", 1)
    assert held.answer == NO.answer
    assert delivered.state is State.DELIVERED  # what the peer has taken is never offered again
    assert desk.counts.alarms == 1
    [event] = desk.audit.of(AuditKind.HELD)
    assert (event.facts["report"], event.facts["instead-of"]) == ("not-made", "PEER_REFUSED")
    [relayed] = desk.audit.of(AuditKind.RELAYED)
    assert "instead-of" not in relayed.facts


@pytest.mark.parametrize(
    ("notify", "sender"), [(Notify.NEVER, ANNE), (Notify.SUCCESS, ANNE), (Notify.ABSENT, NULL_REVERSE_PATH)]
)
async def test_a_failure_of_which_nobody_asked_to_hear_is_no_reason_to_hold(
    notify: Notify, sender: ReversePath
) -> None:
    desk = Desk()
    desk.blobs.failures = [ValueError("bug")]
    await desk.conclude(NO, YES, notify=notify, sender=sender)
    assert [state.state for state in desk.states] == [State.FAILED, State.DELIVERED]
    assert desk.counts.alarms == 0


async def test_a_report_of_success_that_cannot_be_made_is_missed() -> None:
    desk = Desk()
    desk.blobs.failures = [ValueError("bug")]
    assert await desk.conclude(YES, notify=Notify.SUCCESS) == 0
    assert [state.state for state in desk.states] == [State.DELIVERED]
    assert desk.counts.alarms == 0


async def test_a_store_that_is_away_for_a_moment_does_not_cost_the_report() -> None:
    desk = Desk()
    desk.blobs.failures = [StoreError("away")] * (concluder.COMMIT_TRIES - 1)
    assert await desk.conclude(NO) == 1
    desk.blobs.failures = [StoreError("away")] * concluder.COMMIT_TRIES
    assert await desk.conclude(NO) == 0
    assert [state.state for state in desk.states] == [State.FAILED, State.HELD]


async def test_a_disk_that_cannot_be_trusted_ends_it() -> None:
    desk = Desk()
    desk.blobs.failures = [FatalStoreError("fsync")]
    with pytest.raises(FatalStoreError):
        await desk.conclude(NO)
    assert desk.states == []


def piece(index: int, box: int) -> Attempt:
    return Attempt(outcomes={index: YES}, stage=lambda unit: unit.add(Fills(box)))


async def test_a_full_box_is_the_only_one_that_waits() -> None:
    desk = Desk()
    desk.spool.refusals = {2: ReplyError(replies.MAILBOX_FULL), 4: NotStored("gone")}
    pieces = tuple(piece(index, box) for index, box in enumerate((1, 2, 3, 4)))
    assert await desk.conclude(YES, YES, YES, YES, pieces=pieces, notify=Notify.SUCCESS) == 2
    states = {state.index: (state.state, state.reply) for state in desk.states}
    assert states == {
        0: (State.DELIVERED, "RELAYED"),
        1: (State.WAITING, "MAILBOX_FULL"),
        2: (State.DELIVERED, "RELAYED"),
        3: (State.WAITING, "MAILBOX_BUSY"),
    }
    assert len(desk.states) == 4  # each once
    planned = [event.facts["recipients"] for event in desk.audit.of(AuditKind.PLANNED)]
    assert sorted(planned) == ["0", "1", "2", "3"]
    written = [
        sorted(change.box for change in unit.changes if isinstance(change, Fills))
        for unit in desk.committer.units
    ]
    assert sorted(boxes for boxes in written if boxes) == [[1], [3]]


async def test_a_box_alone_is_not_written_twice_before_it_waits() -> None:
    desk = Desk()
    desk.spool.refusals = {2: ReplyError(replies.MAILBOX_FULL)}
    assert await desk.conclude(YES, pieces=(piece(0, 2),)) == 0
    [state] = desk.states
    assert (state.state, state.reply, state.attempts) == (State.WAITING, "MAILBOX_FULL", 1)


async def test_what_is_refused_even_without_the_agent_s_changes_is_left_to_the_lease() -> None:
    desk = Desk()
    desk.committer.failure = NotStored("bug")
    assert await desk.conclude(YES, pieces=(piece(0, 1), piece(1, 2))) == 0
    assert desk.states == []
