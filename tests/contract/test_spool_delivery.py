"""From the spool to the box and to the peer, on both engines, with a crash at every gap: exactly once."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from core import reply as replies
from core.address import Domain, Mailbox
from core.audit import AuditKind
from core.envelope import NULL_REVERSE_PATH, Envelope, ForwardPath, Notify, ReversePath
from core.errors import FatalStoreError, PermanentError, ReplyError, StoreError
from core.folder import INBOX
from core.outcome import Deferred, Failed, Outcome, RemoteAnswer
from core.plan import Action, DeliverToMailbox, Reason, Refuse, RelayTo, RoutingPlan
from core.testing.failing_agent import FailingAgent
from core.unit_of_work import Change, UnitOfWork
from mailstore.keys import FileKek
from mta.checkpoints import Checkpoint
from mta.delivery import concluder
from mta.delivery.engine import Engine
from mta.delivery.local import LocalAgent
from mta.delivery.parts import EngineParts, EngineSettings
from mta.delivery.reporting import DsnReporter
from mta.imap.summary import summarise
from mta.spool.changes import ChangeRecipient
from mta.spool.item import Origin, OriginKind, RecipientState, SpoolItem, State
from mta.spool.retry import DAY, HOUR
from mta.spool.scheduler import Scheduler, SchedulerSettings
from mta.spool.storage import SpoolStorage
from mta.spool.store import SpoolSettings, SpoolStore
from mta.trace import return_path_field
from vaguemestre.observability.audit_checkpoints import SigningKey
from vaguemestre.observability.audit_log import AuditLog, AuditSettings

HERE = Domain("ch-rivage.mssante.example")
CABINET = Domain("cabinet.mssante.example")
PHARMACY = Domain("pharmacie.mssante.example")
ANNE = Mailbox("anne.test-rivage", HERE)
WARD = Mailbox("medecine", HERE)
NOBODY = Mailbox("personne", HERE)
PAUL = Mailbox("paul.test-dune", CABINET)
PORT = Mailbox("pharmacie.du.port", PHARMACY)
BOXES = {ANNE: 1, WARD: 2}
LETTER = b"From: <anne.test-rivage@ch-rivage.mssante.example>\r\nSubject: bilan\r\n\r\n.point\r\n"
_ids = itertools.count(1)


class Killed(BaseException):
    """The process is gone: nothing after this line ran."""


class Killer:
    """Checkpoints that kill at the n-th passing of one point."""

    def __init__(self, at: Checkpoint | None = None, passing: int = 1) -> None:
        self.at, self.left = at, passing
        self.passed: list[Checkpoint] = []

    def __call__(self, checkpoint: Checkpoint) -> None:
        self.passed.append(checkpoint)
        if checkpoint is self.at:
            self.left -= 1
            if self.left == 0:
                raise Killed


class Counts:
    """A DeliveryObserver."""

    def __init__(self) -> None:
        self.states: list[str] = []
        self.alarms = 0

    def concluded(self, state: str) -> None:
        self.states.append(state)

    def held(self) -> None:
        self.alarms += 1


async def plan(item: SpoolItem, recipients: Sequence[RecipientState]) -> RoutingPlan:
    """Our own domain is local, every other is relayed."""

    def action(mailbox: Mailbox) -> Action:
        if mailbox.domain != HERE:
            return RelayTo(mailbox.domain)
        if mailbox not in BOXES:
            return Refuse(replies.UNKNOWN_MAILBOX, Reason.OWN_BOX_UNKNOWN)
        return DeliverToMailbox(BOXES[mailbox])

    paths = item.envelope.forward_paths
    return RoutingPlan(tuple(action(paths[state.index].mailbox) for state in recipients))


class Life:
    """One life of an operator's process on a mail room."""

    def __init__(self, room: Any, folder: Path, agent: FailingAgent, killer: Killer, **settings: Any) -> None:
        started = str(next(_ids))
        self.fatal: list[FatalStoreError] = []
        self.room, self.agent, self.killer, self.counts = room, agent, killer, Counts()
        agent._checkpoints = killer
        storage = SpoolStorage(room.database)
        if not (folder / "audit.pem").exists():
            SigningKey.create(folder / "audit.pem")
        self.audit = AuditLog(
            database=room.database,
            committer=room.committer,
            vault=room.vault,
            clock=room.clock,
            settings=AuditSettings(
                slot="rivage/0",
                started=started,
                checkpoint_file=folder / "checkpoints.jsonl",
                signing_key=folder / "audit.pem",
            ),
        )
        for applier in (storage, self.audit):
            room.committer.register(applier)
        self.spool = SpoolStore(
            storage=storage,
            committer=room.committer,
            vault=room.vault,
            blobs=room.blobs,
            clock=room.clock,
            settings=SpoolSettings(slot="rivage/0", started=started),
        )
        local = LocalAgent(
            store=room.store, summarise=summarise, prefix_for=return_path_field, clock=room.clock
        )
        parts = EngineParts(
            spool=self.spool,
            blobs=room.blobs,
            committer=room.committer,
            audit=self.audit,
            planner=settings.pop("planner", plan),
            agents={"local": local, "relay": agent},
            reporter=DsnReporter(
                blobs=room.blobs,
                clock=room.clock,
                reporting_mta=HERE,
                postmaster=Mailbox("postmaster", HERE),
                new_spool_id=lambda: f"report{next(_ids)}",
            ),
            observer=self.counts,
            checkpoints=killer,
            dice=lambda: 0.5,
            on_fatal=self.fatal.append,
        )
        self.engine = Engine(parts, EngineSettings(**settings))
        self.scheduler = Scheduler(
            spool=self.spool, worker=self.engine, clock=room.clock, settings=SchedulerSettings()
        )

    async def open(self) -> Life:
        await self.room.vault.open()
        await self.spool.open()
        await self.audit.open()
        return self

    async def accept(
        self, *to: Mailbox, sender: ReversePath = ANNE, notify: Notify = Notify.ABSENT, octets: bytes = LETTER
    ) -> str:
        """Room 4 as the pipeline does it."""
        stored = await self.room.blobs.seal(octets)
        item = SpoolItem(
            spool_id=f"letter{next(_ids)}",
            envelope=Envelope(
                reverse_path=sender, forward_paths=tuple(ForwardPath(mailbox, notify) for mailbox in to)
            ),
            octets=stored,
            message_id="<1@ch-rivage.mssante.example>",
            accepted_at=self.spool.now(),
            origin=Origin(OriginKind.ACCOUNT, "1"),
        )
        unit = UnitOfWork()
        self.room.blobs.keep(unit, stored)
        claim = self.spool.put(unit, item, leased=self.engine.has_room)
        await self.room.committer.commit(unit)
        self.killer(Checkpoint.SPOOL_COMMITTED)
        self.engine.submitted(claim, octets)
        return item.spool_id

    async def work(self) -> None:
        """Until nothing is due any more."""
        while True:
            await self.engine.idle()
            if await self.scheduler.round() > 0:
                return

    async def inbox(self, mailbox: Mailbox) -> list[bytes]:
        folder_id = await self.room.folder_id(BOXES[mailbox], INBOX)
        rows = (await self.room.store.changes(folder_id)).rows
        return [await self.room.store.octets(folder_id, row.uid) for row in rows]

    async def kinds(self, spool_id: str) -> list[AuditKind]:
        return [recorded.event.kind for recorded in await self.audit.events_of(spool_id=spool_id)]

    async def is_empty(self) -> bool:
        rows = await self.room.sql(
            "SELECT (SELECT count(*) FROM spool_item) + (SELECT count(*) FROM spool_recipient)"
        )
        return bool(rows[0][0] == 0)


async def first_life(
    mail: Any, folder: Path, *script: Any, killer: Killer | None = None, **settings: Any
) -> Life:
    for bal_id in BOXES.values():
        await mail.store.create_box(bal_id, 10_000_000)
    return await Life(mail, folder, FailingAgent(*script), killer or Killer(), **settings).open()


async def test_a_letter_to_a_box_and_to_a_peer(mail: Any, tmp_path: Path) -> None:
    life = await first_life(mail, tmp_path)
    spool_id = await life.accept(WARD, PAUL)
    await life.work()
    assert await life.inbox(WARD) == [
        b"Return-Path: <anne.test-rivage@ch-rivage.mssante.example>\r\n" + LETTER
    ]
    assert life.agent.peer.letters == [(str(PAUL), LETTER)]
    assert await life.is_empty()
    assert sorted(kind.value for kind in await life.kinds(spool_id)) == [
        "delivered",
        "planned",
        "planned",
        "protected",
        "protected",
        "relayed",
    ]
    assert sorted(life.counts.states) == ["delivered", "delivered"]


async def accept_and_be_killed(life: Life, *to: Mailbox) -> None:
    with suppress(Killed):
        await life.accept(*to)
        await life.engine.idle()
    assert life.killer.left == 0


GAPS = [
    (Checkpoint.SPOOL_COMMITTED, (WARD, PAUL)),
    (Checkpoint.LOCAL_PREPARED, (WARD, PAUL)),
    (Checkpoint.LOCAL_COMMITTED, (WARD, PAUL)),
    (Checkpoint.RELAY_CONNECTED, (PAUL, WARD)),
    (Checkpoint.RELAY_DATA_SENT, (PAUL, WARD)),
    (Checkpoint.RELAY_ANSWERED, (PAUL, WARD)),
    (Checkpoint.RELAY_COMMITTED, (PAUL, WARD)),
]


@pytest.mark.parametrize(("gap", "to"), GAPS, ids=[gap.value for gap, _ in GAPS])
async def test_killed_in_any_gap_each_letter_is_there_exactly_once(
    mail: Any,
    another_room: Callable[..., Any],
    kek: FileKek,
    tmp_path: Path,
    gap: Checkpoint,
    to: tuple[Mailbox, ...],
) -> None:
    life = await first_life(mail, tmp_path, killer=Killer(gap))
    await accept_and_be_killed(life, *to)
    await life.engine.drain(1)
    again = await Life(another_room(kek), tmp_path, FailingAgent(peer=life.agent.peer), Killer()).open()
    await again.work()
    assert len(await again.inbox(WARD)) == 1
    assert again.agent.peer.letters == [(str(PAUL), LETTER)]
    assert await again.is_empty()


async def test_killed_after_the_report_was_committed_the_author_reads_one(
    mail: Any, another_room: Callable[..., Any], kek: FileKek, tmp_path: Path
) -> None:
    refused = Failed(replies.PEER_REFUSED, RemoteAnswer(550, "5.1.1", "unknown", "mx"))
    life = await first_life(mail, tmp_path, refused, killer=Killer(Checkpoint.REPORT_COMMITTED))
    await accept_and_be_killed(life, PAUL)
    again = await Life(another_room(kek), tmp_path, FailingAgent(), Killer()).open()
    await again.work()
    [report] = await again.inbox(ANNE)
    assert b"Return-Path: <>" in report
    assert b"Status: 5.1.1" in report
    assert await again.is_empty()


async def test_a_recipient_unknown_here_gives_one_report_and_the_others_their_letter(
    mail: Any, tmp_path: Path
) -> None:
    life = await first_life(mail, tmp_path)
    spool_id = await life.accept(NOBODY, WARD)
    await life.work()
    [report] = await life.inbox(ANNE)
    assert b"personne@ch-rivage.mssante.example" in report
    assert b"Status: 5.1.1" in report
    assert len(await life.inbox(WARD)) == 1
    assert AuditKind.REPORTED in await life.kinds(spool_id)


async def test_nobody_is_told_of_a_letter_with_the_null_reverse_path(mail: Any, tmp_path: Path) -> None:
    life = await first_life(mail, tmp_path, Failed(replies.PEER_REFUSED))
    spool_id = await life.accept(PAUL, sender=NULL_REVERSE_PATH)
    await life.work()
    assert await life.inbox(ANNE) == []
    assert await life.is_empty()
    assert await life.kinds(spool_id) == [AuditKind.PLANNED, AuditKind.PROTECTED, AuditKind.FAILED]


async def test_a_report_that_cannot_be_delivered_produces_none(mail: Any, tmp_path: Path) -> None:
    life = await first_life(mail, tmp_path, Failed(replies.PEER_REFUSED), Failed(replies.PEER_REFUSED))
    await life.accept(PAUL, sender=PORT)
    await life.work()
    assert life.agent.calls == [(str(PAUL),), (str(PORT),)]
    assert await life.is_empty()
    assert await life.inbox(ANNE) == []


async def test_success_is_told_when_it_was_asked_for(mail: Any, tmp_path: Path) -> None:
    life = await first_life(mail, tmp_path)
    await life.accept(WARD, notify=Notify.SUCCESS)
    await life.work()
    [report] = await life.inbox(ANNE)
    assert b"Action: delivered" in report


async def test_five_days_of_deferral_one_report_of_delay_one_of_failure(mail: Any, tmp_path: Path) -> None:
    forever: list[Outcome] = [
        Deferred(replies.PEER_DEFERRED, RemoteAnswer(451, "4.3.0", "wait", "mx")) for _ in range(200)
    ]
    life = await first_life(mail, tmp_path, *forever)
    await life.accept(PAUL)
    start = life.spool.now()
    for _ in range(200):
        await life.work()
        lanes = await life.spool.lanes()
        if not lanes:
            break
        mail.clock.advance(lanes[0][1] - life.spool.now())
    assert life.spool.now() == start + 5 * DAY
    assert 120 <= len(life.agent.calls) <= 126
    delayed, failed = await life.inbox(ANNE)
    assert b"Action: delayed" in delayed
    assert b"Action: failed" in failed
    assert b"451" in failed
    assert await life.is_empty()


async def test_a_dead_destination_does_not_delay_a_living_one(mail: Any, tmp_path: Path) -> None:
    life = await first_life(mail, tmp_path, lane_width=2, lane_length=3, in_hand=50)
    gate = life.agent.gates[PHARMACY.ascii] = asyncio.Event()
    for _ in range(12):
        await life.accept(PORT)
    for _ in range(10):
        await life.accept(PAUL)
    await life.accept(WARD)
    for _ in range(500):
        await life.scheduler.round()
        await asyncio.sleep(0)
        if len(life.agent.peer.letters) == 10 and len(await life.inbox(WARD)) == 1:
            break
    assert [to for to, _ in life.agent.peer.letters] == [str(PAUL)] * 10
    assert len(life.engine.leases()) == 2 + 3  # what the stalled lane holds in memory; the rest waits on disk
    gate.set()
    await life.work()
    assert len(life.agent.peer.letters) == 22
    assert await life.is_empty()


async def test_many_domains_that_stall_leave_room_for_the_others(mail: Any, tmp_path: Path) -> None:
    life = await first_life(mail, tmp_path, lane_width=2, lane_length=10, in_hand=40)
    stalled = [Domain(f"cabinet{place}.mssante.example") for place in range(8)]
    gate = asyncio.Event()
    for domain in stalled:
        life.agent.gates[domain.ascii] = gate
        for _ in range(10):
            await life.accept(Mailbox("paul.test-dune", domain))
            await asyncio.sleep(0)
    for _ in range(3):
        await life.scheduler.round()
        await asyncio.sleep(0)
    assert life.engine.has_room
    await life.accept(PAUL)
    await life.accept(WARD)
    for _ in range(500):
        await asyncio.sleep(0)
        if life.agent.peer.letters and len(await life.inbox(WARD)) == 1:
            break
    assert life.agent.peer.letters == [(str(PAUL), LETTER)]
    gate.set()
    await life.work()
    assert len(life.agent.peer.letters) == 81
    assert await life.is_empty()


async def test_letters_beyond_the_room_wait_in_the_database(mail: Any, tmp_path: Path) -> None:
    life = await first_life(mail, tmp_path, in_hand=2)
    gate = life.agent.gates[CABINET.ascii] = asyncio.Event()
    for _ in range(6):
        await life.accept(PAUL)
    assert not life.engine.has_room
    assert len(life.engine.leases()) == 2
    gate.set()
    await life.work()
    assert len(life.agent.peer.letters) == 6


@pytest.mark.parametrize(
    ("bug", "state", "alarms"),
    [(ValueError("bug"), State.WAITING, 0), (PermanentError("altered at rest"), State.HELD, 1)],
)
async def test_an_agent_that_breaks(
    mail: Any, tmp_path: Path, bug: Exception, state: State, alarms: int
) -> None:
    life = await first_life(mail, tmp_path, bug)
    spool_id = await life.accept(PAUL)
    await life.engine.idle()
    _, [recipient] = await life.spool.load(spool_id)
    assert recipient.state is state
    assert life.counts.alarms == alarms
    mail.clock.advance(2 * HOUR)
    await life.work()
    assert len(life.agent.peer.letters) == 1 - alarms


async def test_a_planner_that_breaks_defers(mail: Any, tmp_path: Path) -> None:
    async def broken(item: SpoolItem, recipients: Sequence[RecipientState]) -> RoutingPlan:
        raise RuntimeError("bug")

    life = await first_life(mail, tmp_path, planner=broken)
    spool_id = await life.accept(WARD)
    await life.engine.idle()
    _, [recipient] = await life.spool.load(spool_id)
    assert (recipient.state, recipient.reply) == (State.WAITING, "LOCAL_ERROR")
    assert await life.kinds(spool_id) == [AuditKind.DEFERRED]


async def test_altered_octets_are_held_and_nothing_is_released(mail: Any, tmp_path: Path) -> None:
    life = await first_life(mail, tmp_path, keep_octets=0)
    stored = await mail.blobs.seal(LETTER)
    unit = UnitOfWork()
    mail.blobs.keep(unit, stored)
    envelope = Envelope(reverse_path=ANNE, forward_paths=(ForwardPath(WARD), ForwardPath(PAUL)))
    item = SpoolItem(
        spool_id="altered",
        envelope=envelope,
        octets=stored,
        message_id="",
        accepted_at=life.spool.now(),
        origin=Origin(OriginKind.ACCOUNT, "1"),
    )
    claim = life.spool.put(unit, item)
    await mail.committer.commit(unit)
    async with mail.database.write() as connection:
        [(sealed,)] = (await connection.exec_driver_sql("SELECT sealed FROM blob_octets")).all()
        flipped = bytes([*bytes(sealed)[:-1], bytes(sealed)[-1] ^ 1])
        await connection.execute(sa.text("UPDATE blob_octets SET sealed = :flipped"), {"flipped": flipped})
    life.engine.submitted(claim)
    await life.work()
    _, states = await life.spool.load("altered")
    assert [state.state for state in states] == [State.HELD, State.HELD]
    assert life.counts.alarms == 2
    assert await life.inbox(WARD) == []
    assert life.agent.peer.letters == []


async def test_a_box_that_refuses_at_the_write_is_a_deferral_and_nothing_is_half_written(
    mail: Any, tmp_path: Path
) -> None:
    life = await first_life(mail, tmp_path)

    class Full:
        name = "full"

        async def apply(self, connection: Any, changes: Any) -> None:
            raise ReplyError(replies.MAILBOX_FULL)

    class Fills(Change):
        applier = "full"

    mail.committer.register(Full())
    add = mail.store.add
    mail.store.add = lambda unit, message: (add(unit, message), unit.add(Fills()))
    spool_id = await life.accept(WARD)
    await life.engine.idle()
    _, [recipient] = await life.spool.load(spool_id)
    assert (recipient.state, recipient.reply) == (State.WAITING, "MAILBOX_FULL")
    assert await life.inbox(WARD) == []
    mail.store.add = add
    mail.clock.advance(HOUR)
    await life.work()
    assert len(await life.inbox(WARD)) == 1
    assert await life.is_empty()


async def test_a_box_that_is_full_delays_nobody_else_s_copy(mail: Any, tmp_path: Path) -> None:
    life = await first_life(mail, tmp_path)
    await mail.store.set_quota(BOXES[WARD], 10)
    spool_id = await life.accept(WARD, ANNE)
    await life.engine.idle()
    _, [full, delivered] = await life.spool.load(spool_id)
    assert (full.state, full.reply, full.attempts) == (State.WAITING, "MAILBOX_FULL", 1)
    assert delivered.state is State.DELIVERED
    assert len(await life.inbox(ANNE)) == 1
    await mail.store.set_quota(BOXES[WARD], 0)
    mail.clock.advance(HOUR)
    await life.work()
    assert (len(await life.inbox(WARD)), len(await life.inbox(ANNE))) == (1, 1)
    assert await life.is_empty()


async def test_drain_leaves_the_rest_to_the_next_life(
    mail: Any, another_room: Callable[..., Any], kek: FileKek, tmp_path: Path
) -> None:
    life = await first_life(mail, tmp_path, lane_width=1)
    life.agent.gates[CABINET.ascii] = asyncio.Event()
    for _ in range(3):
        await life.accept(PAUL)
    await life.engine.drain(0.01)
    assert not life.engine.has_room
    again = await Life(another_room(kek), tmp_path, FailingAgent(), Killer()).open()
    await again.work()
    assert len(again.agent.peer.letters) == 3
    assert await again.is_empty()


async def test_a_store_that_is_away_for_a_moment_costs_patience_and_nothing_else(
    mail: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(concluder, "COMMIT_PAUSE", 0.0)
    life = await first_life(mail, tmp_path)
    commit, failures = mail.committer.commit, [StoreError("away"), StoreError("away")]

    async def sometimes(unit: UnitOfWork) -> None:
        if failures and any(isinstance(change, ChangeRecipient) for change in unit.changes):
            raise failures.pop()
        await commit(unit)

    mail.committer.commit = sometimes
    await life.accept(WARD, PAUL)
    await life.work()
    assert failures == []
    assert len(await life.inbox(WARD)) == 1
    assert len(life.agent.peer.letters) == 1
    failures.extend(StoreError("away") for _ in range(concluder.COMMIT_TRIES))
    await life.accept(WARD)
    await life.engine.idle()
    assert len(await life.inbox(WARD)) == 1
    mail.clock.advance(121)  # the lease ends, and the letter is found
    await life.work()
    assert len(await life.inbox(WARD)) == 2
    assert await life.is_empty()


async def test_a_lost_lease_writes_nothing(mail: Any, tmp_path: Path) -> None:
    life = await first_life(mail, tmp_path)
    gate = life.agent.gates[CABINET.ascii] = asyncio.Event()
    await life.accept(PAUL)
    await asyncio.sleep(0)
    mail.clock.advance(121)
    [taken] = await life.spool.take([(CABINET.ascii, 1)])
    gate.set()
    await life.engine.idle()
    _, [recipient] = await life.spool.load(taken.item.spool_id)
    assert (recipient.state, recipient.fence) == (State.LEASED, 2)
    life.engine.take(taken)
    await life.work()
    assert len(life.agent.peer.letters) == 1  # the peer dropped the second
    assert await life.is_empty()


async def test_a_damaged_database_met_while_planning_is_told_at_once(mail: Any, tmp_path: Path) -> None:
    async def damaged(item: SpoolItem, states: Sequence[RecipientState]) -> RoutingPlan:
        raise FatalStoreError("damaged")

    life = await first_life(mail, tmp_path, planner=damaged)
    await life.accept(WARD)
    await life.engine.idle()
    assert [str(error) for error in life.fatal] == ["damaged"]


async def test_a_disk_that_cannot_be_trusted_ends_the_work_and_not_the_letter(
    mail: Any, another_room: Callable[..., Any], kek: FileKek, tmp_path: Path
) -> None:
    life = await first_life(mail, tmp_path)
    commit = mail.committer.commit

    async def broken(unit: UnitOfWork) -> None:
        if any(isinstance(change, ChangeRecipient) for change in unit.changes):
            raise FatalStoreError("fsync")
        await commit(unit)

    mail.committer.commit = broken
    await life.accept(WARD)
    await life.engine.idle()
    assert [str(error) for error in life.fatal] == ["fsync"]
    mail.committer.commit = commit
    again = await Life(another_room(kek), tmp_path, FailingAgent(), Killer()).open()
    await again.work()
    assert len(await again.inbox(WARD)) == 1
