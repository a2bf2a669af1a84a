"""The tables of the secret index: sealed blocks, and how far each box was looked at.

What it is: SQL. What it is not: what stands in a block (`mailstore.index_block`). Every row may be lost: it is made
again from the letters. So the last writer wins, and nobody waits for a lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from core.unit_of_work import Change
from mailstore.records import places_of
from mailstore.storage.rows import HIGH, LOW
from mailstore.storage.tables import BOX, FOLDER, MESSAGE, SEARCH_BLOCK, SEARCH_MARK

APPLIER = "mailstore.index"
_BAL = sa.bindparam("b_bal", type_=sa.BigInteger)
_BLOCKS: sa.BindParameter[int] = sa.bindparam("b_blocks", expanding=True, type_=sa.BigInteger)


@dataclass(slots=True, kw_only=True)
class KeepBlocks(Change):
    """Write these sealed blocks of a box (block number → octets); None takes a block away."""

    applier: ClassVar[str] = APPLIER
    bal_id: int
    blocks: dict[int, bytes | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """How a box stood when it was looked at."""

    bal_id: int
    next_message_id: int
    used_octets: int


@dataclass(slots=True, kw_only=True)
class KeepMark(Change):
    """The box is indexed as it stood then; `marked_at` in seconds since 1970."""

    applier: ClassVar[str] = APPLIER
    mark: Mark
    marked_at: int


_SELECT_BLOCKS = sa.select(SEARCH_BLOCK.c.block, SEARCH_BLOCK.c.sealed).where(
    SEARCH_BLOCK.c.bal_id == _BAL, SEARCH_BLOCK.c.block.in_(_BLOCKS)
)
_SELECT_NUMBERS = sa.select(SEARCH_BLOCK.c.block).where(SEARCH_BLOCK.c.bal_id == _BAL)
_SELECT_IDS = sa.select(MESSAGE.c.place, MESSAGE.c.message_id, MESSAGE.c.size).where(
    MESSAGE.c.place.between(LOW, HIGH)
)
_SELECT_BOX_IDS = (
    sa.select(MESSAGE.c.message_id, MESSAGE.c.place, MESSAGE.c.size)
    .join_from(MESSAGE, FOLDER, FOLDER.c.folder_id == MESSAGE.c.folder_id)
    .where(FOLDER.c.bal_id == _BAL)
)
_IS_NEW = SEARCH_MARK.c.bal_id.is_(None)
_MANY = BOX.c.next_message_id >= SEARCH_MARK.c.next_message_id + sa.bindparam("b_many", type_=sa.BigInteger)
_MOVED = sa.or_(
    BOX.c.next_message_id != SEARCH_MARK.c.next_message_id, BOX.c.used_octets != SEARCH_MARK.c.used_octets
)
_SELECT_WAITING = (
    sa.select(BOX.c.bal_id, BOX.c.next_message_id, BOX.c.used_octets)
    .select_from(BOX.outerjoin(SEARCH_MARK, SEARCH_MARK.c.bal_id == BOX.c.bal_id))
    .where(
        sa.or_(
            sa.and_(_IS_NEW, BOX.c.next_message_id > 1),
            _MANY,
            sa.and_(_MOVED, SEARCH_MARK.c.marked_at < sa.bindparam("b_before", type_=sa.BigInteger)),
        )
    )
    .order_by(BOX.c.bal_id)
    .limit(sa.bindparam("b_limit"))
)
_KEEP_BLOCK = sa.text(
    "INSERT INTO search_block (bal_id, block, sealed) SELECT bal_id, :block, :sealed FROM box WHERE bal_id = :bal_id"
    " ON CONFLICT (bal_id, block) DO UPDATE SET sealed = excluded.sealed"
).bindparams(sa.bindparam("sealed", type_=sa.LargeBinary), sa.bindparam("block", type_=sa.BigInteger))
_DROP_BLOCK = sa.delete(SEARCH_BLOCK).where(
    SEARCH_BLOCK.c.bal_id == _BAL, SEARCH_BLOCK.c.block == sa.bindparam("b_block")
)
_KEEP_MARK = sa.text(
    "INSERT INTO search_mark (bal_id, next_message_id, used_octets, marked_at)"
    " SELECT bal_id, :next_message_id, :used_octets, :marked_at FROM box WHERE bal_id = :bal_id"
    " ON CONFLICT (bal_id) DO UPDATE SET next_message_id = excluded.next_message_id,"
    " used_octets = excluded.used_octets, marked_at = excluded.marked_at"
).bindparams(
    sa.bindparam("next_message_id", type_=sa.BigInteger),
    sa.bindparam("used_octets", type_=sa.BigInteger),
    sa.bindparam("marked_at", type_=sa.BigInteger),
)


async def sealed_blocks(connection: AsyncConnection, bal_id: int, blocks: Sequence[int]) -> dict[int, bytes]:
    """The sealed blocks of these numbers that are there."""
    rows = await connection.execute(_SELECT_BLOCKS, {"b_bal": bal_id, "b_blocks": list(blocks)})
    return {row[0]: row[1] for row in rows}


async def block_numbers(connection: AsyncConnection, bal_id: int) -> list[int]:
    """The blocks that a box has."""
    return [row[0] for row in await connection.execute(_SELECT_NUMBERS, {"b_bal": bal_id})]


async def folder_ids(connection: AsyncConnection, folder_id: int) -> list[tuple[int, int, int]]:
    """(place, message id, octets) of every message of a folder."""
    low, high = places_of(folder_id)
    found = await connection.execute(_SELECT_IDS, {"b_low": low, "b_high": high})
    return found.all()  # type: ignore[return-value]  # a Row is a tuple


async def box_ids(connection: AsyncConnection, bal_id: int) -> dict[int, tuple[int, int]]:
    """Message id → (one of its places, octets) of every message of a box."""
    rows = (await connection.execute(_SELECT_BOX_IDS, {"b_bal": bal_id})).all()
    return {message_id: (place, size) for message_id, place, size in rows}


async def waiting_boxes(connection: AsyncConnection, *, many: int, before: int, limit: int) -> list[Mark]:
    """Boxes never looked at, with `many` new letters, or changed and not looked at since `before`."""
    rows = await connection.execute(_SELECT_WAITING, {"b_many": many, "b_before": before, "b_limit": limit})
    return [Mark(bal_id=row[0], next_message_id=row[1], used_octets=row[2]) for row in rows]


class IndexApplier:
    """Writes `KeepBlocks` and `KeepMark`; nothing for a box that was erased meanwhile."""

    name = APPLIER

    async def apply(self, connection: AsyncConnection, changes: Sequence[Change]) -> None:
        """See `core.unit_of_work.Applier.apply`."""
        for change in changes:
            match change:
                case KeepBlocks(bal_id=bal_id, blocks=blocks):
                    for block, sealed in sorted(blocks.items()):
                        if sealed is None:
                            await connection.execute(_DROP_BLOCK, {"b_bal": bal_id, "b_block": block})
                            continue
                        row = {"bal_id": bal_id, "block": block, "sealed": sealed}
                        await connection.execute(_KEEP_BLOCK, row)
                case KeepMark(mark=mark, marked_at=marked_at):
                    row = {
                        "bal_id": mark.bal_id,
                        "next_message_id": mark.next_message_id,
                        "used_octets": mark.used_octets,
                        "marked_at": marked_at,
                    }
                    await connection.execute(_KEEP_MARK, row)
