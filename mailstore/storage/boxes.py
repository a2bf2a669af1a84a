"""The rows of boxes, folders and subscriptions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from core.errors import NotStored, PermanentError
from core.unit_of_work import Change
from mailstore.storage.removal import HEAVY, empty_folders
from mailstore.storage.tables import BOX, FOLDER, SUBSCRIPTION

APPLIER = "mailstore.boxes"
MAX_FOLDERS = 1000  # ours: of one box


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedName:
    """A folder's name as it rests."""

    name_key: str
    sealed: bytes
    special_use: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderRow:
    """A folder as it rests."""

    folder_id: int
    bal_id: int
    name_key: str
    name_sealed: bytes
    uid_validity: int
    uid_next: int
    highest_modseq: int
    recent_floor: int
    special_use: str


@dataclass(slots=True, kw_only=True)
class CreateBox(Change):
    """A box with its first folders, all subscribed; nothing when it is there already."""

    applier: ClassVar[str] = APPLIER
    bal_id: int
    quota_octets: int
    folders: Sequence[SealedName]
    now: int


@dataclass(slots=True, kw_only=True)
class SetQuota(Change):
    """How much a box may hold from now on, in octets; 0 is no limit."""

    applier: ClassVar[str] = APPLIER
    bal_id: int
    quota_octets: int


@dataclass(slots=True, kw_only=True)
class CreateFolders(Change):
    """The last name must be new; those above it are made when they are missing. `created` is its row."""

    applier: ClassVar[str] = APPLIER
    bal_id: int
    names: Sequence[SealedName]
    now: int
    created: FolderRow | None = None


@dataclass(slots=True, kw_only=True)
class RenameFolders(Change):
    """New names for these folders, and new folders above them when missing."""

    applier: ClassVar[str] = APPLIER
    bal_id: int
    renamed: Sequence[tuple[int, SealedName]]
    above: Sequence[SealedName]
    now: int


@dataclass(slots=True, kw_only=True)
class DeleteFolders(Change):
    """Folders with all that is in them; with `and_box` the box itself, for good."""

    applier: ClassVar[str] = APPLIER
    bal_id: int
    folder_ids: Sequence[int]
    and_box: bool = False
    removed_files: list[str] = field(default_factory=list)
    weight: int = HEAVY


@dataclass(slots=True, kw_only=True)
class Subscribe(Change):
    """Keep or drop a subscription."""

    applier: ClassVar[str] = APPLIER
    bal_id: int
    name: SealedName
    subscribed: bool


_BAL = sa.bindparam("b_bal", type_=sa.BigInteger)
_SELECT_FOLDERS = (
    sa.select(
        FOLDER.c.folder_id,
        FOLDER.c.name_key,
        FOLDER.c.name_sealed,
        FOLDER.c.uid_validity,
        FOLDER.c.uid_next,
        FOLDER.c.highest_modseq,
        FOLDER.c.recent_floor,
        FOLDER.c.special_use,
    )
    .where(FOLDER.c.bal_id == _BAL)
    .order_by(FOLDER.c.folder_id)
)
_SELECT_BY_NAME = _SELECT_FOLDERS.where(FOLDER.c.name_key == sa.bindparam("b_name"))
_SELECT_SUBSCRIPTIONS = sa.select(SUBSCRIPTION.c.name_key, SUBSCRIPTION.c.name_sealed).where(
    SUBSCRIPTION.c.bal_id == _BAL
)
_SELECT_BOX = sa.select(BOX.c.quota_octets, BOX.c.used_octets, BOX.c.last_uid_validity).where(
    BOX.c.bal_id == _BAL
)
_LOCK_BOX = _SELECT_BOX.with_for_update()
_SELECT_BAL_OF = sa.select(FOLDER.c.bal_id).where(FOLDER.c.folder_id == sa.bindparam("b_folder"))
_INSERT_BOX = sa.text(
    "INSERT INTO box (bal_id, quota_octets, used_octets, last_uid_validity, next_message_id)"
    " VALUES (:bal_id, :quota_octets, 0, 0, 1) ON CONFLICT (bal_id) DO NOTHING"
)
_INSERT_FOLDER = sa.insert(FOLDER)
_UPDATE_VALIDITY = sa.update(BOX).where(BOX.c.bal_id == _BAL).values(last_uid_validity=sa.bindparam("b_last"))
_UPDATE_QUOTA = sa.update(BOX).where(BOX.c.bal_id == _BAL).values(quota_octets=sa.bindparam("b_quota"))
_UPDATE_NAME = (
    sa.update(FOLDER)
    .where(FOLDER.c.folder_id == sa.bindparam("b_folder"), FOLDER.c.bal_id == _BAL)
    .values(name_key=sa.bindparam("b_name"), name_sealed=sa.bindparam("b_sealed"))
)
_DELETE_FOLDER = sa.delete(FOLDER).where(FOLDER.c.folder_id == sa.bindparam("b_folder"))
_DELETE_BOX = sa.delete(BOX).where(BOX.c.bal_id == _BAL)
_DELETE_SUBSCRIPTIONS = sa.delete(SUBSCRIPTION).where(SUBSCRIPTION.c.bal_id == _BAL)
_UNSUBSCRIBE = _DELETE_SUBSCRIPTIONS.where(SUBSCRIPTION.c.name_key == sa.bindparam("b_name"))
_SUBSCRIBE = sa.text(
    "INSERT INTO subscription (bal_id, name_key, name_sealed) VALUES (:bal_id, :name_key, :name_sealed)"
    " ON CONFLICT (bal_id, name_key) DO NOTHING"
)


# --- reading ------------------------------------------------------------------------------------------------
async def folder_rows(connection: AsyncConnection, bal_id: int) -> list[FolderRow]:
    """Every folder of a box."""
    return [_row(bal_id, row) for row in await connection.execute(_SELECT_FOLDERS, {"b_bal": bal_id})]


async def folder_row(connection: AsyncConnection, bal_id: int, name_key: str) -> FolderRow | None:
    """The folder of this name."""
    found = (await connection.execute(_SELECT_BY_NAME, {"b_bal": bal_id, "b_name": name_key})).first()
    return _row(bal_id, found) if found else None


async def subscription_rows(connection: AsyncConnection, bal_id: int) -> list[tuple[str, bytes]]:
    """(name key, sealed name) of every subscription."""
    rows = await connection.execute(_SELECT_SUBSCRIPTIONS, {"b_bal": bal_id})
    return [(row[0], row[1]) for row in rows]


async def bal_of(connection: AsyncConnection, folder_id: int) -> int:
    """Whose folder it is. Raises NotStored."""
    found = (await connection.execute(_SELECT_BAL_OF, {"b_folder": folder_id})).scalar()
    if found is None:
        raise NotStored("no such folder")
    return int(found)


async def quota_and_use(connection: AsyncConnection, bal_id: int) -> tuple[int, int]:
    """(quota, used) in octets. Raises NotStored."""
    found = (await connection.execute(_SELECT_BOX, {"b_bal": bal_id})).first()
    if found is None:
        raise NotStored("no such box")
    return int(found[0]), int(found[1])


def _row(bal_id: int, row: Any) -> FolderRow:
    return FolderRow(
        folder_id=row[0],
        bal_id=bal_id,
        name_key=row[1],
        name_sealed=row[2],
        uid_validity=row[3],
        uid_next=row[4],
        highest_modseq=row[5],
        recent_floor=row[6],
        special_use=row[7],
    )


# --- writing ------------------------------------------------------------------------------------------------
class BoxApplier:
    """Writes every change of this module, one by one: they are rare. The box's row is locked first."""

    name = APPLIER

    async def apply(self, connection: AsyncConnection, changes: Sequence[Change]) -> None:
        """See `core.unit_of_work.Applier.apply`."""
        # Boxes are locked in id order; changes of one box stay in theirs.
        for change in sorted(changes, key=lambda each: each.bal_id):  # type: ignore[attr-defined]
            match change:
                case CreateBox():
                    await _create_box(connection, change)
                case SetQuota(bal_id=bal_id, quota_octets=quota):
                    await _lock(connection, bal_id)
                    await connection.execute(_UPDATE_QUOTA, {"b_bal": bal_id, "b_quota": quota})
                case CreateFolders():
                    await _create_folders(connection, change)
                case RenameFolders():
                    await _rename_folders(connection, change)
                case DeleteFolders():
                    await _delete_folders(connection, change)
                case Subscribe():
                    await _subscribe(connection, change)


async def _lock(connection: AsyncConnection, bal_id: int) -> int:
    """The last UIDVALIDITY given in the box."""
    found = (await connection.execute(_LOCK_BOX, {"b_bal": bal_id})).first()
    if found is None:
        raise NotStored("no such box")
    return int(found[2])


async def _create_box(connection: AsyncConnection, change: CreateBox) -> None:
    inserted = await connection.execute(
        _INSERT_BOX, {"bal_id": change.bal_id, "quota_octets": change.quota_octets}
    )
    if inserted.rowcount == 0:
        return
    await _insert(connection, change.bal_id, change.folders, change.now)
    for name in change.folders:
        await connection.execute(_SUBSCRIBE, _subscription(change.bal_id, name))


async def _insert(connection: AsyncConnection, bal_id: int, names: Sequence[SealedName], now: int) -> None:
    """New folders, each with a UIDVALIDITY that this box never gave before (RFC 3501 §2.3.1.1)."""
    last = await _lock(connection, bal_id)
    rows = []
    for name in names:
        last = max(last + 1, now)
        rows.append(
            {
                "bal_id": bal_id,
                "name_key": name.name_key,
                "name_sealed": name.sealed,
                "uid_validity": last,
                "uid_next": 1,
                "highest_modseq": 1,
                "recent_floor": 1,
                "special_use": name.special_use,
            }
        )
    if rows:
        await connection.execute(_INSERT_FOLDER, rows)
        await connection.execute(_UPDATE_VALIDITY, {"b_bal": bal_id, "b_last": last})


async def _missing(connection: AsyncConnection, bal_id: int, names: Sequence[SealedName]) -> list[SealedName]:
    """Those of these names that no folder has; the box is locked."""
    await _lock(connection, bal_id)
    present = {row.name_key for row in await folder_rows(connection, bal_id)}
    return [name for name in names if name.name_key not in present]


async def _to_be_made(
    connection: AsyncConnection, bal_id: int, names: Sequence[SealedName]
) -> list[SealedName]:
    """As `_missing`, when the box may have so many more. Raises PermanentError."""
    missing = await _missing(connection, bal_id, names)
    if missing and len(await folder_rows(connection, bal_id)) + len(missing) > MAX_FOLDERS:
        raise PermanentError("this box has as many folders as it may have")
    return missing


async def _create_folders(connection: AsyncConnection, change: CreateFolders) -> None:
    missing = await _to_be_made(connection, change.bal_id, change.names)
    wanted = change.names[-1]
    if wanted not in missing:
        raise PermanentError("a folder of this name is there already")
    await _insert(connection, change.bal_id, missing, change.now)
    change.created = await folder_row(connection, change.bal_id, wanted.name_key)


async def _rename_folders(connection: AsyncConnection, change: RenameFolders) -> None:
    targets = [name for _, name in change.renamed]
    if len(await _missing(connection, change.bal_id, targets)) != len(targets):
        raise PermanentError("a folder of the new name is there already")
    moved = {folder_id for folder_id, _ in change.renamed}
    present = {row.folder_id for row in await folder_rows(connection, change.bal_id)}
    if not moved <= present:
        raise NotStored("no such folder")
    above = await _to_be_made(connection, change.bal_id, change.above)
    await _insert(connection, change.bal_id, above, change.now)
    rows = [
        {"b_folder": folder_id, "b_bal": change.bal_id, "b_name": name.name_key, "b_sealed": name.sealed}
        for folder_id, name in change.renamed
    ]
    await connection.execute(_UPDATE_NAME, rows)


async def _delete_folders(connection: AsyncConnection, change: DeleteFolders) -> None:
    await _lock(connection, change.bal_id)
    rows = await folder_rows(connection, change.bal_id)
    present = [row.folder_id for row in rows if change.and_box or row.folder_id in change.folder_ids]
    if not change.and_box and len(present) != len(change.folder_ids):
        raise NotStored("no such folder")
    change.removed_files = await empty_folders(connection, change.bal_id, present)
    if present:
        await connection.execute(_DELETE_FOLDER, [{"b_folder": folder_id} for folder_id in present])
    if change.and_box:
        await connection.execute(_DELETE_SUBSCRIPTIONS, {"b_bal": change.bal_id})
        await connection.execute(_DELETE_BOX, {"b_bal": change.bal_id})


async def _subscribe(connection: AsyncConnection, change: Subscribe) -> None:
    if change.subscribed:
        await connection.execute(_SUBSCRIBE, _subscription(change.bal_id, change.name))
    else:
        await connection.execute(_UNSUBSCRIBE, {"b_bal": change.bal_id, "b_name": change.name.name_key})


def _subscription(bal_id: int, name: SealedName) -> dict[str, object]:
    return {"bal_id": bal_id, "name_key": name.name_key, "name_sealed": name.sealed}
