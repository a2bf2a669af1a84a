"""The words of RFC 3501 §9: one cursor over one command, which reads values or raises `SyntaxInvalid`.

What it is: atoms, strings, numbers, sets, dates, flags. What it is not: commands (`commands`, one file per
family) or framing (`literals`). The rule of the standard stands above each expression. Every method is linear
in what it reads.
"""

from __future__ import annotations

import calendar
import re
from datetime import date

from core.errors import RemoteProtocolError
from mta.imap.sequence import MAX_NUMBER, STAR, SequenceSet

MAX_MODSEQ = (1 << 63) - 1  # RFC 7162 §7
MAX_DEPTH = 32  # ours: parentheses in parentheses; CVE-2026-27857 shows why


class SyntaxInvalid(RemoteProtocolError):
    """The command is not of the grammar. The text names the rule, never what was sent."""


# RFC 3501 §9: ATOM-CHAR = <any CHAR except atom-specials>
#   atom-specials = "(" / ")" / "{" / SP / CTL / list-wildcards / quoted-specials / resp-specials
_ATOM = re.compile(rb'[^\x00-\x20(){%*"\\\]\x7f-\xff]+')
# RFC 3501 §9: ASTRING-CHAR = ATOM-CHAR / resp-specials
_ASTRING = re.compile(rb'[^\x00-\x20(){%*"\\\x7f-\xff]+')
# RFC 3501 §9: list-char = ATOM-CHAR / list-wildcards / resp-specials
_LIST = re.compile(rb'[^\x00-\x20(){"\\\x7f-\xff]+')
# RFC 3501 §9: quoted = DQUOTE *QUOTED-CHAR DQUOTE; octets over 127 are let through, passwords hold them
_QUOTED = re.compile(rb'"([^"\\\r\n\x00]*(?:\\["\\][^"\\\r\n\x00]*)*)"')
_ESCAPED = re.compile(rb'\\(["\\])')
# literal = "{" number "}" CRLF *CHAR8, as `literals` left it
_LITERAL = re.compile(rb"\{[0-9]{1,20}\+?\}\r\n")
# RFC 3501 §9: number = 1*DIGIT
_NUMBER = re.compile(rb"[0-9]{1,20}")
# RFC 3501 §9: sequence-set = (seq-number / seq-range) *("," sequence-set)
_SET = re.compile(
    rb"(?:[0-9]{1,10}|\*)(?::(?:[0-9]{1,10}|\*))?(?:,(?:[0-9]{1,10}|\*)(?::(?:[0-9]{1,10}|\*))?)*"
)
_SET_BEGINS = frozenset(b"%c" % octet for octet in b"0123456789*$")
# RFC 3501 §9: flag = "\Answered" / ... / flag-keyword / flag-extension; flag-extension = "\" atom
_FLAG = re.compile(rb'\\?[^\x00-\x20(){%*"\\\]\x7f-\xff]+')
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
# RFC 3501 §9: date-text = date-day "-" date-month "-" date-year
_DATE = re.compile(rb'("?)([0-9]{1,2})-([A-Za-z]{3})-([0-9]{4})\1')
# RFC 3501 §9: date-time = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone DQUOTE
_DATE_TIME = re.compile(
    rb'"([ 0-9][0-9])-([A-Za-z]{3})-([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) ([+-])([0-9]{2})([0-9]{2})"'
)


class Cursor:
    """Where the parser stands in one command."""

    __slots__ = ("_depth", "_literals", "_position", "_taken", "_text")

    def __init__(self, text: bytes, literals: tuple[bytes, ...] = ()) -> None:
        self._text = text
        self._literals = literals
        self._position = 0
        self._taken = 0
        self._depth = 0

    # --- single characters ----------------------------------------------------------------------------------
    @property
    def at_end(self) -> bool:
        """Whether nothing is left."""
        return self._position >= len(self._text)

    def end(self) -> None:
        """Nothing may be left."""
        if not self.at_end:
            raise SyntaxInvalid("something is left after the command")

    def peek(self, octets: bytes) -> bool:
        """Whether these octets come next."""
        return self._text.startswith(octets, self._position)

    def accept(self, octets: bytes) -> bool:
        """Take these octets if they come next."""
        if not self.peek(octets):
            return False
        self._position += len(octets)
        return True

    def expect(self, octets: bytes) -> None:
        """These octets must come next."""
        if not self.accept(octets):
            raise SyntaxInvalid("a separator is missing")

    def space(self) -> None:
        """RFC 3501 §9: SP, exactly one."""
        self.expect(b" ")

    def open(self) -> bool:
        """Take an opening parenthesis if there is one; each must be matched by `close`."""
        if not self.accept(b"("):
            return False
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise SyntaxInvalid("too many parentheses in parentheses")
        return True

    def close(self) -> bool:
        """Take a closing parenthesis if there is one."""
        if not self.accept(b")"):
            return False
        self._depth -= 1
        return True

    def _match(self, pattern: re.Pattern[bytes], what: str) -> re.Match[bytes]:
        match = pattern.match(self._text, self._position)
        if match is None:
            raise SyntaxInvalid(what)
        self._position = match.end()
        return match

    # --- words ----------------------------------------------------------------------------------------------
    def atom(self) -> bytes:
        """RFC 3501 §9: atom = 1*ATOM-CHAR."""
        return self._match(_ATOM, "an atom is missing").group()

    def word(self) -> bytes:
        """An atom in upper case: a keyword of the protocol."""
        return self.atom().upper()

    def is_string(self) -> bool:
        """Whether a quoted string or a literal comes next."""
        return self.peek(b'"') or self.peek(b"{")

    def string(self) -> bytes:
        """RFC 3501 §9: string = quoted / literal."""
        if self.peek(b'"'):
            raw = self._match(_QUOTED, "a quoted string does not end")[1]
            return _ESCAPED.sub(rb"\1", raw) if b"\\" in raw else raw
        return self.literal()

    def literal(self) -> bytes:
        """RFC 3501 §9: literal."""
        self._match(_LITERAL, "a string is missing")
        if self._taken >= len(self._literals):
            raise SyntaxInvalid("a literal is missing")
        self._taken += 1
        return self._literals[self._taken - 1]

    def astring(self) -> bytes:
        """RFC 3501 §9: astring = 1*ASTRING-CHAR / string."""
        if self.is_string():
            return self.string()
        return self._match(_ASTRING, "a string is missing").group()

    def nstring(self) -> bytes | None:
        """RFC 3501 §9: nstring = string / nil."""
        if self.is_string():
            return self.string()
        if self.word() != b"NIL":
            raise SyntaxInvalid("a string or NIL is missing")
        return None

    def list_mailbox(self) -> bytes:
        """RFC 3501 §9: list-mailbox = 1*list-char / string."""
        if self.is_string():
            return self.string()
        return self._match(_LIST, "a pattern is missing").group()

    # --- numbers and sets -----------------------------------------------------------------------------------
    def number(self) -> int:
        """RFC 3501 §9: number, 0 to 4,294,967,295."""
        value = int(self._match(_NUMBER, "a number is missing").group())
        if value > MAX_NUMBER:
            raise SyntaxInvalid("a number is too large")
        return value

    def modseq(self, *, zero: bool = False) -> int:
        """RFC 7162 §7: mod-sequence-value, 1 to 2^63 - 1; mod-sequence-valzer may be 0."""
        value = int(self._match(_NUMBER, "a modification sequence is missing").group())
        if value > MAX_MODSEQ or not (value or zero):
            raise SyntaxInvalid("a modification sequence is 1 to 2^63 - 1")
        return value

    def is_sequence_set(self) -> bool:
        """Whether a digit, `*` or `$` comes next."""
        return self._text[self._position : self._position + 1] in _SET_BEGINS

    def sequence_set(self) -> SequenceSet:
        """RFC 3501 §9: sequence-set; RFC 5182 §3: or `$`."""
        if self.accept(b"$"):
            return SequenceSet((), is_saved=True)
        text = self._match(_SET, "a sequence set is missing").group()
        ranges = []
        for part in text.split(b","):
            first, _, last = part.partition(b":")
            one = _seq_number(first)
            ranges.append((one, _seq_number(last) if last else one))
        return SequenceSet(tuple(ranges))

    # --- flags ----------------------------------------------------------------------------------------------
    def flag(self) -> str:
        """RFC 3501 §9: flag; `\\Recent` is not one that a client may give."""
        name = self._match(_FLAG, "a flag is missing").group().decode("ascii")
        if name.lower() == "\\recent":
            raise SyntaxInvalid("\\Recent cannot be given")
        return name

    def flag_list(self) -> tuple[str, ...]:
        """RFC 3501 §9: flag-list = "(" [flag *(SP flag)] ")"."""
        if not self.open():
            raise SyntaxInvalid("a flag list is missing")
        flags: list[str] = []
        while not self.close():
            if flags:
                self.space()
            flags.append(self.flag())
        return tuple(flags)

    # --- dates ----------------------------------------------------------------------------------------------
    def date(self) -> int:
        """RFC 3501 §9: date, as a proleptic day number (`datetime.date.toordinal`)."""
        match = self._match(_DATE, "a date is missing")
        return _day(match[4], match[3], match[2]).toordinal()

    def date_time(self) -> int:
        """RFC 3501 §9: date-time, as seconds since 1970."""
        match = self._match(_DATE_TIME, "a date and time is missing")
        day = _day(match[3], match[2], match[1])
        hour, minute, second = int(match[4]), int(match[5]), int(match[6])
        zone = int(match[8]) * 60 + int(match[9])
        if hour > 23 or minute > 59 or second > 60 or zone > 24 * 60:
            raise SyntaxInvalid("this time does not exist")
        sign = 1 if match[7] == b"+" else -1
        return calendar.timegm((day.year, day.month, day.day, hour, minute, second)) - sign * zone * 60


def _seq_number(text: bytes) -> int:
    if text == b"*":
        return STAR
    value = int(text)
    if not 1 <= value <= MAX_NUMBER:
        raise SyntaxInvalid("a sequence number is 1 to 4294967295")
    return value


def _day(year: bytes, month: bytes, day: bytes) -> date:
    name = month.decode("ascii").lower()
    if name not in _MONTHS:
        raise SyntaxInvalid("this month does not exist")
    try:
        return date(int(year), _MONTHS.index(name) + 1, int(day))
    except ValueError:
        raise SyntaxInvalid("this day does not exist") from None
