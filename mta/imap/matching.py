"""SEARCH keys against messages: first by what is in memory, then by what must be read, and only if it must.

What it is: three-valued logic (yes, no, not known yet). Every key answers from the row when it can; when it
cannot it says None, and the caller comes back with the summary, then the header, then the whole text. So a
search by flags over ten thousand messages reads nothing. What it is not: the reading (`handlers.search`).
Start at `compile_key`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from core.message import Message, decode_words, fold
from mta.imap.commands import search
from mta.imap.letter_text import body_texts, field_texts
from mta.imap.row_table import RowTable
from mta.imap.view import FolderView

_SECONDS_A_DAY = 86_400
_EPOCH_DAY = 719_163  # datetime.date(1970, 1, 1).toordinal()


@dataclass(slots=True)
class Candidate:
    """One message with what is known of it so far."""

    position: int
    rows: RowTable
    sent_day: int | None = None  # as `datetime.date.toordinal`, as its author wrote it
    header: bytes | None = None
    text: bytes | None = None  # the whole message
    _message: Message | None = None

    @property
    def uid(self) -> int:
        """Its UID."""
        return self.rows.uids[self.position]

    @property
    def size(self) -> int:
        """Its octets."""
        return self.rows.sizes[self.position]

    def has_field(self, name: bytes, text: str) -> bool:
        """Whether a field of this lower-case name holds the folded text. Only when `header` is there."""
        if self._message is None:
            self._message = Message(self.header or b"")
        return any(text in fold(decode_words(field.unfolded)) for field in self._message.all(name))


Test = Callable[[Candidate], bool | None]


def compile_key(key: search.Key, view: FolderView, now: int = 0) -> Test:
    """A function that says whether a candidate is meant: True, False, or None when more must be read.

    `now` is in seconds since 1970.
    """
    match key:
        case search.All():
            return lambda candidate: True
        case search.Flag(flag, present):
            return _flag(view.keywords.get(flag.lower(), flag), present)
        case search.Recent(recent):
            return lambda candidate: view.is_recent(candidate.uid) == recent
        case search.Size(octets, larger):
            if larger:
                return lambda candidate: candidate.size > octets
            return lambda candidate: candidate.size < octets
        case search.Messages(messages, by_uid):
            chosen = frozenset(view.positions(messages, by_uid=by_uid) or ())
            return lambda candidate: candidate.position in chosen
        case search.Day():
            return _day(key)
        case search.Field(name, text):
            return _field(name, text)
        case search.Text(text, with_header):
            return _text(text, with_header=with_header)
        case search.Modified(since):
            return lambda candidate: candidate.rows.modseqs[candidate.position] >= since
        case search.ObjectId(name, of_thread):
            return lambda candidate: not of_thread and candidate.rows.email_id(candidate.position) == name
        case search.Age(seconds, older):
            return lambda candidate: (now - candidate.rows.date(candidate.position) > seconds) == older
        case search.Not(inner):
            return _not(compile_key(inner, view, now))
        case search.Or(one, other):
            return _or(compile_key(one, view, now), compile_key(other, view, now))
        case search.And(keys):
            return _and([compile_key(inner, view, now) for inner in keys])
    assert_never(key)


def _flag(flag: str, present: bool) -> Test:
    return lambda candidate: (flag in candidate.rows.flags(candidate.position)) == present


def day_of(seconds: int) -> int:
    """The day in UTC, as `datetime.date.toordinal`, of seconds since 1970."""
    return seconds // _SECONDS_A_DAY + _EPOCH_DAY


def _day(key: search.Day) -> Test:
    """RFC 3501 §6.4.4: dates without time and zone; internal dates are kept and compared in UTC."""

    def test(candidate: Candidate) -> bool | None:
        day = candidate.sent_day if key.sent else day_of(candidate.rows.date(candidate.position))
        if day is None:
            return None
        if key.relation == "on":
            return day == key.day
        return day < key.day if key.relation == "before" else day >= key.day

    return test


def _field(name: bytes, text: str) -> Test:
    def test(candidate: Candidate) -> bool | None:
        if candidate.header is None:
            return None
        return candidate.has_field(name, text)

    return test


def _text(text: str, *, with_header: bool) -> Test:
    """RFC 3501 §6.4.4: a substring of the text as people read it (`letter_text`)."""

    def test(candidate: Candidate) -> bool | None:
        whole = candidate.text
        if whole is None:
            return None
        if with_header and any(text in shown for shown in field_texts(whole)):
            return True
        return any(text in shown for shown in body_texts(whole))

    return test


def _not(inner: Test) -> Test:
    def test(candidate: Candidate) -> bool | None:
        verdict = inner(candidate)
        return None if verdict is None else not verdict

    return test


def _or(one: Test, other: Test) -> Test:
    def test(candidate: Candidate) -> bool | None:
        first = one(candidate)
        if first:
            return True
        second = other(candidate)
        return True if second else (None if first is None or second is None else False)

    return test


def _and(tests: list[Test]) -> Test:
    def test(candidate: Candidate) -> bool | None:
        verdict: bool | None = True
        for inner in tests:
            one = inner(candidate)
            if one is False:
                return False
            if one is None:
                verdict = None
        return verdict

    return test


def asks_modseq(key: search.Key) -> bool:
    """Whether MODSEQ stands somewhere in this search (RFC 7162 §3.1.5)."""
    match key:
        case search.Modified():
            return True
        case search.Not(inner):
            return asks_modseq(inner)
        case search.Or(one, other):
            return asks_modseq(one) or asks_modseq(other)
        case search.And(keys):
            return any(asks_modseq(inner) for inner in keys)
        case _:
            return False


@dataclass(frozen=True, slots=True)
class Needs:
    """What a search may have to read, so that nothing else is."""

    summary: bool = False
    header: bool = False
    text: bool = False

    def __or__(self, other: Needs) -> Needs:
        return Needs(self.summary or other.summary, self.header or other.header, self.text or other.text)


def needs(key: search.Key) -> Needs:
    """What the undecided candidates of this search ask for."""
    match key:
        case search.Day(sent=True):
            return Needs(summary=True)
        case search.Field():
            return Needs(header=True)
        case search.Text():
            return Needs(text=True)
        case search.Not(inner):
            return needs(inner)
        case search.Or(one, other):
            return needs(one) | needs(other)
        case search.And(keys):
            total = Needs()
            for inner in keys:
                total = total | needs(inner)
            return total
        case _:
            return Needs()
