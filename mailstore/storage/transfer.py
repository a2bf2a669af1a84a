"""COPY, MOVE and EXPUNGE: messages that get a new place, or lose theirs.

The octets are never read or sealed again: the small records are opened at the old place and sealed for the new.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mailstore.records import DELETED, key_place, place_of, places_of, summary_place, uid_of
from mailstore.sealing import open_sealed, seal
from mailstore.storage.batch import Batch, FolderState
from mailstore.storage.blobs import adjust_references
from mailstore.storage.flags import slices
from mailstore.storage.removal import SLICE, delete_rows
from mailstore.storage.rows import HIGH, LOW, PLACES
from mailstore.storage.tables import MESSAGE, MESSAGE_SEALED, VANISHED

_SELECT_WHOLE = (
    sa.select(
        MESSAGE.c.place,
        MESSAGE.c.message_id,
        MESSAGE.c.blob_id,
        MESSAGE.c.flags,
        MESSAGE.c.keywords,
        MESSAGE.c.internal_date,
        MESSAGE.c.size,
        MESSAGE_SEALED.c.wrapped_key,
        MESSAGE_SEALED.c.summary,
    )
    .join_from(MESSAGE, MESSAGE_SEALED, MESSAGE_SEALED.c.place == MESSAGE.c.place)
    .where(MESSAGE.c.place.in_(PLACES))
    .order_by(MESSAGE.c.place)
)
_DOOMED = (
    sa.select(MESSAGE.c.place, MESSAGE.c.blob_id, MESSAGE.c.size)
    .where(MESSAGE.c.flags.bitwise_and(DELETED) != 0)
    .order_by(MESSAGE.c.place)
)
_SELECT_DOOMED = _DOOMED.where(MESSAGE.c.place.between(LOW, HIGH)).limit(SLICE)
_SELECT_DOOMED_SOME = _DOOMED.where(MESSAGE.c.place.in_(PLACES))
_INSERT_VANISHED = sa.insert(VANISHED)


async def copy(
    batch: Batch, source_id: int, uids: Sequence[int], target_id: int, *, and_remove: bool
) -> list[tuple[int, int]]:
    """(old UID, new UID) pairs. UIDs that are not there are passed over (RFC 3501 §6.4.8). All or none."""
    source, target = batch.folder(source_id), batch.folder(target_id)
    ciphers = (await batch.cipher(source), await batch.cipher(target))
    pairs: list[tuple[int, int]] = []
    gone_modseq = 0
    for part in slices(uids):
        places = [place_of(source_id, uid) for uid in part]
        rows = (await batch.connection.execute(_SELECT_WHOLE, {"b_places": places})).all()
        if and_remove and rows:
            # RFC 6851 §3.3: a move needs no room beyond what it gives back.
            source.box.used -= sum(row[6] for row in rows)
            gone_modseq = gone_modseq or source.take_modseq()
        same_box = source.box is target.box
        pairs += [_copy_one(batch, row, target, ciphers, same_box) for row in rows]
        await batch.write_messages()
        if and_remove and rows:
            await _vanish(batch, source_id, [row[0] for row in rows], gone_modseq)
        elif rows:
            await adjust_references(batch.connection, Counter(row[2] for row in rows))
        await asyncio.sleep(0)
    return pairs


def _copy_one(
    batch: Batch, row: Any, target: FolderState, ciphers: tuple[AESGCM, AESGCM], same_box: bool
) -> tuple[int, int]:
    old, message_id, blob_id, bits, keywords, internal_date, size, wrapped_key, summary = row
    source_cipher, target_cipher = ciphers
    target.box.take_room(size)
    uid = target.take_uid()
    place = place_of(target.folder_id, uid)
    batch.put(
        {
            "place": place,
            "folder_id": target.folder_id,
            # RFC 8474 §5.1: the same content keeps its number; numbers are given by each box.
            "message_id": message_id if same_box else target.box.take_message_id(),
            "blob_id": blob_id,
            "flags": bits,
            "keywords": keywords,
            "internal_date": internal_date,
            "size": size,
            "modseq": target.take_modseq(),
        },
        {
            "place": place,
            "wrapped_key": seal(
                target_cipher, open_sealed(source_cipher, wrapped_key, key_place(old)), key_place(place)
            ),
            "summary": seal(
                target_cipher, open_sealed(source_cipher, summary, summary_place(old)), summary_place(place)
            ),
        },
    )
    return uid_of(old), uid


async def expunge(
    batch: Batch, folder: FolderState, uids: Sequence[int] | None
) -> tuple[list[int], list[str]]:
    """(UIDs that went, files that no row names any more) of the messages flagged \\Deleted."""
    gone: list[int] = []
    removed_files: list[str] = []
    modseq = 0
    async for rows in _doomed(batch, folder.folder_id, uids):
        modseq = modseq or folder.take_modseq()
        await _vanish(batch, folder.folder_id, [row[0] for row in rows], modseq)
        references = Counter(row[1] for row in rows)
        net = {blob_id: -count for blob_id, count in references.items()}
        removed_files += await adjust_references(batch.connection, net)
        folder.box.used -= sum(row[2] for row in rows)
        gone += [uid_of(row[0]) for row in rows]
        await asyncio.sleep(0)
    return gone, removed_files


async def _doomed(batch: Batch, folder_id: int, uids: Sequence[int] | None) -> Any:
    if uids is not None:
        for part in slices(uids):
            places = [place_of(folder_id, uid) for uid in part]
            rows = (await batch.connection.execute(_SELECT_DOOMED_SOME, {"b_places": places})).all()
            if rows:
                yield rows
        return
    low, high = places_of(folder_id)
    while rows := (await batch.connection.execute(_SELECT_DOOMED, {"b_low": low, "b_high": high})).all():
        yield rows
        low = rows[-1][0] + 1


async def _vanish(batch: Batch, folder_id: int, places: Sequence[int], modseq: int) -> None:
    """Remove the rows and remember that they were here (RFC 7162 §3.2.10)."""
    await delete_rows(batch.connection, places)
    rows = [{"place": place, "folder_id": folder_id, "modseq": modseq} for place in places]
    await batch.connection.execute(_INSERT_VANISHED, rows)
