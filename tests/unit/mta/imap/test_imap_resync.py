"""Invariant: a client that comes back by QRESYNC or CHANGEDSINCE holds what a client that reads all holds."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest

from core.ports import FlagChange

_FETCH = re.compile(rb"\* \d+ FETCH \(UID (\d+) FLAGS \(([^)]*)\) MODSEQ \((\d+)\)\)")
_VANISHED = re.compile(rb"\* VANISHED (?:\(EARLIER\) )?([0-9:,]+)\r\n")
_HIGHEST = re.compile(rb"\[HIGHESTMODSEQ (\d+)\]")
FLAGS = ("\\Seen", "\\Flagged", "\\Deleted", "$label1")


class Memory:
    """What a client remembers of a folder."""

    def __init__(self) -> None:
        self.flags: dict[int, frozenset[bytes]] = {}
        self.modseq = 1

    def hear(self, answer: bytes) -> None:
        for match in _VANISHED.finditer(answer):
            for part in match[1].split(b","):
                first, _, last = part.partition(b":")
                for uid in range(int(first), int(last or first) + 1):
                    self.flags.pop(uid, None)
        for match in _FETCH.finditer(answer):
            self.flags[int(match[1])] = frozenset(match[2].split()) - {b"\\Recent"}
        for match in _HIGHEST.finditer(answer):
            self.modseq = max(self.modseq, int(match[1]))


async def act(space: Any, folder_id: int, chance: random.Random) -> None:
    """Something that another client does."""
    uids = [row.uid for row in (await space.store.changes(folder_id)).rows]
    match chance.randrange(4):
        case 0:
            await space.deliver()
        case 1 | 2 if uids:
            change = FlagChange(
                operation=chance.choice(("add", "remove", "replace")), flags=frozenset({chance.choice(FLAGS)})
            )
            await space.store.store_flags(
                folder_id, chance.sample(uids, chance.randint(1, len(uids))), change
            )
        case _:
            await space.store.expunge(folder_id)


async def truth(space: Any, folder_id: int) -> dict[int, frozenset[bytes]]:
    rows = (await space.store.changes(folder_id)).rows
    return {row.uid: frozenset(flag.encode() for flag in row.flags) for row in rows}


@pytest.mark.parametrize("seed", range(12))
async def test_who_comes_back_knows_what_is_there(space: Any, seed: int) -> None:
    chance = random.Random(seed)
    folder = await space.store.folder(1, "INBOX")
    folder_id, validity = folder.folder_id, folder.uid_validity
    channel = await space.log_in()
    await space.ask(channel, "e ENABLE QRESYNC")
    memory = Memory()
    for _ in range(8):
        for _ in range(chance.randint(0, 4)):
            await act(space, folder_id, chance)
        memory.hear(await space.ask(channel, f"s SELECT INBOX (QRESYNC ({validity} {memory.modseq}))"))
        assert memory.flags == await truth(space, folder_id)
        # while it is open, news come by themselves; then by asking since the last sequence
        await act(space, folder_id, chance)
        memory.hear(await space.ask(channel, "n NOOP"))
        await act(space, folder_id, chance)
        question = f"f UID FETCH 1:* (FLAGS) (CHANGEDSINCE {memory.modseq} VANISHED)"
        memory.hear(await space.ask(channel, "n NOOP") + await space.ask(channel, question))
        assert memory.flags == await truth(space, folder_id)
        await space.ask(channel, "u UNSELECT")


async def test_the_sequence_after_a_removal_hides_nothing(space: Any) -> None:
    """RFC 7162 §3.2.7: what others did before is told before the sequence that covers it."""
    for _ in range(3):
        await space.deliver()
    folder = await space.store.folder(1, "INBOX")
    channel = await space.log_in()
    await space.ask(channel, "e ENABLE QRESYNC")
    await space.ask(channel, "s SELECT INBOX")
    await space.ask(channel, "d STORE 1 +FLAGS.SILENT (\\Deleted)")
    change = FlagChange(operation="add", flags=frozenset({"\\Flagged"}))
    await space.store.store_flags(folder.folder_id, [3], change)
    answer = await space.ask(channel, "x EXPUNGE")
    highest = _HIGHEST.search(answer)
    assert highest is not None
    assert b"* VANISHED 1\r\n" in answer
    told = _FETCH.search(answer)
    assert told is not None
    assert (int(told[1]), int(told[3])) <= (3, int(highest[1]))
    assert int(highest[1]) == (await space.store.status(folder.folder_id)).highest_modseq


async def test_there_and_back_again_is_told_to_who_counts_sequences(space: Any) -> None:
    await space.deliver()
    folder = await space.store.folder(1, "INBOX")
    counting, plain = await space.open(), await space.open()
    await space.ask(counting, "e ENABLE CONDSTORE")
    for operation in ("add", "remove"):
        change = FlagChange(operation=operation, flags=frozenset({"\\Seen"}))
        await space.store.store_flags(folder.folder_id, [1], change)
    assert b"* 1 FETCH (FLAGS (\\Recent) MODSEQ (4))\r\n" in await space.ask(counting, "a NOOP")
    assert await space.ask(plain, "a NOOP") == b"a OK NOOP completed\r\n"
