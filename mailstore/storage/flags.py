"""STORE: the flags of many messages, with UNCHANGEDSINCE."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from core.errors import LocalProtocolError
from core.folder import MessageRow
from core.ports import FlagChange
from mailstore.records import MAX_UID, packed_flags, place_of, unpacked_flags
from mailstore.storage.batch import Batch, FolderState
from mailstore.storage.removal import SLICE
from mailstore.storage.rows import HIGH, LOW, PLACES, ROW_COLUMNS, message_row
from mailstore.storage.tables import MESSAGE

_ROWS = sa.select(*ROW_COLUMNS).order_by(MESSAGE.c.place)
_SELECT_SPAN = _ROWS.where(MESSAGE.c.place.between(LOW, HIGH))
_SELECT_SOME = _ROWS.where(MESSAGE.c.place.in_(PLACES))
_UPDATE = (
    sa.update(MESSAGE)
    .where(MESSAGE.c.place == sa.bindparam("b_place"))
    .values(
        flags=sa.bindparam("b_flags"), keywords=sa.bindparam("b_keywords"), modseq=sa.bindparam("b_modseq")
    )
)


def slices(uids: Sequence[int]) -> Iterator[list[int]]:
    """These UIDs ascending, once each, some hundreds at a time."""
    ordered = sorted(set(uids))
    for start in range(0, len(ordered), SLICE):
        yield ordered[start : start + SLICE]


async def rows_of(connection: AsyncConnection, folder_id: int, uids: Sequence[int]) -> list[Any]:
    """The rows (`ROW_COLUMNS`) of a slice of ascending UIDs; those that exist."""
    if len(uids) == uids[-1] - uids[0] + 1:
        span = {"b_low": place_of(folder_id, uids[0]), "b_high": place_of(folder_id, uids[-1])}
        return list((await connection.execute(_SELECT_SPAN, span)).all())
    places = [place_of(folder_id, uid) for uid in uids]
    return list((await connection.execute(_SELECT_SOME, {"b_places": places})).all())


async def store(
    batch: Batch, folder: FolderState, uids: Sequence[int], change: FlagChange
) -> tuple[list[MessageRow], list[int]]:
    """(rows after the change, UIDs modified since). One modification sequence for the whole command."""
    after: list[MessageRow] = []
    modified: list[int] = []
    modseq = 0
    for part in slices(uids):
        updates = []
        for row in await rows_of(batch.connection, folder.folder_id, part):
            if change.unchanged_since is not None and row[6] > change.unchanged_since:
                modified.append(row[0] & MAX_UID)  # RFC 7162 §3.1.3
                continue
            result = message_row(row)
            flags = _changed(unpacked_flags(row[2], row[3]), change)
            if flags != result.flags:
                modseq = modseq or folder.take_modseq()
                bits, keywords = packed_flags(flags)
                updates.append(
                    {"b_place": row[0], "b_flags": bits, "b_keywords": keywords, "b_modseq": modseq}
                )
                result.flags, result.modseq = flags, modseq
            after.append(result)
        if updates:
            await batch.connection.execute(_UPDATE, updates)
        await asyncio.sleep(0)
    return after, modified


def _changed(flags: frozenset[str], change: FlagChange) -> frozenset[str]:
    match change.operation:
        case "replace":
            return change.flags
        case "add":
            return flags | change.flags
        case "remove":
            return flags - change.flags
        case _:
            raise LocalProtocolError("a flag change replaces, adds or removes")
