"""The changes to messages, and the applier that writes them: deliveries together, the rest one by one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from sqlalchemy.ext.asyncio import AsyncConnection

from core.errors import NotStored
from core.folder import MessageRow, NewMessage
from core.ports import FlagChange
from core.unit_of_work import Change
from mailstore.records import (
    key_place,
    packed_flags,
    packed_key,
    packed_summary,
    place_of,
    summary_place,
)
from mailstore.sealing import seal
from mailstore.storage import flags, transfer
from mailstore.storage.batch import Batch, BoxCiphers
from mailstore.storage.removal import HEAVY

APPLIER = "mailstore.messages"


@dataclass(slots=True)
class AddMessage(Change):
    """Put one message in a folder; `message.uid` and `.modseq` are set."""

    applier: ClassVar[str] = APPLIER
    message: NewMessage


@dataclass(slots=True, kw_only=True)
class StoreFlags(Change):
    """STORE; then `rows` are the messages after it, `modified` those left alone (RFC 7162 §3.1.3)."""

    applier: ClassVar[str] = APPLIER
    folder_id: int
    uids: Sequence[int]
    change: FlagChange
    rows: list[MessageRow] = field(default_factory=list)
    modified: list[int] = field(default_factory=list)

    @property
    def weight(self) -> int:
        """Rows touched."""
        return len(self.uids)


@dataclass(slots=True, kw_only=True)
class CopyMessages(Change):
    """COPY, or MOVE when `and_remove`; then `pairs` are (old UID, new UID)."""

    applier: ClassVar[str] = APPLIER
    folder_id: int
    uids: Sequence[int]
    target_id: int
    and_remove: bool
    pairs: list[tuple[int, int]] = field(default_factory=list)

    @property
    def weight(self) -> int:
        """Rows touched."""
        return 4 * len(self.uids)


@dataclass(slots=True, kw_only=True)
class ExpungeMessages(Change):
    """EXPUNGE (these UIDs, or all); then `gone` are the UIDs, `removed_files` files that no row names."""

    applier: ClassVar[str] = APPLIER
    folder_id: int
    uids: Sequence[int] | None
    gone: list[int] = field(default_factory=list)
    removed_files: list[str] = field(default_factory=list)

    @property
    def weight(self) -> int:
        """Rows touched."""
        return HEAVY if self.uids is None else 4 * len(self.uids)


@dataclass(slots=True)
class ClaimRecent(Change):
    """Messages up to now are no longer recent for others; `floor` is the first that was."""

    applier: ClassVar[str] = APPLIER
    folder_id: int
    floor: int = 0


class MessageApplier:
    """Writes every change of this module."""

    name = APPLIER

    def __init__(self, ciphers: BoxCiphers) -> None:
        self._ciphers = ciphers

    async def apply(self, connection: AsyncConnection, changes: Sequence[Change]) -> None:
        """See `core.unit_of_work.Applier.apply`."""
        batch = Batch(connection, self._ciphers)
        await batch.lock(_folder_ids(changes))
        for change in changes:
            if isinstance(change, AddMessage):
                await _add(batch, change.message)
                continue
            await batch.write_messages()  # what comes next may speak of what was just put
            await _apply_one(batch, change)
        await batch.write()


def _folder_ids(changes: Sequence[Change]) -> Iterable[int]:
    for change in changes:
        match change:
            case AddMessage(message=message):
                yield message.folder_id
            case CopyMessages(folder_id=folder_id, target_id=target_id):
                yield folder_id
                yield target_id
            case StoreFlags(folder_id=folder_id) | ExpungeMessages(folder_id=folder_id):
                yield folder_id
            case ClaimRecent(folder_id=folder_id):
                yield folder_id


async def _apply_one(batch: Batch, change: Change) -> None:
    match change:
        case StoreFlags():
            folder = batch.folder(change.folder_id)
            change.rows, change.modified = await flags.store(batch, folder, change.uids, change.change)
        case CopyMessages():
            change.pairs = await transfer.copy(
                batch, change.folder_id, change.uids, change.target_id, and_remove=change.and_remove
            )
        case ExpungeMessages():
            folder = batch.folder(change.folder_id)
            change.gone, change.removed_files = await transfer.expunge(batch, folder, change.uids)
        case ClaimRecent():
            folder = batch.folder(change.folder_id)
            change.floor, folder.recent_floor = folder.recent_floor, folder.uid_next


async def _add(batch: Batch, message: NewMessage) -> None:
    folder = batch.folder(message.folder_id)
    if folder.box.bal_id != message.bal_id:
        raise NotStored("this folder is of another box")
    size = len(message.prefix) + message.octets.size
    folder.box.take_room(size)
    bits, keywords = packed_flags(message.flags)
    message.uid, message.modseq = folder.take_uid(), folder.take_modseq()
    place = place_of(folder.folder_id, message.uid)
    cipher = await batch.cipher(folder)
    batch.put(
        {
            "place": place,
            "folder_id": folder.folder_id,
            "message_id": folder.box.take_message_id(),
            "blob_id": message.octets.blob_id,
            "flags": bits,
            "keywords": keywords,
            "internal_date": message.internal_date,
            "size": size,
            "modseq": message.modseq,
        },
        {
            "place": place,
            "wrapped_key": seal(cipher, packed_key(message.octets, message.prefix), key_place(place)),
            "summary": seal(cipher, packed_summary(message.summary), summary_place(place)),
        },
    )
