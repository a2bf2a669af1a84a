"""A MailStore, a BlobStore and a Committer in memory: the same words as the real ones, nothing sealed.

What it is: the double of `core.ports.MailStore` for the tests of its readers (IMAP, local delivery, webmail),
with the committer and the blobs that it needs. What it is not: durable. Start at `MemoryMailStore`.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from core.errors import NotStored, PermanentError
from core.folder import (
    INBOX,
    Folder,
    FolderChanges,
    FolderStatus,
    MessageRow,
    NewMessage,
    StoredOctets,
    Summary,
)
from core.ports import ChangeFeed, FlagChange
from core.unit_of_work import Applier, Change, UnitOfWork


class MemoryCommitter:
    """Implements `core.unit_of_work.Committer`: each unit at once, by the appliers it was given."""

    def __init__(self, *appliers: Applier) -> None:
        self._appliers = {applier.name: applier for applier in appliers}
        self.units: list[UnitOfWork] = []
        self.failure: Exception | None = None
        """Raised by the next commits when set; nothing is applied then."""

    async def commit(self, unit: UnitOfWork) -> None:
        """See the port. Changes whose applier is not known are kept in `units` only."""
        if self.failure is not None:
            raise self.failure
        for change in unit.changes:
            applier = self._appliers.get(change.applier)
            if applier is not None:
                await applier.apply(None, [change])
        self.units.append(unit)
        unit.committed()


class MemoryBlobStore:
    """Implements `core.ports.BlobStore`."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}

    async def seal(self, octets: bytes) -> StoredOctets:
        """See the port."""
        blob_id = f"blob{len(self.blobs) + 1}"
        self.blobs[blob_id] = bytes(octets)
        return StoredOctets(blob_id, b"\0" * 32, len(octets), hashlib.sha256(octets).digest())

    def keep(self, unit: UnitOfWork, stored: StoredOctets) -> None:
        """See the port; kept already."""

    def refer(self, unit: UnitOfWork, blob_id: str, count: int) -> None:
        """See the port; nothing is counted."""

    async def read(self, stored: StoredOctets, start: int = 0, end: int | None = None) -> bytes:
        """See the port."""
        try:
            return self.blobs[stored.blob_id][start:end]
        except KeyError:
            raise NotStored("no such blob") from None


@dataclasses.dataclass(slots=True)
class _Put(Change):
    applier: ClassVar[str] = "memory-mail-store"
    message: NewMessage


@dataclasses.dataclass(slots=True)
class _Kept:
    row: MessageRow
    message: NewMessage


class _Shelf:
    """One folder with its messages by UID (in order) and the modseq at which others went."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.kept: dict[int, _Kept] = {}
        self.vanished: dict[int, int] = {}

    def next_modseq(self) -> int:
        modseq = self.folder.highest_modseq + 1
        self.folder = dataclasses.replace(self.folder, highest_modseq=modseq)
        return modseq


class MemoryMailStore:
    """Implements `core.ports.MailStore`. Every new bal gets an INBOX when it is first asked for."""

    name = "memory-mail-store"

    def __init__(self, feed: ChangeFeed, blobs: MemoryBlobStore | None = None) -> None:
        self._feed = feed
        self.blobs = blobs or MemoryBlobStore()
        self._shelves: dict[int, _Shelf] = {}
        self._subscribed: dict[int, set[str]] = {}
        self._next_folder = 1
        self._next_message = 1
        self.calls: list[str] = []
        """The name of every reading or changing call, in order."""
        self.failure: Exception | None = None
        """Raised by every call when set."""

    def _enter(self, call: str) -> None:
        self.calls.append(call)
        if self.failure is not None:
            raise self.failure

    # --- folders --------------------------------------------------------------------------------------------
    def _of(self, bal_id: int) -> list[_Shelf]:
        if not any(shelf.folder.bal_id == bal_id for shelf in self._shelves.values()):
            self._make(bal_id, INBOX, "")
        found = [shelf for shelf in self._shelves.values() if shelf.folder.bal_id == bal_id]
        return sorted(found, key=lambda shelf: (shelf.folder.name != INBOX, shelf.folder.name))

    def _make(self, bal_id: int, name: str, special_use: str) -> Folder:
        number, self._next_folder = self._next_folder, self._next_folder + 1
        folder = Folder(
            folder_id=number,
            bal_id=bal_id,
            name=name,
            uid_validity=1000 + number,
            uid_next=1,
            highest_modseq=1,
            recent_floor=1,
            special_use=special_use,
        )
        self._shelves[number] = _Shelf(folder)
        self._subscribed.setdefault(bal_id, set()).add(name)
        return folder

    def _shelf(self, folder_id: int) -> _Shelf:
        try:
            return self._shelves[folder_id]
        except KeyError:
            raise NotStored("no such folder") from None

    def _named(self, bal_id: int, name: str) -> _Shelf | None:
        wanted = INBOX if name.upper() == INBOX else name
        return next((shelf for shelf in self._of(bal_id) if shelf.folder.name == wanted), None)

    def _seen(self, shelf: _Shelf) -> Folder:
        subscribed = shelf.folder.name in self._subscribed.get(shelf.folder.bal_id, set())
        return dataclasses.replace(shelf.folder, subscribed=subscribed)

    async def folders(self, bal_id: int) -> Sequence[Folder]:
        """See the port."""
        self._enter("folders")
        return [self._seen(shelf) for shelf in self._of(bal_id)]

    async def folder(self, bal_id: int, name: str) -> Folder | None:
        """See the port."""
        self._enter("folder")
        shelf = self._named(bal_id, name)
        return self._seen(shelf) if shelf else None

    async def create_folder(self, bal_id: int, name: str, special_use: str = "") -> Folder:
        """See the port."""
        self._enter("create_folder")
        if self._named(bal_id, name) is not None:
            raise PermanentError("the folder is there already")
        return self._make(bal_id, name, special_use)

    async def rename_folder(self, bal_id: int, name: str, new_name: str) -> None:
        """See the port."""
        self._enter("rename_folder")
        shelf = self._named(bal_id, name)
        if shelf is None:
            raise NotStored("no such folder")
        if self._named(bal_id, new_name) is not None:
            raise PermanentError("the folder is there already")
        if shelf.folder.name == INBOX:
            target = self._make(bal_id, new_name, "")
            await self.move(shelf.folder.folder_id, list(shelf.kept), target.folder_id)
            return
        for other in self._of(bal_id):
            if other is shelf or other.folder.name.startswith(name + "/"):
                renamed = new_name + other.folder.name[len(name) :]
                other.folder = dataclasses.replace(other.folder, name=renamed)

    async def delete_folder(self, bal_id: int, name: str) -> None:
        """See the port."""
        self._enter("delete_folder")
        shelf = self._named(bal_id, name)
        if shelf is None:
            raise NotStored("no such folder")
        if shelf.folder.name == INBOX:
            raise PermanentError("INBOX stays")
        del self._shelves[shelf.folder.folder_id]
        self._feed.publish(shelf.folder.folder_id)

    async def subscribe(self, bal_id: int, name: str, subscribed: bool) -> None:
        """See the port."""
        self._enter("subscribe")
        names = self._subscribed.setdefault(bal_id, set())
        (names.add if subscribed else names.discard)(name)

    async def subscriptions(self, bal_id: int) -> Sequence[str]:
        """See the port."""
        self._enter("subscriptions")
        self._of(bal_id)
        return sorted(self._subscribed.get(bal_id, set()))

    # --- reading --------------------------------------------------------------------------------------------
    async def status(self, folder_id: int) -> FolderStatus:
        """See the port."""
        self._enter("status")
        shelf = self._shelf(folder_id)
        rows = [kept.row for kept in shelf.kept.values()]
        return FolderStatus(
            messages=len(rows),
            unseen=sum("\\Seen" not in row.flags for row in rows),
            recent=sum(row.uid >= shelf.folder.recent_floor for row in rows),
            deleted=sum("\\Deleted" in row.flags for row in rows),
            size=sum(row.size for row in rows),
            uid_next=shelf.folder.uid_next,
            uid_validity=shelf.folder.uid_validity,
            highest_modseq=shelf.folder.highest_modseq,
        )

    async def changes(self, folder_id: int, since_modseq: int = 0) -> FolderChanges:
        """See the port."""
        self._enter("changes")
        shelf = self._shelf(folder_id)
        return FolderChanges(
            rows=tuple(
                dataclasses.replace(k.row) for k in shelf.kept.values() if k.row.modseq > since_modseq
            ),
            vanished=tuple(uid for uid, modseq in shelf.vanished.items() if modseq > since_modseq),
            highest_modseq=shelf.folder.highest_modseq,
            uid_next=shelf.folder.uid_next,
        )

    async def claim_recent(self, folder_id: int) -> int:
        """See the port."""
        self._enter("claim_recent")
        shelf = self._shelf(folder_id)
        floor = shelf.folder.recent_floor
        shelf.folder = dataclasses.replace(shelf.folder, recent_floor=shelf.folder.uid_next)
        return floor

    async def summaries(self, folder_id: int, uids: Sequence[int]) -> Mapping[int, Summary]:
        """See the port."""
        self._enter("summaries")
        kept = self._shelf(folder_id).kept
        return {uid: kept[uid].message.summary for uid in uids if uid in kept}

    async def octets(self, folder_id: int, uid: int, start: int = 0, end: int | None = None) -> bytes:
        """See the port."""
        self._enter("octets")
        kept = self._shelf(folder_id).kept.get(uid)
        if kept is None:
            raise NotStored("no such message")
        whole = kept.message.prefix + await self.blobs.read(kept.message.octets)
        return whole[start:end]

    async def many_octets(self, folder_id: int, spans: Mapping[int, tuple[int, int]]) -> Mapping[int, bytes]:
        """See the port."""
        self._enter("many_octets")
        found = {}
        for uid, (start, end) in spans.items():
            kept = self._shelf(folder_id).kept.get(uid)
            if kept is not None:
                found[uid] = (kept.message.prefix + await self.blobs.read(kept.message.octets))[start:end]
        return found

    # --- changing -------------------------------------------------------------------------------------------
    def add(self, unit: UnitOfWork, message: NewMessage) -> None:
        """See the port."""
        unit.add(_Put(message))
        unit.after_commit(lambda: self._feed.publish(message.folder_id))

    async def apply(self, connection: Any, changes: Sequence[Change]) -> None:
        """Put the staged messages (see `core.unit_of_work.Applier`)."""
        self._enter("apply")
        for change in changes:
            if isinstance(change, _Put):
                self._put(change.message)

    def _put(self, message: NewMessage, message_id: int = 0) -> int:
        shelf = self._shelf(message.folder_id)
        message.uid = shelf.folder.uid_next
        message.modseq = shelf.next_modseq()
        shelf.folder = dataclasses.replace(shelf.folder, uid_next=message.uid + 1)
        row = MessageRow(
            uid=message.uid,
            message_id=message_id or self._next_message,
            flags=message.flags,
            internal_date=message.internal_date,
            size=len(message.prefix) + message.octets.size,
            modseq=message.modseq,
        )
        self._next_message += 1
        shelf.kept[message.uid] = _Kept(row, message)
        return message.uid

    async def store_flags(
        self, folder_id: int, uids: Sequence[int], change: FlagChange
    ) -> tuple[Sequence[MessageRow], Sequence[int]]:
        """See the port."""
        self._enter("store_flags")
        shelf = self._shelf(folder_id)
        operation: Callable[[frozenset[str], frozenset[str]], frozenset[str]] = {
            "replace": lambda old, new: new,
            "add": frozenset.union,
            "remove": frozenset.difference,
        }[change.operation]
        rows, left = [], []
        modseq = shelf.next_modseq()
        for uid in uids:
            kept = shelf.kept.get(uid)
            if kept is None:
                continue
            if change.unchanged_since is not None and kept.row.modseq > change.unchanged_since:
                left.append(uid)
                continue
            flags = operation(kept.row.flags, change.flags)
            if flags != kept.row.flags:
                kept.row = dataclasses.replace(kept.row, flags=flags, modseq=modseq)
            rows.append(dataclasses.replace(kept.row))
        self._feed.publish(folder_id)
        return rows, left

    async def copy(self, folder_id: int, uids: Sequence[int], target_id: int) -> Sequence[tuple[int, int]]:
        """See the port."""
        self._enter("copy")
        pairs = self._copy(folder_id, uids, target_id)
        self._feed.publish(target_id)
        return pairs

    def _copy(self, folder_id: int, uids: Sequence[int], target_id: int) -> list[tuple[int, int]]:
        source, target = self._shelf(folder_id), self._shelf(target_id)
        pairs = []
        for uid in uids:
            kept = source.kept.get(uid)
            if kept is not None:
                copy = dataclasses.replace(
                    kept.message, folder_id=target_id, bal_id=target.folder.bal_id, flags=kept.row.flags
                )
                same_box = source.folder.bal_id == target.folder.bal_id
                pairs.append((uid, self._put(copy, kept.row.message_id if same_box else 0)))
        return pairs

    async def move(self, folder_id: int, uids: Sequence[int], target_id: int) -> Sequence[tuple[int, int]]:
        """See the port."""
        self._enter("move")
        pairs = self._copy(folder_id, uids, target_id)
        self._remove(self._shelf(folder_id), [uid for uid, _ in pairs])
        self._feed.publish(folder_id)
        self._feed.publish(target_id)
        return pairs

    async def expunge(self, folder_id: int, uids: Sequence[int] | None = None) -> Sequence[int]:
        """See the port."""
        self._enter("expunge")
        shelf = self._shelf(folder_id)
        chosen = set(shelf.kept if uids is None else uids)
        gone = [uid for uid, k in shelf.kept.items() if uid in chosen and "\\Deleted" in k.row.flags]
        self._remove(shelf, gone)
        self._feed.publish(folder_id)
        return gone

    def _remove(self, shelf: _Shelf, uids: Sequence[int]) -> None:
        modseq = shelf.next_modseq()
        for uid in uids:
            del shelf.kept[uid]
            shelf.vanished[uid] = modseq
