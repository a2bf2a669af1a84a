"""LIST with its extensions (RFC 5258, RFC 5819, RFC 6154) and LSUB."""

from __future__ import annotations

from dataclasses import dataclass

from mta.imap.commands.folders import status_items
from mta.imap.grammar import Cursor, SyntaxInvalid

MAX_PATTERNS = 32  # ours: patterns of one extended LIST
# RFC 5258 §3.1, RFC 6154 §2
SELECTION_OPTIONS = frozenset({b"SUBSCRIBED", b"REMOTE", b"RECURSIVEMATCH", b"SPECIAL-USE"})
# RFC 5258 §3.2, RFC 6154 §2; STATUS (RFC 5819 §2) has items of its own
RETURN_OPTIONS = frozenset({b"SUBSCRIBED", b"CHILDREN", b"SPECIAL-USE"})


@dataclass(frozen=True, slots=True, kw_only=True)
class List:
    """RFC 5258 §3. `is_extended` says that one of its forms was used."""

    reference: bytes
    patterns: tuple[bytes, ...]
    selection: frozenset[bytes] = frozenset()
    returned: frozenset[bytes] = frozenset()
    status_items: tuple[bytes, ...] = ()
    is_extended: bool = False


@dataclass(frozen=True, slots=True)
class Lsub:
    """RFC 3501 §6.3.9."""

    reference: bytes
    pattern: bytes


def list_folders(cursor: Cursor) -> List:
    """RFC 5258 §6: list = "LIST" [SP list-select-opts] SP mailbox SP mbox-or-pat [SP list-return-opts]."""
    cursor.space()
    selection: frozenset[bytes] = frozenset()
    is_extended = cursor.peek(b"(")
    if is_extended:
        selection = _selection(cursor)
        cursor.space()
    reference = cursor.astring()
    cursor.space()
    is_extended = is_extended or cursor.peek(b"(")
    patterns = _patterns(cursor)
    returned: frozenset[bytes] = frozenset()
    items: tuple[bytes, ...] = ()
    if not cursor.at_end:
        is_extended = True
        returned, items = _returned(cursor)
    return List(
        reference=reference,
        patterns=patterns,
        selection=selection,
        returned=returned,
        status_items=items,
        is_extended=is_extended,
    )


def lsub(cursor: Cursor) -> Lsub:
    """RFC 3501 §9: lsub = "LSUB" SP mailbox SP list-mailbox."""
    cursor.space()
    reference = cursor.astring()
    cursor.space()
    return Lsub(reference, cursor.list_mailbox())


def _selection(cursor: Cursor) -> frozenset[bytes]:
    cursor.open()
    options: list[bytes] = []
    while not cursor.close():
        if options:
            cursor.space()
        option = cursor.word()
        if option not in SELECTION_OPTIONS:
            raise SyntaxInvalid("this selection option is not known")
        options.append(option)
    # RFC 5258 §3.1: RECURSIVEMATCH alone, or with REMOTE alone, is an error.
    if b"RECURSIVEMATCH" in options and not {b"SUBSCRIBED", b"SPECIAL-USE"} & set(options):
        raise SyntaxInvalid("RECURSIVEMATCH needs a base selection option")
    return frozenset(options)


def _patterns(cursor: Cursor) -> tuple[bytes, ...]:
    if not cursor.open():
        return (cursor.list_mailbox(),)
    patterns: list[bytes] = []
    while not patterns or not cursor.close():
        if patterns:
            cursor.space()
        patterns.append(cursor.list_mailbox())
        if len(patterns) > MAX_PATTERNS:
            raise SyntaxInvalid("too many patterns")
    return tuple(patterns)


def _returned(cursor: Cursor) -> tuple[frozenset[bytes], tuple[bytes, ...]]:
    cursor.space()
    if cursor.word() != b"RETURN":
        raise SyntaxInvalid("RETURN is missing")
    cursor.space()
    if not cursor.open():
        raise SyntaxInvalid("a list of return options is missing")
    options: set[bytes] = set()
    items: tuple[bytes, ...] = ()
    is_first = True
    while not cursor.close():
        if not is_first:
            cursor.space()
        is_first = False
        option = cursor.word()
        if option == b"STATUS":
            cursor.space()
            items = status_items(cursor)
        elif option in RETURN_OPTIONS:
            options.add(option)
        else:
            raise SyntaxInvalid("this return option is not known")
    return frozenset(options), items
