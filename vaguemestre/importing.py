"""Letters of another server into a box of ours: each once, however often it is tried, nothing left out in silence.

What it is: `Importer`, which takes letters from a `Source` (a Maildir, an mbox, an IMAP server), puts them into
folders with their flags and dates, and tells each that it leaves out with a reason from a closed list. What it is
not: the formats (`vaguemestre.maildir`, `vaguemestre.mbox`, `vaguemestre.imap_source`) or the command line. Start at
`Importer.run`.

A letter is the one that is there already when folder and SHA-256 agree (the digest covers its Message-ID); two equal
letters in one folder of the source are two. Letters become durable in small units, so a run that was killed goes on
where it ended. Memory holds one unit of letters and 32 octets for each letter of the folder at hand.
"""

from __future__ import annotations

import asyncio
import enum
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Protocol

from core import reply
from core.audit import AuditEvent, AuditKind
from core.clock import Clock
from core.errors import NotStored, PermanentError, ReplyError
from core.folder import INBOX, SYSTEM_FLAGS, Folder, NewMessage
from core.message import Message, message_id_of
from core.ports import AuditTrail, BlobStore, MailStore
from core.unit_of_work import Committer, UnitOfWork
from mailstore.names import FolderNameInvalid, folder_name
from mailstore.records import packed_flags
from mta.imap.summary import summarise

MAX_LETTER = 64 * 1024 * 1024  # ours: octets; letters.submission_octets grown by base64, and room beyond
UNIT_LETTERS = 50  # ours: letters made durable together
UNIT_OCTETS = 8 * 1024 * 1024  # ours: or as soon as they are so large
READ_AT_ONCE = 4 * 1024 * 1024  # ours: octets of letters that are there already, read in one step
MAX_FLAGS = 128  # ours: flags of one letter that are looked at; a box keeps 64 keywords
LAST_DATE = 253_402_300_799  # the last second of the year 9999, RFC 3501 §9: date-year has four digits

USES = {
    "sent": "\\Sent",
    "sent items": "\\Sent",
    "sent messages": "\\Sent",
    "sent mail": "\\Sent",
    "envoyés": "\\Sent",
    "éléments envoyés": "\\Sent",
    "messages envoyés": "\\Sent",
    "drafts": "\\Drafts",
    "brouillons": "\\Drafts",
    "trash": "\\Trash",
    "deleted items": "\\Trash",
    "deleted messages": "\\Trash",
    "corbeille": "\\Trash",
    "éléments supprimés": "\\Trash",
    "junk": "\\Junk",
    "junk e-mail": "\\Junk",
    "spam": "\\Junk",
    "courrier indésirable": "\\Junk",
    "indésirables": "\\Junk",
    "archive": "\\Archive",
    "archives": "\\Archive",
}  # RFC 6154 §2: the uses; the names that Thunderbird, Outlook and Apple Mail give them in English and French


class Reason(enum.Enum):
    """Why a letter, or a part of it, was left out. Closed list."""

    ALREADY_THERE = "already-there"
    TOO_BIG = "too-big"
    EMPTY = "empty"
    HOLDS_NUL = "holds-nul"
    UNREADABLE = "unreadable"
    VANISHED = "vanished"
    NOT_A_FOLDER_NAME = "not-a-folder-name"
    TOO_MANY_FOLDERS = "too-many-folders"
    BOX_FULL = "box-full"
    KEYWORD_DROPPED = "keyword-dropped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """One letter of a source."""

    place: str
    """Where it lies there: a path, or folder and UID. Stands in the report."""
    folder: str
    octets: bytes
    flags: frozenset[str] = frozenset()
    internal_date: int
    use: str = ""
    """The special use of its folder, when the source tells (RFC 6154)."""

    def __repr__(self) -> str:
        return f"Incoming({len(self.octets)} octets)"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A letter that is not taken, or not whole."""

    place: str
    folder: str
    reason: Reason
    octets: int = 0


class Source(Protocol):
    """Where letters come from."""

    async def count(self) -> int:
        """How many letters it has, for the progress bar."""
        ...

    def letters(self) -> AsyncIterator[Incoming | LeftOut]:
        """All of them, folder by folder."""
        ...


@dataclass(slots=True, kw_only=True)
class Tally:
    """What was done."""

    imported: int = 0
    octets: int = 0
    left_out: Counter[Reason] = field(default_factory=Counter)

    @property
    def is_whole(self) -> bool:
        """Whether every letter of the source is in the box now."""
        return not set(self.left_out) - {Reason.ALREADY_THERE, Reason.KEYWORD_DROPPED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """What an import needs of the operator."""

    store: MailStore
    blobs: BlobStore
    committer: Committer
    audit: AuditTrail
    clock: Clock


class _BoxFull(Exception):
    """No letter more."""


class Importer:
    """Into one box. `told` is called for all that is left out, `moved` after each letter."""

    def __init__(
        self,
        rooms: Rooms,
        bal_id: int,
        *,
        operator: str,
        dry_run: bool = False,
        told: Callable[[LeftOut], None] = lambda left_out: None,
        moved: Callable[[], None] = lambda: None,
    ) -> None:
        self._rooms = rooms
        self._bal_id = bal_id
        self._operator = operator
        self._dry_run = dry_run
        self._told = told
        self._moved = moved
        self._tally = Tally()
        self._folders: dict[str, Folder | None] = {}
        self._seen: Counter[bytes] = Counter()
        self._at_hand: str | None = None
        self._batch: list[tuple[Incoming, NewMessage, UnitOfWork]] = []

    async def run(self, source: Source, *, kind: str) -> Tally:
        """Take everything. Raises NotStored for a box that is not there, and what the source raises."""
        if not await self._rooms.store.folders(self._bal_id):
            raise NotStored("there is no such box")
        try:
            async for one in source.letters():
                if isinstance(one, LeftOut):
                    self._leave(one)
                else:
                    await self._take(one)
                self._moved()
            await self._write()
        except _BoxFull:
            pass
        finally:
            await self._record(kind)
        return self._tally

    async def _record(self, kind: str) -> None:
        if self._dry_run:
            return
        facts = {
            "from": kind,
            "bal": str(self._bal_id),
            "imported": str(self._tally.imported),
            "octets": str(self._tally.octets),
            **{reason.value: str(count) for reason, count in self._tally.left_out.items()},
        }
        event = AuditEvent(kind=AuditKind.IMPORTED, facts=facts, persons={"operator": self._operator})
        await self._rooms.audit.append(event)

    def _leave(self, left_out: LeftOut) -> None:
        self._tally.left_out[left_out.reason] += 1
        self._told(left_out)

    # --- one letter ------------------------------------------------------------------------------------------
    async def _take(self, letter: Incoming) -> None:
        reason = _unfit(letter.octets)
        folder: Folder | None = None
        if reason is None:
            try:
                folder = await self._folder(letter)
            except FolderNameInvalid:
                reason = Reason.NOT_A_FOLDER_NAME
            except PermanentError:
                reason = Reason.TOO_MANY_FOLDERS
        if reason is not None:
            self._leave(_left(letter, reason))
            return
        await self._turn_to(letter.folder, folder)
        digest = hashlib.sha256(letter.octets).digest()
        if self._seen[digest] > 0:
            self._seen[digest] -= 1
            self._leave(_left(letter, Reason.ALREADY_THERE))
            return
        flags = _storable(letter.flags)
        if flags != letter.flags:
            self._leave(_left(letter, Reason.KEYWORD_DROPPED))
        if self._dry_run or folder is None:
            self._count(letter)
            return
        await self._put(letter, folder, flags)

    async def _put(self, letter: Incoming, folder: Folder, flags: frozenset[str]) -> None:
        rooms = self._rooms
        date = min(max(letter.internal_date, 0), LAST_DATE)
        stored = await rooms.blobs.seal(letter.octets)
        message = NewMessage(
            bal_id=self._bal_id,
            folder_id=folder.folder_id,
            octets=stored,
            summary=await asyncio.to_thread(summarise, letter.octets, date),
            flags=flags,
            internal_date=date,
        )
        unit = UnitOfWork()
        rooms.blobs.keep(unit, stored)
        rooms.store.add(unit, message)
        event = AuditEvent(
            kind=AuditKind.STORED,
            message_id=message_id_of(Message(letter.octets)),
            facts={"folder": str(folder.folder_id), "octets": str(len(letter.octets)), "by": "import"},
            persons={"operator": self._operator},
        )
        rooms.audit.record(unit, event)
        self._batch.append((letter, message, unit))
        if (
            len(self._batch) >= UNIT_LETTERS
            or sum(len(one.octets) for one, _, _ in self._batch) >= UNIT_OCTETS
        ):
            await self._write()

    def _count(self, letter: Incoming) -> None:
        self._tally.imported += 1
        self._tally.octets += len(letter.octets)

    async def _write(self) -> None:
        """Make the letters at hand durable: units of their own, which the committer writes together."""
        batch, self._batch = self._batch, []
        done = await asyncio.gather(
            *(self._rooms.committer.commit(unit) for _, _, unit in batch), return_exceptions=True
        )
        is_full = False
        failed: BaseException | None = None
        for (letter, _, _), error in zip(batch, done, strict=True):
            if error is None:
                self._count(letter)
            elif isinstance(error, ReplyError) and error.reply is reply.MAILBOX_FULL:
                is_full = True
                self._leave(_left(letter, Reason.BOX_FULL))
            else:
                failed = error
        if failed is not None:
            raise failed
        if is_full:
            raise _BoxFull

    # --- folders ---------------------------------------------------------------------------------------------
    async def _folder(self, letter: Incoming) -> Folder | None:
        """The folder for this letter, made when absent (not in a dry run). Raises PermanentError."""
        name = folder_name(letter.folder)
        if name not in self._folders:
            self._folders[name] = await self._found_or_made(name, letter.use)
        return self._folders[name]

    async def _turn_to(self, name: str, folder: Folder | None) -> None:
        """What comes is of this folder: learn what is in it already."""
        if name != self._at_hand:
            await self._write()
            self._seen = await self._digests(folder) if folder else Counter()
            self._at_hand = name

    async def _found_or_made(self, name: str, use: str) -> Folder | None:
        store = self._rooms.store
        present = await store.folders(self._bal_id)
        wanted = use or USES.get(name.casefold(), "")
        for folder in present:
            if folder.name == name:
                return folder
        for folder in present:
            if wanted and folder.special_use == wanted and name != INBOX:
                return folder
        if self._dry_run:
            return None
        return await store.create_folder(self._bal_id, name)

    async def _digests(self, folder: Folder) -> Counter[bytes]:
        """The digests of the letters that the folder has now, read some megabytes at a time."""
        store = self._rooms.store
        found: Counter[bytes] = Counter()
        spans: dict[int, tuple[int, int]] = {}
        octets = 0
        for row in (await store.changes(folder.folder_id)).rows:
            spans[row.uid] = (0, row.size)
            octets += row.size
            if octets >= READ_AT_ONCE:
                found.update(await self._digests_of(folder, spans))
                spans, octets = {}, 0
        found.update(await self._digests_of(folder, spans))
        return found

    async def _digests_of(self, folder: Folder, spans: dict[int, tuple[int, int]]) -> list[bytes]:
        if not spans:
            return []
        read = await self._rooms.store.many_octets(folder.folder_id, spans)
        return [hashlib.sha256(octets).digest() for octets in read.values()]


def _left(letter: Incoming, reason: Reason) -> LeftOut:
    return LeftOut(place=letter.place, folder=letter.folder, reason=reason, octets=len(letter.octets))


def _unfit(octets: bytes) -> Reason | None:
    if not octets:
        return Reason.EMPTY
    if len(octets) > MAX_LETTER:
        return Reason.TOO_BIG
    return Reason.HOLDS_NUL if b"\0" in octets else None  # RFC 3501 §9: CHAR8 = %x01-ff


def _storable(flags: frozenset[str]) -> frozenset[str]:
    """The flags that a box can keep."""
    kept: set[str] = set()
    for flag in sorted(flags)[:MAX_FLAGS]:
        if flag == "\\Recent" or (flag.startswith("\\") and flag not in SYSTEM_FLAGS):
            continue
        try:
            packed_flags(frozenset({*kept, flag}))
        except PermanentError:
            continue
        kept.add(flag)
    return frozenset(kept)


def with_line_ends(octets: bytes) -> bytes:
    """A letter from a file with the line ends of mail (RFC 5322 §2.1), when the file has only those of Unix."""
    return octets if b"\r\n" in octets else octets.replace(b"\n", b"\r\n")
