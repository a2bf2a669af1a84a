"""SEARCH: decide by rows, then by summaries, headers and texts, in slices and within a bound."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from core.errors import GatewayError
from mta.imap import matching
from mta.imap.commands import search as commands
from mta.imap.handlers.declined import Declined
from mta.imap.handlers.fetch import load_summaries
from mta.imap.indexed import narrowed
from mta.imap.matching import Candidate, Test
from mta.imap.responses import search as responses
from mta.imap.responses import status_text
from mta.imap.sent_date import written_day

if TYPE_CHECKING:
    from mta.imap.conversation import Conversation

SLICE = 2000  # rows tested before others have the loop: about 2 ms
READ_SLICE = 100  # messages read and tested before others have the loop
AT_ONCE = 1 << 20  # octets of letters from which on no more are read in the same step
IN_THREAD = 256 * 1024  # octets of a text from which on it is searched in a thread


async def search(conversation: Conversation, command: commands.Search) -> bytes:
    """RFC 3501 §6.4.4, RFC 4731 §3 (RETURN), RFC 5182 §2 (SAVE)."""
    view = conversation.view
    if command.names_charset and conversation.session.manner.utf8:
        raise Declined(status_text.CHARSET_NAMED)  # RFC 6855 §3
    saves = command.result is not None and b"SAVE" in command.result
    try:
        found = await positions_found(conversation, command.key)
    except (Declined, GatewayError):
        if saves:
            view.saved = ()  # RFC 5182 §2.1: a SEARCH that ends with NO leaves nothing saved
        raise
    asks_modseq = matching.asks_modseq(command.key)
    if saves:
        view.saved = array("I", [view.uids[p] for p in responses.kept(found, command.result or frozenset())])
    told = responses.esearch if command.result is not None else responses.search
    conversation.tell(told(view.rows, found, command, conversation.tag, asks_modseq=asks_modseq))
    return b"OK SEARCH completed"


async def positions_found(conversation: Conversation, key: commands.Key) -> list[int]:
    """The positions, ascending, of what is searched. Raises `Declined`."""
    _check_numbers(key, conversation)
    if matching.asks_modseq(key):
        conversation.session.manner.modseq = True  # RFC 7162 §3.1: using it enables it
    now = int(conversation.ports.clock.now().timestamp())
    key = await narrowed(key, conversation.ports.search, conversation.view.folder.folder_id)
    test = matching.compile_key(key, conversation.view, now)
    found, undecided = await _by_rows(conversation, test)
    if undecided:
        found += await _Reading(conversation, test, matching.needs(key)).run(undecided)
    found.sort()
    return found


def _check_numbers(key: commands.Key, conversation: Conversation) -> None:
    """A sequence number that does not exist is an error of the client (RFC 3501 §9: seq-number)."""
    match key:
        case commands.Messages(messages, by_uid=False):
            view = conversation.view
            if len(view) and view.positions(messages, by_uid=False) is None:
                raise Declined(status_text.NO_SUCH_NUMBER)
        case commands.Not(inner):
            _check_numbers(inner, conversation)
        case commands.Or(one, other):
            _check_numbers(one, conversation)
            _check_numbers(other, conversation)
        case commands.And(keys):
            for inner in keys:
                _check_numbers(inner, conversation)
        case _:
            pass


async def _by_rows(conversation: Conversation, test: Test) -> tuple[list[int], list[int]]:
    """What the rows decide: the positions found, and those that must be read."""
    view = conversation.view
    found: list[int] = []
    undecided: list[int] = []
    candidate = Candidate(0, view.rows)  # one for all: ten thousand objects would cost a collection
    for position in range(len(view)):
        if position % SLICE == SLICE - 1:
            await asyncio.sleep(0)
        candidate.position = position
        verdict = test(candidate)
        if verdict is None:
            undecided.append(position)
        elif verdict:
            found.append(position)
    return found, undecided


class _Reading:
    """The second part of a search: reads as little as decides."""

    def __init__(self, conversation: Conversation, test: Test, needs: matching.Needs) -> None:
        self._conversation = conversation
        self._store = conversation.ports.store
        self._folder_id = conversation.view.folder.folder_id
        self._test = test
        self._needs = needs
        self._left = conversation.shared.settings.search_scan_octets

    async def run(self, undecided: Sequence[int]) -> list[int]:
        """The positions found among them. Raises `Declined` (LIMIT) when too much would have to be read."""
        found: list[int] = []
        for start in range(0, len(undecided), READ_SLICE):
            rows = self._conversation.view.rows
            some = [Candidate(p, rows) for p in undecided[start : start + READ_SLICE]]
            found += await self._decided(some)
            await self._conversation.drain()
        return found

    async def _decided(self, some: list[Candidate]) -> list[int]:
        """The positions found among these: by their summaries, then their headers, then their texts."""
        found: list[int] = []
        sizes: dict[int, int] = {}
        summaries = await load_summaries(self._conversation, [one.uid for one in some])
        for candidate, summary in zip(some, summaries, strict=True):
            if summary is not None:  # else the message is gone
                day = written_day(summary.envelope)
                candidate.sent_day = day.toordinal() if day else matching.day_of(summary.sent_date)
                sizes[candidate.uid] = summary.header_size
        left = self._sorted_out([one for one in some if one.uid in sizes], found)
        if left and self._needs.header:
            async for candidate, octets in self._read([(one, sizes[one.uid]) for one in left]):
                candidate.header = octets
            left = self._sorted_out([one for one in left if one.header is not None], found)
        if left and self._needs.text:
            async for candidate, octets in self._read([(one, one.size) for one in left]):
                candidate.text = octets
                large = candidate.size > IN_THREAD
                if await asyncio.to_thread(self._test, candidate) if large else self._test(candidate):
                    found.append(candidate.position)
                candidate.text = None
        return found

    def _sorted_out(self, candidates: list[Candidate], found: list[int]) -> list[Candidate]:
        """Those that are not decided yet; what is found goes to `found`."""
        left: list[Candidate] = []
        for candidate in candidates:
            verdict = self._test(candidate)
            if verdict is None:
                left.append(candidate)
            elif verdict:
                found.append(candidate.position)
        return left

    async def _read(self, wanted: Sequence[tuple[Candidate, int]]) -> AsyncIterator[tuple[Candidate, bytes]]:
        """The first octets of each, some megabytes at a time. Messages that are gone are passed over."""
        batch: dict[int, tuple[int, int]] = {}
        octets = 0
        for place, (candidate, size) in enumerate(wanted, 1):
            batch[candidate.uid] = (0, size)
            octets += size
            if octets < AT_ONCE and place < len(wanted):
                continue
            self._left -= octets
            if self._left < 0:
                raise Declined(status_text.LIMIT)
            read = await self._store.many_octets(self._folder_id, batch)
            for one, _ in wanted[place - len(batch) : place]:
                if one.uid in read:
                    yield one, read[one.uid]
            batch, octets = {}, 0
            await asyncio.sleep(0)
