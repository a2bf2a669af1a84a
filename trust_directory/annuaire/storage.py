"""The local copy of the health directory: tables, changes, reader. Public professional data, in clear.

What it is: generations of entries, of which exactly one is in force. What it is not: parsing or rules
(`importer`). A new generation is written beside the one in force, in short transactions, and takes its place in
one statement; readers see the one or the other. Start at `DirectoryReader`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    MetaData,
    Row,
    String,
    Table,
    and_,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from core.address import Mailbox
from core.bal import BalKind
from core.errors import PermanentError, StoreError
from core.unit_of_work import Change
from trust_directory.annuaire.mapping import DirectoryEntry
from trust_directory.storage import Database

METADATA = MetaData()
PURGE_ROWS = 5_000  # ours: rows of an old generation removed in one transaction

ENTRY = Table(
    "directory_entry",
    METADATA,
    Column("generation", BigInteger, primary_key=True, autoincrement=False),
    Column("address", String(320), primary_key=True),
    Column("entry_key", BigInteger, primary_key=True, autoincrement=False),
    Column("content", BigInteger, nullable=False),
    Column("written_address", String(320), nullable=False),
    Column("kind", String(3), nullable=False),
    Column("rpps", String(11), nullable=False),
    Column("adeli", String(32), nullable=False),
    Column("finess", String(9), nullable=False),
    Column("siret", String(14), nullable=False),
    Column("family_name", String(255), nullable=False),
    Column("given_name", String(255), nullable=False),
    Column("family_key", String(255), nullable=False),
    Column("profession", String(255), nullable=False),
    Column("speciality", String(255), nullable=False),
    Column("structure", String(255), nullable=False),
    Column("service", String(255), nullable=False),
    Column("postal_code", String(10), nullable=False),
    Column("city", String(255), nullable=False),
    Column("is_red_listed", Boolean, nullable=False),
)
for _name in ("rpps", "finess", "family_key"):
    _said = ENTRY.c[_name] != ""
    Index(
        f"directory_entry_by_{_name}",
        ENTRY.c.generation,
        ENTRY.c[_name],
        sqlite_where=_said,
        postgresql_where=_said,
    )

GENERATION = Table(
    "directory_generation",
    METADATA,
    Column("generation", BigInteger, primary_key=True, autoincrement=False),
    Column("state", String(16), nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("in_force_at", BigInteger, nullable=True),
    Column("entries", BigInteger, nullable=False),
)
STAGING, IN_FORCE, RETIRED = "staging", "in-force", "retired"


class ImportOvertaken(PermanentError):
    """Another import began meanwhile; this one left nothing."""


class _DirectoryChange(Change):
    applier: ClassVar[str] = "trust_directory.annuaire"
    __slots__ = ()


@dataclass(frozen=True, slots=True)
class StagingBegun(_DirectoryChange):
    """A new generation; every other unfinished one is given up."""

    generation: int
    at: int


@dataclass(frozen=True, slots=True)
class EntriesStaged(_DirectoryChange):
    """Rows of the staging generation; a row that is there already is left alone."""

    generation: int
    rows: Sequence[Mapping[str, Any]]

    @property
    def weight(self) -> int:
        """See `vaguemestre.committer`: how many rows this writes."""
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class GenerationInForce(_DirectoryChange):
    """The staging generation takes the place of the one in force."""

    generation: int
    entries: int
    at: int


@dataclass(frozen=True, slots=True)
class GenerationGivenUp(_DirectoryChange):
    """The staging generation (a dry run, a refusal) is not wanted."""

    generation: int


@dataclass(frozen=True, slots=True)
class RetiredPurged(_DirectoryChange):
    """Remove at most `PURGE_ROWS` rows of this retired generation, and its row when nothing is left."""

    generation: int
    weight: ClassVar[int] = PURGE_ROWS


class DirectoryApplier:
    """Writes directory changes on the committer's transaction (see `core.unit_of_work.Applier`)."""

    name = _DirectoryChange.applier

    async def apply(self, connection: AsyncConnection, changes: Sequence[Change]) -> None:
        """Raises ImportOvertaken."""
        for change in changes:
            await _apply_one(connection, change)


async def _apply_one(connection: AsyncConnection, change: Change) -> None:
    match change:
        case StagingBegun():
            await connection.execute(
                update(GENERATION).where(GENERATION.c.state == STAGING).values(state=RETIRED)
            )
            row = {"generation": change.generation, "state": STAGING, "started_at": change.at}
            await connection.execute(insert(GENERATION).values(**row, in_force_at=None, entries=0))
        case EntriesStaged():
            await _stage(connection, change)
        case GenerationInForce():
            await _switch(connection, change)
        case GenerationGivenUp():
            await connection.execute(
                update(GENERATION)
                .where(GENERATION.c.generation == change.generation, GENERATION.c.state == STAGING)
                .values(state=RETIRED)
            )
        case RetiredPurged():
            await _purge(connection, change.generation)
        case _:
            raise PermanentError(f"no applier for {type(change).__name__} here")


async def _stage(connection: AsyncConnection, change: EntriesStaged) -> None:
    # Each batch looks: an import that was overtaken must not fill a generation that is being purged.
    state = select(GENERATION.c.state).where(GENERATION.c.generation == change.generation)
    if (await connection.execute(state)).scalar_one_or_none() != STAGING:
        raise ImportOvertaken("another import of the directory began meanwhile")
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(ENTRY).on_conflict_do_nothing()
    await connection.execute(statement, [{**row, "generation": change.generation} for row in change.rows])


async def _switch(connection: AsyncConnection, change: GenerationInForce) -> None:
    await connection.execute(update(GENERATION).where(GENERATION.c.state == IN_FORCE).values(state=RETIRED))
    result = await connection.execute(
        update(GENERATION)
        .where(GENERATION.c.generation == change.generation, GENERATION.c.state == STAGING)
        .values(state=IN_FORCE, in_force_at=change.at, entries=change.entries)
    )
    if result.rowcount != 1:
        raise ImportOvertaken("another import of the directory began meanwhile")


async def _purge(connection: AsyncConnection, generation: int) -> None:
    retired = select(GENERATION.c.generation).where(
        GENERATION.c.generation == generation, GENERATION.c.state == RETIRED
    )
    if (await connection.execute(retired)).scalar_one_or_none() is None:
        return
    edge = (
        select(ENTRY.c.address)
        .where(ENTRY.c.generation == generation)
        .order_by(ENTRY.c.address)
        .offset(PURGE_ROWS)
        .limit(1)
    )
    bound = (await connection.execute(edge)).scalar_one_or_none()
    doomed = delete(ENTRY).where(ENTRY.c.generation == generation)
    await connection.execute(doomed if bound is None else doomed.where(ENTRY.c.address <= bound))
    if bound is None:
        await connection.execute(delete(GENERATION).where(GENERATION.c.generation == generation))


# --- reading ------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryState:
    """The generation in force. Times are seconds since 1970."""

    generation: int
    in_force_at: int
    entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What a staging generation would change."""

    before: int
    after: int
    added: int
    removed: int
    changed: int


class DirectoryReader:
    """Reads outside any unit. Every failure of the database is a StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def state(self) -> DirectoryState | None:
        """The generation in force, None before the first import."""
        newest_first = GENERATION.c.generation.desc()
        statement = select(GENERATION).where(GENERATION.c.state == IN_FORCE).order_by(newest_first)
        rows = await self._rows(statement.limit(1))
        if not rows:
            return None
        row = rows[0]
        return DirectoryState(
            generation=row.generation, in_force_at=row.in_force_at or 0, entries=row.entries
        )

    async def next_generation(self) -> int:
        """A number that is not used."""
        rows = await self._rows(select(func.max(GENERATION.c.generation)))
        return int(rows[0][0] or 0) + 1

    async def retired(self) -> list[int]:
        """Generations whose rows may be removed."""
        rows = await self._rows(select(GENERATION.c.generation).where(GENERATION.c.state == RETIRED))
        return [int(row[0]) for row in rows]

    async def difference(self, generation: int) -> Difference:
        """Compare a staging generation with the one in force."""
        state = await self.state()
        force = state.generation if state else -1
        return Difference(
            before=await self._count(ENTRY.c.generation == force),
            after=await self._count(ENTRY.c.generation == generation),
            added=await self._unmatched(generation, force),
            removed=await self._unmatched(force, generation),
            changed=await self._changed(force, generation),
        )

    async def removed_addresses(self, generation: int, limit: int = 20) -> list[str]:
        """Some addresses that are in force and not in this staging generation."""
        state = await self.state()
        if state is None:
            return []
        statement = select(ENTRY.c.address).where(*_only_in(state.generation, generation))
        rows = await self._rows(statement.order_by(ENTRY.c.address).limit(limit))
        return [str(row[0]) for row in rows]

    async def find(self, condition: ColumnElement[bool], limit: int) -> list[DirectoryEntry]:
        """Entries in force that meet a condition on `ENTRY`, by address."""
        newest = select(func.max(GENERATION.c.generation)).where(GENERATION.c.state == IN_FORCE)
        statement = select(ENTRY).where(ENTRY.c.generation == newest.scalar_subquery(), condition)
        rows = await self._rows(statement.order_by(ENTRY.c.address, ENTRY.c.entry_key).limit(limit))
        return [_entry(row) for row in rows]

    async def _unmatched(self, here: int, there: int) -> int:
        return await self._count(*_only_in(here, there))

    async def _changed(self, here: int, there: int) -> int:
        other = ENTRY.alias()
        same = and_(other.c.address == ENTRY.c.address, other.c.entry_key == ENTRY.c.entry_key)
        statement = (
            select(func.count())
            .select_from(ENTRY.join(other, same))
            .where(
                ENTRY.c.generation == here, other.c.generation == there, ENTRY.c.content != other.c.content
            )
        )
        return int((await self._rows(statement))[0][0])

    async def _count(self, *conditions: ColumnElement[bool]) -> int:
        rows = await self._rows(select(func.count()).select_from(ENTRY).where(*conditions))
        return int(rows[0][0])

    async def _rows(self, statement: Any) -> Sequence[Row[*tuple[Any, ...]]]:
        async with self._database.read() as connection:
            return (await connection.execute(statement)).all()


def _only_in(here: int, there: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    other = ENTRY.alias()
    match = select(other.c.address).where(
        other.c.generation == there,
        other.c.address == ENTRY.c.address,
        other.c.entry_key == ENTRY.c.entry_key,
    )
    return ENTRY.c.generation == here, ~match.exists()


def _entry(row: Row[*tuple[Any, ...]]) -> DirectoryEntry:
    try:
        return DirectoryEntry(
            address=Mailbox.parse(row.written_address),
            kind=BalKind(row.kind),
            rpps=row.rpps,
            adeli=row.adeli,
            finess=row.finess,
            siret=row.siret,
            family_name=row.family_name,
            given_name=row.given_name,
            profession=row.profession,
            speciality=row.speciality,
            structure=row.structure,
            service=row.service,
            postal_code=row.postal_code,
            city=row.city,
            is_red_listed=bool(row.is_red_listed),
        )
    except (PermanentError, ValueError) as error:
        raise StoreError("a stored entry of the directory cannot be read") from error
