"""Messages on both engines, as IMAP and local delivery use them."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from core.errors import NotStored, PermanentError, ReplyError
from core.folder import NewMessage, StoredOctets, Summary
from core.ports import FlagChange
from core.unit_of_work import UnitOfWork
from mailstore.messages import SMALL_OCTETS

BAL = 11
OTHER = 12


@pytest.fixture
def box(mail: Any, await_now: Any) -> Any:
    """A mail room with two boxes without limit."""
    await_now(mail.store.create_box(BAL, 0))
    await_now(mail.store.create_box(OTHER, 0))
    return mail


def _flags(operation: str, *flags: str, since: int | None = None) -> FlagChange:
    return FlagChange(operation=operation, flags=frozenset(flags), unchanged_since=since)


async def _uids(mail: Any, folder_id: int) -> list[int]:
    return [row.uid for row in (await mail.store.changes(folder_id)).rows]


# --- messages -----------------------------------------------------------------------------------------------
async def test_a_message_is_read_whole_and_in_parts_with_its_prefix(box: Any) -> None:
    inbox = await box.folder_id(BAL, "INBOX")
    for octets in (b"Subject: x\r\n\r\nbody\r\n", os.urandom(SMALL_OCTETS + 500)):
        prefix = b"Return-Path: <anne@ch-rivage.mssante.example>\r\n"
        message = await box.put(BAL, inbox, octets, prefix=prefix)
        whole = prefix + octets
        assert await box.store.octets(inbox, message.uid) == whole
        edges = (
            0,
            1,
            len(prefix) - 1,
            len(prefix),
            len(prefix) + 1,
            len(whole) - 1,
            len(whole),
            len(whole) + 5,
        )
        for start in edges:
            for end in (*edges, None):
                assert await box.store.octets(inbox, message.uid, start, end) == whole[start:end]
    rows = (await box.store.changes(inbox)).rows
    assert [row.size for row in rows] == [len(prefix) + 20, len(prefix) + SMALL_OCTETS + 500]


async def test_many_messages_are_read_together(box: Any) -> None:
    inbox = await box.folder_id(BAL, "INBOX")
    prefix = b"Return-Path: <anne@ch-rivage.mssante.example>\r\n"
    letters = [b"Subject: %d\r\n\r\nbody\r\n" % number for number in range(130)] + [
        os.urandom(SMALL_OCTETS + 9)
    ]
    messages = [await box.put(BAL, inbox, octets, prefix=prefix) for octets in letters]
    wholes = {m.uid: prefix + octets for m, octets in zip(messages, letters, strict=True)}
    assert await box.store.many_octets(inbox, dict.fromkeys(wholes, (0, 1 << 20))) == wholes
    some = {uid: (uid % 60, 70) for uid in wholes if uid % 3}
    some[9999] = (0, 5)
    expected = {uid: wholes[uid][uid % 60 : 70] for uid in some if uid != 9999}
    assert await box.store.many_octets(inbox, some) == expected
    assert await box.store.many_octets(inbox, {}) == {}
    with pytest.raises(NotStored):
        await box.store.many_octets(99_999, {1: (0, 5)})


async def test_uids_and_modification_sequences_rise_and_rows_tell_all(box: Any) -> None:
    inbox = await box.folder_id(BAL, "INBOX")
    flags = frozenset({"\\Seen", "$Forwarded", "$MDNSent"})
    first = await box.put(BAL, inbox, b"one", flags=flags, internal_date=1000)
    second = await box.put(BAL, inbox, b"three")
    assert (first.uid, second.uid) == (1, 2)
    assert 1 < first.modseq < second.modseq
    found = await box.store.changes(inbox)
    assert (found.uid_next, found.highest_modseq, found.vanished) == (3, second.modseq, ())
    row = found.rows[0]
    assert (row.uid, row.flags, row.internal_date, row.size) == (1, flags, 1000, 3)
    assert found.rows[0].message_id != found.rows[1].message_id


async def test_many_at_once_get_different_uids_without_a_gap(box: Any) -> None:
    inbox = await box.folder_id(BAL, "INBOX")
    messages = await asyncio.gather(*(box.put(BAL, inbox, b"%d" % n) for n in range(40)))
    assert sorted(message.uid for message in messages) == list(range(1, 41))
    for n, message in enumerate(messages):
        assert await box.store.octets(inbox, message.uid) == b"%d" % n
    assert box.committer.units > box.committer.batches


async def test_one_letter_for_two_boxes_is_stored_once(box: Any) -> None:
    unit = UnitOfWork()
    stored = await box.blobs.seal(b"to both")
    box.blobs.keep(unit, stored)
    summary = Summary(envelope=b"e", body=b"b", body_structure=b"s", parts=b"", header_size=1, sent_date=2)
    inboxes = {bal: await box.folder_id(bal, "INBOX") for bal in (BAL, OTHER)}
    for bal, inbox in inboxes.items():
        prefix = b"Delivered-To: %d\r\n" % bal
        box.store.add(
            unit,
            NewMessage(
                bal_id=bal, folder_id=inbox, octets=stored, prefix=prefix, summary=summary, internal_date=1
            ),
        )
    await box.committer.commit(unit)
    assert await box.sql("SELECT refs FROM blob") == [(2,)]
    for bal, inbox in inboxes.items():
        assert await box.store.octets(inbox, 1) == b"Delivered-To: %d\r\nto both" % bal
        assert await box.store.summaries(inbox, [1, 5]) == {1: summary}


async def test_a_full_box_refuses_and_its_neighbour_in_the_batch_is_delivered(box: Any) -> None:
    await box.store.set_quota(BAL, 10)
    full, open_ = await box.folder_id(BAL, "INBOX"), await box.folder_id(OTHER, "INBOX")
    results = await asyncio.gather(
        box.put(BAL, full, b"12345678"),
        box.put(BAL, full, b"123"),
        box.put(OTHER, open_, b"123456789012345"),
        return_exceptions=True,
    )
    assert isinstance(results[1], ReplyError)
    assert results[1].reply.name == "MAILBOX_FULL"
    assert (results[0].uid, results[2].uid) == (1, 1)
    assert await box.store.quota(BAL) == (10, 8)
    with pytest.raises(ReplyError):
        await box.store.copy(full, [1], await box.folder_id(BAL, "Archive"))
    await box.store.move(full, [1], await box.folder_id(BAL, "Archive"))  # a move needs no room
    assert await box.store.quota(BAL) == (10, 8)
    assert await box.sql("SELECT count(*) FROM blob WHERE refs > 0") == [(2,)]


async def test_a_message_for_a_folder_that_is_not_there_is_refused(box: Any) -> None:
    with pytest.raises(NotStored):
        await box.put(BAL, 9999, b"x")
    with pytest.raises(NotStored):
        await box.put(OTHER, await box.folder_id(BAL, "INBOX"), b"x")
    with pytest.raises(NotStored):
        await box.store.octets(await box.folder_id(BAL, "INBOX"), 1)


@pytest.mark.parametrize("flag", ["\\Recent", "\\Other", "two words", "é", ""])
async def test_a_flag_that_cannot_be_stored_is_refused(box: Any, flag: str) -> None:
    inbox = await box.folder_id(BAL, "INBOX")
    with pytest.raises(PermanentError):
        await box.put(BAL, inbox, b"x", flags=frozenset({flag}))
    with pytest.raises(PermanentError):
        await box.store.store_flags(inbox, [1], _flags("add", flag))


# --- flags --------------------------------------------------------------------------------------------------
async def test_flags_are_replaced_added_removed(box: Any) -> None:
    inbox = await box.folder_id(BAL, "INBOX")
    await box.put(BAL, inbox, b"x", flags=frozenset({"\\Seen", "a"}))
    for change, expected in (
        (_flags("add", "\\Flagged", "b"), {"\\Seen", "\\Flagged", "a", "b"}),
        (_flags("remove", "a", "\\Seen", "none"), {"\\Flagged", "b"}),
        (_flags("replace", "\\Deleted"), {"\\Deleted"}),
        (_flags("replace"), set()),
    ):
        (row,), modified = await box.store.store_flags(inbox, [1, 7], change)
        assert (row.uid, row.flags, list(modified)) == (1, expected, [])
        assert (await box.store.changes(inbox)).rows[0] == row


async def test_only_what_changed_gets_a_new_modification_sequence(box: Any) -> None:
    inbox = await box.folder_id(BAL, "INBOX")
    messages = [await box.put(BAL, inbox, b"x") for _ in range(3)]
    await box.store.store_flags(inbox, [2], _flags("add", "\\Seen"))
    before = (await box.store.changes(inbox)).highest_modseq
    rows, _ = await box.store.store_flags(inbox, [1, 2, 3], _flags("add", "\\Seen"))
    assert [row.modseq for row in rows] == [before + 1, before, before + 1]
    found = await box.store.changes(inbox, before)
    assert [row.uid for row in found.rows] == [1, 3]
    assert found.highest_modseq == before + 1 > messages[-1].modseq


async def test_unchanged_since_leaves_what_was_modified(box: Any) -> None:
    inbox = await box.folder_id(BAL, "INBOX")
    for _ in range(3):
        await box.put(BAL, inbox, b"x")
    since = (await box.store.changes(inbox)).highest_modseq
    await box.store.store_flags(inbox, [2], _flags("add", "\\Seen"))
    rows, modified = await box.store.store_flags(inbox, [1, 2, 3], _flags("add", "\\Deleted", since=since))
    assert ([row.uid for row in rows], list(modified)) == ([1, 3], [2])
    assert [sorted(row.flags) for row in (await box.store.changes(inbox)).rows] == [
        ["\\Deleted"],
        ["\\Seen"],
        ["\\Deleted"],
    ]


# --- copy, move, expunge ------------------------------------------------------------------------------------
async def test_copies_keep_flags_date_and_octets_and_are_their_own(box: Any) -> None:
    inbox, sent = await box.folder_id(BAL, "INBOX"), await box.folder_id(BAL, "Sent")
    for n in range(4):
        await box.put(BAL, inbox, b"%d" % n, flags=frozenset({f"k{n}"}), internal_date=n, prefix=b"P%d:" % n)
    pairs = await box.store.copy(inbox, [4, 2, 2, 77], sent)
    assert list(pairs) == [(2, 1), (4, 2)]
    rows = (await box.store.changes(sent)).rows
    assert [(row.uid, row.flags, row.internal_date, row.size) for row in rows] == [
        (1, {"k1"}, 1, 4),
        (2, {"k3"}, 3, 4),
    ]
    assert [await box.store.octets(sent, uid) for uid in (1, 2)] == [b"P1:1", b"P3:3"]
    assert (await box.store.summaries(sent, [1]))[1] == (await box.store.summaries(inbox, [2]))[2]
    await box.store.store_flags(sent, [1], _flags("replace", "\\Deleted"))
    await box.store.expunge(sent)
    assert await box.store.octets(inbox, 2) == b"P1:1"
    assert await _uids(box, sent) == [2]


async def test_a_copy_into_another_box_is_sealed_for_it(box: Any) -> None:
    inbox, theirs = await box.folder_id(BAL, "INBOX"), await box.folder_id(OTHER, "INBOX")
    await box.put(BAL, inbox, b"letter", prefix=b"p")
    await box.put(OTHER, theirs, b"own")
    assert list(await box.store.copy(inbox, [1], theirs)) == [(1, 2)]
    await box.store.erase_box(BAL)
    assert await box.store.octets(theirs, 2) == b"pletter"
    ids = [row.message_id for row in (await box.store.changes(theirs)).rows]
    assert len(set(ids)) == 2
    assert await box.store.quota(OTHER) == (0, 10)


async def test_a_move_is_gone_there_and_here_with_a_new_uid(box: Any) -> None:
    inbox, trash = await box.folder_id(BAL, "INBOX"), await box.folder_id(BAL, "Trash")
    for n in range(3):
        await box.put(BAL, inbox, b"%d" % n)
    before = await box.store.changes(inbox)
    assert list(await box.store.move(inbox, [1, 3], trash)) == [(1, 1), (3, 2)]
    after = await box.store.changes(inbox, before.highest_modseq)
    assert (after.rows, after.vanished, after.uid_next) == ((), (1, 3), 4)
    assert await _uids(box, inbox) == [2]
    assert [await box.store.octets(trash, uid) for uid in (1, 2)] == [b"0", b"2"]
    assert await box.sql("SELECT refs FROM blob") == [(1,), (1,), (1,)]
    assert list(await box.store.move(trash, [1], trash)) == [(1, 3)]
    assert await box.store.octets(trash, 3) == b"0"
    assert list(await box.store.move(trash, [50], inbox)) == []


async def test_expunge_removes_what_is_flagged_and_tells_which(box: Any) -> None:
    inbox = await box.folder_id(BAL, "INBOX")
    for n in range(4):
        await box.put(BAL, inbox, b"%d" % n)
    await box.store.store_flags(inbox, [1, 2, 4], _flags("add", "\\Deleted"))
    before = (await box.store.changes(inbox)).highest_modseq
    assert list(await box.store.expunge(inbox, [2, 3, 9])) == [2]
    assert list(await box.store.expunge(inbox)) == [1, 4]
    assert list(await box.store.expunge(inbox)) == []
    found = await box.store.changes(inbox, before)
    assert (found.vanished, found.rows) == ((1, 2, 4), ())
    assert await _uids(box, inbox) == [3]
    assert (await box.put(BAL, inbox, b"new")).uid == 5  # never an old UID
    assert await box.sql("SELECT count(*) FROM blob") == [(2,)]
    assert await box.store.quota(BAL) == (0, 4)


async def test_expunge_of_the_last_copy_removes_its_file(box: Any, tmp_path: Any) -> None:
    inbox, sent = await box.folder_id(BAL, "INBOX"), await box.folder_id(BAL, "Sent")
    await box.put(BAL, inbox, os.urandom(SMALL_OCTETS + 1), flags=frozenset({"\\Deleted"}))
    await box.store.copy(inbox, [1], sent)
    await box.store.expunge(inbox)
    await box.blobs.close()
    assert len(await box.store.octets(sent, 1)) == SMALL_OCTETS + 1
    await box.store.expunge(sent)
    await box.blobs.close()
    assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []


async def test_recent_is_claimed_once(box: Any) -> None:
    inbox = await box.folder_id(BAL, "INBOX")
    assert await box.store.claim_recent(inbox) == 1
    await box.put(BAL, inbox, b"1")
    await box.put(BAL, inbox, b"2")
    assert (await box.store.status(inbox)).recent == 2
    assert await box.store.claim_recent(inbox) == 1
    assert await box.store.claim_recent(inbox) == 3
    await box.put(BAL, inbox, b"3")
    assert (await box.store.status(inbox)).recent == 1
    assert await box.store.claim_recent(inbox) == 3


async def test_status_counts(box: Any) -> None:
    inbox = await box.folder_id(BAL, "INBOX")
    empty = await box.store.status(inbox)
    assert (empty.messages, empty.unseen, empty.recent, empty.deleted, empty.size) == (0, 0, 0, 0, 0)
    for flags in (("\\Seen",), ("\\Seen", "\\Deleted"), ("k",)):
        await box.put(BAL, inbox, b"12345", flags=frozenset(flags))
    await box.put(BAL, await box.folder_id(BAL, "Sent"), b"x")
    status, folder = await box.store.status(inbox), await box.store.folder(BAL, "INBOX")
    assert (status.messages, status.unseen, status.recent, status.deleted, status.size) == (3, 1, 3, 1, 15)
    assert (status.uid_next, status.uid_validity) == (4, folder.uid_validity)
    assert status.highest_modseq == folder.highest_modseq


async def test_a_large_folder_is_read_copied_and_emptied_in_slices(box: Any) -> None:
    inbox, archive = await box.folder_id(BAL, "INBOX"), await box.folder_id(BAL, "Archive")
    unit = UnitOfWork()
    stored: StoredOctets = await box.blobs.seal(b"many")
    box.blobs.keep(unit, stored)
    summary = Summary(envelope=b"e", body=b"b", body_structure=b"s", parts=b"", header_size=1, sent_date=2)
    for n in range(2100):
        box.store.add(
            unit,
            NewMessage(bal_id=BAL, folder_id=inbox, octets=stored, summary=summary, internal_date=n),
        )
    await box.committer.commit(unit)
    assert await _uids(box, inbox) == list(range(1, 2101))
    uids = list(range(1, 2101))
    assert list(await box.store.summaries(inbox, uids)) == uids
    assert len(await box.store.summaries(inbox, uids[::5])) == 420
    assert len(await box.store.copy(inbox, uids, archive)) == 2100
    assert await box.sql("SELECT refs FROM blob") == [(4200,)]
    rows, _ = await box.store.store_flags(inbox, uids[::2], _flags("add", "\\Deleted"))
    assert len(rows) == 1050
    assert list(await box.store.expunge(inbox)) == uids[::2]
    await box.store.delete_folder(BAL, "Archive")
    assert await box.sql("SELECT refs FROM blob") == [(1050,)]


# --- news ---------------------------------------------------------------------------------------------------
async def test_every_change_wakes_those_who_watch_the_folder_after_it_is_durable(box: Any) -> None:
    inbox, trash = await box.folder_id(BAL, "INBOX"), await box.folder_id(BAL, "Trash")
    woken: list[str] = []
    stop = box.feed.subscribe(inbox, lambda: woken.append("inbox"))
    box.feed.subscribe(trash, lambda: woken.append("trash"))
    await box.put(BAL, inbox, b"1")
    await box.store.store_flags(inbox, [1], _flags("add", "\\Deleted"))
    await box.store.copy(inbox, [1], trash)
    await box.store.move(inbox, [1], trash)
    await box.store.expunge(trash)
    assert woken == ["inbox", "inbox", "trash", "inbox", "trash", "trash"]
    stop()
    await box.put(BAL, inbox, b"2")
    assert woken[-1] == "trash"
