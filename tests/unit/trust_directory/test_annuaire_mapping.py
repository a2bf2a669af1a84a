"""A row of the directory's extract is read by the names of its columns, whatever their order and spelling."""

from __future__ import annotations

import pytest

from core.bal import BalKind
from trust_directory.annuaire.mapping import (
    ALIASES,
    WRITTEN,
    Columns,
    DirectoryEntry,
    NotAnExtract,
    RowRefused,
    header_key,
    row_of,
)

HEADER = [
    "Type de BAL",
    "Adresse BAL",
    "Type d'identifiant PP",
    "Identifiant PP",
    "Identification nationale PP",
    "Type identification structure",
    "Identification structure",
    "Nom d'exercice",
    "Prénom d'exercice",
    "Libellé profession",
    "Libellé savoir-faire",
    "Raison Sociale structure BAL",
    "L6LIGNEACHEMINEMENT structure BAL",
    "Liste rouge",
]
ROW = [
    "PER",
    "Anne.TEST-RIVAGE@ch-rivage.mssante.example",
    "8",
    "99700001011",
    "899700001011",
    "1",
    "1990000010",
    "TEST-RIVAGE",
    "Anne",
    "Médecin",
    "Médecine générale",
    "CH DU RIVAGE TEST",
    "29200 LE RIVAGE CEDEX",
    "N",
]


def read(**changes: str) -> DirectoryEntry:
    """The entry of the row with some columns changed (by header name)."""
    row = list(ROW)
    for name, value in changes.items():
        row[HEADER.index(name.replace("_", " "))] = value
    return Columns.of(HEADER).entry(row)


def with_column(name: str, value: str, *, strict: bool = False) -> DirectoryEntry:
    row = list(ROW)
    row[HEADER.index(name)] = value
    return Columns.of(HEADER, strict=strict).entry(row)


def test_a_row_of_a_doctor() -> None:
    entry = read()
    assert str(entry.address) == "Anne.TEST-RIVAGE@ch-rivage.mssante.example"
    assert (entry.kind, entry.rpps, entry.finess) == (BalKind.PERSONNELLE, "99700001011", "990000010")
    assert (entry.family_name, entry.given_name) == ("TEST-RIVAGE", "Anne")
    assert (entry.profession, entry.speciality) == ("Médecin", "Médecine générale")
    assert (entry.structure, entry.postal_code, entry.city) == (
        "CH DU RIVAGE TEST",
        "29200",
        "LE RIVAGE CEDEX",
    )
    assert not entry.is_red_listed
    assert "anne" not in repr(entry).lower()


def test_columns_are_found_whatever_their_order_case_accents_and_apostrophes() -> None:
    shuffled = [name.upper().replace("'", "’").replace("É", "E") + " " for name in reversed(HEADER)]
    assert Columns.of(shuffled).entry(list(reversed(ROW))) == read()


def test_unknown_columns_are_passed_over_and_the_better_name_wins() -> None:
    header = [*HEADER, "Nom de famille", "Colonne nouvelle"]
    assert Columns.of(header).entry([*ROW, "AUTRE", "x"]).family_name == "TEST-RIVAGE"
    header = ["Nom de famille", *HEADER]
    assert Columns.of(header).entry(["AUTRE", *ROW]).family_name == "TEST-RIVAGE"


@pytest.mark.parametrize("missing", ["Adresse BAL", "Type de BAL"])
def test_a_header_without_what_is_needed_names_it(missing: str) -> None:
    with pytest.raises(NotAnExtract, match=missing):
        Columns.of([name for name in HEADER if name != missing])


def test_a_column_that_stands_twice_is_refused() -> None:
    with pytest.raises(NotAnExtract, match="twice"):
        Columns.of([*HEADER, "adresse bal"])


@pytest.mark.parametrize(
    ("column", "value", "word"),
    [
        ("Adresse BAL", "pas une adresse", "Adresse BAL"),
        ("Adresse BAL", "", "Adresse BAL"),
        ("Type de BAL", "XYZ", "Type de BAL"),
        ("Type de BAL", "CIT", "citizen"),
        ("Identifiant PP", "9970000101", "Identifiant PP"),
        ("Identification structure", "12345678", "Identification structure"),
        ("Nom d'exercice", "A\x07B", "Nom d'exercice"),
        ("Liste rouge", "peut-être", "Liste rouge"),
    ],
)
def test_a_bad_row_names_its_column_and_never_its_value(column: str, value: str, word: str) -> None:
    with pytest.raises(RowRefused, match=word) as refusal:
        with_column(column, value)
    assert not value or value not in str(refusal.value)


def test_a_shifted_row_is_refused() -> None:
    with pytest.raises(RowRefused, match="13 columns"):
        Columns.of(HEADER).entry(ROW[:-1])


@pytest.mark.parametrize(
    ("number", "finess", "siret"),
    [
        ("1990000010", "990000010", ""),
        ("990000010", "990000010", ""),
        ("F990000010", "990000010", ""),
        ("12A0000010", "2A0000010", ""),
        ("12345678901234", "", "12345678901234"),
        ("", "", ""),
    ],
)
def test_the_forms_of_a_structure_number(number: str, finess: str, siret: str) -> None:
    entry = with_column("Identification structure", number)
    assert (entry.finess, entry.siret) == (finess, siret)


def test_a_structure_number_of_another_kind_is_not_taken_for_a_finess() -> None:
    header = [*HEADER]
    row = list(ROW)
    row[header.index("Type identification structure")] = "4"
    row[header.index("Identification structure")] = "899700001011/01"
    assert Columns.of(header).entry(row).finess == ""


@pytest.mark.parametrize(
    ("kind", "number", "national", "rpps", "adeli"),
    [
        ("8", "99700001011", "", "99700001011", ""),
        ("", "99700001011", "", "99700001011", ""),
        ("", "", "899700001011", "99700001011", ""),
        ("0", "299999999", "", "", "299999999"),
        ("", "299999999", "", "", "299999999"),
        ("5", "12345678901234/1", "", "", ""),
        ("", "", "", "", ""),
    ],
)
def test_the_forms_of_a_persons_number(kind: str, number: str, national: str, rpps: str, adeli: str) -> None:
    row = list(ROW)
    for column, value in (
        ("Type d'identifiant PP", kind),
        ("Identifiant PP", number),
        ("Identification nationale PP", national),
    ):
        row[HEADER.index(column)] = value
    entry = Columns.of(HEADER).entry(row)
    assert (entry.rpps, entry.adeli) == (rpps, adeli)


def test_a_key_that_does_not_hold_is_refused_only_when_strict() -> None:
    assert with_column("Identifiant PP", "99700001012").rpps == "99700001012"
    with pytest.raises(RowRefused, match="key"):
        with_column("Identifiant PP", "99700001012", strict=True)
    assert with_column("Identifiant PP", "99700001011", strict=True).rpps == "99700001011"


@pytest.mark.parametrize(
    ("text", "is_red"), [("O", True), ("oui", True), ("1", True), ("N", False), ("", False)]
)
def test_the_red_list(text: str, is_red: bool) -> None:
    assert with_column("Liste rouge", text).is_red_listed is is_red


def test_what_is_written_reads_the_same() -> None:
    columns = Columns.of([ALIASES[field][0] for field in WRITTEN])
    for entry in (read(), with_column("Identification structure", "12345678901234"), read(Liste_rouge="O")):
        assert columns.entry(row_of(entry)) == entry


def test_no_two_fields_share_a_header_name() -> None:
    keys = [header_key(name) for names in ALIASES.values() for name in names]
    assert len(keys) == len(set(keys))
