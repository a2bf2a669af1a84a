"""Take an extract of the health directory into the database: stage, compare, switch, clean up.

What it is: the order of the steps and the rules of refusal. What it is not: parsing (`extract`, `mapping`) or
SQL (`storage`). Start at `Importer.run`.

Nothing changes for readers until one statement puts the new generation in force, with its audit event in the
same transaction. A dry run does everything but that. Memory is constant: rows go in batches.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.audit import AuditEvent, AuditKind
from core.clock import Clock
from core.errors import GatewayError, PermanentError
from core.ports import AuditTrail
from core.unit_of_work import Change, Committer, UnitOfWork
from trust_directory.annuaire.bal_index import name_key
from trust_directory.annuaire.extract import RowProblem, open_extract, read_rows
from trust_directory.annuaire.mapping import DirectoryEntry, NotAnExtract
from trust_directory.annuaire.storage import (
    Difference,
    DirectoryReader,
    EntriesStaged,
    GenerationGivenUp,
    GenerationInForce,
    RetiredPurged,
    StagingBegun,
)
from trust_directory.settings import AnnuaireSettings

BATCH_ROWS = 2_000  # ours: some 50 ms of the writer, so that letters pass between two batches
PROBLEMS_KEPT = 100  # ours: enough to see what is wrong; all are counted
LARGEST_BAD_SHARE = 0.1  # ours: a file of which a tenth cannot be read is not the file it should be


class ImportRefused(PermanentError):
    """The extract was read and is not put in force; the message says why and what to do."""


@dataclass(slots=True, kw_only=True)
class ImportReport:
    """What was read and what it changes. `bad` rows were left out; the first ones are in `problems`."""

    rows: int = 0
    bad: int = 0
    repeated: int = 0
    problems: list[RowProblem] = field(default_factory=list)
    difference: Difference | None = None
    removed_examples: list[str] = field(default_factory=list)
    is_in_force: bool = False

    @property
    def lost_share(self) -> float:
        """The share of the entries in force that would go."""
        if self.difference is None or not self.difference.before:
            return 0.0
        return self.difference.removed / self.difference.before


Progress = Callable[[int], None]
"""Called after each batch with the number of rows read so far."""


class Importer:
    """See the module."""

    def __init__(
        self,
        reader: DirectoryReader,
        committer: Committer,
        *,
        audit: AuditTrail,
        clock: Clock,
        settings: AnnuaireSettings,
    ) -> None:
        self._reader = reader
        self._committer = committer
        self._audit = audit
        self._clock = clock
        self._settings = settings

    async def compare(self, path: Path, *, progress: Progress = lambda rows: None) -> ImportReport:
        """The dry run: everything but the switch. Raises NotAnExtract."""
        report, generation = await self._stage(path, progress)
        await self._give_up(generation)
        return report

    async def run(
        self, path: Path, *, by: str, force: bool = False, progress: Progress = lambda rows: None
    ) -> ImportReport:
        """Put the extract in force. Raises NotAnExtract, and ImportRefused unless forced; then nothing changed."""
        report, generation = await self._stage(path, progress)
        try:
            if not force:
                self._judge(report)
            await self._switch(generation, report, by, force)
        except BaseException:
            await self._give_up(generation)
            raise
        await self._purge()
        return report

    async def _stage(self, path: Path, progress: Progress) -> tuple[ImportReport, int]:
        await self._purge()
        generation = await self._reader.next_generation()
        await self._write(StagingBegun(generation, self._now()))
        report = ImportReport()
        try:
            with open_extract(path) as stream:
                rows = read_rows(stream, strict=self._settings.strict_identities)
                while batch := await asyncio.to_thread(_next_batch, rows):
                    await self._stage_batch(generation, batch, report)
                    progress(report.rows)
            report.difference = await self._reader.difference(generation)
            report.repeated = report.rows - report.bad - report.difference.after
            report.removed_examples = await self._reader.removed_addresses(generation)
            if not report.difference.after:
                raise NotAnExtract("the extract holds no row that can be read")
        except BaseException:
            await self._give_up(generation)
            raise
        return report, generation

    async def _stage_batch(
        self, generation: int, batch: list[dict[str, Any] | RowProblem], report: ImportReport
    ) -> None:
        report.rows += len(batch)
        for row in batch:
            if isinstance(row, RowProblem):
                report.bad += 1
                if len(report.problems) < PROBLEMS_KEPT:
                    report.problems.append(row)
        good = [row for row in batch if not isinstance(row, RowProblem)]
        if good:
            await self._write(EntriesStaged(generation, good))

    def _judge(self, report: ImportReport) -> None:
        if report.bad > report.rows * LARGEST_BAD_SHARE:
            raise ImportRefused(
                f"{report.bad} of {report.rows} rows cannot be read (first: line {report.problems[0].line}, "
                f"{report.problems[0].reason}); look at the file, or import it with --force"
            )
        if report.lost_share > self._settings.largest_loss:
            assert report.difference is not None
            raise ImportRefused(
                f"{report.difference.removed} of {report.difference.before} entries would go "
                f"({report.lost_share:.1%}, the limit is {self._settings.largest_loss:.0%}); "
                "look at it with --dry-run, then import it with --force"
            )

    async def _switch(self, generation: int, report: ImportReport, by: str, force: bool) -> None:
        assert report.difference is not None
        unit = UnitOfWork()
        unit.add(GenerationInForce(generation, report.difference.after, self._now()))
        facts = {
            "act": "import",
            "count": str(report.difference.after),
            "added": str(report.difference.added),
            "removed": str(report.difference.removed),
            "changed": str(report.difference.changed),
            "bad": str(report.bad),
            "forced": "yes" if force else "no",
        }
        event = AuditEvent(kind=AuditKind.DIRECTORY_CHANGED, facts=facts, persons={"operator": by})
        self._audit.record(unit, event)
        await self._committer.commit(unit)
        report.is_in_force = True

    async def _give_up(self, generation: int) -> None:
        try:
            await self._write(GenerationGivenUp(generation))
            await self._purge()
        except GatewayError:
            # What is left of it is retired by the next import; the error that brought us here matters more.
            return

    async def _purge(self) -> None:
        while retired := await self._reader.retired():
            await self._write(RetiredPurged(retired[0]))

    async def _write(self, change: Change) -> None:
        unit = UnitOfWork()
        unit.add(change)
        await self._committer.commit(unit)

    def _now(self) -> int:
        return int(self._clock.now().timestamp())


def _next_batch(rows: Iterator[DirectoryEntry | RowProblem]) -> list[dict[str, Any] | RowProblem]:
    return [
        row if isinstance(row, RowProblem) else _stored(row) for row in itertools.islice(rows, BATCH_ROWS)
    ]


def _stored(entry: DirectoryEntry) -> dict[str, Any]:
    address = str(entry.address)
    who = (entry.rpps, entry.adeli, entry.finess, entry.siret)
    said = {
        "written_address": address,
        "kind": entry.kind.value,
        "rpps": entry.rpps,
        "adeli": entry.adeli,
        "finess": entry.finess,
        "siret": entry.siret,
        "family_name": entry.family_name,
        "given_name": entry.given_name,
        "family_key": name_key(entry.family_name),
        "profession": entry.profession,
        "speciality": entry.speciality,
        "structure": entry.structure,
        "service": entry.service,
        "postal_code": entry.postal_code,
        "city": entry.city,
        "is_red_listed": entry.is_red_listed,
    }
    return {
        **said,
        "address": entry.address.canonical,
        "entry_key": _number(*who),
        "content": _number(*map(str, said.values())),
    }


def _number(*parts: str) -> int:
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
