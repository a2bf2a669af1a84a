"""SEARCH: decide by rows, then by summaries, headers and texts, in slices and within a bound."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.errors import NotStored
from mta.imap import matching
from mta.imap.commands import search as commands
from mta.imap.handlers.declined import Declined
from mta.imap.handlers.fetch import load_summaries
from mta.imap.matching import Candidate, Test
from mta.imap.responses import status_text

if TYPE_CHECKING:
    from mta.imap.conversation import Conversation

SLICE = 2000  # rows tested before others have the loop: about 2 ms
READ_SLICE = 200  # summaries asked for at once
IN_THREAD = 256 * 1024  # octets of a text from which on it is searched in a thread


async def search(conversation: Conversation, command: commands.Search) -> bytes:
    """RFC 3501 §6.4.4."""
    view = conversation.view
    _check_numbers(command.key, conversation)
    test = matching.compile_key(command.key, view)
    found, undecided = await _by_rows(conversation, test)
    if undecided:
        found += await _Reading(conversation, test, matching.needs(command.key)).run(undecided)
    found.sort()
    numbers = [view.uids[p] for p in found] if command.by_uid else [p + 1 for p in found]
    # RFC 3501 §7.2.5: an empty result is told too
    conversation.tell(b"* SEARCH%b\r\n" % b"".join([b" %d" % number for number in numbers]))
    return b"OK SEARCH completed"


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
            summaries = await load_summaries(self._conversation, [one.uid for one in some])
            for candidate, summary in zip(some, summaries, strict=True):
                if summary is None:
                    continue
                candidate.sent_date = summary.sent_date
                if await self._decide(candidate, summary.header_size):
                    found.append(candidate.position)
            await self._conversation.drain()
        return found

    async def _decide(self, candidate: Candidate, header_size: int) -> bool:
        verdict = self._test(candidate)
        try:
            if verdict is None and self._needs.header:
                candidate.header = await self._read(candidate, header_size)
                verdict = self._test(candidate)
            if verdict is None and self._needs.text:
                candidate.text = await self._read(candidate, candidate.size)
                if candidate.size > IN_THREAD:
                    verdict = await asyncio.to_thread(self._test, candidate)
                else:
                    verdict = self._test(candidate)
        except NotStored:
            return False
        finally:
            candidate.text = None
        return bool(verdict)

    async def _read(self, candidate: Candidate, size: int) -> bytes:
        self._left -= size
        if self._left < 0:
            raise Declined(status_text.LIMIT)
        return await self._store.octets(self._folder_id, candidate.uid, 0, size)
