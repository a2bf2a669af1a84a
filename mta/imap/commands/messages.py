"""Commands about messages of the selected folder, but FETCH and SEARCH; and APPEND and IDLE."""

from __future__ import annotations

from dataclasses import dataclass

from mta.imap.grammar import Cursor, SyntaxInvalid
from mta.imap.sequence import SequenceSet

MAX_FLAGS = 64  # ours: flags of one command
MAX_KEYWORD = 64  # ours: characters of one keyword


@dataclass(frozen=True, slots=True)
class Check:
    """RFC 3501 §6.4.1."""


@dataclass(frozen=True, slots=True)
class Close:
    """RFC 3501 §6.4.2, and UNSELECT (RFC 3691), which does not expunge."""

    expunge: bool = True


@dataclass(frozen=True, slots=True)
class Expunge:
    """RFC 3501 §6.4.3; `uids` for UID EXPUNGE (RFC 4315 §2.1)."""

    uids: SequenceSet | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """RFC 3501 §6.4.6. `operation` is `replace`, `add` or `remove`."""

    messages: SequenceSet
    by_uid: bool
    operation: str
    silent: bool
    flags: tuple[str, ...]
    unchanged_since: int | None = None  # RFC 7162 §3.1.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """RFC 3501 §6.4.7 COPY, and MOVE (RFC 6851)."""

    messages: SequenceSet
    by_uid: bool
    target: bytes
    move: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One message of an APPEND. `internal_date` is in seconds since 1970."""

    flags: tuple[str, ...] = ()
    internal_date: int | None = None
    octets: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Append:
    """RFC 3501 §6.3.11; several letters by RFC 3502."""

    target: bytes
    letters: tuple[Letter, ...]


@dataclass(frozen=True, slots=True)
class Idle:
    """RFC 2177."""


def uid_expunge(cursor: Cursor) -> Expunge:
    """RFC 4315 §4: uid-expunge = "UID" SP "EXPUNGE" SP sequence-set."""
    cursor.space()
    return Expunge(cursor.sequence_set())


def store(cursor: Cursor, *, by_uid: bool) -> Store:
    """RFC 7162 §7: store = "STORE" SP sequence-set [SP "(" "UNCHANGEDSINCE" SP n ")"] SP store-att-flags."""
    cursor.space()
    messages = cursor.sequence_set()
    cursor.space()
    unchanged_since = None
    if cursor.open():
        if cursor.word() != b"UNCHANGEDSINCE":
            raise SyntaxInvalid("this modifier is not known")
        cursor.space()
        unchanged_since = cursor.modseq(zero=True)
        if not cursor.close():
            raise SyntaxInvalid("a parenthesis is missing")
        cursor.space()
    sign = "add" if cursor.accept(b"+") else "remove" if cursor.accept(b"-") else "replace"
    word = cursor.word()
    if word not in (b"FLAGS", b"FLAGS.SILENT"):
        raise SyntaxInvalid("STORE changes FLAGS")
    cursor.space()
    flags = _flags(cursor)
    return Store(
        messages=messages,
        by_uid=by_uid,
        operation=sign,
        silent=word == b"FLAGS.SILENT",
        flags=flags,
        unchanged_since=unchanged_since,
    )


def _flags(cursor: Cursor) -> tuple[str, ...]:
    """RFC 3501 §9: flag-list / (flag *(SP flag))."""
    if cursor.peek(b"("):
        return checked(cursor.flag_list())
    flags = [cursor.flag()]
    while not cursor.at_end:
        cursor.space()
        flags.append(cursor.flag())
    return checked(tuple(flags))


def checked(flags: tuple[str, ...]) -> tuple[str, ...]:
    """The flags, if they are not too many or too long."""
    if len(flags) > MAX_FLAGS or any(len(flag) > MAX_KEYWORD for flag in flags):
        raise SyntaxInvalid("too many flags, or one that is too long")
    return flags


def copy(cursor: Cursor, *, by_uid: bool, move: bool = False) -> Copy:
    """RFC 3501 §9: copy = "COPY" SP sequence-set SP mailbox; RFC 6851 §4 for MOVE."""
    cursor.space()
    messages = cursor.sequence_set()
    cursor.space()
    return Copy(messages=messages, by_uid=by_uid, target=cursor.astring(), move=move)


def append(cursor: Cursor) -> Append:
    """RFC 3502 §6: append = "APPEND" SP mailbox 1*append-message; the reader bounds how many literals come."""
    cursor.space()
    target = cursor.astring()
    letters: list[Letter] = []
    while not letters or not cursor.at_end:
        cursor.space()
        letters.append(_letter(cursor))
    return Append(target=target, letters=tuple(letters))


def _letter(cursor: Cursor) -> Letter:
    """RFC 3501 §9: [flag-list SP] [date-time SP] literal."""
    flags: tuple[str, ...] = ()
    if cursor.peek(b"("):
        flags = checked(cursor.flag_list())
        cursor.space()
    internal_date = None
    if cursor.peek(b'"'):
        internal_date = cursor.date_time()
        cursor.space()
    # RFC 6855 §4: append-data =/ "UTF8" SP "(" literal8 ")"
    is_utf8 = not cursor.is_string()
    if is_utf8:
        if cursor.word() != b"UTF8":
            raise SyntaxInvalid("a letter is missing")
        cursor.space()
        cursor.expect(b"(~")
    octets = cursor.literal()
    if is_utf8:
        cursor.expect(b")")
    return Letter(flags=flags, internal_date=internal_date, octets=octets)
