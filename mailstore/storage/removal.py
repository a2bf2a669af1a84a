"""Taking messages away: their rows, their sealed records, the references they held."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from mailstore.records import places_of
from mailstore.storage.blobs import adjust_references
from mailstore.storage.tables import BOX, MESSAGE, MESSAGE_SEALED, VANISHED

HEAVY = 10_000
"""The weight of a change that may touch a whole folder: its statements leave the loop."""
SLICE = 250  # ours: rows worked on (about 5 ms) before the loop gets its turn

_PLACE = sa.bindparam("b_place", type_=sa.BigInteger)
_LOW = sa.bindparam("b_low", type_=sa.BigInteger)
_HIGH = sa.bindparam("b_high", type_=sa.BigInteger)
_SELECT = (
    sa.select(MESSAGE.c.place, MESSAGE.c.blob_id, MESSAGE.c.size)
    .where(MESSAGE.c.place.between(_LOW, _HIGH))
    .order_by(MESSAGE.c.place)
    .limit(SLICE)
)
DELETE_MESSAGE = sa.delete(MESSAGE).where(MESSAGE.c.place == _PLACE)
DELETE_SEALED = sa.delete(MESSAGE_SEALED).where(MESSAGE_SEALED.c.place == _PLACE)
_DELETE_VANISHED = sa.delete(VANISHED).where(VANISHED.c.folder_id == sa.bindparam("b_folder"))
_LESS_USED = (
    sa.update(BOX)
    .where(BOX.c.bal_id == sa.bindparam("b_bal"))
    .values(used_octets=BOX.c.used_octets - sa.bindparam("b_octets", type_=sa.BigInteger))
)


async def delete_rows(connection: AsyncConnection, places: Sequence[int]) -> None:
    """The rows and the sealed records of these messages."""
    rows = [{"b_place": place} for place in places]
    await connection.execute(DELETE_MESSAGE, rows)
    await connection.execute(DELETE_SEALED, rows)


async def empty_folders(connection: AsyncConnection, bal_id: int, folder_ids: Sequence[int]) -> list[str]:
    """Remove everything in these folders of a box; the ids of files that no row names any more."""
    removed_files: list[str] = []
    octets = 0
    for folder_id in sorted(folder_ids):
        low, high = places_of(folder_id)
        while rows := (await connection.execute(_SELECT, {"b_low": low, "b_high": high})).all():
            await delete_rows(connection, [row[0] for row in rows])
            references = Counter(row[1] for row in rows)
            net = {blob_id: -count for blob_id, count in references.items()}
            removed_files += await adjust_references(connection, net)
            octets += sum(row[2] for row in rows)
            low = rows[-1][0] + 1
            await asyncio.sleep(0)
        await connection.execute(_DELETE_VANISHED, {"b_folder": folder_id})
    if octets:
        await connection.execute(_LESS_USED, {"b_bal": bal_id, "b_octets": octets})
    return removed_files
