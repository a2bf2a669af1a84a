"""Reading the rows of messages: counts, changes, sealed summaries, what opens one letter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from core.errors import NotStored
from core.folder import FolderStatus, MessageRow
from mailstore.records import DELETED, MAX_UID, SEEN, UID_BITS, place_of, places_of, unpacked_flags
from mailstore.storage.tables import BLOB_OCTETS, FOLDER, MESSAGE, MESSAGE_SEALED, VANISHED

ROWS_PER_SLICE = 1000  # ours: about 2 ms, then the loop gets its turn
LETTERS_PER_STATEMENT = 100  # ours: at most 3 MB of small letters are read at once
IDS_PER_STATEMENT = 1000  # ours: far below the limits of both engines

PLACE = sa.bindparam("b_place", type_=sa.BigInteger)
LOW = sa.bindparam("b_low", type_=sa.BigInteger)
HIGH = sa.bindparam("b_high", type_=sa.BigInteger)
PLACES: sa.BindParameter[int] = sa.bindparam("b_places", expanding=True, type_=sa.BigInteger)
_FOLDER_ID = sa.bindparam("b_folder", type_=sa.BigInteger)
_SINCE = sa.bindparam("b_since", type_=sa.BigInteger)

ROW_COLUMNS = (
    MESSAGE.c.place,
    MESSAGE.c.message_id,
    MESSAGE.c.flags,
    MESSAGE.c.keywords,
    MESSAGE.c.internal_date,
    MESSAGE.c.size,
    MESSAGE.c.modseq,
)
_SELECT_ROWS = (
    sa.select(*ROW_COLUMNS)
    .where(MESSAGE.c.place.between(LOW, HIGH))
    .order_by(MESSAGE.c.place)
    .limit(ROWS_PER_SLICE)
)
_SELECT_CHANGED = (
    sa.select(*ROW_COLUMNS)
    .where(MESSAGE.c.folder_id == _FOLDER_ID, MESSAGE.c.modseq > _SINCE)
    .order_by(MESSAGE.c.place)
)
_SELECT_VANISHED = (
    sa.select(VANISHED.c.place)
    .where(VANISHED.c.folder_id == _FOLDER_ID, VANISHED.c.modseq > _SINCE)
    .order_by(VANISHED.c.place)
)
_SELECT_NUMBERS = sa.select(FOLDER.c.highest_modseq, FOLDER.c.uid_next, FOLDER.c.recent_floor).where(
    FOLDER.c.folder_id == _FOLDER_ID
)
_SUMMARIES = sa.select(MESSAGE_SEALED.c.place, MESSAGE_SEALED.c.summary)
_SELECT_SUMMARIES_SPAN = _SUMMARIES.where(MESSAGE_SEALED.c.place.between(LOW, HIGH))
_SELECT_SUMMARIES = _SUMMARIES.where(MESSAGE_SEALED.c.place.in_(PLACES))


def _count(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.func.coalesce(sa.func.sum(sa.case((condition, 1), else_=0)), 0)


_FIRST = FOLDER.c.folder_id * (MAX_UID + 1)
_SELECT_STATUS = (
    sa.select(
        sa.func.count(MESSAGE.c.place),
        _count(MESSAGE.c.flags.bitwise_and(SEEN) == 0),
        _count(MESSAGE.c.place - _FIRST >= FOLDER.c.recent_floor),
        _count(MESSAGE.c.flags.bitwise_and(DELETED) != 0),
        sa.func.coalesce(sa.func.sum(MESSAGE.c.size), 0),
        FOLDER.c.uid_next,
        FOLDER.c.uid_validity,
        FOLDER.c.highest_modseq,
    )
    .select_from(FOLDER.outerjoin(MESSAGE, MESSAGE.c.place.between(_FIRST, _FIRST + MAX_UID)))
    .where(FOLDER.c.folder_id == _FOLDER_ID)
    .group_by(FOLDER.c.folder_id, FOLDER.c.uid_next, FOLDER.c.uid_validity, FOLDER.c.highest_modseq)
)
_LETTERS = sa.select(
    MESSAGE.c.blob_id,
    MESSAGE.c.size,
    MESSAGE_SEALED.c.wrapped_key,
    BLOB_OCTETS.c.sealed,
    MESSAGE.c.place,
).select_from(
    MESSAGE.join(MESSAGE_SEALED, MESSAGE_SEALED.c.place == MESSAGE.c.place).outerjoin(
        BLOB_OCTETS, BLOB_OCTETS.c.blob_id == MESSAGE.c.blob_id
    )
)
_SELECT_LETTER = _LETTERS.where(MESSAGE.c.place == PLACE)
_SELECT_LETTERS_SPAN = _LETTERS.where(MESSAGE.c.place.between(LOW, HIGH))
_SELECT_LETTERS = _LETTERS.where(MESSAGE.c.place.in_(PLACES))


def message_row(row: Any) -> MessageRow:
    """A row of `ROW_COLUMNS` as the rooms see it."""
    place, message_id, flags, keywords, internal_date, size, modseq = row
    return MessageRow(
        place & MAX_UID, message_id, unpacked_flags(flags, keywords), internal_date, size, modseq
    )


async def folder_numbers(connection: AsyncConnection, folder_id: int) -> tuple[int, int, int]:
    """(highest modification sequence, next UID, first recent UID). Raises NotStored."""
    found = (await connection.execute(_SELECT_NUMBERS, {"b_folder": folder_id})).first()
    if found is None:
        raise NotStored("no such folder")
    return found[0], found[1], found[2]


async def rows_from(connection: AsyncConnection, folder_id: int, uid: int) -> list[MessageRow]:
    """At most `ROWS_PER_SLICE` rows from this UID on, in order."""
    parameters = {"b_low": place_of(folder_id, uid), "b_high": places_of(folder_id)[1]}
    result = await connection.execute(_SELECT_ROWS, parameters)
    return [message_row(row) for row in result]


async def changed_rows(connection: AsyncConnection, folder_id: int, since: int) -> list[MessageRow]:
    """The rows with a higher modification sequence, by UID."""
    rows = await connection.execute(_SELECT_CHANGED, {"b_folder": folder_id, "b_since": since})
    return [message_row(row) for row in rows]


async def vanished_uids(connection: AsyncConnection, folder_id: int, since: int) -> list[int]:
    """The UIDs that went after that modification sequence."""
    rows = await connection.execute(_SELECT_VANISHED, {"b_folder": folder_id, "b_since": since})
    return [row[0] & MAX_UID for row in rows]


async def sealed_summaries(
    connection: AsyncConnection, folder_id: int, uids: Sequence[int]
) -> list[tuple[int, bytes]]:
    """(place, sealed summary) of those of these ascending UIDs that exist; at most `IDS_PER_STATEMENT` UIDs."""
    if uids[-1] - uids[0] < 2 * len(uids):
        parameters: dict[str, object] = {
            "b_low": place_of(folder_id, uids[0]),
            "b_high": place_of(folder_id, uids[-1]),
        }
        rows = (await connection.execute(_SELECT_SUMMARIES_SPAN, parameters)).all()
        if len(uids) == uids[-1] - uids[0] + 1:
            return rows  # type: ignore[return-value]  # a Row is a tuple
        wanted = set(uids)
        return [(place, sealed) for place, sealed in rows if place & MAX_UID in wanted]
    parameters = {"b_places": [folder_id << UID_BITS | uid for uid in uids]}
    return (await connection.execute(_SELECT_SUMMARIES, parameters)).all()  # type: ignore[return-value]  # as above


async def status_of(connection: AsyncConnection, folder_id: int) -> FolderStatus:
    """The counts of a folder. Raises NotStored."""
    row = (await connection.execute(_SELECT_STATUS, {"b_folder": folder_id})).first()
    if row is None:
        raise NotStored("no such folder")
    messages, unseen, recent, deleted, size, uid_next, uid_validity, modseq = row
    return FolderStatus(
        messages=messages,
        unseen=unseen,
        recent=recent,
        deleted=deleted,
        size=int(size),
        uid_next=uid_next,
        uid_validity=uid_validity,
        highest_modseq=modseq,
    )


@dataclass(frozen=True, slots=True)
class LetterRow:
    """What opens one letter; `sealed` is None when the octets are in a file."""

    blob_id: str
    size: int
    wrapped_key: bytes
    sealed: bytes | None


async def letter_row(connection: AsyncConnection, place: int) -> LetterRow:
    """One letter. Raises NotStored."""
    row = (await connection.execute(_SELECT_LETTER, {"b_place": place})).first()
    if row is None:
        raise NotStored("no such message")
    return LetterRow(row[0], row[1], row[2], row[3])


async def letter_rows(
    connection: AsyncConnection, folder_id: int, uids: Sequence[int]
) -> list[tuple[int, LetterRow]]:
    """(place, what opens it) of those of these ascending UIDs that exist; at most `LETTERS_PER_STATEMENT`."""
    if len(uids) == uids[-1] - uids[0] + 1:
        span = {"b_low": place_of(folder_id, uids[0]), "b_high": place_of(folder_id, uids[-1])}
        found = (await connection.execute(_SELECT_LETTERS_SPAN, span)).all()
    else:
        places = [place_of(folder_id, uid) for uid in uids]
        found = (await connection.execute(_SELECT_LETTERS, {"b_places": places})).all()
    return [(row[4], LetterRow(row[0], row[1], row[2], row[3])) for row in found]
