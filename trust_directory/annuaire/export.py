"""Write an extract of the directory in the publisher's format; what `extract` reads, this writes.

What it is: for private trust spaces, tests and demonstrations. What it is not: the publication of our boxes to
the national directory. Start at `write_extract`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import IO

from trust_directory.annuaire.mapping import ALIASES, WRITTEN, DirectoryEntry, row_of


def write_extract(stream: IO[bytes], entries: Iterable[DirectoryEntry]) -> int:
    """Write header and rows (UTF-8, `|`, a last `|`, LF); the number of rows."""
    stream.write(_line([ALIASES[field][0] for field in WRITTEN]))
    count = 0
    for entry in entries:
        stream.write(_line(row_of(entry)))
        count += 1
    return count


def write_extract_file(path: Path, entries: Iterable[DirectoryEntry]) -> int:
    """Write it to a file, whole or not at all; the number of rows."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    with unfinished.open("wb") as stream:
        count = write_extract(stream, entries)
    unfinished.replace(path)
    return count


def _line(cells: list[str]) -> bytes:
    return ("|".join(cells) + "|\n").encode("utf-8")
