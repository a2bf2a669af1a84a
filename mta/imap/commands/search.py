"""SEARCH: the keys as a tree of values (RFC 3501 §6.4.4). Their meaning is in `mta.imap.matching`."""

from __future__ import annotations

from dataclasses import dataclass

from core.message import fold
from mta.imap.grammar import Cursor, SyntaxInvalid
from mta.imap.sequence import SequenceSet

MAX_KEYS = 512  # ours: keys of one SEARCH, in all its parentheses
MAX_NESTED = 32  # ours: NOT, OR and parentheses in one another
MAX_NEEDLE = 1024  # ours: octets of one text to be found
CHARSETS = frozenset({b"US-ASCII", b"UTF-8"})


class CharsetUnknown(Exception):
    """RFC 3501 §6.4.4: a tagged NO with BADCHARSET."""


@dataclass(frozen=True, slots=True)
class All:
    """Every message."""


@dataclass(frozen=True, slots=True)
class Flag:
    """ANSWERED, UNSEEN, KEYWORD x ...: whether the flag is there."""

    flag: str
    present: bool = True


@dataclass(frozen=True, slots=True)
class Recent:
    """RECENT, NEW (with unseen) and OLD."""

    recent: bool = True


@dataclass(frozen=True, slots=True)
class Day:
    """ON, BEFORE, SINCE and their SENT forms; `day` as `datetime.date.toordinal`."""

    relation: str  # "on", "before", "since"
    day: int
    sent: bool = False


@dataclass(frozen=True, slots=True)
class Size:
    """LARGER, SMALLER."""

    octets: int
    larger: bool


@dataclass(frozen=True, slots=True)
class Messages:
    """A sequence set, or UID and one."""

    messages: SequenceSet
    by_uid: bool


@dataclass(frozen=True, slots=True)
class Field:
    """HEADER name text, and FROM, TO, CC, BCC, SUBJECT. Text is folded."""

    name: bytes
    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """BODY text, or TEXT text (header too). Text is folded."""

    text: str
    with_header: bool


@dataclass(frozen=True, slots=True)
class Modified:
    """MODSEQ: changed at this modification sequence or later (RFC 7162 §3.1.5)."""

    since: int


@dataclass(frozen=True, slots=True)
class Not:
    """NOT key."""

    key: Key


@dataclass(frozen=True, slots=True)
class Or:
    """OR key key."""

    one: Key
    other: Key


@dataclass(frozen=True, slots=True)
class And:
    """Keys side by side."""

    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class ObjectId:
    """EMAILID, THREADID (RFC 8474 §6)."""

    name: bytes
    of_thread: bool = False


@dataclass(frozen=True, slots=True)
class Age:
    """OLDER, YOUNGER: seconds before now (RFC 5032 §3)."""

    seconds: int
    older: bool


Key = Age | ObjectId | All | Flag | Recent | Day | Size | Messages | Field | Text | Modified | Not | Or | And


@dataclass(frozen=True, slots=True)
class Search:
    """RFC 3501 §6.4.4."""

    key: Key
    by_uid: bool
    result: frozenset[bytes] | None = None
    """RFC 4731 §3.1: what RETURN asks for, ALL when it asked for nothing; None without RETURN."""
    names_charset: bool = False


RESULT_OPTIONS = frozenset({b"MIN", b"MAX", b"ALL", b"COUNT", b"SAVE"})  # RFC 4731 §3.1, RFC 5182 §2.1
_SIMPLE: dict[bytes, Key] = {
    b"ALL": All(),
    b"ANSWERED": Flag("\\Answered"),
    b"DELETED": Flag("\\Deleted"),
    b"DRAFT": Flag("\\Draft"),
    b"FLAGGED": Flag("\\Flagged"),
    b"SEEN": Flag("\\Seen"),
    b"UNANSWERED": Flag("\\Answered", present=False),
    b"UNDELETED": Flag("\\Deleted", present=False),
    b"UNDRAFT": Flag("\\Draft", present=False),
    b"UNFLAGGED": Flag("\\Flagged", present=False),
    b"UNSEEN": Flag("\\Seen", present=False),
    b"NEW": And((Recent(), Flag("\\Seen", present=False))),
    b"OLD": Recent(recent=False),
    b"RECENT": Recent(),
}
_FIELDS = {b"FROM": b"from", b"TO": b"to", b"CC": b"cc", b"BCC": b"bcc", b"SUBJECT": b"subject"}
_DAYS = {b"ON": "on", b"BEFORE": "before", b"SINCE": "since"}


def search(cursor: Cursor, *, by_uid: bool) -> Search:
    """RFC 4731 §4: search = "SEARCH" [search-return-opts] [SP "CHARSET" SP astring] 1*(SP search-key)."""
    reader = _Reader(cursor)
    cursor.space()
    word = b"" if reader.begins_otherwise() else cursor.word()
    result = None
    if word == b"RETURN":
        result = _result_options(cursor)
        cursor.space()
        word = b"" if reader.begins_otherwise() else cursor.word()
    names_charset = word == b"CHARSET"
    if names_charset:
        cursor.space()
        if cursor.astring().upper() not in CHARSETS:
            raise CharsetUnknown
        cursor.space()
        word = b"" if reader.begins_otherwise() else cursor.word()
    keys = [reader.key(word, 0)]
    while not cursor.at_end:
        cursor.space()
        keys.append(reader.next_key(0))
    return Search(keys[0] if len(keys) == 1 else And(tuple(keys)), by_uid, result, names_charset)


def _result_options(cursor: Cursor) -> frozenset[bytes]:
    """RFC 4731 §4: search-return-opts = SP "RETURN" SP "(" [search-return-opt *(SP search-return-opt)] ")"."""
    cursor.space()
    if not cursor.open():
        raise SyntaxInvalid("a list of results is missing")
    options: set[bytes] = set()
    while not cursor.close():
        if options:
            cursor.space()
        option = cursor.word()
        if option not in RESULT_OPTIONS:
            raise SyntaxInvalid("this result is not known")
        options.add(option)
    return frozenset(options or {b"ALL"})


def read_keys(cursor: Cursor) -> Key:
    """RFC 3501 §9: search-key *(SP search-key), to the end of the command."""
    reader = _Reader(cursor)
    keys = [reader.next_key(0)]
    while not cursor.at_end:
        cursor.space()
        keys.append(reader.next_key(0))
    return keys[0] if len(keys) == 1 else And(tuple(keys))


class _Reader:
    """Counts the keys of one SEARCH while they are read."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._count = 0

    def begins_otherwise(self) -> bool:
        """Whether the next key begins with no word: a parenthesis or a set."""
        return self._cursor.peek(b"(") or self._cursor.is_sequence_set()

    def next_key(self, depth: int) -> Key:
        return self.key(b"" if self.begins_otherwise() else self._cursor.word(), depth)

    def key(self, word: bytes, depth: int) -> Key:
        """One search-key whose first word, if it has one, was taken already."""
        self._count += 1
        if self._count > MAX_KEYS or depth > MAX_NESTED:
            raise SyntaxInvalid("too many keys in this search")
        if not word:
            return self._group(depth) if self._cursor.open() else Messages(self._cursor.sequence_set(), False)
        if word in _SIMPLE:
            return _SIMPLE[word]
        self._cursor.space()
        return self._with_argument(word, depth)

    def _group(self, depth: int) -> Key:
        keys = [self.next_key(depth + 1)]
        while not self._cursor.close():
            self._cursor.space()
            keys.append(self.next_key(depth + 1))
        return keys[0] if len(keys) == 1 else And(tuple(keys))

    def _with_argument(self, word: bytes, depth: int) -> Key:
        cursor = self._cursor
        if word in _FIELDS:
            return Field(_FIELDS[word], self._text())
        if word in _DAYS:
            return Day(_DAYS[word], cursor.date())
        if word.startswith(b"SENT") and word[4:] in _DAYS:
            return Day(_DAYS[word[4:]], cursor.date(), sent=True)
        match word:
            case b"NOT":
                return Not(self.next_key(depth + 1))
            case b"OR":
                one = self.next_key(depth + 1)
                cursor.space()
                return Or(one, self.next_key(depth + 1))
            case b"HEADER":
                name = cursor.astring()
                cursor.space()
                return Field(name.lower(), self._text())
            case b"BODY" | b"TEXT":
                return Text(self._text(), with_header=word == b"TEXT")
            case b"KEYWORD" | b"UNKEYWORD":
                return Flag(cursor.atom().decode("ascii"), present=word == b"KEYWORD")
            case b"LARGER" | b"SMALLER":
                return Size(cursor.number(), larger=word == b"LARGER")
            case b"OLDER" | b"YOUNGER":
                seconds = cursor.number()
                if not seconds:
                    raise SyntaxInvalid("an age is at least one second")  # RFC 5032 §4: nz-number
                return Age(seconds, older=word == b"OLDER")
            case b"EMAILID" | b"THREADID":
                return ObjectId(cursor.atom(), of_thread=word == b"THREADID")
            case b"UID":
                return Messages(cursor.sequence_set(), True)
            case b"MODSEQ":
                return self._modified()
        raise SyntaxInvalid("this search key is not known")

    def _modified(self) -> Modified:
        """RFC 7162 §7: [entry-name SP ("priv" / "shared" / "all") SP] mod-sequence-valzer; one sequence for all."""
        cursor = self._cursor
        if cursor.peek(b'"'):
            cursor.string()
            cursor.space()
            if cursor.word() not in (b"PRIV", b"SHARED", b"ALL"):
                raise SyntaxInvalid("an entry is private, shared or both")
            cursor.space()
        return Modified(cursor.modseq(zero=True))

    def _text(self) -> str:
        needle = self._cursor.astring()
        if len(needle) > MAX_NEEDLE:
            raise SyntaxInvalid("this text is too long to be searched for")
        try:
            return fold(needle.decode("utf-8"))
        except UnicodeDecodeError:
            raise SyntaxInvalid("this text is not in the charset that was named") from None
