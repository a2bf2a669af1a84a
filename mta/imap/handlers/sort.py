"""SORT and THREAD: a search, then an order made of stored envelopes, and of References for threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from core.message import raw_fields
from mta.imap import matching
from mta.imap.commands import sort as commands
from mta.imap.handlers.declined import Declined
from mta.imap.handlers.fetch import load_summaries
from mta.imap.handlers.search import positions_found
from mta.imap.ordering import Compared, compared
from mta.imap.responses import status_text
from mta.imap.threads import Threaded, message_ids, thread_text, threads

if TYPE_CHECKING:
    from mta.imap.conversation import Conversation

SLICE = 100  # envelopes or headers read before others have the loop
_TEXTS: dict[bytes, Callable[[Compared], str]] = {
    b"SUBJECT": lambda one: one.subject,
    b"FROM": lambda one: one.sender,
    b"TO": lambda one: one.to,
    b"CC": lambda one: one.cc,
}


async def sort(conversation: Conversation, command: commands.Sort) -> bytes:
    """RFC 5256 §3 BASE.6.4.SORT."""
    rows = conversation.view.rows
    found = await positions_found(conversation, command.key)
    values: dict[int, tuple[Compared, int]] = {}
    if any(name not in (b"ARRIVAL", b"SIZE") for name, _ in command.criteria):
        values = {position: (one, date) for position, one, date, _ in await _compared(conversation, found)}
        found = [position for position in found if position in values]  # others are gone
    # The last criterion first: each sort keeps the order of what it finds equal.
    for name, is_reversed in reversed(command.criteria):
        if name == b"ARRIVAL":
            found.sort(key=rows.date, reverse=is_reversed)
        elif name == b"SIZE":
            found.sort(key=lambda position: rows.sizes[position], reverse=is_reversed)
        elif name == b"DATE":
            found.sort(key=lambda position: values[position][1], reverse=is_reversed)
        else:
            texts = {position: _TEXTS[name](values[position][0]) for position in found}
            found.sort(key=texts.__getitem__, reverse=is_reversed)
        await asyncio.sleep(0)
    numbers = [rows.uids[position] if command.by_uid else position + 1 for position in found]
    told = b"".join([b" %d" % number for number in numbers])
    if found and matching.asks_modseq(command.key):
        told += b" (MODSEQ %d)" % max(rows.modseqs[position] for position in found)  # RFC 7162 §3.1.5
    conversation.tell(b"* SORT%b\r\n" % told)
    return b"OK SORT completed"


async def thread(conversation: Conversation, command: commands.Thread) -> bytes:
    """RFC 5256 §3 BASE.6.4.THREAD."""
    found = await positions_found(conversation, command.key)
    letters = await _threaded(conversation, found, by_uid=command.by_uid)
    roots = await asyncio.to_thread(threads, letters)
    told = b"".join([thread_text(root) for root in roots])
    conversation.tell(b"* THREAD %b\r\n" % told if told else b"* THREAD\r\n")
    return b"OK THREAD completed"


async def _compared(
    conversation: Conversation, positions: Sequence[int]
) -> list[tuple[int, Compared, int, int]]:
    """(position, what is compared, sent date, octets of the header) of those that are still there."""
    uids = conversation.view.uids
    told: list[tuple[int, Compared, int, int]] = []
    for start in range(0, len(positions), SLICE):
        some = positions[start : start + SLICE]
        summaries = await load_summaries(conversation, [uids[position] for position in some])
        for position, summary in zip(some, summaries, strict=True):
            if summary is not None:
                told.append((position, compared(summary.envelope), summary.sent_date, summary.header_size))
        await conversation.drain()
    return told


async def _threaded(conversation: Conversation, positions: Sequence[int], *, by_uid: bool) -> list[Threaded]:
    """The letters with their References. Raises `Declined` (LIMIT) when too much would have to be read."""
    view, store = conversation.view, conversation.ports.store
    known = await _compared(conversation, positions)
    if sum(size for *_, size in known) > conversation.shared.settings.search_scan_octets:
        raise Declined(status_text.LIMIT)
    letters: list[Threaded] = []
    for start in range(0, len(known), SLICE):
        some = known[start : start + SLICE]
        spans = {view.uids[position]: (0, size) for position, _, _, size in some}
        headers = await store.many_octets(view.folder.folder_id, spans)
        for position, one, date, _ in some:
            uid = view.uids[position]
            header = headers.get(uid, b"")
            named = message_ids(raw_fields(header, 0, len(header)).get(b"references", b""))
            # RFC 5256 §3 step 1: without References, the first Message-ID of In-Reply-To
            named = named or message_ids(one.in_reply_to)[:1]
            own = message_ids(one.message_id)
            letters.append(
                Threaded(
                    number=uid if by_uid else position + 1,
                    message_id=own[0] if own else b"",
                    references=named,
                    subject=one.subject,
                    is_reply=one.is_reply,
                    date=date,
                )
            )
        await conversation.drain()
    return letters
