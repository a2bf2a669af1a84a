"""FETCH answers (RFC 3501 §7.4.2): a plan made once for a command, then one template per message."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from operator import attrgetter

from core.folder import Summary
from mta.imap.commands.fetch import Item, Section
from mta.imap.responses.flags import flag_text
from mta.imap.row_table import RowTable

MAX_DATE = 253_402_300_799  # RFC 3501 §9: date-year = 4DIGIT, so the last second of the year 9999 in UTC
_MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_OF_SUMMARY: dict[Item, Callable[[Summary], bytes]] = {
    Item.ENVELOPE: attrgetter("envelope"),
    Item.BODY: attrgetter("body"),
    Item.BODYSTRUCTURE: attrgetter("body_structure"),
}


def internal_date(seconds: int) -> bytes:
    """RFC 3501 §9: date-time, told in UTC."""
    at = datetime.fromtimestamp(min(max(seconds, 0), MAX_DATE), UTC)
    return b'"%2d-%b-%04d %02d:%02d:%02d +0000"' % (
        at.day,
        _MONTHS[at.month - 1],
        at.year,
        at.hour,
        at.minute,
        at.second,
    )


class MetadataPlan:
    """FETCH of items that need no octets of a message: flags, dates, sizes, envelopes, structures.

    `needs_summary` says whether the store must be asked; `lines` writes a whole slice at once.
    """

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = tuple(items)
        self.needs_summary = any(item in _OF_SUMMARY for item in items)
        self._template = b"* %d FETCH (" + b" ".join(_template(item) for item in items) + b")\r\n"

    def line(self, table: RowTable, position: int, summary: Summary | None, *, recent: bool) -> bytes:
        """One answer, for the message at this position."""
        first_recent = position if recent else position + 1
        return self.lines(table, [position], [summary] if summary else (), first_recent)

    def lines(
        self,
        table: RowTable,
        positions: Sequence[int],
        summaries: Sequence[Summary | None],
        first_recent: int,
    ) -> bytes:
        """The answers of a slice, joined: columns first, for speed (the bench row `FETCH 1:*`).

        Positions from `first_recent` on are \\Recent. `summaries` has one for each position when they are needed.
        """
        columns: list[Sequence[object]] = [[position + 1 for position in positions]]
        for item in self.items:
            if item in _OF_SUMMARY:
                columns.append([_OF_SUMMARY[item](one) for one in summaries if one is not None])
            else:
                columns.append(_column(item, table, positions, first_recent))
        template: bytes = self._template
        told: bytes = b"".join([template % values for values in zip(*columns, strict=True)])
        return told


def _column(item: Item, table: RowTable, positions: Sequence[int], first_recent: int) -> Sequence[object]:
    match item:
        case Item.UID:
            uids = table.uids
            return [uids[position] for position in positions]
        case Item.RFC822_SIZE:
            sizes = table.sizes
            return [sizes[position] for position in positions]
        case Item.EMAILID:
            return [table.email_id(position) for position in positions]
        case Item.THREADID:
            return [b"NIL"] * len(positions)  # RFC 8474 §5.2: threads are not counted here
        case Item.MODSEQ:
            modseqs = table.modseqs
            return [modseqs[position] for position in positions]
        case Item.INTERNALDATE:
            return [internal_date(table.date(position)) for position in positions]
        case _:
            return _flags_column(table, positions, first_recent)


def _flags_column(table: RowTable, positions: Sequence[int], first_recent: int) -> Sequence[bytes]:
    """Each set of flags that occurs is written once."""
    kinds = table.kinds
    written: dict[tuple[int, bool], bytes] = {}
    column: list[bytes] = []
    for position in positions:
        key = (kinds[position], position >= first_recent)
        text = written.get(key)
        if text is None:
            text = written[key] = flags(table.flag_sets[key[0]], recent=key[1])
        column.append(text)
    return column


def _template(item: Item) -> bytes:
    if item is Item.FLAGS:
        return b"FLAGS (%b)"
    if item is Item.EMAILID:
        return b"EMAILID (%b)"  # RFC 8474 §7
    if item is Item.MODSEQ:
        return b"MODSEQ (%d)"  # RFC 7162 §7: fetch-mod-resp
    name: bytes = item.value
    return name + (b" %d" if item in (Item.UID, Item.RFC822_SIZE) else b" %b")


def flags(names: frozenset[str], *, recent: bool) -> bytes:
    """The flags of a message in this session, without parentheses (RFC 3501 §7.4.2)."""
    text = flag_text(names)
    return (text + b" \\Recent" if text else b"\\Recent") if recent else text


def section(asked: Section, octets: bytes | None, following: int = 0) -> bytes:
    """One body section: a literal, or NIL for a part that does not exist (RFC 3501 §7.4.2).

    `following` counts the octets of the literal that the caller writes behind these.
    """
    if octets is None:
        return asked.label + b" NIL"
    return b"%b {%d}\r\n%b" % (asked.label, len(octets) + following, octets)
