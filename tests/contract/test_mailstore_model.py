"""Invariant: MailboxStore and a naive model in memory tell the same after any history of commands."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from core.ports import FlagChange

_boxes = itertools.count(1000)
FOLDERS = ("INBOX", "Sent", "Trash")
FLAGS = st.frozensets(st.sampled_from(["\\Seen", "\\Deleted", "\\Flagged", "work", "$Junk"]), max_size=3)
UIDS = st.lists(st.integers(1, 6), min_size=1, max_size=6)
FOLDER = st.sampled_from(FOLDERS)
COMMANDS = st.one_of(
    st.tuples(st.just("add"), FOLDER, FLAGS),
    st.tuples(st.just("flags"), FOLDER, UIDS, st.sampled_from(["replace", "add", "remove"]), FLAGS),
    st.tuples(st.just("copy"), FOLDER, UIDS, FOLDER),
    st.tuples(st.just("move"), FOLDER, UIDS, FOLDER),
    st.tuples(st.just("expunge"), FOLDER, st.one_of(st.none(), UIDS)),
)
START_FLAGS = (frozenset[str](), frozenset({"\\Deleted"}), frozenset({"work"}), frozenset({"\\Deleted", "work"}),
               frozenset({"\\Seen"}))  # fmt: skip


@dataclass
class Kept:
    """A message of the model."""

    octets: bytes
    flags: frozenset[str]


@dataclass
class ModelFolder:
    """A folder of the model: a dictionary and the next UID."""

    messages: dict[int, Kept] = field(default_factory=dict)
    uid_next: int = 1
    gone: set[int] = field(default_factory=set)

    def put(self, message: Kept) -> int:
        uid = self.uid_next
        self.uid_next += 1
        self.messages[uid] = message
        return uid

    def remove(self, uids: list[int]) -> None:
        for uid in uids:
            del self.messages[uid]
            self.gone.add(uid)

    def present(self, uids: list[int]) -> list[int]:
        return sorted({uid for uid in uids if uid in self.messages})


class Model:
    """What the store should tell."""

    def __init__(self) -> None:
        self.folders = {name: ModelFolder() for name in FOLDERS}

    def transfer(self, source: str, uids: list[int], target: str) -> list[tuple[int, int]]:
        chosen = self.folders[source].present(uids)
        kept = [self.folders[source].messages[uid] for uid in chosen]
        return [
            (old, self.folders[target].put(Kept(each.octets, each.flags)))
            for old, each in zip(chosen, kept, strict=True)
        ]

    def store(self, name: str, uids: list[int], operation: str, flags: frozenset[str]) -> list[int]:
        folder = self.folders[name]
        chosen = folder.present(uids)
        for uid in chosen:
            message = folder.messages[uid]
            if operation == "replace":
                message.flags = flags
            elif operation == "add":
                message.flags |= flags
            else:
                message.flags -= flags
        return chosen

    def expunge(self, name: str, uids: list[int] | None) -> list[int]:
        folder = self.folders[name]
        chosen = folder.present(list(folder.messages) if uids is None else uids)
        doomed = [uid for uid in chosen if "\\Deleted" in folder.messages[uid].flags]
        folder.remove(doomed)
        return doomed


async def _play(mail: Any, ids: dict[str, int], bal_id: int, model: Model, command: Any, number: int) -> None:
    match command:
        case ("add", name, flags):
            octets = b"letter %d" % number
            message = await mail.put(bal_id, ids[name], octets, flags=flags)
            assert message.uid == model.folders[name].put(Kept(octets, flags))
        case ("flags", name, uids, operation, flags):
            change = FlagChange(operation=operation, flags=flags)
            rows, _ = await mail.store.store_flags(ids[name], uids, change)
            assert [row.uid for row in rows] == model.store(name, uids, operation, flags)
        case ("copy", name, uids, target):
            pairs = await mail.store.copy(ids[name], uids, ids[target])
            assert list(pairs) == model.transfer(name, uids, target)
        case ("move", name, uids, target):
            pairs = await mail.store.move(ids[name], uids, ids[target])
            assert list(pairs) == model.transfer(name, uids, target)
            model.folders[name].remove([old for old, _ in pairs])
        case ("expunge", name, uids):
            assert list(await mail.store.expunge(ids[name], uids)) == model.expunge(name, uids)


async def _compare(mail: Any, ids: dict[str, int], bal_id: int, model: Model, views: dict[str, Any]) -> None:
    """The whole folder, and the view of a session that follows by modification sequence."""
    used = 0
    for name, folder in model.folders.items():
        found = await mail.store.changes(ids[name])
        expected = {uid: message.flags for uid, message in folder.messages.items()}
        assert {row.uid: row.flags for row in found.rows} == expected
        assert found.uid_next == folder.uid_next
        used += sum(row.size for row in found.rows)
        seen, modseq = views[name]
        news = await mail.store.changes(ids[name], modseq)
        assert all(row.modseq > modseq for row in news.rows)
        seen.update({row.uid: row.flags for row in news.rows})
        for uid in news.vanished:
            seen.pop(uid, None)
        assert seen == expected
        assert news.highest_modseq >= modseq
        views[name] = (seen, news.highest_modseq)
        assert not set(expected) & folder.gone
    assert (await mail.store.quota(bal_id))[1] == used


async def _history(mail: Any, commands: list[Any]) -> None:
    bal_id = next(_boxes)
    await mail.store.create_box(bal_id, 0)
    model = Model()
    ids = {name: await mail.folder_id(bal_id, name) for name in FOLDERS}
    views: dict[str, Any] = {name: ({}, 1) for name in FOLDERS}
    for number, name in enumerate(("INBOX", "INBOX", "INBOX", "Sent", "Trash")):
        await _play(mail, ids, bal_id, model, ("add", name, START_FLAGS[number]), 900 + number)
    for number, command in enumerate(commands):
        await _play(mail, ids, bal_id, model, command, number)
        if number % 3 == 2:
            await _compare(mail, ids, bal_id, model, views)
    await _compare(mail, ids, bal_id, model, views)
    for name, folder in model.folders.items():
        for uid, message in folder.messages.items():
            assert await mail.store.octets(ids[name], uid) == message.octets
    await mail.store.erase_box(bal_id)
    assert await mail.sql("SELECT count(*) FROM blob") == [(0,)]


async def test_the_store_and_a_naive_model_tell_the_same(mail: Any) -> None:
    loop = asyncio.get_running_loop()

    @settings(max_examples=40, deadline=None)
    @given(commands=st.lists(COMMANDS, min_size=4, max_size=25))
    def example(commands: list[Any]) -> None:
        asyncio.run_coroutine_threadsafe(_history(mail, commands), loop).result()

    await asyncio.to_thread(example)  # hypothesis is not asynchronous: it runs beside the loop
