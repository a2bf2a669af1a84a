"""The rows of sealed octets and the count of who refers to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import ClassVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from core.errors import NotStored
from core.unit_of_work import Change
from mailstore.storage.tables import BLOB, BLOB_OCTETS

APPLIER = "mailstore.blobs"
IDS_PER_STATEMENT = 1000  # ours: far below the limits of both engines (32,766 and 32,767 parameters)


@dataclass(slots=True, kw_only=True)
class KeepBlob(Change):
    """Name new octets; `sealed` is None when they are in a file already."""

    applier: ClassVar[str] = APPLIER
    blob_id: str
    size: int
    created_at: int
    sealed: bytes | None


@dataclass(slots=True)
class ReferBlob(Change):
    """One reference more or fewer. After the commit `removed_files` names the files that no row names now."""

    applier: ClassVar[str] = APPLIER
    blob_id: str
    count: int
    removed_files: list[str] = field(default_factory=list)


@dataclass(slots=True)
class DropUnreferred(Change):
    """Remove these rows if they still have no reference; then `removed` and `removed_files` name which."""

    applier: ClassVar[str] = APPLIER
    blob_ids: Sequence[str]
    removed: int = 0
    removed_files: list[str] = field(default_factory=list)


_INSERT = sa.insert(BLOB)
_INSERT_OCTETS = sa.insert(BLOB_OCTETS)
_IDS: sa.BindParameter[list[str]] = sa.bindparam("b_ids", expanding=True)
_LOCK = (
    sa.select(BLOB.c.blob_id, BLOB.c.refs, BLOB.c.in_file)
    .where(BLOB.c.blob_id.in_(_IDS))
    .order_by(BLOB.c.blob_id)
    .with_for_update()
)
_SET = sa.update(BLOB).where(BLOB.c.blob_id == sa.bindparam("b_id")).values(refs=sa.bindparam("b_refs"))
_DELETE = sa.delete(BLOB).where(BLOB.c.blob_id == sa.bindparam("b_id"))
_DELETE_OCTETS = sa.delete(BLOB_OCTETS).where(BLOB_OCTETS.c.blob_id == sa.bindparam("b_id"))
_SELECT_OCTETS = sa.select(BLOB_OCTETS.c.sealed).where(BLOB_OCTETS.c.blob_id == sa.bindparam("b_id"))
_SELECT_IN_FILE = sa.select(BLOB.c.in_file).where(BLOB.c.blob_id == sa.bindparam("b_id"))
_SELECT_KNOWN = sa.select(BLOB.c.blob_id).where(BLOB.c.blob_id.in_(_IDS))
_SELECT_UNREFERRED = (
    sa.select(BLOB.c.blob_id)
    .where(BLOB.c.refs <= 0, BLOB.c.created_at < sa.bindparam("b_before"))
    .limit(IDS_PER_STATEMENT)
)


async def sealed_octets(connection: AsyncConnection, blob_id: str) -> bytes | None:
    """The sealed octets of a small blob; None when it is in a file. Raises NotStored."""
    row = (await connection.execute(_SELECT_OCTETS, {"b_id": blob_id})).first()
    if row is not None:
        return bytes(row[0])
    if (await connection.execute(_SELECT_IN_FILE, {"b_id": blob_id})).scalar():
        return None
    raise NotStored("no such octets")


async def known_ids(connection: AsyncConnection, blob_ids: Sequence[str]) -> set[str]:
    """Those of these ids that have a row (at most `IDS_PER_STATEMENT`)."""
    return set((await connection.execute(_SELECT_KNOWN, {"b_ids": list(blob_ids)})).scalars())


async def unreferred(connection: AsyncConnection, before: int) -> list[str]:
    """The ids of some rows without reference that were made before that moment."""
    return list((await connection.execute(_SELECT_UNREFERRED, {"b_before": before})).scalars())


class BlobApplier:
    """Writes `KeepBlob`, `ReferBlob`, `DropUnreferred`; references by their net effect in the batch."""

    name = APPLIER

    async def apply(self, connection: AsyncConnection, changes: Sequence[Change]) -> None:
        """See `core.unit_of_work.Applier.apply`."""
        kept: list[KeepBlob] = []
        net: dict[str, int] = {}
        referring: dict[str, ReferBlob] = {}
        for change in changes:
            match change:
                case KeepBlob():
                    kept.append(change)
                case ReferBlob():
                    change.removed_files = []
                    net[change.blob_id] = net.get(change.blob_id, 0) + change.count
                    if change.count < 0:
                        referring[change.blob_id] = change
                case DropUnreferred():
                    await _drop_unreferred(connection, change)
        if kept:
            await _insert(connection, kept, net)
        for blob_id in await adjust_references(connection, net):
            referring[blob_id].removed_files.append(blob_id)


async def _insert(connection: AsyncConnection, kept: Sequence[KeepBlob], net: dict[str, int]) -> None:
    rows = [
        {
            "blob_id": each.blob_id,
            "in_file": each.sealed is None,
            "size": each.size,
            "refs": net.pop(each.blob_id, 0),
            "created_at": each.created_at,
        }
        for each in kept
    ]
    await connection.execute(_INSERT, rows)
    octets = [{"blob_id": each.blob_id, "sealed": each.sealed} for each in kept if each.sealed is not None]
    if octets:
        await connection.execute(_INSERT_OCTETS, octets)


async def adjust_references(connection: AsyncConnection, net: Mapping[str, int]) -> list[str]:
    """Add these counts; remove what nobody refers to any more; the ids of removed files.

    Raises NotStored when a reference is taken on octets that are not there. Rows are locked in id order.
    """
    removed_files: list[str] = []
    for ids in _slices(sorted(blob_id for blob_id, count in net.items() if count)):
        rows = (await connection.execute(_LOCK, {"b_ids": ids})).all()
        known = {row[0] for row in rows}
        if any(net[blob_id] > 0 and blob_id not in known for blob_id in ids):
            raise NotStored("a reference to octets that are not there")
        left = [{"b_id": i, "b_refs": refs + net[i]} for i, refs, _ in rows if refs + net[i] > 0]
        gone = [(i, in_file) for i, refs, in_file in rows if refs + net[i] <= 0]
        if left:
            await connection.execute(_SET, left)
        if gone:
            await connection.execute(_DELETE, [{"b_id": i} for i, _ in gone])
            small = [{"b_id": i} for i, in_file in gone if not in_file]
            if small:
                await connection.execute(_DELETE_OCTETS, small)
        removed_files += [i for i, in_file in gone if in_file]
    return removed_files


async def _drop_unreferred(connection: AsyncConnection, change: DropUnreferred) -> None:
    change.removed, change.removed_files = 0, []
    for ids in _slices(sorted(change.blob_ids)):
        rows = (await connection.execute(_LOCK, {"b_ids": ids})).all()
        gone = [{"b_id": blob_id} for blob_id, refs, _ in rows if refs <= 0]
        if gone:
            await connection.execute(_DELETE, gone)
            await connection.execute(_DELETE_OCTETS, gone)
        change.removed += len(gone)
        change.removed_files += [blob_id for blob_id, refs, in_file in rows if refs <= 0 and in_file]


def _slices(ids: Iterable[str]) -> Iterable[list[str]]:
    iterator = iter(ids)
    while part := list(islice(iterator, IDS_PER_STATEMENT)):
        yield part
