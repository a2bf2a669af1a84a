"""The part table of a letter: which octets an IMAP body section names.

What it is: a compact, serialisable table of offsets, made once at delivery (`PartTable.of`), and the section
rules of RFC 3501 §6.4.5 (`PartTable.span`). What it is not: a MIME reader (`core.mime`) or the FETCH grammar.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from core.errors import PermanentError
from core.mime import Part

_VERSION = b"\x01"
_ROW = struct.Struct("<IIIII")
_LEAF, _MULTIPART, _LETTER = 0, 1, 2

SPECIFIERS = frozenset({"", "HEADER", "TEXT", "MIME"})
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class PartTable:
    """Rows in the order of the octets: (kind, header start, body start, body end, rows of this subtree)."""

    rows: tuple[tuple[int, int, int, int, int], ...]

    @classmethod
    def of(cls, part: Part) -> PartTable:
        """The table of a whole letter's tree."""
        rows: list[tuple[int, int, int, int, int]] = []
        _append(rows, part)
        return cls(tuple(rows))

    @classmethod
    def load(cls, data: bytes) -> PartTable:
        """Read what `dump` wrote; raises PermanentError for anything else."""
        if not data.startswith(_VERSION) or len(data) == 1 or (len(data) - 1) % _ROW.size:
            raise PermanentError("a stored part table cannot be read")
        return cls(tuple(_ROW.iter_unpack(data[1:])))

    def dump(self) -> bytes:
        """20 octets a part, and one for the version."""
        return _VERSION + b"".join(_ROW.pack(*row) for row in self.rows)

    def span(self, path: tuple[int, ...], specifier: str = "") -> Span | None:
        """The octets [start, end) of a section of the whole letter, or None when the letter has no such part.

        `specifier` is one of SPECIFIERS. BODY[] is `((), "")`, BODY[2.1.HEADER] is `((2, 1), "HEADER")`.
        """
        if not path:
            return _letter_section(self.rows[0], specifier)
        index = 0  # a row whose parts are numbered
        for number in path[:-1]:
            found = self._numbered(index, number)
            if found is None or self.rows[found][0] == _LEAF:
                return None
            # RFC 3501 §6.4.5: the parts of a message/rfc822 part are those of the letter inside.
            index = found + 1 if self.rows[found][0] == _LETTER else found
        last = self._numbered(index, path[-1])
        return None if last is None else self._part_section(last, specifier)

    def _numbered(self, index: int, number: int) -> int | None:
        """The row of part `number` of the letter or multipart at `index`."""
        rows = self.rows
        if rows[index][0] != _MULTIPART:
            # RFC 3501 §6.4.5: "Every message has at least one part number"; 1 is the body itself.
            return index if number == 1 else None
        child, end = index + 1, index + rows[index][4]
        for _ in range(number - 1):
            if child >= end:
                break
            child += rows[child][4]
        return child if number > 0 and child < end else None

    def _part_section(self, index: int, specifier: str) -> Span | None:
        kind, header_start, body_start, body_end, _ = self.rows[index]
        if specifier == "":
            return body_start, body_end
        if specifier == "MIME":
            return header_start, body_start
        # RFC 3501 §6.4.5: HEADER and TEXT of a numbered part are those of the message/rfc822 letter inside.
        return _letter_section(self.rows[index + 1], specifier) if kind == _LETTER else None


def _letter_section(row: tuple[int, int, int, int, int], specifier: str) -> Span | None:
    _, header_start, body_start, body_end, _ = row
    match specifier:
        case "":
            return header_start, body_end
        case "HEADER":
            return header_start, body_start
        case "TEXT":
            return body_start, body_end
    return None  # RFC 3501 §6.4.5: MIME must be prefixed by a part number


def _append(rows: list[tuple[int, int, int, int, int]], part: Part) -> None:
    place = len(rows)
    kind = _LETTER if part.message else _MULTIPART if part.children else _LEAF
    rows.append((kind, part.header_start, part.body_start, part.body_end, 1))
    for child in part.children if part.message is None else (part.message,):
        _append(rows, child)
    rows[place] = (*rows[place][:4], len(rows) - place)
