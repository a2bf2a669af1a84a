"""The secret index over real boxes, on both engines: the same as a scan, secret, forgetful, never believed."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import pytest

from core.errors import NotStored
from core.message import fold
from core.ports import FlagChange
from mailstore import index as index_module
from mailstore.index import SecretIndex
from mailstore.index_block import BLOCK_MESSAGES
from mailstore.mailboxes import BoxKeys
from mailstore.storage.index import IndexApplier

BAL = 31
WORDS = ("Douleur", "épaule", "gauche", "bilan", "2026", "cœur", "aigu", "ai", "gu", "le", "rythme")


def texts(whole: bytes) -> tuple[Iterable[str], Iterable[str]]:
    """The header and the body of a letter of this test, folded."""
    header, _, body = whole.decode().partition("\r\n\r\n")
    return [fold(header)], [fold(body)]


def index_of(room: Any) -> SecretIndex:
    return SecretIndex(
        room.database,
        room.committer,
        room.clock,
        keys=BoxKeys(room.vault),
        letters=room.store,
        texts=texts,
    )


@pytest.fixture
def box(mail: Any, await_now: Any) -> Any:
    """A mail room with one box, and the writer of the index."""
    mail.committer.register(IndexApplier())
    await_now(mail.store.create_box(BAL, 0))
    return mail


async def tended(index: SecretIndex) -> int:
    """Two looks: a box is indexed when it did not move between them."""
    return await index.tend(pause=0.0) + await index.tend(pause=0.0)


def letter(dice: random.Random) -> bytes:
    words = " ".join(dice.choices(WORDS, k=dice.randint(1, 6)))
    subject = dice.choice(WORDS)
    return f"Subject: {subject}\r\n\r\n{words}\r\n".encode()


async def fill(box: Any, folder: str, count: int, seed: int = 1) -> int:
    dice = random.Random(seed)
    folder_id: int = await box.folder_id(BAL, folder)
    for _ in range(count):
        await box.put(BAL, folder_id, letter(dice))
    return folder_id


async def searched(box: Any, index: SecretIndex, folder_id: int, text: str, with_header: bool) -> set[int]:
    """The verdicts, the candidates read."""
    verdicts = await index.verdicts(folder_id, fold(text), with_header=with_header)
    assert not verdicts.sure & verdicts.candidates
    read = {uid for uid in verdicts.candidates if await holds(box, folder_id, uid, text, with_header)}
    return set(verdicts.sure) | read


async def holds(box: Any, folder_id: int, uid: int, text: str, with_header: bool) -> bool:
    header, body = texts(await box.store.octets(folder_id, uid))
    return any(fold(text) in one for one in (*body, *(header if with_header else ())))


async def scanned(box: Any, folder_id: int, text: str, with_header: bool) -> set[int]:
    rows = (await box.store.changes(folder_id)).rows
    return {row.uid for row in rows if await holds(box, folder_id, row.uid, text, with_header)}


async def agrees(box: Any, index: SecretIndex, folder_id: int) -> None:
    for text in (
        "aigu",
        "EPAULE",
        "épaule",
        "coeur",
        "aigu gu",
        "le ry",
        "",
        "2026\r\n",
        ": ",
        "absent",
        "l",
    ):
        for with_header in (True, False):
            expected = await scanned(box, folder_id, text, with_header)
            assert await searched(box, index, folder_id, text, with_header) == expected, text


async def test_the_same_as_a_scan_at_every_stage(box: Any) -> None:
    index = index_of(box)
    inbox = await fill(box, "INBOX", 30)
    await agrees(box, index, inbox)  # a search indexes the last letters itself
    assert await index.catch_up(BAL) == 0  # they are written now, and were not read again
    await fill(box, "INBOX", 5, seed=2)
    await agrees(box, index_of(box), inbox)  # some from the table, some fresh
    assert await tended(index) == 5
    archive = await box.folder_id(BAL, "Archive")
    await box.store.copy(inbox, [1, 2, 3], archive)
    await box.store.move(inbox, [4, 5], archive)
    other = index_of(box)
    await agrees(box, other, inbox)
    await agrees(box, other, archive)
    assert await other.catch_up(BAL) == 0  # the same content in another place needs no reading


async def test_what_is_not_indexed_yet_is_a_candidate(box: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "AT_ONCE_OCTETS", 3)
    inbox = await fill(box, "INBOX", 4)
    index = index_of(box)
    verdicts = await index.verdicts(inbox, "absent", with_header=True)
    assert verdicts.candidates == {1, 2, 3, 4}
    await agrees(box, index, inbox)
    assert await tended(index) == 4
    assert not (await index.verdicts(inbox, "absent", with_header=True)).candidates


async def test_a_first_search_writes_what_it_read(box: Any) -> None:
    inbox = await fill(box, "INBOX", index_module.MANY)
    await index_of(box).verdicts(inbox, "absent", with_header=True)
    assert await index_of(box).catch_up(BAL) == 0


async def test_a_box_that_moves_is_left_in_peace(box: Any) -> None:
    index = index_of(box)
    for seed in range(3):
        await fill(box, "INBOX", 1, seed=seed)
        assert await index.tend(pause=0.0) == 0
    box.clock.advance(index_module.SETTLED_SECONDS)
    await fill(box, "INBOX", 1, seed=9)
    assert await index.tend(pause=0.0) == 4


async def test_removed_letters_leave_no_word_and_empty_blocks_go(box: Any) -> None:
    inbox = await fill(box, "INBOX", 3)
    index = index_of(box)
    await index.catch_up(BAL)
    assert len(await box.sql("SELECT block FROM search_block")) == 1
    await box.store.store_flags(inbox, [1, 2, 3], FlagChange(operation="add", flags=frozenset({"\\Deleted"})))
    await box.store.expunge(inbox, [1])
    await index.catch_up(BAL)
    (kept,) = [kept.block for kept in index._open.values()]
    assert kept.covered.bit_count() == 2
    await agrees(box, index_of(box), inbox)
    await box.store.expunge(inbox)
    await index.catch_up(BAL)
    assert await box.sql("SELECT block FROM search_block") == []


async def test_the_rows_tell_nothing_and_open_nowhere_else(box: Any) -> None:
    inbox = await fill(box, "INBOX", 3)
    index = index_of(box)
    await index.catch_up(BAL)
    ((sealed,),) = await box.sql("SELECT sealed FROM search_block")
    assert b"epaule" not in bytes(sealed)
    await box.store.create_box(BAL + 1, 0)
    other = await box.folder_id(BAL + 1, "INBOX")
    await box.put(BAL + 1, other, b"Subject: x\r\n\r\nautre\r\n")
    copied = f"INSERT INTO search_block SELECT {BAL + 1}, block, sealed FROM search_block"
    await box.sql(copied)
    stranger = index_of(box)
    assert (await stranger.verdicts(other, "autre", with_header=False)).sure == {1}
    assert not (await stranger.verdicts(other, "epaule", with_header=False)).sure
    await agrees(box, index_of(box), inbox)


async def test_a_bent_block_is_made_again(box: Any) -> None:
    inbox = await fill(box, "INBOX", 3)
    index = index_of(box)
    await index.catch_up(BAL)
    await box.sql("UPDATE search_block SET sealed = substr(sealed, 1, 60)")
    again = index_of(box)
    await agrees(box, again, inbox)
    assert await again.catch_up(BAL) == 0
    await agrees(box, index_of(box), inbox)


async def test_the_clockwork_waits_for_many_letters_or_some_time(box: Any) -> None:
    await fill(box, "INBOX", 2)
    index = index_of(box)
    assert await tended(index) == 2
    await fill(box, "INBOX", 1, seed=3)
    assert await tended(index) == 0
    box.clock.advance(index_module.SETTLED_SECONDS + 1)
    assert await tended(index) == 1
    await fill(box, "INBOX", index_module.MANY, seed=4)
    assert await tended(index) == index_module.MANY
    assert await tended(index) == 0


async def test_an_erased_box_has_no_index(box: Any) -> None:
    inbox = await fill(box, "INBOX", 2)
    index = index_of(box)
    await tended(index)
    await box.store.erase_box(BAL)
    assert await box.sql("SELECT bal_id FROM search_block") == []
    assert await box.sql("SELECT bal_id FROM search_mark") == []
    with pytest.raises(NotStored):
        await index.verdicts(inbox, "aigu", with_header=True)
    assert await tended(index) == 0


async def test_memory_is_bounded_in_size_and_time(box: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox = await fill(box, "INBOX", 2)
    await box.sql(f"UPDATE box SET next_message_id = {BLOCK_MESSAGES + 5}")
    await fill(box, "INBOX", 2, seed=5)
    index = index_of(box)
    await index.catch_up(BAL)
    assert len(index._open) == 2
    monkeypatch.setattr(index_module, "MEMORY", 1)
    await agrees(box, index, inbox)
    assert len(index._open) == 1
    box.clock.advance(index_module.KEPT_SECONDS + 1)
    index.forget_old()
    assert not index._open


async def test_a_large_letter_is_read_in_a_thread_and_a_huge_one_never(
    box: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_module, "IN_THREAD", 40)
    monkeypatch.setattr(index_module, "MAX_LETTER", 80)
    inbox = await box.folder_id(BAL, "INBOX")
    for length in (1, 30, 100):
        await box.put(BAL, inbox, b"Subject: x\r\n\r\nmot" + b" a" * length)
    index = index_of(box)
    verdicts = await index.verdicts(inbox, "mot", with_header=False)
    assert (verdicts.sure, verdicts.candidates) == ({1, 2}, {3})
    await index.catch_up(BAL)
    verdicts = await index_of(box).verdicts(inbox, "mot", with_header=False)
    assert verdicts.candidates == {3}


async def test_letters_that_do_not_open_are_left_to_the_reader(box: Any) -> None:
    inbox = await fill(box, "INBOX", 2)
    await box.sql("UPDATE message_sealed SET wrapped_key = substr(wrapped_key, 1, 50) WHERE place % 2 = 1")
    index = index_of(box)
    await index.catch_up(BAL)
    assert (await index.verdicts(inbox, "absent", with_header=True)).candidates == {1}


async def test_a_bug_in_one_letter_stops_nothing(box: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox = await fill(box, "INBOX", 1)
    await box.put(BAL, inbox, b"\xff\xfe no UTF-8, which the reader of this test does not expect")
    index = index_of(box)
    assert await tended(index) == 2
    assert (await index.verdicts(inbox, "absent", with_header=True)).candidates == {2}
