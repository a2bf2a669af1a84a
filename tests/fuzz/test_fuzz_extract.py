"""Invariant: any file is rows and row problems that name no person, or is refused as no extract."""

import io
import tempfile
from pathlib import Path

from hypothesis import given

from core.address import Mailbox
from core.bal import BalKind
from core.testing.near_valid import near_valid
from trust_directory.annuaire.export import write_extract_file
from trust_directory.annuaire.extract import RowProblem, open_extract, read_rows
from trust_directory.annuaire.mapping import DirectoryEntry, NotAnExtract


def _sample() -> bytes:
    entries = [
        DirectoryEntry(
            address=Mailbox.parse("anne.test-rivage@ch-rivage.mssante.example"), kind=BalKind.PERSONNELLE,
            rpps="99700001011", finess="", family_name="TEST-RIVAGE", given_name="Anne", profession="Médecin",
            structure="Centre hospitalier",
        ),
        DirectoryEntry(
            address=Mailbox.parse("medecine@ch-rivage.mssante.example"), kind=BalKind.ORGANISATIONNELLE, rpps="",
            finess="990000010", family_name="", given_name="", profession="", structure='Service "A"',
        ),
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "extract.txt"
        write_extract_file(path, entries)
        return path.read_bytes()


SAMPLE = _sample()
PIECES = [
    b"|", b"||", b"\n", b"\r\n", b"\r", b"\xff", b"\xef\xbb\xbf", b"\x00", b'"', b"PER", b"ORG", b"@",
    b"99700001011", b"O", b"x" * 700, b"PK\x03\x04", "é".encode(),
]  # fmt: skip


@given(near_valid([SAMPLE], PIECES))
def test_rows(octets: bytes) -> None:
    try:
        rows = list(read_rows(io.BytesIO(octets)))
    except NotAnExtract:
        return
    assert len(rows) <= octets.count(b"\n") + 1
    for row in rows:
        if isinstance(row, RowProblem):
            assert "TEST-RIVAGE" not in row.reason
            assert "@" not in row.reason
        else:
            assert Mailbox.parse(str(row.address)) == row.address


@given(near_valid([b"PK\x03\x04" + bytes(26) + SAMPLE, SAMPLE], PIECES))
def test_files_that_claim_to_be_zipped(octets: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "Extraction_Correspondance_MSSante_1.zip"
        path.write_bytes(octets)
        try:
            with open_extract(path) as stream:
                list(read_rows(stream))
        except NotAnExtract:
            return
