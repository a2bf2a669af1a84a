"""The mbox format: reading the letters of a file (or a folder of files) for an import, writing them for an export.

What it is: mboxrd (RFC 4155's format with every line of `>`s and `From ` quoted once more, so that nothing is lost),
with flags in Status and X-Status. In an export a line of ours stands before each letter with its exact size, flags
and date: with it our own letters come back octet for octet. What it is not: locking; nobody may write to the file
meanwhile. Start at `MboxSource` and `MboxTarget`.
"""

from __future__ import annotations

import asyncio
import calendar
import os
import re
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import IO

from core.errors import ConfigurationError, StoreError
from core.folder import INBOX
from core.message import Message
from mta.imap.names import NameInvalid, decode_utf7, encode_utf7
from vaguemestre.importing import MAX_LETTER, Incoming, LeftOut, Reason, with_line_ends

MARK = b"X-Vaguemestre-Export: 1; "
MAX_LINE = 1024 * 1024  # ours: octets read at once; a longer line is read in pieces
SUFFIX = ".mbox"
_FROM = re.compile(
    rb"From (?:\S.*? )?[A-Z][a-z]{2} +([A-Z][a-z]{2}) +(\d{1,2}) +(\d\d):(\d\d)(?::(\d\d))?\b.*?(\d{4})\b"
)
_QUOTED = re.compile(rb"^>(>*From )", re.MULTILINE)
_TO_QUOTE = re.compile(rb"^(>*From )", re.MULTILINE)
_OURS = re.compile(rb"size=(\d{1,12}); date=(\d{1,12}); flags=([!-~ ]*)\r\n")
_DOT = b"&AC4-"  # a dot that begins a name
_STATUS = {"R": "\\Seen"}
_X_STATUS = {"A": "\\Answered", "F": "\\Flagged", "D": "\\Deleted", "T": "\\Draft"}
_MONTHS = [month.encode() for month in calendar.month_abbr]


class MboxSource:
    """The letters of one mbox file, or of every mbox in a folder and below it. Links are not followed."""

    def __init__(self, path: Path, *, folder: str = "") -> None:
        self._files = [(path, folder or INBOX)] if path.is_file() else list(_mboxes(path))
        if not self._files:
            raise ConfigurationError(f"{path} is no mbox file, and no folder with one in it")

    async def count(self) -> int:
        """See `Source.count`."""
        return await asyncio.to_thread(lambda: sum(_count(path) for path, _ in self._files))

    async def letters(self) -> AsyncIterator[Incoming | LeftOut]:
        """See `Source.letters`."""
        for path, folder in self._files:
            try:
                with path.open("rb") as file:
                    pieces = _pieces(file)
                    number = 0
                    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
                        number += 1
                        yield _read(piece, f"{path.name}#{number}", folder)
            except OSError:
                yield LeftOut(place=path.name, folder=folder, reason=Reason.UNREADABLE)


def _mboxes(root: Path) -> Iterator[tuple[Path, str]]:
    """(file, name of its folder): what begins like an mbox."""
    for at, below, names in os.walk(root):
        below.sort()
        for name in sorted(names):
            path = Path(at) / name
            if path.is_symlink() or not path.is_file():
                continue
            with path.open("rb") as file:
                if file.read(5) != b"From ":
                    continue
            parts = path.relative_to(root).with_name(name.removesuffix(SUFFIX)).parts
            # Thunderbird keeps what is below `Folder` in `Folder.sbd`.
            yield path, "/".join(_level(part.removesuffix(".sbd")) for part in parts)


def _level(part: str) -> str:
    try:
        return decode_utf7(os.fsencode(part).replace(_DOT, b".", 1))
    except (NameInvalid, UnicodeError):
        return part


def _count(path: Path) -> int:
    try:
        with path.open("rb") as file:
            return sum(1 for _ in _starts(file))
    except OSError:
        return 0


def _starts(file: IO[bytes]) -> Iterator[bytes]:
    """The `From ` lines that begin a letter."""
    is_blank = at_start = True
    while line := file.readline(MAX_LINE):
        if at_start and is_blank and line.startswith(b"From "):
            yield line
        is_blank = at_start and line in (b"\n", b"\r\n")
        at_start = line.endswith(b"\n")


def _pieces(file: IO[bytes]) -> Iterator[tuple[bytes, bytes | None, int]]:
    """(From line, what follows it or None when it is too big, octets) of each letter."""
    lines: list[bytes] = []
    from_line, size = b"", 0
    is_blank = at_start = True
    while line := file.readline(MAX_LINE):
        if at_start and is_blank and line.startswith(b"From "):
            if from_line:
                yield from_line, b"".join(lines) if size <= MAX_LETTER else None, size
            from_line, lines, size = line, [], 0
        elif from_line:
            size += len(line)
            if size <= MAX_LETTER:
                lines.append(line)
            else:
                lines.clear()
        is_blank = at_start and line in (b"\n", b"\r\n")
        at_start = line.endswith(b"\n")
    if from_line:
        yield from_line, b"".join(lines) if size <= MAX_LETTER else None, size


def _read(piece: tuple[bytes, bytes | None, int], place: str, folder: str) -> Incoming | LeftOut:
    from_line, content, size = piece
    if content is None:
        return LeftOut(place=place, folder=folder, reason=Reason.TOO_BIG, octets=size)
    if content.startswith(MARK):
        own = _own(content, place, folder)
        if own is not None:
            return own
    octets = _QUOTED.sub(rb"\1", content)
    for end in (b"\r\n\r\n", b"\n\n"):
        if octets.endswith(end):  # the empty line before the next letter
            octets = octets[: -len(end) // 2]
            break
    octets = with_line_ends(octets)
    flags = _flags(Message(octets))
    return Incoming(place=place, folder=folder, octets=octets, flags=flags, internal_date=_date(from_line))


def _own(content: bytes, place: str, folder: str) -> Incoming | None:
    """A letter of our own export; None when its line is not as we write it."""
    told = _OURS.match(content, len(MARK))
    if told is None:
        return None
    start = content.find(b"\r\n\r\n", told.end() - 2)
    octets = _QUOTED.sub(rb"\1", content[start + 4 :])
    size = int(told[1])
    if start < 0 or len(octets) < size:
        return None
    flags = frozenset(told[3].decode("ascii").split())
    return Incoming(place=place, folder=folder, octets=octets[:size], flags=flags, internal_date=int(told[2]))


def _flags(letter: Message) -> frozenset[str]:
    found: set[str] = set()
    for name, table in ((b"status", _STATUS), (b"x-status", _X_STATUS)):
        field = letter.first(name)
        told = field.unfolded.decode("ascii", "replace") if field else ""
        found |= {flag for letter_of, flag in table.items() if letter_of in told}
    keywords = letter.first(b"x-keywords")
    if keywords is not None:
        found |= set(re.split(r"[ ,]+", keywords.unfolded.decode("ascii", "replace"))) - {""}
    return frozenset(found)


def _date(from_line: bytes) -> int:
    """Seconds since 1970 of `From address Mon Mar  2 08:00:00 2026`; 0 when there is no date."""
    match = _FROM.match(from_line)
    if match is None or match[1] not in _MONTHS:
        return 0
    day, hour, minute, second, year = (int(match[i] or 0) for i in (2, 3, 4, 5, 6))
    return calendar.timegm((year, _MONTHS.index(match[1]), day, hour, minute, second))


# --- writing ------------------------------------------------------------------------------------------------
class MboxTarget:
    """Writes one mbox file for each folder below `root`; levels are in `Level.sbd`, as in Thunderbird."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._file: IO[bytes] | None = None

    def open_folder(self, name: str) -> None:
        """Begin a folder; what follows goes into it. Raises StoreError."""
        *above, last = [os.fsdecode(_file_level(level)) for level in name.split("/")]
        folder = self._root.joinpath(*(level + ".sbd" for level in above))
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(folder / (last + SUFFIX), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise StoreError("a file of the export cannot be made; is a folder's name too long?") from error
        self._file = os.fdopen(descriptor, "wb")

    def put(self, octets: bytes, flags: frozenset[str], internal_date: int) -> None:
        """Write one letter. Raises StoreError."""
        assert self._file is not None
        known = {flag: letter for table in (_STATUS, _X_STATUS) for letter, flag in table.items()}
        status = "RO" if "\\Seen" in flags else "O"
        x_status = "".join(sorted(known[flag] for flag in flags if flag in known and flag != "\\Seen"))
        asctime = time.asctime(time.gmtime(internal_date))
        head = (
            f"From MAILER-DAEMON {asctime}\r\n{MARK.decode()}size={len(octets)}; date={internal_date}; "
            f"flags={' '.join(sorted(flags))}\r\nStatus: {status}\r\nX-Status: {x_status}\r\n\r\n"
        )
        try:
            self._file.write(head.encode("ascii"))
            self._file.write(_TO_QUOTE.sub(rb">\1", octets))
            self._file.write(b"\r\n\r\n")
        except OSError as error:
            raise StoreError("a letter cannot be written to the export") from error

    def close_folder(self) -> None:
        """End a folder. Raises StoreError."""
        if self._file is not None:
            try:
                self._file.close()
            except OSError as error:
                raise StoreError("a letter cannot be written to the export") from error


def _file_level(level: str) -> bytes:
    # "." and ".." and a hidden file: a dot that begins a name is written as modified base64
    wire = encode_utf7(level)
    return _DOT + wire[1:] if wire.startswith(b".") else wire
