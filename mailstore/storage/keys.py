"""The rows of wrapped keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from core.unit_of_work import Change
from mailstore.storage.tables import VAULT_KEY

APPLIER = "mailstore.keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """One wrapped key; `created_at` in seconds since 1970."""

    name: str
    kek_id: str
    wrapped: bytes
    created_at: int

    def __repr__(self) -> str:
        return "KeyRow(…)"  # a name may be a pseudonym, the rest is secret


@dataclass(slots=True)
class AddKey(Change):
    """Write this key unless one of this name is there already (another node may have been first)."""

    applier: ClassVar[str] = APPLIER
    row: KeyRow


@dataclass(slots=True)
class RewrapKey(Change):
    """Replace the wrapping of a key, if it is still the one that was read."""

    applier: ClassVar[str] = APPLIER
    row: KeyRow
    earlier: bytes


@dataclass(slots=True)
class EraseKey(Change):
    """Remove the key: what it opens is lost for good."""

    applier: ClassVar[str] = APPLIER
    name: str


_SELECT = sa.select(VAULT_KEY.c.name, VAULT_KEY.c.kek_id, VAULT_KEY.c.wrapped, VAULT_KEY.c.created_at)
_SELECT_ONE = _SELECT.where(VAULT_KEY.c.name == sa.bindparam("b_name"))
_SELECT_OTHERS = (
    _SELECT.where(VAULT_KEY.c.kek_id != sa.bindparam("b_kek_id"))
    .order_by(VAULT_KEY.c.name)
    .limit(sa.bindparam("b_limit"))
)
# The earlier wrapping is compared in the WHERE: a key erased or re-wrapped meanwhile stays as it is.
_REWRAP = (
    sa.update(VAULT_KEY)
    .where(VAULT_KEY.c.name == sa.bindparam("b_name"), VAULT_KEY.c.wrapped == sa.bindparam("b_earlier"))
    .values(kek_id=sa.bindparam("b_kek_id"), wrapped=sa.bindparam("b_wrapped"))
)
_DELETE = sa.delete(VAULT_KEY).where(VAULT_KEY.c.name == sa.bindparam("b_name"))
_INSERT_IF_ABSENT = sa.text(
    "INSERT INTO vault_key (name, kek_id, wrapped, created_at) VALUES (:name, :kek_id, :wrapped, :created_at)"
    " ON CONFLICT (name) DO NOTHING"
)


async def key_row(connection: AsyncConnection, name: str) -> KeyRow | None:
    """The row of this name."""
    row = (await connection.execute(_SELECT_ONE, {"b_name": name})).first()
    return KeyRow(name=row[0], kek_id=row[1], wrapped=row[2], created_at=row[3]) if row else None


async def rows_of_other_keks(connection: AsyncConnection, kek_id: str, limit: int) -> list[KeyRow]:
    """Some keys that are not yet wrapped by this KEK."""
    rows = await connection.execute(_SELECT_OTHERS, {"b_kek_id": kek_id, "b_limit": limit})
    return [KeyRow(name=r[0], kek_id=r[1], wrapped=r[2], created_at=r[3]) for r in rows]


class KeyApplier:
    """Writes `AddKey`, `RewrapKey` and `EraseKey`."""

    name = APPLIER

    async def apply(self, connection: AsyncConnection, changes: Sequence[Change]) -> None:
        """See `core.unit_of_work.Applier.apply`."""
        for change in changes:
            match change:
                case AddKey(row=row):
                    await connection.execute(_INSERT_IF_ABSENT, _values(row))
                case RewrapKey(row=row, earlier=earlier):
                    await connection.execute(
                        _REWRAP,
                        {
                            "b_name": row.name,
                            "b_earlier": earlier,
                            "b_kek_id": row.kek_id,
                            "b_wrapped": row.wrapped,
                        },
                    )
                case EraseKey(name=name):
                    await connection.execute(_DELETE, {"b_name": name})


def _values(row: KeyRow) -> Mapping[str, object]:
    return {"name": row.name, "kek_id": row.kek_id, "wrapped": row.wrapped, "created_at": row.created_at}
