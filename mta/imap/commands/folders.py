"""Commands about folders by name: SELECT, EXAMINE, CREATE, DELETE, RENAME, SUBSCRIBE, STATUS, NAMESPACE, QUOTA.

Names stay octets here; `mta.imap.names` reads them, so that a bad name is a NO and not a BAD.
"""

from __future__ import annotations

from dataclasses import dataclass

from mta.imap.grammar import Cursor, SyntaxInvalid
from mta.imap.sequence import SequenceSet

# RFC 3501 §6.3.10; SIZE by RFC 8438 §2, HIGHESTMODSEQ by RFC 7162 §3.1.7, MAILBOXID by RFC 8474 §4.3
STATUS_ITEMS = frozenset(b"MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN SIZE HIGHESTMODSEQ MAILBOXID".split())


@dataclass(frozen=True, slots=True)
class Resync:
    """RFC 7162 §3.2.5: what a client remembers of the folder. `known` are its UIDs, all when None."""

    uid_validity: int
    modseq: int
    known: SequenceSet | None = None


@dataclass(frozen=True, slots=True)
class Select:
    """RFC 3501 §6.3.1 SELECT and §6.3.2 EXAMINE, with the parameters of RFC 7162."""

    name: bytes
    read_only: bool = False
    condstore: bool = False
    resync: Resync | None = None


@dataclass(frozen=True, slots=True)
class Create:
    """RFC 3501 §6.3.3, with the USE of RFC 6154 §3."""

    name: bytes
    uses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Delete:
    """RFC 3501 §6.3.4."""

    name: bytes


@dataclass(frozen=True, slots=True)
class Rename:
    """RFC 3501 §6.3.5."""

    name: bytes
    new_name: bytes


@dataclass(frozen=True, slots=True)
class Subscribe:
    """RFC 3501 §6.3.6 SUBSCRIBE and §6.3.7 UNSUBSCRIBE."""

    name: bytes
    subscribed: bool = True


@dataclass(frozen=True, slots=True)
class Status:
    """RFC 3501 §6.3.10."""

    name: bytes
    items: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Namespace:
    """RFC 2342 §5."""


@dataclass(frozen=True, slots=True)
class GetQuotaRoot:
    """RFC 2087 §4.3."""

    name: bytes


@dataclass(frozen=True, slots=True)
class GetQuota:
    """RFC 2087 §4.2."""

    root: bytes


def _name(cursor: Cursor) -> bytes:
    cursor.space()
    return cursor.astring()


def select(cursor: Cursor, *, read_only: bool = False) -> Select:
    """RFC 7162 §7: select = ("SELECT" / "EXAMINE") SP mailbox [SP "(" select-param *(SP select-param) ")"]."""
    name = _name(cursor)
    condstore, resync = False, None
    if not cursor.at_end:
        cursor.space()
        if not cursor.open():
            raise SyntaxInvalid("a list of parameters is missing")
        while True:
            match cursor.word():
                case b"CONDSTORE":
                    condstore = True
                case b"QRESYNC" if resync is None:
                    resync = _resync(cursor)
                case _:
                    raise SyntaxInvalid("this parameter is not known")
            if cursor.close():
                break
            cursor.space()
    return Select(name, read_only, condstore, resync)


def _resync(cursor: Cursor) -> Resync:
    """RFC 7162 §7: SP "(" uidvalidity SP mod-sequence-value [SP known-uids] [SP seq-match-data] ")"."""
    cursor.space()
    if not cursor.open():
        raise SyntaxInvalid("QRESYNC has a list")
    uid_validity = cursor.number()
    cursor.space()
    modseq = cursor.modseq()
    known: SequenceSet | None = None
    while not cursor.close():
        cursor.space()
        if cursor.is_sequence_set() and known is None and not cursor.peek(b"$"):
            known = cursor.sequence_set()
        elif cursor.open():
            # seq-match-data helps servers that forget removals; ours remembers each of them
            cursor.sequence_set()
            cursor.space()
            cursor.sequence_set()
            if not cursor.close() or not cursor.peek(b")"):
                raise SyntaxInvalid("a parenthesis is missing")
        else:
            raise SyntaxInvalid("QRESYNC has two to four values")
    return Resync(uid_validity, modseq, known)


def create(cursor: Cursor) -> Create:
    """RFC 6154 §6: create = "CREATE" SP mailbox [SP "(" "USE" SP "(" [use-attr *(SP use-attr)] ")" ")"]."""
    name = _name(cursor)
    if cursor.at_end:
        return Create(name)
    cursor.space()
    if not cursor.open() or cursor.word() != b"USE":
        raise SyntaxInvalid("CREATE knows the parameter USE")
    cursor.space()
    uses = cursor.flag_list()
    if not cursor.close():
        raise SyntaxInvalid("a parenthesis is missing")
    return Create(name, uses)


def delete(cursor: Cursor) -> Delete:
    """RFC 3501 §9: delete = "DELETE" SP mailbox."""
    return Delete(_name(cursor))


def rename(cursor: Cursor) -> Rename:
    """RFC 3501 §9: rename = "RENAME" SP mailbox SP mailbox."""
    name = _name(cursor)
    return Rename(name, _name(cursor))


def subscribe(cursor: Cursor) -> Subscribe:
    """RFC 3501 §9: subscribe = "SUBSCRIBE" SP mailbox."""
    return Subscribe(_name(cursor))


def unsubscribe(cursor: Cursor) -> Subscribe:
    """RFC 3501 §9: unsubscribe = "UNSUBSCRIBE" SP mailbox."""
    return Subscribe(_name(cursor), subscribed=False)


def status(cursor: Cursor) -> Status:
    """RFC 3501 §9: status = "STATUS" SP mailbox SP "(" status-att *(SP status-att) ")"."""
    name = _name(cursor)
    cursor.space()
    return Status(name, status_items(cursor))


def status_items(cursor: Cursor) -> tuple[bytes, ...]:
    """RFC 3501 §9: "(" status-att *(SP status-att) ")"."""
    if not cursor.open():
        raise SyntaxInvalid("a list of status items is missing")
    items: list[bytes] = []
    while not items or not cursor.close():
        if items:
            cursor.space()
        item = cursor.word()
        if item not in STATUS_ITEMS:
            raise SyntaxInvalid("this status item is not known")
        items.append(item)
    return tuple(dict.fromkeys(items))


def get_quota_root(cursor: Cursor) -> GetQuotaRoot:
    """RFC 2087 §5: getquotaroot = "GETQUOTAROOT" SP astring."""
    return GetQuotaRoot(_name(cursor))


def get_quota(cursor: Cursor) -> GetQuota:
    """RFC 2087 §5: getquota = "GETQUOTA" SP astring."""
    return GetQuota(_name(cursor))
