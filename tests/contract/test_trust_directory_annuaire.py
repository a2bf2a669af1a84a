"""The directory on both engines: one statement puts a generation in force, a suspicious extract changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from sqlalchemy import text

import trust_directory.annuaire.importer as importer_module
import trust_directory.annuaire.storage as storage_module
from core.address import Mailbox
from core.audit import AuditKind
from core.bal import BalKind
from core.errors import StoreError
from core.identity import Finess, Rpps
from core.testing.audit import MemoryAuditTrail
from core.testing.clock import FakeClock
from core.unit_of_work import UnitOfWork
from trust_directory.annuaire.bal_index import BalIndex
from trust_directory.annuaire.export import write_extract_file
from trust_directory.annuaire.importer import Importer, ImportRefused
from trust_directory.annuaire.mapping import DirectoryEntry, NotAnExtract
from trust_directory.annuaire.storage import DirectoryApplier, DirectoryReader, ImportOvertaken
from trust_directory.settings import AnnuaireSettings
from vaguemestre.committer import GroupCommitter
from vaguemestre.database import Database

CABINET, RIVAGE = "cabinet.mssante.example", "ch-rivage.mssante.example"


def entry(address: str, kind: BalKind = BalKind.PERSONNELLE, **more: str) -> DirectoryEntry:
    return DirectoryEntry(address=Mailbox.parse(address), kind=kind, **more)  # type: ignore[arg-type]


PAUL = entry(f"Paul.TEST-DUNE@{CABINET}", rpps="99700001029", family_name="TEST-DUNE", given_name="Paul")
PAULE = entry(f"paule.test-dune@{CABINET}", rpps="99700001037", family_name="Test Dune", given_name="Paule")
ANNE = entry(
    f"anne.test-rivage@{RIVAGE}", rpps="99700001011", finess="990000010", family_name="TEST-RIVAGE",
    given_name="Anne", structure="CH DU RIVAGE TEST", city="LE RIVAGE", postal_code="29200",
)  # fmt: skip
WARD = entry(f"medecine@{RIVAGE}", BalKind.ORGANISATIONNELLE, finess="990000010", service="Médecine")
CAST = [PAUL, PAULE, ANNE, WARD]


@dataclass
class Desk:
    database: Database
    clock: FakeClock
    folder: Path
    settings: AnnuaireSettings = field(default_factory=AnnuaireSettings)

    def __post_init__(self) -> None:
        self.audit = MemoryAuditTrail()
        self.committer = GroupCommitter(self.database, [DirectoryApplier()])
        self.reader = DirectoryReader(self.database)
        self.index = BalIndex(self.reader)
        self.importer = Importer(
            self.reader, self.committer, audit=self.audit, clock=self.clock, settings=self.settings
        )

    def extract(self, entries: list[DirectoryEntry]) -> Path:
        path = self.folder / "extract.txt"
        write_extract_file(path, entries)
        return path

    async def addresses(self) -> list[str]:
        async with self.database.read() as connection:
            rows = await connection.execute(
                text(
                    "SELECT address FROM directory_entry e JOIN directory_generation g USING (generation)"
                    " WHERE g.state = 'in-force' ORDER BY address"
                )
            )
            return [str(row[0]) for row in rows]

    async def leftovers(self) -> tuple[int, int]:
        """(generations, entries) stored that are not in force."""
        async with self.database.read() as connection:
            generations = "SELECT count(*) FROM directory_generation WHERE state <> 'in-force'"
            entries = (
                "SELECT count(*) FROM directory_entry WHERE generation NOT IN"
                " (SELECT generation FROM directory_generation WHERE state = 'in-force')"
            )
            return (
                (await connection.execute(text(generations))).scalar_one(),
                (await connection.execute(text(entries))).scalar_one(),
            )


@pytest.fixture
def desk(database: Database, clock: FakeClock, tmp_path: Path) -> Desk:
    return Desk(database, clock, tmp_path)


def many(count: int) -> list[DirectoryEntry]:
    return [entry(f"box{n:04}@{CABINET}", BalKind.ORGANISATIONNELLE) for n in range(count)]


async def test_before_the_first_import_nothing_is_found(desk: Desk) -> None:
    assert await desk.index.state() is None
    assert await desk.index.by_address(PAUL.address) == []
    assert await desk.reader.removed_addresses(1) == []


async def test_an_import_is_in_force_with_its_event(desk: Desk, clock: FakeClock) -> None:
    seen: list[int] = []
    report = await desk.importer.run(desk.extract(CAST), by="pierre", progress=seen.append)
    assert report.is_in_force
    assert (report.rows, report.bad, report.repeated) == (4, 0, 0)
    assert seen == [4]
    state = await desk.index.state()
    assert state is not None
    assert (state.entries, state.in_force_at) == (4, int(clock.now().timestamp()))
    (event,) = desk.audit.of(AuditKind.DIRECTORY_CHANGED)
    assert event.persons == {"operator": "pierre"}
    assert event.facts["added"] == "4"
    assert await desk.leftovers() == (0, 0)


async def test_boxes_are_found_by_address_number_structure_and_name(desk: Desk) -> None:
    await desk.importer.run(desk.extract(CAST), by="pierre")
    assert await desk.index.by_address(Mailbox.parse(f"PAUL.test-dune@{CABINET}")) == [PAUL]
    assert await desk.index.by_rpps(Rpps("99700001011")) == [ANNE]
    assert await desk.index.by_finess(Finess("990000010")) == [ANNE, WARD]
    assert await desk.index.by_family_name("Test-Dune") == [PAUL, PAULE]
    assert await desk.index.by_family_name("  ") == ()


async def test_the_homonym_is_found_and_the_same_person_is_none(desk: Desk) -> None:
    elsewhere = entry(f"p.dune@{RIVAGE}", rpps=PAUL.rpps, family_name="TEST-DUNE", given_name="Paul")
    jean = entry(f"jean.test-dune@{CABINET}", rpps="99700001052", family_name="TEST-DUNE", given_name="Jean")
    await desk.importer.run(desk.extract([*CAST, elsewhere, jean]), by="pierre")
    assert await desk.index.homonyms(PAUL) == [PAULE]
    assert await desk.index.homonyms(ANNE) == []
    assert await desk.index.homonyms(WARD) == ()


async def test_the_red_list_is_known_by_address_and_shown_in_no_search(desk: Desk) -> None:
    hidden = replace(PAULE, is_red_listed=True)
    await desk.importer.run(desk.extract([PAUL, hidden]), by="pierre")
    assert await desk.index.by_address(PAULE.address) == [hidden]
    assert await desk.index.by_rpps(Rpps(PAULE.rpps)) == [hidden]
    assert await desk.index.by_family_name("test dune") == [PAUL]
    assert await desk.index.homonyms(PAUL) == []


async def test_a_second_import_takes_the_place_of_the_first(desk: Desk) -> None:
    await desk.importer.run(desk.extract([*many(96), *CAST]), by="pierre")
    moved = replace(ANNE, city="LES DUNES")
    new = entry(f"infirmiere@{CABINET}", rpps="99700001052")
    report = await desk.importer.run(
        desk.extract([*many(95), PAUL, PAULE, moved, new, new, WARD]), by="pierre"
    )
    difference = report.difference
    assert difference is not None
    assert (difference.added, difference.removed, difference.changed) == (1, 1, 1)
    assert (difference.before, difference.after, report.repeated) == (100, 100, 1)
    assert report.removed_examples == [f"box0095@{CABINET}"]
    assert await desk.index.by_address(ANNE.address) == [moved]
    assert await desk.leftovers() == (0, 0)


async def test_somebody_in_two_structures_has_two_entries_and_one_address(desk: Desk) -> None:
    second = replace(ANNE, finess="990000036", structure="EHPAD DES PINS")
    await desk.importer.run(desk.extract([ANNE, second]), by="pierre")
    found = await desk.index.by_address(ANNE.address)
    assert sorted(one.finess for one in found) == ["990000010", "990000036"]


async def test_a_dry_run_tells_everything_and_changes_nothing(desk: Desk) -> None:
    await desk.importer.run(desk.extract(many(10)), by="pierre")
    report = await desk.importer.compare(desk.extract(CAST))
    assert report.difference is not None
    assert (report.difference.added, report.difference.removed) == (4, 10)
    assert report.lost_share == 1.0
    assert not report.is_in_force
    assert len(await desk.addresses()) == 10
    assert len(desk.audit.events) == 1
    assert await desk.leftovers() == (0, 0)


async def test_an_extract_that_lost_too_much_is_refused_unless_forced(desk: Desk) -> None:
    await desk.importer.run(desk.extract(many(100)), by="pierre")
    with pytest.raises(ImportRefused, match="6 of 100") as refusal:
        await desk.importer.run(desk.extract(many(94)), by="pierre")
    assert "--force" in str(refusal.value)
    assert len(await desk.addresses()) == 100
    assert await desk.leftovers() == (0, 0)
    await desk.importer.run(desk.extract(many(95)), by="pierre")  # five in a hundred is the limit
    report = await desk.importer.run(desk.extract(many(50)), by="pierre", force=True)
    assert report.is_in_force
    assert desk.audit.events[-1].facts["forced"] == "yes"
    assert len(await desk.addresses()) == 50


async def test_bad_rows_are_left_out_and_told_and_too_many_are_a_refusal(desk: Desk) -> None:
    path = desk.extract(many(40))
    path.write_bytes(path.read_bytes() + b"PER|x|\n" * 4)
    report = await desk.importer.run(path, by="pierre")
    assert (report.rows, report.bad) == (44, 4)
    assert [problem.line for problem in report.problems] == [42, 43, 44, 45]
    path.write_bytes(path.read_bytes() + b"PER|x|\n" * 4)
    with pytest.raises(ImportRefused, match="8 of 48 rows"):
        await desk.importer.run(path, by="pierre")
    assert (await desk.importer.run(path, by="pierre", force=True)).bad == 8


@pytest.mark.parametrize(
    "octets", [b"Nom|\nA|\n", b"", b"Type de BAL|Adresse BAL|\n"], ids=["other", "empty", "rowless"]
)
async def test_a_file_that_is_no_extract_changes_nothing(desk: Desk, octets: bytes) -> None:
    await desk.importer.run(desk.extract(CAST), by="pierre")
    path = desk.folder / "other.txt"
    path.write_bytes(octets)
    with pytest.raises(NotAnExtract):
        await desk.importer.run(path, by="pierre", force=True)
    assert len(await desk.addresses()) == 4
    assert await desk.leftovers() == (0, 0)


async def test_a_large_extract_goes_in_batches_and_is_purged_in_batches(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importer_module, "BATCH_ROWS", 10)
    monkeypatch.setattr(storage_module, "PURGE_ROWS", 7)
    seen: list[int] = []
    await desk.importer.run(desk.extract(many(35)), by="pierre", progress=seen.append)
    assert seen == [10, 20, 30, 35]
    await desk.importer.run(desk.extract(many(36)), by="pierre")
    assert len(await desk.addresses()) == 36
    assert await desk.leftovers() == (0, 0)


async def test_a_failure_in_the_middle_leaves_the_one_in_force(desk: Desk) -> None:
    await desk.importer.run(desk.extract(CAST), by="pierre")
    commit = desk.committer.commit

    async def failing(unit: UnitOfWork) -> None:
        if type(unit.changes[0]).__name__ == "GenerationInForce":
            raise StoreError("the disk is away")
        await commit(unit)

    desk.committer.commit = failing  # type: ignore[method-assign]
    with pytest.raises(StoreError):
        await desk.importer.run(desk.extract([PAUL]), by="pierre", force=True)
    assert len(await desk.addresses()) == 4
    assert len(desk.audit.events) == 1
    assert await desk.leftovers() == (0, 0)


async def test_what_a_killed_import_left_is_removed_by_the_next(desk: Desk) -> None:
    report, _ = await desk.importer._stage(desk.extract(CAST), lambda rows: None)
    assert report.rows == 4
    assert await desk.leftovers() == (1, 4)
    await desk.importer.run(desk.extract([PAUL]), by="pierre")
    assert await desk.addresses() == [PAUL.address.canonical]
    assert await desk.leftovers() == (0, 0)


async def test_of_two_imports_at_once_the_later_wins_and_the_earlier_is_told(desk: Desk) -> None:
    _, earlier = await desk.importer._stage(desk.extract([PAUL]), lambda rows: None)
    report, later = await desk.importer._stage(desk.extract(CAST), lambda rows: None)
    assert later > earlier
    with pytest.raises(ImportOvertaken):
        await desk.importer._switch(earlier, report, "pierre", force=False)
    assert desk.audit.events == []
    await desk.importer._switch(later, report, "pierre", force=False)
    assert len(await desk.addresses()) == 4
