"""Commands about folders by name: SELECT, EXAMINE, CREATE, DELETE, RENAME, SUBSCRIBE, STATUS, NAMESPACE, QUOTA.

Names stay octets here; `mta.imap.names` reads them, so that a bad name is a NO and not a BAD.
"""

from __future__ import annotations

from dataclasses import dataclass

from mta.imap.grammar import Cursor, SyntaxInvalid

# RFC 3501 §6.3.10; SIZE by RFC 8438
STATUS_ITEMS = frozenset({b"MESSAGES", b"RECENT", b"UIDNEXT", b"UIDVALIDITY", b"UNSEEN", b"SIZE"})


@dataclass(frozen=True, slots=True)
class Select:
    """RFC 3501 §6.3.1 SELECT and §6.3.2 EXAMINE."""

    name: bytes
    read_only: bool = False


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


def select(cursor: Cursor) -> Select:
    """RFC 3501 §9: select = "SELECT" SP mailbox."""
    return Select(_name(cursor))


def examine(cursor: Cursor) -> Select:
    """RFC 3501 §9: examine = "EXAMINE" SP mailbox."""
    return Select(_name(cursor), read_only=True)


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
