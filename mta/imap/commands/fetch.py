"""FETCH: what is asked for, as a list of items (RFC 3501 §6.4.5)."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from mta.imap.grammar import Cursor, SyntaxInvalid
from mta.imap.sequence import SequenceSet

MAX_ITEMS = 64  # ours: items of one FETCH
MAX_FIELDS = 256  # ours: names of one HEADER.FIELDS
MAX_PART_DEPTH = 32  # ours: numbers of one part path, as deep as the MIME reader goes


class Item(enum.Enum):
    """An item without parameters."""

    FLAGS = b"FLAGS"
    INTERNALDATE = b"INTERNALDATE"
    RFC822_SIZE = b"RFC822.SIZE"
    ENVELOPE = b"ENVELOPE"
    BODY = b"BODY"
    BODYSTRUCTURE = b"BODYSTRUCTURE"
    UID = b"UID"
    MODSEQ = b"MODSEQ"  # RFC 7162 §3.1.4.2
    EMAILID = b"EMAILID"  # RFC 8474 §5.1
    THREADID = b"THREADID"  # RFC 8474 §5.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """BODY[section]<partial>, and the three RFC822 items that mean one. `label` is how the answer names it."""

    label: bytes
    path: tuple[int, ...] = ()
    specifier: str = ""  # "", "HEADER", "TEXT", "MIME", "PREVIEW"
    fields: frozenset[bytes] | None = None  # HEADER.FIELDS, lower case
    exclude: bool = False  # HEADER.FIELDS.NOT
    partial: tuple[int, int] | None = None  # first octet, count
    peek: bool = False

    @property
    def shows_content(self) -> bool:
        """Whether the letter itself is read, and not only its header."""
        return self.specifier in ("", "TEXT", "PREVIEW")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """RFC 3501 §6.4.5."""

    messages: SequenceSet
    by_uid: bool
    items: tuple[Item | Section, ...]
    changed_since: int | None = None  # RFC 7162 §3.1.4.1
    vanished: bool = False  # RFC 7162 §3.2.6


_FAST = (Item.FLAGS, Item.INTERNALDATE, Item.RFC822_SIZE)
# RFC 3501 §6.4.5: macros
_MACROS: dict[bytes, tuple[Item, ...]] = {
    b"FAST": _FAST,
    b"ALL": (*_FAST, Item.ENVELOPE),
    b"FULL": (*_FAST, Item.ENVELOPE, Item.BODY),
}
_PLAIN = {item.value: item for item in Item}
# RFC 3501 §6.4.5: "functionally equivalent to"
_RFC822 = {
    b"RFC822": Section(label=b"RFC822"),
    b"RFC822.HEADER": Section(label=b"RFC822.HEADER", specifier="HEADER", peek=True),
    b"RFC822.TEXT": Section(label=b"RFC822.TEXT", specifier="TEXT"),
}


def fetch(cursor: Cursor, *, by_uid: bool) -> Fetch:
    """RFC 3501 §9: fetch = "FETCH" SP sequence-set SP ("ALL" / "FULL" / "FAST" / fetch-att / list of them)."""
    cursor.space()
    messages = cursor.sequence_set()
    cursor.space()
    items: list[Item | Section] = []
    if cursor.open():
        while not items or not cursor.close():
            if items:
                cursor.space()
            items.append(_item(cursor, cursor.word()))
            if len(items) > MAX_ITEMS:
                raise SyntaxInvalid("too many items")
    else:
        word = cursor.word()
        items.extend(_MACROS.get(word) or (_item(cursor, word),))
    changed_since, vanished = _modifiers(cursor)
    if vanished and (not by_uid or changed_since is None):
        raise SyntaxInvalid("VANISHED is of UID FETCH with CHANGEDSINCE")  # RFC 7162 §3.2.6
    if changed_since is not None:
        items.append(Item.MODSEQ)  # RFC 7162 §3.1.4.1
    if by_uid and Item.UID not in items:
        items.insert(0, Item.UID)  # RFC 3501 §6.4.8: the UID is told whether it was asked for or not
    return Fetch(
        messages=messages,
        by_uid=by_uid,
        items=tuple(dict.fromkeys(items)),
        changed_since=changed_since,
        vanished=vanished,
    )


def _modifiers(cursor: Cursor) -> tuple[int | None, bool]:
    """RFC 7162 §7: fetch-modifiers, "CHANGEDSINCE" SP mod-sequence-value and "VANISHED"."""
    changed_since: int | None = None
    vanished = False
    if cursor.at_end:
        return changed_since, vanished
    cursor.space()
    if not cursor.open():
        raise SyntaxInvalid("a list of modifiers is missing")
    while True:
        match cursor.word():
            case b"CHANGEDSINCE" if changed_since is None:
                cursor.space()
                changed_since = cursor.modseq(zero=True)
            case b"VANISHED" if not vanished:
                vanished = True
            case _:
                raise SyntaxInvalid("this modifier is not known")
        if cursor.close():
            return changed_since, vanished
        cursor.space()


def _item(cursor: Cursor, word: bytes) -> Item | Section:
    # An atom may hold "[": `BODY[HEADER.FIELDS` is read as one word and cut here.
    name, bracket, rest = word.partition(b"[")
    if bracket:
        if name not in (b"BODY", b"BODY.PEEK"):
            raise SyntaxInvalid("only BODY has sections")
        return _section(cursor, rest, peek=name == b"BODY.PEEK")
    if word == b"PREVIEW":
        return _preview(cursor)
    item = _PLAIN.get(word) or _RFC822.get(word)
    if item is None:
        raise SyntaxInvalid("this item is not known")
    return item


def _preview(cursor: Cursor) -> Section:
    """RFC 8970 §6: "PREVIEW" [SP "(" "LAZY" ")"]; ours are made so quickly that LAZY changes nothing."""
    if cursor.peek(b" (L") or cursor.peek(b" (l"):
        cursor.space()
        cursor.open()
        if cursor.word() != b"LAZY" or not cursor.close():
            raise SyntaxInvalid("a preview is LAZY or not")
    return _PREVIEW


_PREVIEW = Section(label=b"PREVIEW", specifier="PREVIEW", peek=True)


def _section(cursor: Cursor, text: bytes, *, peek: bool) -> Section:
    """RFC 3501 §9: section = "[" [section-spec] "]"; section-spec = section-msgtext / (section-part ["." ...])."""
    numbers: list[int] = []
    words = text.split(b".") if text else []
    while words and words[0].isdigit():
        number = int(words.pop(0)[:10])
        if not 1 <= number <= 0xFFFFFFFF or len(numbers) >= MAX_PART_DEPTH:
            raise SyntaxInvalid("a part is named by numbers from 1")
        numbers.append(number)
    specifier = b".".join(words)
    label = b"BODY[" + text
    fields: frozenset[bytes] | None = None
    if specifier in (b"HEADER.FIELDS", b"HEADER.FIELDS.NOT"):
        cursor.space()
        names = _fields(cursor)
        label += b" (" + b" ".join(names) + b")"
        fields = frozenset(name.lower() for name in names)
    elif specifier not in (b"", b"HEADER", b"TEXT", b"MIME") or text.endswith(b"."):
        raise SyntaxInvalid("this section is not known")
    if specifier == b"MIME" and not numbers:
        raise SyntaxInvalid("MIME is of a part")  # RFC 3501 §6.4.5
    cursor.expect(b"]")
    partial = _partial(cursor)
    label += b"]" if partial is None else b"]<%d>" % partial[0]
    return Section(
        label=label,
        path=tuple(numbers),
        specifier="HEADER" if fields is not None else specifier.decode("ascii"),
        fields=fields,
        exclude=specifier.endswith(b".NOT"),
        partial=partial,
        peek=peek,
    )


def _fields(cursor: Cursor) -> list[bytes]:
    """RFC 3501 §9: header-list = "(" header-fld-name *(SP header-fld-name) ")"."""
    if not cursor.open():
        raise SyntaxInvalid("a list of fields is missing")
    names: list[bytes] = []
    while not names or not cursor.close():
        if names:
            cursor.space()
        name = cursor.astring()
        # The name is told again in the answer: it must be one that can be told as it is (RFC 5322 §2.2).
        if not name or any(not 33 <= octet <= 126 or octet in b':()"\\{[]%*' for octet in name):
            raise SyntaxInvalid("this is not the name of a field")
        names.append(name)
        if len(names) > MAX_FIELDS:
            raise SyntaxInvalid("too many fields")
    return names


def _partial(cursor: Cursor) -> tuple[int, int] | None:
    """RFC 3501 §9: "<" number "." nz-number ">"."""
    if not cursor.accept(b"<"):
        return None
    first = cursor.number()
    cursor.expect(b".")
    count = cursor.number()
    cursor.expect(b">")
    if not count:
        raise SyntaxInvalid("a partial has at least one octet")
    return first, count
