"""SEARCH answers: the plain list of RFC 3501 §7.2.5 and the ESEARCH of RFC 4731 §3."""

from __future__ import annotations

from collections.abc import Sequence

from mta.imap.commands.search import Search
from mta.imap.row_table import RowTable
from mta.imap.sequence import compact


def search(table: RowTable, found: Sequence[int], command: Search, tag: bytes, *, asks_modseq: bool) -> bytes:
    """RFC 3501 §7.2.5: every number; an empty result is told too. RFC 7162 §3.1.5: the highest sequence."""
    told = b"".join([b" %d" % number for number in _numbers(table, found, by_uid=command.by_uid)])
    if found and asks_modseq:
        told += b" (MODSEQ %d)" % max(table.modseqs[position] for position in found)
    return b"* SEARCH%b\r\n" % told


def esearch(
    table: RowTable, found: Sequence[int], command: Search, tag: bytes, *, asks_modseq: bool
) -> bytes:
    """RFC 4731 §3.1: only what RETURN asked for; nothing at all when that was only SAVE (RFC 5182 §2.1)."""
    options = command.result or frozenset()
    if options == {b"SAVE"}:
        return b""
    words = [b'* ESEARCH (TAG "%b")' % tag]
    if command.by_uid:
        words.append(b"UID")
    if found:
        ends = _numbers(table, (found[0], found[-1]), by_uid=command.by_uid)
        words += [b"MIN %d" % ends[0]] if b"MIN" in options else []
        words += [b"MAX %d" % ends[1]] if b"MAX" in options else []
        if b"ALL" in options:
            words.append(b"ALL " + compact(_numbers(table, found, by_uid=command.by_uid)))
    if b"COUNT" in options:
        words.append(b"COUNT %d" % len(found))
    if found and asks_modseq:
        # RFC 7162 §3.1.10: of the messages that are told; COUNT and ALL tell of all
        words.append(b"MODSEQ %d" % max(table.modseqs[position] for position in kept(found, options)))
    return b" ".join(words) + b"\r\n"


def kept(found: Sequence[int], options: frozenset[bytes]) -> Sequence[int]:
    """What a search with these options is about (RFC 5182 §2.4): its ends when only they were asked for."""
    ends = options & {b"MIN", b"MAX"}
    if not found or not ends or options & {b"ALL", b"COUNT"}:
        return found
    if len(ends) == 1:
        return found[:1] if b"MIN" in ends else found[-1:]
    return sorted({found[0], found[-1]})


def _numbers(table: RowTable, positions: Sequence[int], *, by_uid: bool) -> list[int]:
    if by_uid:
        return [table.uids[position] for position in positions]
    return [position + 1 for position in positions]
