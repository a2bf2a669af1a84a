"""The MDA: one row a box, one summary a letter, and nothing when there is no INBOX."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from core import reply as replies
from core.address import Domain, Mailbox
from core.envelope import NULL_REVERSE_PATH, Envelope, ForwardPath, ReversePath
from core.errors import LocalProtocolError
from core.folder import Summary
from core.outcome import Deferred, Delivered
from core.plan import Action, DeliverToMailbox, RelayTo
from core.testing.clock import FakeClock
from core.testing.feed import MemoryFeed
from core.testing.mail_store import MemoryBlobStore, MemoryCommitter, MemoryMailStore
from core.unit_of_work import UnitOfWork
from mta.delivery import local
from mta.delivery.agent import LetterInHand, PlannedRecipient
from mta.delivery.local import LocalAgent
from mta.spool.item import INTERNAL_ORIGIN, SpoolItem

HERE = Domain("ch-rivage.mssante.example")
WARD = ForwardPath(Mailbox("medecine", HERE))
LETTER = b"Subject: bilan\r\n\r\nx\r\n"


class Desk:
    """An agent on a store in memory, which counts summaries."""

    def __init__(self) -> None:
        self.blobs = MemoryBlobStore()
        self.store = MemoryMailStore(MemoryFeed(), self.blobs)
        self.summarised: list[bytes] = []
        self.agent = LocalAgent(
            store=self.store, summarise=self.summarise, prefix_for=self.prefix, clock=FakeClock()
        )

    def summarise(self, octets: bytes, internal_date: int) -> Summary:
        self.summarised.append(octets)
        return Summary(
            envelope=b"", body=b"", body_structure=b"", parts=b"", header_size=0, sent_date=internal_date
        )

    def prefix(self, reverse_path: ReversePath) -> bytes:
        return b"Return-Path: <>\r\n"

    async def deliver(self, *actions: Action, octets: bytes = LETTER) -> dict[int, object]:
        envelope = Envelope(reverse_path=NULL_REVERSE_PATH, forward_paths=(WARD,) * len(actions))
        item = SpoolItem(
            spool_id="s1",
            envelope=envelope,
            octets=await self.blobs.seal(octets),
            message_id="",
            accepted_at=0,
            origin=INTERNAL_ORIGIN,
        )
        planned = [PlannedRecipient(index, WARD, action) for index, action in enumerate(actions)]
        attempt = await self.agent.prepare(LetterInHand(item, self.blobs), planned)
        unit = UnitOfWork()
        attempt.stage(unit)
        await MemoryCommitter(self.store).commit(unit)
        return dict(attempt.outcomes)

    async def inbox(self, bal_id: int) -> Sequence[bytes]:
        folder = await self.store.folder(bal_id, "INBOX")
        assert folder is not None
        rows = (await self.store.changes(folder.folder_id)).rows
        return [await self.store.octets(folder.folder_id, row.uid) for row in rows]


async def test_two_boxes_one_summary() -> None:
    desk = Desk()
    outcomes = await desk.deliver(DeliverToMailbox(1), DeliverToMailbox(2))
    assert all(outcome == Delivered(replies.DELIVERED) for outcome in outcomes.values())
    assert desk.summarised == [b"Return-Path: <>\r\n" + LETTER]
    assert await desk.inbox(1) == await desk.inbox(2) == [b"Return-Path: <>\r\n" + LETTER]


async def test_a_box_that_is_named_twice_has_the_letter_once() -> None:
    desk = Desk()
    outcomes = await desk.deliver(DeliverToMailbox(1), DeliverToMailbox(1))
    assert len(outcomes) == 2
    assert len(await desk.inbox(1)) == 1
    await desk.deliver(DeliverToMailbox(1))
    assert len(await desk.inbox(1)) == 2


async def test_a_large_letter_is_summarised_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "LARGE_LETTER", 10)
    desk = Desk()
    await desk.deliver(DeliverToMailbox(1))
    assert len(desk.summarised) == 1


async def test_a_box_without_inbox_waits() -> None:
    desk = Desk()

    async def none(bal_id: int, name: str) -> None:
        return None

    desk.store.folder = none  # type: ignore[method-assign,assignment]
    assert await desk.deliver(DeliverToMailbox(1)) == {0: Deferred(replies.MAILBOX_BUSY)}


async def test_what_is_known_of_inboxes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "MAX_FOLDERS_KNOWN", 2)
    desk = Desk()
    for bal_id in range(1, 6):
        await desk.deliver(DeliverToMailbox(bal_id))
    assert len(desk.agent._inboxes) <= 2


async def test_another_s_action_is_a_bug() -> None:
    with pytest.raises(LocalProtocolError):
        await Desk().deliver(RelayTo(HERE))


async def test_each_box_can_be_written_alone() -> None:
    desk = Desk()
    actions = (DeliverToMailbox(1), DeliverToMailbox(2), DeliverToMailbox(1))
    envelope = Envelope(reverse_path=NULL_REVERSE_PATH, forward_paths=(WARD,) * 3)
    item = SpoolItem(
        spool_id="s1",
        envelope=envelope,
        octets=await desk.blobs.seal(LETTER),
        message_id="",
        accepted_at=0,
        origin=INTERNAL_ORIGIN,
    )
    planned = [PlannedRecipient(index, WARD, action) for index, action in enumerate(actions)]
    attempt = await desk.agent.prepare(LetterInHand(item, desk.blobs), planned)
    assert [sorted(piece.outcomes) for piece in attempt.pieces] == [[0, 2], [1]]
    unit = UnitOfWork()
    attempt.pieces[1].stage(unit)
    await MemoryCommitter(desk.store).commit(unit)
    assert (len(await desk.inbox(1)), len(await desk.inbox(2))) == (0, 1)
    [alone] = (await desk.agent.prepare(LetterInHand(item, desk.blobs), planned[:1])).pieces
    assert sorted(alone.outcomes) == [0]
