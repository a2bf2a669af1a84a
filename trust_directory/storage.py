"""Boxes, passwords and delegations at rest: the tables, the changes that write them, the reader.

What it is: the only SQL for boxes. What it is not: rules (`boxes`), memory (`accounts`) or mail
(`mailstore`). Nothing personal stands here in clear: addresses, names, labels and hashes are sealed by the
caller under the key of their box, and an address is found by its keyed pseudonym. Start at `BoxReader`.

`bal.generation` is the number of the last change of a box, its passwords or its delegations; the one row of
`bal_generation` holds the highest. Another process learns with one short query which boxes changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    String,
    Table,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from core.bal import BalKind, BalState, Right
from core.errors import NotStored, PermanentError
from core.unit_of_work import Change
from trust_directory.changes import (
    AddressTaken,
    BoxAdded,
    BoxChange,
    BoxChangedMeanwhile,
    BoxIdTaken,
    BoxStateChanged,
    CredentialSet,
    CredentialsRevoked,
    CredentialUsed,
    DelegationGranted,
    DelegationsRevoked,
)

METADATA = MetaData()

BAL = Table(
    "bal",
    METADATA,
    Column("bal_id", BigInteger, primary_key=True, autoincrement=False),
    Column("pseudonym", String(128), nullable=False, unique=True),
    Column("domain", String(255), nullable=False),
    Column("kind", String(3), nullable=False),
    Column("state", String(16), nullable=False),
    Column("quota_octets", BigInteger, nullable=False),
    Column("address_sealed", LargeBinary, nullable=False),
    Column("name_sealed", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("generation", BigInteger, nullable=False),
)
Index("bal_by_generation", BAL.c.generation)

CREDENTIAL = Table(
    "credential",
    METADATA,
    Column("bal_id", BigInteger, ForeignKey("bal.bal_id"), primary_key=True),
    Column("credential_id", String(16), primary_key=True),
    Column("label_sealed", LargeBinary, nullable=False),
    Column("hash_sealed", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("last_used_day", Integer, nullable=False),
    Column("expires_at", BigInteger, nullable=True),
    Column("revoked_at", BigInteger, nullable=True),
)

DELEGATION = Table(
    "delegation",
    METADATA,
    Column("owner_bal_id", BigInteger, ForeignKey("bal.bal_id"), primary_key=True),
    Column("delegate_bal_id", BigInteger, ForeignKey("bal.bal_id"), primary_key=True),
    Column("granted_right", String(8), primary_key=True),
    Column("since", BigInteger, nullable=False),
    Column("granted_by_sealed", LargeBinary, nullable=False),
)
Index("delegation_by_delegate", DELEGATION.c.delegate_bal_id)

GENERATION = Table(
    "bal_generation",
    METADATA,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("generation", BigInteger, nullable=False),
)


class BoxApplier:
    """Writes box changes on the committer's transaction (see `core.unit_of_work.Applier`)."""

    name = BoxChange.applier

    async def apply(self, connection: AsyncConnection, changes: Sequence[Change]) -> None:
        """Raises AddressTaken, BoxIdTaken, BoxChangedMeanwhile, NotStored."""
        touching = [change for change in changes if not isinstance(change, CredentialUsed)]
        number = await _next_generation(connection) if touching else 0
        for change in changes:
            await _apply_one(connection, change, number)


async def _next_generation(connection: AsyncConnection) -> int:
    # The row lock makes generations durable in their order: a reader never sees 8 while 7 is uncommitted.
    result = await connection.execute(
        update(GENERATION)
        .where(GENERATION.c.one == 1)
        .values(generation=GENERATION.c.generation + 1)
        .returning(GENERATION.c.generation)
    )
    return int(result.scalar_one())


async def _apply_one(connection: AsyncConnection, change: Change, number: int) -> None:
    match change:
        case BoxAdded():
            await _add(connection, change, number)
        case BoxStateChanged():
            await _change_state(connection, change, number)
        case CredentialSet():
            await _set_credential(connection, change)
            await _touch(connection, {change.bal_id}, change.at, number)
        case CredentialsRevoked():
            await _revoke_credentials(connection, change)
            await _touch(connection, {change.bal_id}, change.at, number)
        case CredentialUsed():
            await connection.execute(
                update(CREDENTIAL)
                .where(
                    CREDENTIAL.c.bal_id == change.bal_id, CREDENTIAL.c.credential_id == change.credential_id
                )
                .values(last_used_day=change.day)
            )
        case DelegationGranted():
            await _grant(connection, change)
            both = {change.owner_bal_id, change.delegate_bal_id}
            await _touch(connection, both, change.at, number)
        case DelegationsRevoked():
            await _touch(connection, await _revoke_delegations(connection, change), change.at, number)
        case _:
            raise PermanentError(f"no applier for {type(change).__name__} here")


async def _add(connection: AsyncConnection, change: BoxAdded, number: int) -> None:
    found = await connection.execute(
        select(BAL.c.pseudonym).where((BAL.c.pseudonym == change.pseudonym) | (BAL.c.bal_id == change.bal_id))
    )
    taken = set(found.scalars())
    if change.pseudonym in taken:
        raise AddressTaken("a box with this address exists already")
    if taken:
        raise BoxIdTaken("the number of the new box was taken meanwhile")
    await connection.execute(
        insert(BAL).values(
            bal_id=change.bal_id,
            pseudonym=change.pseudonym,
            domain=change.domain,
            kind=change.kind.value,
            state=change.state.value,
            quota_octets=change.quota_octets,
            address_sealed=change.address_sealed,
            name_sealed=change.name_sealed,
            created_at=change.at,
            changed_at=change.at,
            generation=number,
        )
    )


async def _change_state(connection: AsyncConnection, change: BoxStateChanged, number: int) -> None:
    result = await connection.execute(
        update(BAL)
        .where(BAL.c.bal_id == change.bal_id, BAL.c.state == change.before.value)
        .values(state=change.after.value, changed_at=change.at, generation=number)
    )
    if result.rowcount != 1:
        raise BoxChangedMeanwhile("the box is not in the state it was in")
    # A delegate's rights stand on the owner's state: their accounts changed too.
    delegates = await connection.execute(
        select(DELEGATION.c.delegate_bal_id).where(DELEGATION.c.owner_bal_id == change.bal_id)
    )
    await _touch(connection, set(delegates.scalars()), change.at, number)


async def _touch(connection: AsyncConnection, bal_ids: set[int], at: int, number: int) -> None:
    if not bal_ids:
        return
    await connection.execute(
        update(BAL).where(BAL.c.bal_id.in_(sorted(bal_ids))).values(changed_at=at, generation=number)
    )


async def _set_credential(connection: AsyncConnection, change: CredentialSet) -> None:
    await connection.execute(
        delete(CREDENTIAL).where(
            CREDENTIAL.c.bal_id == change.bal_id, CREDENTIAL.c.credential_id == change.credential_id
        )
    )
    await connection.execute(
        insert(CREDENTIAL).values(
            bal_id=change.bal_id,
            credential_id=change.credential_id,
            label_sealed=change.label_sealed,
            hash_sealed=change.hash_sealed,
            created_at=change.at,
            last_used_day=0,
            expires_at=change.expires_at,
            revoked_at=None,
        )
    )


async def _revoke_credentials(connection: AsyncConnection, change: CredentialsRevoked) -> None:
    statement = update(CREDENTIAL).where(
        CREDENTIAL.c.bal_id == change.bal_id, CREDENTIAL.c.revoked_at.is_(None)
    )
    if change.credential_id is not None:
        statement = statement.where(CREDENTIAL.c.credential_id == change.credential_id)
    result = await connection.execute(statement.values(revoked_at=change.at))
    if change.credential_id is not None and result.rowcount == 0:
        raise NotStored("this box has no such password")


async def _grant(connection: AsyncConnection, change: DelegationGranted) -> None:
    key = {
        "owner_bal_id": change.owner_bal_id,
        "delegate_bal_id": change.delegate_bal_id,
        "granted_right": change.right.value,
    }
    await connection.execute(delete(DELEGATION).filter_by(**key))
    row = {**key, "since": change.at, "granted_by_sealed": change.granted_by_sealed}
    await connection.execute(insert(DELEGATION).values(**row))


async def _revoke_delegations(connection: AsyncConnection, change: DelegationsRevoked) -> set[int]:
    conditions = [
        column == value
        for column, value in (
            (DELEGATION.c.owner_bal_id, change.owner_bal_id),
            (DELEGATION.c.delegate_bal_id, change.delegate_bal_id),
            (DELEGATION.c.granted_right, change.right.value if change.right else None),
        )
        if value is not None
    ]
    gone = await connection.execute(
        delete(DELEGATION)
        .where(*conditions)
        .returning(DELEGATION.c.owner_bal_id, DELEGATION.c.delegate_bal_id)
    )
    return {bal_id for pair in gone for bal_id in pair}


# --- reading ------------------------------------------------------------------------------------------------
class Database(Protocol):
    """What `vaguemestre.database` gives to read with; errors of the driver come as StoreError."""

    def read(self, *, snapshot: bool = False) -> AbstractAsyncContextManager[AsyncConnection]:
        """A connection that only reads; with `snapshot`, all its statements see the same moment."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxRow:
    """A row of `bal`, still sealed."""

    bal_id: int
    domain: str
    kind: BalKind
    state: BalState
    quota_octets: int
    address_sealed: bytes
    name_sealed: bytes
    created_at: int
    changed_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialRow:
    """A row of `credential`, still sealed."""

    credential_id: str
    label_sealed: bytes
    hash_sealed: bytes
    created_at: int
    last_used_day: int
    expires_at: int | None
    revoked_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxFile:
    """All that is stored of one box: its row, its passwords, and the boxes it may act for."""

    box: BoxRow
    credentials: tuple[CredentialRow, ...]
    owners: tuple[tuple[BoxRow, Right], ...]


class BoxReader:
    """Reads outside any unit. Every failure of the database is a StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def generation(self) -> int:
        """The number of the last change."""
        rows = await self._rows(select(GENERATION.c.generation))
        return int(rows[0][0]) if rows else 0

    async def changed_since(self, generation: int) -> list[int]:
        """The boxes that changed after that number."""
        rows = await self._rows(select(BAL.c.bal_id).where(BAL.c.generation > generation))
        return [int(row[0]) for row in rows]

    async def next_bal_id(self) -> int:
        """A number that no box has or had: rows of closed boxes stay."""
        rows = await self._rows(select(func.max(BAL.c.bal_id)))
        return int(rows[0][0] or 0) + 1

    async def by_pseudonym(self, pseudonym: str) -> BoxFile | None:
        """The box with this address, in whatever state."""
        return await self._file(BAL.c.pseudonym == pseudonym)

    async def by_id(self, bal_id: int) -> BoxFile | None:
        """The box with this number, in whatever state."""
        return await self._file(BAL.c.bal_id == bal_id)

    async def all_boxes(self, *, domain: str | None = None) -> list[BoxRow]:
        """Every box, by number."""
        statement = select(BAL).order_by(BAL.c.bal_id)
        rows = await self._rows(statement.where(BAL.c.domain == domain) if domain else statement)
        return [_box(row) for row in rows]

    async def delegates(self, owner_bal_id: int) -> list[tuple[int, Right, int]]:
        """(delegate, right, since) of every delegation on a box."""
        rows = await self._rows(
            select(DELEGATION.c.delegate_bal_id, DELEGATION.c.granted_right, DELEGATION.c.since)
            .where(DELEGATION.c.owner_bal_id == owner_bal_id)
            .order_by(DELEGATION.c.delegate_bal_id, DELEGATION.c.granted_right)
        )
        return [(int(row[0]), Right(row[1]), int(row[2])) for row in rows]

    async def _file(self, condition: Any) -> BoxFile | None:
        async with self._database.read(snapshot=True) as connection:
            found = (await connection.execute(select(BAL).where(condition))).one_or_none()
            if found is None:
                return None
            credentials = await connection.execute(
                select(CREDENTIAL)
                .where(CREDENTIAL.c.bal_id == found.bal_id)
                .order_by(CREDENTIAL.c.created_at, CREDENTIAL.c.credential_id)
            )
            owners = await connection.execute(
                select(BAL, DELEGATION.c.granted_right)
                .join(DELEGATION, DELEGATION.c.owner_bal_id == BAL.c.bal_id)
                .where(DELEGATION.c.delegate_bal_id == found.bal_id)
                .order_by(BAL.c.bal_id, DELEGATION.c.granted_right)
            )
            return BoxFile(
                box=_box(found),
                credentials=tuple(_credential(row) for row in credentials),
                owners=tuple((_box(row), Right(row.granted_right)) for row in owners),
            )

    async def _rows(self, statement: Any) -> Sequence[Row[*tuple[Any, ...]]]:
        async with self._database.read() as connection:
            return (await connection.execute(statement)).all()


def _box(row: Row[*tuple[Any, ...]]) -> BoxRow:
    return BoxRow(
        bal_id=int(row.bal_id),
        domain=row.domain,
        kind=BalKind(row.kind),
        state=BalState(row.state),
        quota_octets=int(row.quota_octets),
        address_sealed=bytes(row.address_sealed),
        name_sealed=bytes(row.name_sealed),
        created_at=int(row.created_at),
        changed_at=int(row.changed_at),
    )


def _credential(row: Row[*tuple[Any, ...]]) -> CredentialRow:
    return CredentialRow(
        credential_id=row.credential_id,
        label_sealed=bytes(row.label_sealed),
        hash_sealed=bytes(row.hash_sealed),
        created_at=int(row.created_at),
        last_used_day=int(row.last_used_day),
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )
