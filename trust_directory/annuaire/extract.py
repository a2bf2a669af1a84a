"""Read `Extraction_Correspondance_MSSante*.txt`, plain or zipped, one row at a time.

What it is: a stream with constant memory; one bad row is a `RowProblem` with its line number and the rest goes
on. What it is not: the meaning of columns (`mapping`) or their storage (`importer`). Start at `open_extract`.

The file is UTF-8 with or without byte order mark, separated by `|`, one header line, with or without a last
`|`. It has no quoting: a quotation mark in the name of a structure is a quotation mark.
"""

from __future__ import annotations

import fnmatch
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from trust_directory.annuaire.mapping import Columns, DirectoryEntry, NotAnExtract, RowRefused

MAX_LINE = 64 * 1024  # ours: the real lines have some 600 octets
MAX_OCTETS = 4 * 1024**3  # ours: ten times a million rows
MAX_RATIO = 100  # ours: such text shrinks ten times, a zip bomb a thousand
MAX_MEMBERS = 100  # ours: the published archive holds one file
BOM = b"\xef\xbb\xbf"
ZIP_MAGIC = b"PK\x03\x04"
EXPECTED_NAME = "Extraction_Correspondance_MSSante*.txt"


@dataclass(frozen=True, slots=True)
class RowProblem:
    """A row that was not taken; `reason` names the column, never a value."""

    line: int
    reason: str


@contextmanager
def open_extract(path: Path) -> Iterator[IO[bytes]]:
    """The octets of the extract, unzipped when zipped. Nothing is written. Raises `NotAnExtract`."""
    try:
        with path.open("rb") as plain:
            is_zip = plain.read(len(ZIP_MAGIC)) == ZIP_MAGIC
            plain.seek(0)
            if not is_zip:
                yield plain
                return
            with zipfile.ZipFile(plain) as archive, archive.open(_only_member(archive, path)) as member:
                yield member
    except OSError as error:
        raise NotAnExtract(f"the file cannot be read: {error.strerror or 'input error'}") from error
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise NotAnExtract("the archive is damaged, encrypted or of an unknown kind") from error


def _only_member(archive: zipfile.ZipFile, path: Path) -> zipfile.ZipInfo:
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise NotAnExtract("the archive holds too many files")
    found = [member for member in members if fnmatch.fnmatch(Path(member.filename).name, EXPECTED_NAME)]
    if len(found) != 1:
        raise NotAnExtract(f"the archive holds {len(found)} files named {EXPECTED_NAME} instead of one")
    (member,) = found
    # The sizes that the archive announces; `zipfile` never reads beyond them.
    if member.file_size > MAX_OCTETS:
        raise NotAnExtract("the file in the archive is too large")
    if (
        member.file_size > MAX_RATIO * max(member.compress_size, 1)
        or member.compress_size > path.stat().st_size
    ):
        raise NotAnExtract("the archive announces impossible sizes")
    return member


def read_rows(stream: IO[bytes], *, strict: bool = False) -> Iterator[DirectoryEntry | RowProblem]:
    """Every row in order. Raises `NotAnExtract` for a header without the needed columns or an endless file."""
    lines = _lines(stream)
    header = next(lines, None)
    if header is None or header[1] is None:
        raise NotAnExtract("the file is empty or its first line is not UTF-8 text")
    columns = Columns.of(_split(header[1]), strict=strict)
    for number, line in lines:
        if line is None:
            yield RowProblem(number, "the line is not UTF-8 text, or longer than any row")
        elif line:
            try:
                yield columns.entry(_cells(line, columns.width))
            except RowRefused as refusal:
                yield RowProblem(number, str(refusal))


def _lines(stream: IO[bytes]) -> Iterator[tuple[int, str | None]]:
    """(line number, text without its end), None for what is not text or too long."""
    number = total = 0
    try:
        while octets := stream.readline(MAX_LINE + 1):
            number += 1
            total += len(octets)
            too_long = len(octets) > MAX_LINE
            while octets and not octets.endswith(b"\n") and len(octets) > MAX_LINE:
                octets = stream.readline(MAX_LINE + 1)
                total += len(octets)
            if total > MAX_OCTETS:
                raise NotAnExtract("the file is too large")
            if number == 1:
                octets = octets.removeprefix(BOM)
            yield number, None if too_long else _decoded(octets)
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        raise NotAnExtract("the file ends in the middle or is damaged") from error


def _decoded(octets: bytes) -> str | None:
    try:
        return octets.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        return None


def _split(line: str) -> list[str]:
    cells = line.split("|")
    return cells[:-1] if len(cells) > 1 and not cells[-1].strip() else cells


def _cells(line: str, width: int) -> list[str]:
    # The last separator is written after every row, after none, or after the header only.
    cells = line.split("|")
    if len(cells) == width + 1 and not cells[-1].strip():
        cells.pop()
    return cells
