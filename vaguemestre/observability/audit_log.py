"""The append-only trail: who did what to which letter, written in the same transaction as the doing.

What it is: `AuditLog`, the implementation of `core.ports.AuditTrail` and the applier that ties events into this
process's chain inside the writer's batch, so that the order of the chain is the order of commits. What it is not:
the arithmetic (`audit_chain`) or the witness outside (`audit_checkpoints`). Start at `record`, then `apply`.

Nobody's name is in clear: a person's fields are sealed under a key of that person which lies in `audit_subject`;
`erase` removes it, and the chain stays whole, because it commits to what is sealed. A process gives a person a key
of its own at first sight, so that `record` waits for nothing and key and event become durable together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import sqlalchemy as sa
import structlog

from core.audit import AuditEvent, RecordedEvent
from core.clock import Clock
from core.errors import LocalProtocolError, StoreError
from core.ports import Vault
from core.unit_of_work import Change, Committer, UnitOfWork
from vaguemestre.database import Database
from vaguemestre.observability.audit_chain import (
    ChainRow,
    ChainVerifier,
    CheckpointReader,
    VerifyReport,
    genesis,
    link,
    month_of,
)
from vaguemestre.observability.audit_checkpoints import (
    CheckpointFile,
    SigningKey,
    load_public,
    read_file,
    verifier_of,
)
from vaguemestre.observability.audit_sealing import EventSealer, SealedEvent, key_ids_of

METADATA = sa.MetaData()
AUDIT_EVENT = sa.Table(
    "audit_event",
    METADATA,
    sa.Column("month", sa.Integer, primary_key=True),
    sa.Column("writer", sa.Text, primary_key=True),
    sa.Column("sequence", sa.BigInteger, primary_key=True),
    sa.Column("spool_id", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("link", sa.LargeBinary, nullable=False),
)
AUDIT_HEAD = sa.Table(
    "audit_head",
    METADATA,
    sa.Column("writer", sa.Text, primary_key=True),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("link", sa.LargeBinary, nullable=False),
    sa.Column("vouched", sa.BigInteger, nullable=False),
)
AUDIT_SUBJECT = sa.Table(
    "audit_subject",
    METADATA,
    sa.Column("key_id", sa.Text, primary_key=True),
    sa.Column("pseudonym", sa.Text, nullable=False),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
)
AUDIT_CHECKPOINT = sa.Table(
    "audit_checkpoint",
    METADATA,
    sa.Column("slot", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("line", sa.LargeBinary, nullable=False),
)

VAULT_KEY = "audit"
VERIFY_CHUNK = 2_000  # ours: rows read and judged before the loop may turn

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSettings:
    """Who writes, and where the witness lies."""

    slot: str
    """This process's place, the same after a restart: node and role or worker number."""
    started: str
    """What tells this life of the process from every other: a chain belongs to one life."""
    checkpoint_file: Path
    """JSON lines, one file for each slot, best on another disk or machine than the database."""
    signing_key: Path
    """Ed25519, PEM, mode 0600; made by `init` alone."""
    checkpoint_every: float = 1.0
    """Seconds between two checkpoints while events are written."""


@dataclass(slots=True)
class AuditChange(Change):
    """Base of the trail's changes."""

    applier: ClassVar[str] = "audit"


@dataclass(slots=True)
class AppendEvent(AuditChange):
    """One event, ready but for its number; and the keys of people that are not durable yet."""

    row: dict[str, Any]
    sealed: SealedEvent


@dataclass(slots=True)
class KeepCheckpoint(AuditChange):
    """The last checkpoint of this process, and what it vouches for."""

    row: dict[str, Any]
    heads: dict[str, int]


@dataclass(slots=True)
class OpenMonth(AuditChange):
    """Make this month's partition (PostgreSQL)."""

    month: int


@dataclass(slots=True)
class EraseSubject(AuditChange):
    """Remove every key of a person."""

    pseudonym: str


_INSERT_SUBJECT = sa.text(
    "INSERT INTO audit_subject (key_id, pseudonym, wrapped) VALUES (:key_id, :pseudonym, :wrapped)"
    " ON CONFLICT DO NOTHING"
)
_PUT_HEAD = sa.text(
    "INSERT INTO audit_head (writer, sequence, link, vouched) VALUES (:writer, :sequence, :link, 0)"
    " ON CONFLICT (writer) DO UPDATE SET sequence = excluded.sequence, link = excluded.link"
)
_PUT_CHECKPOINT = sa.text(
    "INSERT INTO audit_checkpoint (slot, number, line) VALUES (:slot, :number, :line)"
    " ON CONFLICT (slot) DO UPDATE SET number = excluded.number, line = excluded.line"
    " WHERE audit_checkpoint.number < excluded.number"
)
_VOUCHED = (
    sa.update(AUDIT_HEAD)
    .where(AUDIT_HEAD.c.writer == sa.bindparam("b_writer"))
    .values(vouched=sa.bindparam("v"))
)
_GET_HEAD = sa.select(AUDIT_HEAD.c.sequence, AUDIT_HEAD.c.link).where(
    AUDIT_HEAD.c.writer == sa.bindparam("b_writer")
)


class AuditLog:
    """Implements `core.ports.AuditTrail`, and is the applier `audit`. `open` before anything else."""

    name = "audit"

    def __init__(
        self, *, database: Database, committer: Committer, vault: Vault, clock: Clock, settings: AuditSettings
    ) -> None:
        self._database = database
        self._committer = committer
        self._vault = vault
        self._clock = clock
        self._settings = settings
        self.writer = f"{settings.slot}/{settings.started}"
        self._sealer: EventSealer | None = None
        self._file: CheckpointFile | None = None
        self._vouched = 0
        self._month = 0

    async def open(self) -> None:
        """Fetch keys, open the witness, and vouch at once for what earlier lives of this process left."""
        self._sealer = EventSealer(self._vault, await self._vault.key(VAULT_KEY))
        self._file = CheckpointFile(
            self._settings.checkpoint_file, SigningKey.open(self._settings.signing_key)
        )
        await asyncio.to_thread(self._file.open)
        await self.checkpoint()

    # --- core.ports.AuditTrail --------------------------------------------------------------------------------
    def record(self, unit: UnitOfWork, event: AuditEvent) -> None:
        """See the port."""
        now = self._clock.now()
        sealed = self._open_sealer().seal(event, now)
        row = {
            "month": month_of(now.year, now.month),
            "writer": self.writer,
            "spool_id": event.spool_id,
            "message": sealed.message,
            "body": sealed.body,
        }
        unit.add(AppendEvent(row, sealed))
        for subject in sealed.fresh:
            unit.after_commit(subject.now_durable)

    async def append(self, event: AuditEvent) -> None:
        """See the port."""
        unit = UnitOfWork()
        self.record(unit, event)
        await self._committer.commit(unit)

    async def events_of(self, *, message_id: str = "", spool_id: str = "") -> Sequence[RecordedEvent]:
        """See the port. A Message-ID also finds the events of every spool item that carried it."""
        column = AUDIT_EVENT.c
        async with self._database.read(snapshot=True) as connection:
            spool_ids = {spool_id} if spool_id else set()
            clauses = []
            if message_id:
                message = self._vault.pseudonym(message_id)
                clauses.append(column.message == message)
                found = sa.select(column.spool_id).where(column.message == message).distinct()
                spool_ids |= {row.spool_id for row in await connection.execute(found) if row.spool_id}
            if spool_ids:
                clauses.append(column.spool_id.in_(sorted(spool_ids)))
            if not clauses:
                return []
            rows = (await connection.execute(sa.select(AUDIT_EVENT).where(sa.or_(*clauses)))).all()
            key_ids = sorted({key_id for row in rows for key_id in key_ids_of(bytes(row.body))})
            subjects = sa.select(AUDIT_SUBJECT).where(AUDIT_SUBJECT.c.key_id.in_(key_ids))
            keys = {row.key_id: bytes(row.wrapped) for row in await connection.execute(subjects)}
        sealer = self._open_sealer()
        events = []
        for row in rows:
            event, at = sealer.open(bytes(row.body), keys)
            events.append(RecordedEvent(event=event, at=at, writer=row.writer, sequence=row.sequence))
        return sorted(events, key=lambda event: (event.at, event.writer, event.sequence))

    async def erase(self, person: str) -> None:
        """Make everything the trail tells of this person unreadable for good (law: right to erasure)."""
        unit = UnitOfWork()
        unit.add(EraseSubject(self._open_sealer().forget(person)))
        await self._committer.commit(unit)

    def _open_sealer(self) -> EventSealer:
        if self._sealer is None:
            raise LocalProtocolError("the audit trail is not open")
        return self._sealer

    # --- the applier ------------------------------------------------------------------------------------------
    async def apply(self, connection: Any, changes: Sequence[Change]) -> None:
        """See `core.unit_of_work.Applier`. Numbers and links are given here: a replay gives them anew."""
        appends = [change for change in changes if isinstance(change, AppendEvent)]
        if appends:
            await self._append(connection, appends)
        for change in changes:
            match change:
                case KeepCheckpoint():
                    await connection.execute(_PUT_CHECKPOINT, change.row)
                    vouched = [{"b_writer": writer, "v": head} for writer, head in change.heads.items()]
                    await connection.execute(_VOUCHED, vouched)
                case EraseSubject():
                    removed = sa.delete(AUDIT_SUBJECT).where(AUDIT_SUBJECT.c.pseudonym == change.pseudonym)
                    await connection.execute(removed)
                case OpenMonth():
                    await _open_month(connection, change.month)
                case _:
                    pass

    async def _append(self, connection: Any, appends: Sequence[AppendEvent]) -> None:
        writer = self.writer
        subjects = {fresh.key_id: fresh.row for append in appends for fresh in append.sealed.fresh}
        if subjects:
            await connection.execute(_INSERT_SUBJECT, list(subjects.values()))
        # The head is read in the transaction: a savepoint that was undone took its events with it.
        head = (await connection.execute(_GET_HEAD, {"b_writer": writer})).one_or_none()
        sequence, tied = (head.sequence, bytes(head.link)) if head else (0, genesis(writer))
        rows = []
        for append in appends:
            sequence += 1
            tied = link(tied, sequence, append.sealed.commitment)
            rows.append({**append.row, "sequence": sequence, "link": tied})
        await connection.execute(sa.insert(AUDIT_EVENT), rows)
        await connection.execute(_PUT_HEAD, {"writer": writer, "sequence": sequence, "link": tied})

    # --- the witness ------------------------------------------------------------------------------------------
    async def run(self) -> None:
        """A checkpoint each second, for ever. FatalStoreError ends it: the program must end too."""
        while True:
            await asyncio.sleep(self._settings.checkpoint_every)
            try:
                await self.checkpoint()
            except StoreError as error:
                _log.warning("checkpoint-late", component="audit", error=type(error).__name__)

    async def close(self) -> None:
        """Vouch for the last events."""
        if self._file is not None:
            await self.checkpoint()

    async def checkpoint(self) -> None:
        """Vouch for what this process's writers have committed since the last time, in the file and here."""
        if self._file is None:
            raise LocalProtocolError("the audit trail is not open")
        await self._prepare_months()
        heads = await self._new_heads()
        if not heads:
            return
        at = self._clock.now().timestamp()
        number, line = await asyncio.to_thread(self._file.append, at, heads)
        sequences = {writer: sequence for writer, (sequence, _) in heads.items()}
        unit = UnitOfWork()
        unit.add(KeepCheckpoint({"slot": self._settings.slot, "number": number, "line": line}, sequences))
        await self._committer.commit(unit)
        self._vouched = sequences.get(self.writer, self._vouched)

    async def _new_heads(self) -> dict[str, tuple[int, bytes]]:
        """Our own chain by what we remember; those of earlier lives by what the database remembers."""
        column = AUDIT_HEAD.c
        earlier = sa.and_(
            column.writer.startswith(f"{self._settings.slot}/", autoescape=True),
            column.writer != self.writer,
            column.sequence > column.vouched,
        )
        ours = sa.and_(column.writer == self.writer, column.sequence > self._vouched)
        async with self._database.read() as connection:
            rows = (await connection.execute(sa.select(AUDIT_HEAD).where(sa.or_(ours, earlier)))).all()
        return {row.writer: (row.sequence, bytes(row.link)) for row in rows}

    async def _prepare_months(self) -> None:
        now = self._clock.now()
        month = month_of(now.year, now.month)
        if month == self._month:
            return
        if not self._database.is_sqlite:
            unit = UnitOfWork()
            unit.add(OpenMonth(month))
            unit.add(OpenMonth(_after(month)))
            await self._committer.commit(unit)
        self._month = month


def _after(month: int) -> int:
    return month + 1 if month % 100 < 12 else month - 11 + 100


async def _open_month(connection: Any, month: int) -> None:
    name = f"audit_event_{month:06d}"
    known = await connection.execute(sa.text("SELECT to_regclass(:name)"), {"name": name})
    strays = sa.select(sa.func.count()).select_from(AUDIT_EVENT).where(AUDIT_EVENT.c.month == month)
    if known.scalar() is not None or (await connection.execute(strays)).scalar():
        return  # events that came before their partition stay in the one for everything else
    await connection.execute(
        sa.text(
            f"CREATE TABLE {name} PARTITION OF audit_event FOR VALUES FROM ({month:d}) TO ({month + 1:d})"
        )
    )


async def verify(
    database: Database,
    vault: Vault,
    *,
    checkpoint_files: Mapping[str, Path],
    public_key: Path,
    node: str = "",
) -> VerifyReport:
    """Read the whole trail and say what does not fit, and where. Changes nothing.

    `checkpoint_files`: slot → its file. With `node`, a file of that node that is not among them is a finding; those
    of other nodes lie on other machines. Raises ConfigurationError when a file or the key cannot be read.
    """
    sealer = EventSealer(vault, await vault.key(VAULT_KEY))
    check = verifier_of(load_public(public_key))
    readers = {
        slot: await asyncio.to_thread(read_file, path, check) for slot, path in checkpoint_files.items()
    }
    async with database.read(snapshot=True) as connection:
        for row in await connection.execute(sa.select(AUDIT_CHECKPOINT)):
            if row.slot not in readers and not (node and row.slot.startswith(f"{node}/")):
                continue
            reader = readers.setdefault(
                row.slot, CheckpointReader(check)
            )  # a file that is gone holds nothing
            if row.number not in reader.lines and row.slot in checkpoint_files:
                # Written since the file was read, by a process at work: the file only grows.
                later = await asyncio.to_thread(read_file, checkpoint_files[row.slot], check)
                reader.lines = later.lines | reader.lines
            reader.compare_with(row.number, bytes(row.line))
        heads = {row.writer: row.sequence for row in await connection.execute(sa.select(AUDIT_HEAD))}
        checkpoints = [each for reader in readers.values() for each in reader.checkpoints]
        verifier = ChainVerifier(sealer.chain_key, checkpoints, _month_at)
        await _feed(connection, verifier)
    report = verifier.finish(heads)
    outside = tuple(finding for reader in readers.values() for finding in reader.findings)
    return replace(report, findings=outside + report.findings)


async def _feed(connection: Any, verifier: ChainVerifier) -> None:
    column = AUDIT_EVENT.c
    writers = [
        row.writer
        for row in await connection.execute(sa.select(column.writer).distinct().order_by(column.writer))
    ]
    for writer in writers:
        last = -(2**62)
        while True:
            query = (
                sa.select(AUDIT_EVENT)
                .where(column.writer == writer, column.sequence > last)
                .order_by(column.sequence)
                .limit(VERIFY_CHUNK)
            )
            rows = (await connection.execute(query)).all()
            for row in rows:
                values = dict(row._mapping)
                verifier.feed(ChainRow(**values | {"body": bytes(row.body), "link": bytes(row.link)}))
            if len(rows) < VERIFY_CHUNK:
                break
            last = rows[-1].sequence


def _month_at(at: float) -> int:
    moment = datetime.fromtimestamp(at, UTC)
    return month_of(moment.year, moment.month)
