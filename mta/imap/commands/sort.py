"""SORT and THREAD (RFC 5256): an order, and a search. Their meaning is in `mta.imap.ordering` and `.threads`."""

from __future__ import annotations

from dataclasses import dataclass

from mta.imap.commands.search import CHARSETS, CharsetUnknown, Key, read_keys
from mta.imap.grammar import Cursor, SyntaxInvalid

MAX_CRITERIA = 16  # ours: criteria of one SORT; there are seven
CRITERIA = frozenset({b"ARRIVAL", b"CC", b"DATE", b"FROM", b"SIZE", b"SUBJECT", b"TO"})  # RFC 5256 §3


@dataclass(frozen=True, slots=True)
class Sort:
    """RFC 5256 §3 BASE.6.4.SORT. Criteria are (name, whether it is reversed), the first counts most."""

    criteria: tuple[tuple[bytes, bool], ...]
    key: Key
    by_uid: bool


@dataclass(frozen=True, slots=True)
class Thread:
    """RFC 5256 §3 BASE.6.4.THREAD, by REFERENCES."""

    key: Key
    by_uid: bool


def sort(cursor: Cursor, *, by_uid: bool) -> Sort:
    """RFC 5256 §5: sort = ["UID" SP] "SORT" SP sort-criteria SP search-criteria."""
    cursor.space()
    if not cursor.open():
        raise SyntaxInvalid("a list of criteria is missing")
    criteria: list[tuple[bytes, bool]] = []
    while not criteria or not cursor.close():
        if criteria:
            cursor.space()
        word = cursor.word()
        is_reversed = word == b"REVERSE"
        if is_reversed:
            cursor.space()
            word = cursor.word()
        if word not in CRITERIA or len(criteria) >= MAX_CRITERIA:
            raise SyntaxInvalid("this criterion is not known")
        criteria.append((word, is_reversed))
    return Sort(tuple(criteria), _searched(cursor), by_uid)


def thread(cursor: Cursor, *, by_uid: bool) -> Thread:
    """RFC 5256 §5: thread = ["UID" SP] "THREAD" SP thread-alg SP search-criteria."""
    cursor.space()
    if cursor.word() != b"REFERENCES":
        raise SyntaxInvalid("threads are made by REFERENCES")
    return Thread(_searched(cursor), by_uid)


def _searched(cursor: Cursor) -> Key:
    """RFC 5256 §5: search-criteria = charset 1*(SP search-key)."""
    cursor.space()
    if cursor.astring().upper() not in CHARSETS:
        raise CharsetUnknown
    cursor.space()
    return read_keys(cursor)
