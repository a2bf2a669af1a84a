"""The folders that a batch of changes touches, locked and counted in memory, written back once.

What it is: `Batch`, which gives UIDs, modification sequences and room in the box. What it is not: the changes
themselves (`delivery`, `flags`, `transfer`). Rows are locked in id order, boxes before folders, so that nodes on
PostgreSQL do not wait for each other in a ring.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import sqlalchemy as sa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy.ext.asyncio import AsyncConnection

from core import reply
from core.errors import NotStored, PermanentError, ReplyError
from mailstore.records import MAX_UID
from mailstore.storage.tables import BOX, FOLDER, MESSAGE, MESSAGE_SEALED


class BoxCiphers(Protocol):
    """Who opens a box's key. Raises NotStored when it was erased."""

    async def cipher_of(self, bal_id: int) -> AESGCM:
        """The cipher of the box's key."""
        ...


@dataclass(slots=True)
class BoxState:
    """A locked box."""

    bal_id: int
    quota: int
    used: int
    next_message_id: int

    def take_room(self, octets: int) -> None:
        """Count these octets in. Raises ReplyError(MAILBOX_FULL)."""
        if self.quota and self.used + octets > self.quota:
            raise ReplyError(reply.MAILBOX_FULL)
        self.used += octets

    def take_message_id(self) -> int:
        """A number that no other content of this box has."""
        self.next_message_id += 1
        return self.next_message_id - 1


@dataclass(slots=True)
class FolderState:
    """A locked folder."""

    folder_id: int
    box: BoxState
    uid_next: int
    modseq: int
    recent_floor: int

    def take_uid(self) -> int:
        """The next UID; none is ever given twice (RFC 3501 §2.3.1.1)."""
        uid = self.uid_next
        if uid > MAX_UID:
            raise PermanentError("this folder has no UIDs left")
        self.uid_next = uid + 1
        return uid

    def take_modseq(self) -> int:
        """The next modification sequence (RFC 7162 §3.1)."""
        self.modseq += 1
        return self.modseq


_IDS: sa.BindParameter[int] = sa.bindparam("b_ids", expanding=True, type_=sa.BigInteger)
_LOCK = (
    sa.select(
        FOLDER.c.folder_id,
        FOLDER.c.uid_next,
        FOLDER.c.highest_modseq,
        FOLDER.c.recent_floor,
        BOX.c.bal_id,
        BOX.c.quota_octets,
        BOX.c.used_octets,
        BOX.c.next_message_id,
    )
    .join_from(FOLDER, BOX, BOX.c.bal_id == FOLDER.c.bal_id)
    .where(FOLDER.c.folder_id.in_(_IDS))
    .order_by(BOX.c.bal_id, FOLDER.c.folder_id)
    .with_for_update()
)
_UPDATE_FOLDER = (
    sa.update(FOLDER)
    .where(FOLDER.c.folder_id == sa.bindparam("b_id"))
    .values(
        uid_next=sa.bindparam("b_uid_next"),
        highest_modseq=sa.bindparam("b_modseq"),
        recent_floor=sa.bindparam("b_floor"),
    )
)
_UPDATE_BOX = (
    sa.update(BOX)
    .where(BOX.c.bal_id == sa.bindparam("b_id"))
    .values(used_octets=sa.bindparam("b_used"), next_message_id=sa.bindparam("b_next"))
)
_INSERT_MESSAGE = sa.insert(MESSAGE)
_INSERT_SEALED = sa.insert(MESSAGE_SEALED)


class Batch:
    """One transaction's view of its folders. `write` before the end."""

    def __init__(self, connection: AsyncConnection, ciphers: BoxCiphers) -> None:
        self.connection = connection
        self._ciphers = ciphers
        self._folders: dict[int, FolderState] = {}
        self._boxes: dict[int, BoxState] = {}
        self._before: dict[object, tuple[int, ...]] = {}
        self._messages: list[dict[str, Any]] = []
        self._sealed: list[dict[str, Any]] = []

    async def lock(self, folder_ids: Iterable[int]) -> None:
        """Lock and read these folders and their boxes."""
        rows = await self.connection.execute(_LOCK, {"b_ids": sorted(set(folder_ids))})
        for folder_id, uid_next, modseq, floor, bal_id, quota, used, next_id in rows:
            box = self._boxes.setdefault(bal_id, BoxState(bal_id, quota, used, next_id))
            folder = FolderState(folder_id, box, uid_next, modseq, floor)
            self._folders[folder_id] = folder
        self._before = {
            **{("folder", key): _folder_values(state) for key, state in self._folders.items()},
            **{("box", key): _box_values(state) for key, state in self._boxes.items()},
        }

    def folder(self, folder_id: int) -> FolderState:
        """A locked folder. Raises NotStored."""
        found = self._folders.get(folder_id)
        if found is None:
            raise NotStored("no such folder")
        return found

    async def cipher(self, folder: FolderState) -> AESGCM:
        """The cipher of the key of the folder's box."""
        return await self._ciphers.cipher_of(folder.box.bal_id)

    def put(self, message: dict[str, Any], sealed: dict[str, Any]) -> None:
        """Stage one message's row and its sealed records."""
        self._messages.append(message)
        self._sealed.append(sealed)

    async def write_messages(self) -> None:
        """Write what was put: one statement for each table."""
        messages, self._messages = self._messages, []
        sealed, self._sealed = self._sealed, []
        if messages:
            await self.connection.execute(_INSERT_MESSAGE, messages)
            await self.connection.execute(_INSERT_SEALED, sealed)

    async def write(self) -> None:
        """Write what was put, and the numbers of folders and boxes that moved."""
        await self.write_messages()
        folders = [
            {
                "b_id": key,
                "b_uid_next": state.uid_next,
                "b_modseq": state.modseq,
                "b_floor": state.recent_floor,
            }
            for key, state in self._folders.items()
            if _folder_values(state) != self._before["folder", key]
        ]
        boxes = [
            {"b_id": key, "b_used": state.used, "b_next": state.next_message_id}
            for key, state in self._boxes.items()
            if _box_values(state) != self._before["box", key]
        ]
        await _update(self.connection, _UPDATE_FOLDER, folders)
        await _update(self.connection, _UPDATE_BOX, boxes)


async def _update(connection: AsyncConnection, statement: sa.Update, rows: Sequence[dict[str, int]]) -> None:
    if rows:
        await connection.execute(statement, rows)


def _folder_values(state: FolderState) -> tuple[int, ...]:
    return state.uid_next, state.modseq, state.recent_floor


def _box_values(state: BoxState) -> tuple[int, ...]:
    return state.used, state.next_message_id
