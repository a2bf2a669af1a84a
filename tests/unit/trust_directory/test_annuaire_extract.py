"""The extract is read as a stream, plain or zipped; what is wrong is counted with its line, or refused whole."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

import trust_directory.annuaire.extract as extract
from core.address import Mailbox
from core.bal import BalKind
from trust_directory.annuaire.export import write_extract, write_extract_file
from trust_directory.annuaire.extract import RowProblem, open_extract, read_rows
from trust_directory.annuaire.mapping import DirectoryEntry, NotAnExtract

NAME = "Extraction_Correspondance_MSSante_202603020800.txt"


def entry(local_part: str, **more: str) -> DirectoryEntry:
    mailbox = Mailbox.parse(f"{local_part}@cabinet.mssante.example")
    return DirectoryEntry(address=mailbox, kind=BalKind.PERSONNELLE, **more)  # type: ignore[arg-type]


DOCTORS = [
    entry("paul.test-dune", rpps="99700001029", family_name="TEST-DUNE", given_name="Paul"),
    entry("paule.test-dune", rpps="99700001037", family_name="TEST-DUNE", given_name="Paule"),
]


def written(entries: list[DirectoryEntry] = DOCTORS) -> bytes:
    stream = io.BytesIO()
    write_extract(stream, entries)
    return stream.getvalue()


def rows(octets: bytes) -> list[DirectoryEntry | RowProblem]:
    return list(read_rows(io.BytesIO(octets)))


def test_what_is_written_is_read() -> None:
    assert rows(written()) == DOCTORS


def test_byte_order_mark_crlf_empty_lines_and_missing_last_separator() -> None:
    octets = b"\xef\xbb\xbf" + written().replace(b"\n", b"\r\n") + b"\r\n"
    assert rows(octets) == DOCTORS
    assert rows(written().replace(b"|\n", b"\n")) == DOCTORS
    header, rest = written().split(b"\n", 1)
    assert rows(header.rstrip(b"|") + b"\n" + rest) == DOCTORS


def test_one_bad_row_is_isolated_with_its_line_number() -> None:
    header, first, second = written().splitlines(keepends=True)
    bad = [
        b"PER|caf\xe9|\n",
        b"PER|a|b|\n",
        first.replace(b"paul.", b"pa ul."),
        b"x" * (extract.MAX_LINE * 3) + b"\n",
    ]
    found = rows(b"".join([header, first, *bad, second]))
    assert [row for row in found if isinstance(row, DirectoryEntry)] == DOCTORS
    problems = [row for row in found if isinstance(row, RowProblem)]
    assert [problem.line for problem in problems] == [3, 4, 5, 6]
    assert "UTF-8" in problems[0].reason
    assert "4 columns" in problems[1].reason
    assert "Adresse BAL" in problems[2].reason


def test_a_quotation_mark_is_a_quotation_mark() -> None:
    quoted = [entry("a.b", structure='CABINET "DES DUNES'), entry("c.d", structure='L"AUTRE')]
    assert rows(written(quoted)) == quoted


@pytest.mark.parametrize("octets", [b"", b"\xff\xfe\n", b"Nom|Prenom|\nA|B|\n"])
def test_a_file_that_is_no_extract_is_refused(octets: bytes) -> None:
    with pytest.raises(NotAnExtract):
        rows(octets)


def test_a_file_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extract, "MAX_OCTETS", 200)
    with pytest.raises(NotAnExtract, match="too large"):
        rows(written())


def test_a_plain_file_and_a_zipped_one_read_the_same(tmp_path: Path) -> None:
    plain = tmp_path / NAME
    assert write_extract_file(plain, DOCTORS) == 2
    zipped = tmp_path / "extract.zip"
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("LISEZMOI.txt", "notice")
        archive.write(plain, f"dossier/{NAME}")
    for path in (plain, zipped):
        with open_extract(path) as stream:
            assert list(read_rows(stream)) == DOCTORS
    assert [found.name for found in tmp_path.iterdir() if found.name.startswith(".")] == []


def zip_of(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, octets in files.items():
            archive.writestr(name, octets)
    return path


@pytest.mark.parametrize(
    "files",
    [
        {"autre.txt": b"x"},
        {NAME: b"x", f"b/{NAME}": b"y"},
        {NAME: b"\0" * 5_000_000},
        {**{f"f{n}": b"" for n in range(101)}, NAME: b"x"},
    ],
    ids=["none", "two", "bomb", "many"],
)
def test_hostile_and_wrong_archives_are_refused(tmp_path: Path, files: dict[str, bytes]) -> None:
    with pytest.raises(NotAnExtract), open_extract(zip_of(tmp_path / "a.zip", files)) as stream:
        list(read_rows(stream))


def test_a_damaged_archive_is_refused_in_the_middle(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "a.zip", {NAME: written() * 50})
    octets = bytearray(path.read_bytes())
    octets[60:80] = bytes(20)
    path.write_bytes(octets)
    with pytest.raises(NotAnExtract), open_extract(path) as stream:
        list(read_rows(stream))
    path.write_bytes(octets[:90])
    with pytest.raises(NotAnExtract), open_extract(path):
        pass


def test_an_archive_that_lies_about_its_size_gives_no_more_than_it_announced(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "a.zip", {NAME: written()})
    octets = path.read_bytes()
    real = len(written()).to_bytes(4, "little")
    assert octets.count(real) == 2
    path.write_bytes(octets.replace(real, (40).to_bytes(4, "little")))
    with pytest.raises(NotAnExtract), open_extract(path) as stream:
        list(read_rows(stream))


def test_a_missing_file_is_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(NotAnExtract, match="cannot be read"), open_extract(tmp_path / "nothing"):
        pass
