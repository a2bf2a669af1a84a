"""Maildir and Maildir++: reading the letters of one for an import, writing one for an export.

What it is: the format as Dovecot and Courier keep it: `.Level.Level` folders in modified UTF-7, flags in the file's
name, the internal date as the file's time, keywords in `dovecot-keywords`. Beside that an export puts a list into
each folder (`vaguemestre-export.jsonl`) with digests and keywords: with it our own letters come back octet for octet.
What it is not: a mailbox in use; nothing is renamed or removed. Start at `MaildirSource` and `MaildirTarget`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import ConfigurationError, StoreError
from core.folder import INBOX
from mta.imap.names import NameInvalid, decode_utf7, encode_utf7
from vaguemestre.importing import MAX_LETTER, Incoming, LeftOut, Reason, with_line_ends

LIST_FILE = "vaguemestre-export.jsonl"
KEYWORDS_FILE = "dovecot-keywords"
MAX_LIST_LINE = 64 * 1024  # ours: octets of one line of the list
MAX_LEVELS = 32  # as mailstore.names
LETTERED = 26  # keywords that have a letter in a file's name
_FLAGS = {
    "S": "\\Seen",
    "R": "\\Answered",
    "F": "\\Flagged",
    "T": "\\Deleted",
    "D": "\\Draft",
    "P": "$Forwarded",
}  # maildir(5) of Courier; P is "passed"
_LETTERS = {flag: letter for letter, flag in _FLAGS.items()}
_INFO = re.compile(r"[:;!]2,([A-Za-z]*)")
_DOT = b"&AC4-"  # a dot in a folder's name; "." stands between levels


@dataclass(frozen=True, slots=True)
class _Listed:
    """What our own list says of a file."""

    sha256: str
    keywords: frozenset[str]


class MaildirSource:
    """The letters of a Maildir with its folders below, in Maildir++ or as nested folders. Links are not followed."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise ConfigurationError(f"{root} is not a folder; name the one that holds cur, new and tmp")
        self._root = root
        self._folders = sorted(_maildirs(root))
        if not self._folders:
            raise ConfigurationError(f"{root} is no Maildir: there is no folder `cur` in it or below it")

    async def count(self) -> int:
        """See `Source.count`."""
        return await asyncio.to_thread(lambda: sum(1 for folder in self._folders for _ in _files(folder)))

    async def letters(self) -> AsyncIterator[Incoming | LeftOut]:
        """See `Source.letters`."""
        for folder in self._folders:
            listed = await asyncio.to_thread(_read_list, folder)
            keywords = await asyncio.to_thread(_read_keywords, folder)
            name = _folder_of(folder.relative_to(self._root))
            for path in await asyncio.to_thread(_sorted_files, folder):
                place = path.relative_to(self._root).as_posix()
                if name is None:
                    yield LeftOut(place=place, folder=folder.name, reason=Reason.NOT_A_FOLDER_NAME)
                    continue
                yield await asyncio.to_thread(_letter, path, place, name, listed, keywords)


def _maildirs(root: Path) -> Iterator[Path]:
    for at, below, _ in os.walk(root):
        if "cur" in below:
            yield Path(at)
        below[:] = [name for name in below if name not in ("cur", "new", "tmp")]
        if len(Path(at).relative_to(root).parts) >= MAX_LEVELS:
            below.clear()


def _files(folder: Path) -> Iterator[Path]:
    for half in ("cur", "new"):
        if (folder / half).is_dir():
            for entry in os.scandir(folder / half):
                if entry.is_file(follow_symlinks=False) and not entry.name.startswith("."):
                    yield Path(entry.path)


def _sorted_files(folder: Path) -> list[Path]:
    return sorted(_files(folder))


def _letter(
    path: Path, place: str, name: str, listed: dict[str, _Listed], keywords: dict[str, str]
) -> Incoming | LeftOut:
    base, flags = _split(path.name, keywords)
    try:
        with path.open("rb") as file:
            stat = os.fstat(file.fileno())
            if stat.st_size > MAX_LETTER:
                return LeftOut(place=place, folder=name, reason=Reason.TOO_BIG, octets=stat.st_size)
            octets = file.read(MAX_LETTER + 1)
    except FileNotFoundError:
        return LeftOut(place=place, folder=name, reason=Reason.VANISHED)
    except OSError:
        return LeftOut(place=place, folder=name, reason=Reason.UNREADABLE)
    own = listed.get(base)
    if own is not None and own.sha256 == hashlib.sha256(octets).hexdigest():
        flags |= own.keywords  # our own octets, which are what they are
    else:
        octets = with_line_ends(octets)
    return Incoming(place=place, folder=name, octets=octets, flags=flags, internal_date=int(stat.st_mtime))


def _split(file_name: str, keywords: dict[str, str]) -> tuple[str, frozenset[str]]:
    """(the part that does not change, flags)."""
    info = _INFO.search(file_name)
    if info is None:
        return file_name, frozenset()
    flags = {_FLAGS.get(letter, "") or keywords.get(letter, "") for letter in info[1]}
    return file_name[: info.start()], frozenset(flags - {""})


def _folder_of(relative: Path) -> str | None:
    """The name of the folder, or None when it cannot be read."""
    levels: list[str] = []
    for part in relative.parts:
        pieces = part[1:].split(".") if part.startswith(".") else [part]
        for piece in pieces:
            level = _level(piece)
            if not level or "/" in level:
                return None
            levels.append(level)
    return "/".join(levels) or INBOX


def _level(piece: str) -> str:
    wire = os.fsencode(piece).replace(_DOT, b".")
    try:
        return decode_utf7(wire)
    except (NameInvalid, UnicodeError):
        return piece if piece.isprintable() else ""  # a folder that was named in UTF-8


def _read_list(folder: Path) -> dict[str, _Listed]:
    found: dict[str, _Listed] = {}
    try:
        with (folder / LIST_FILE).open("rb") as file:
            while line := file.readline(MAX_LIST_LINE):
                entry = json.loads(line)
                keywords = frozenset(map(str, entry["keywords"]))
                found[str(entry["file"])] = _Listed(str(entry["sha256"]), keywords)
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # not our list, or damaged: the letters are taken as those of any Maildir
    return found


def _read_keywords(folder: Path) -> dict[str, str]:
    """The letters of `dovecot-keywords`: a line is a number from 0, and a keyword."""
    try:
        with (folder / KEYWORDS_FILE).open("rb") as file:
            lines = file.read(MAX_LIST_LINE).decode("ascii", "replace").splitlines()
    except OSError:
        return {}
    found: dict[str, str] = {}
    for line in lines:
        number, _, keyword = line.partition(" ")
        if number.isdecimal() and int(number) < LETTERED and keyword:
            found[chr(ord("a") + int(number))] = keyword
    return found


# --- writing ------------------------------------------------------------------------------------------------
class MaildirTarget:
    """Writes a new Maildir++ below `root`; INBOX is `root` itself."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder = root
        self._number = 0
        self._keywords: dict[str, int] = {}

    def open_folder(self, name: str) -> None:
        """Begin a folder; what follows goes into it. Raises StoreError."""
        self._keywords = {}
        self._folder = self._root if name == INBOX else self._root / os.fsdecode(_directory(name))
        try:
            for half in ("cur", "new", "tmp"):
                (self._folder / half).mkdir(parents=True, mode=0o700)
            if self._folder != self._root:
                (self._folder / "maildirfolder").touch(mode=0o600)
        except OSError as error:
            raise StoreError("a folder of the export cannot be made; is its name too long?") from error

    def put(self, octets: bytes, flags: frozenset[str], internal_date: int) -> None:
        """Write one letter. Raises StoreError."""
        self._number += 1
        keywords = sorted(flag for flag in flags if flag not in _LETTERS and not flag.startswith("\\"))
        letters = sorted(_LETTERS[flag] for flag in flags if flag in _LETTERS)
        for keyword in keywords:
            index = self._keywords.setdefault(keyword, len(self._keywords))
            letters += [chr(ord("a") + index)] if index < LETTERED else []
        base = f"{internal_date}.N{self._number}.vaguemestre,S={len(octets)}"
        entry = {"file": base, "sha256": hashlib.sha256(octets).hexdigest(), "keywords": keywords}
        try:
            path = self._folder / "cur" / f"{base}:2,{''.join(letters)}"
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(octets)
            os.utime(path, (internal_date, internal_date))
            with (self._folder / LIST_FILE).open("a", encoding="ascii") as listing:
                listing.write(json.dumps(entry, sort_keys=True) + "\n")
        except OSError as error:
            raise StoreError("a letter cannot be written to the export") from error

    def close_folder(self) -> None:
        """End a folder."""
        if self._keywords:
            lines = [f"{index} {word}\n" for word, index in self._keywords.items() if index < LETTERED]
            (self._folder / KEYWORDS_FILE).write_text("".join(lines), "ascii")


def _directory(name: str) -> bytes:
    """The folder's directory: a dot before each level."""
    return b"".join(b"." + encode_utf7(level).replace(b".", _DOT) for level in name.split("/"))
