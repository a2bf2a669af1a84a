"""FETCH: metadata by the slice, body sections message by message, never long without giving up the loop."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.audit import AuditEvent, AuditKind
from core.errors import NotStored
from core.folder import Summary
from core.message import filter_header
from core.ports import FlagChange
from mta.imap.commands.fetch import Fetch, Item, Section
from mta.imap.handlers.declined import Declined, Ended
from mta.imap.parts import PartTable
from mta.imap.preview import PREVIEW_READ, preview_of
from mta.imap.responses import fetch as responses
from mta.imap.responses import status_text
from mta.imap.sequence import SequenceSet, compact

if TYPE_CHECKING:
    from mta.imap.conversation import Conversation

SLICE = (
    500  # messages of one step of metadata: about 2 ms on the loop, and what the store is asked for at once
)
BODY_SLICE = 50  # messages of one step of bodies: one audit event and one change of flags
AHEAD = 64 * 1024  # octets of one message that are read ahead, together with its neighbours
CHUNK = 1 << 20  # octets of a body that are in memory at one time
_MESSAGE_ID = re.compile(rb'"(<[^"\\]{1,998}>)"\)\Z')  # the last field of an ENVELOPE (RFC 3501 §7.4.2)


async def fetch(conversation: Conversation, command: Fetch) -> bytes:
    """RFC 3501 §6.4.5."""
    view, manner = conversation.view, conversation.session.manner
    positions = view.positions(command.messages, by_uid=command.by_uid)
    if positions is None:
        raise Declined(status_text.NO_SUCH_NUMBER)
    if command.vanished and not manner.vanished:
        raise Declined(status_text.NOT_ENABLED)  # RFC 7162 §3.2.6
    if Item.MODSEQ in command.items:
        manner.modseq = True  # RFC 7162 §3.1: using it enables it
    if command.changed_since is not None:
        since, modseqs = command.changed_since, view.rows.modseqs
        positions = [position for position in positions if modseqs[position] > since]
        if command.vanished:
            await tell_vanished(conversation, since, command.messages)
    plain = [item for item in command.items if isinstance(item, Item)]
    sections = [item for item in command.items if isinstance(item, Section)]
    if sections:
        whole = await _Bodies(conversation, plain, sections).run(positions)
    else:
        whole = await _metadata(conversation, responses.MetadataPlan(plain), positions)
    if not whole and not command.by_uid:
        raise Declined(status_text.EXPUNGE_ISSUED)  # RFC 2180 §4.1.2
    return b"OK FETCH completed"


async def tell_vanished(conversation: Conversation, since: int, known: SequenceSet | None) -> None:
    """RFC 7162 §3.2.10: the UIDs, among those that the client knows, that went after this sequence."""
    view = conversation.view
    changes = await conversation.ports.store.changes(view.folder.folder_id, max(since, 1))
    # What went while the folder was open is told later, as of now and not as EARLIER.
    gone = [uid for uid in sorted(changes.vanished) if view.position_of(uid) is None]
    if known is not None:
        gone = [gone[position] for position in known.positions_within(gone, view.uid_next - 1)]
    if gone:
        conversation.tell(b"* VANISHED (EARLIER) %b\r\n" % compact(gone))


async def load_summaries(conversation: Conversation, uids: Sequence[int]) -> list[Summary | None]:
    """The summaries of these messages, from memory or the store; None where a message is gone."""
    cache, folder_id = conversation.shared.cache, conversation.view.folder.folder_id
    found = cache.get_many(folder_id, uids)
    missing = [uid for uid, summary in zip(uids, found, strict=True) if summary is None]
    if missing:
        read = await conversation.ports.store.summaries(folder_id, missing)
        cache.put_many(folder_id, read)
        found = [summary or read.get(uid) for uid, summary in zip(uids, found, strict=True)]
    return found


async def _metadata(
    conversation: Conversation, plan: responses.MetadataPlan, positions: Sequence[int]
) -> bool:
    """Whether every message was still there."""
    view, whole = conversation.view, True
    for start in range(0, len(positions), SLICE):
        chosen = positions[start : start + SLICE]
        summaries: Sequence[Summary | None] = ()
        if plan.needs_summary:
            summaries = await load_summaries(conversation, [view.uids[position] for position in chosen])
            if None in summaries:
                whole = False
                pairs = [(p, one) for p, one in zip(chosen, summaries, strict=True) if one is not None]
                chosen, summaries = [p for p, _ in pairs], [one for _, one in pairs]
        await conversation.pour(plan.lines(view.rows, chosen, summaries, view.first_recent))
    return whole


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A section that can be told: octets in hand, or the first of them and where the rest stands."""

    section: Section
    octets: bytes | None
    rest: tuple[int, int] = (0, 0)


class _Bodies:
    """One FETCH with body sections."""

    def __init__(
        self, conversation: Conversation, plain: Sequence[Item], sections: Sequence[Section]
    ) -> None:
        self._conversation = conversation
        self._view = conversation.view
        self._store = conversation.ports.store
        self._plan = responses.MetadataPlan(plain)
        told = [*plain, Item.FLAGS, *([Item.MODSEQ] if conversation.session.manner.modseq else [])]
        self._with_flags = responses.MetadataPlan(list(dict.fromkeys(told)))
        self._sections = sections
        self._sets_seen = not self._view.read_only and any(not section.peek for section in sections)
        self._shows_content = any(section.shows_content for section in sections)
        self._ahead: dict[int, tuple[int, bytes]] = {}
        """What was read for the slice under way: UID → where it begins, the octets."""

    async def run(self, positions: Sequence[int]) -> bool:
        """Whether every message was still there."""
        whole = True
        for start in range(0, len(positions), BODY_SLICE):
            chosen = positions[start : start + BODY_SLICE]
            uids = [self._view.uids[position] for position in chosen]
            summaries = await load_summaries(self._conversation, uids)
            present = [p for p, summary in zip(chosen, summaries, strict=True) if summary]
            if self._shows_content:
                await self._record_reading([self._view.uids[p] for p in present], summaries)
            seen = await self._mark_seen(present)
            await self._read_ahead(chosen, summaries)
            for position, summary in zip(chosen, summaries, strict=True):
                told = summary is not None and await self._message(position, summary, seen)
                whole = whole and told
        return whole

    async def _record_reading(self, uids: Sequence[int], summaries: Sequence[Summary | None]) -> None:
        """One READ event for the messages of this slice that this session has not read yet."""
        fresh = [uid for uid in uids if uid not in self._view.audited]
        if not fresh:
            return
        session = self._conversation.session
        facts = {
            "folder": str(self._view.folder.folder_id),
            "uids": compact(fresh).decode("ascii"),
            "count": str(len(fresh)),
            "session_id": session.session_id,
        }
        match = _MESSAGE_ID.search(summaries[0].envelope) if len(summaries) == 1 and summaries[0] else None
        message_id = match[1].decode("ascii", "replace") if match else ""
        event = AuditEvent(kind=AuditKind.READ, message_id=message_id, facts=facts, persons=session.persons)
        await self._conversation.ports.audit.append(event)
        self._view.audited.update(fresh)

    async def _mark_seen(self, positions: Sequence[int]) -> frozenset[int]:
        """Set \\Seen where the section asks for it; the UIDs whose flags changed (RFC 3501 §6.4.5)."""
        rows = self._view.rows
        uids = [rows.uids[p] for p in positions if "\\Seen" not in rows.flags(p)]
        if not uids or not self._sets_seen:
            return frozenset()
        change = FlagChange(operation="add", flags=frozenset({"\\Seen"}))
        changed, _ = await self._store.store_flags(self._view.folder.folder_id, uids, change)
        self._view.absorb_rows(changed)
        return frozenset(row.uid for row in changed)

    async def _message(self, position: int, summary: Summary, seen: frozenset[int]) -> bool:
        """Tell one message; False when it is gone."""
        view = self._view
        uid = view.uids[position]
        try:
            loaded = [await self._load(section, position, summary) for section in self._sections]
        except NotStored:
            return False
        plan = self._with_flags if uid in seen else self._plan
        start = plan.line(view.rows, position, summary, recent=view.is_recent(uid))
        start = start.removesuffix(b")\r\n") + (b" " if plan.items else b"")
        for count, one in enumerate(loaded):
            following = one.rest[1] - one.rest[0]
            told = responses.section(one.section, one.octets, following)
            self._conversation.tell((b" " if count else start) + told)
            async for piece in self._rest(uid, one):
                await self._conversation.pour(piece)
        await self._conversation.pour(b")\r\n")
        return True

    async def _read_ahead(self, positions: Sequence[int], summaries: Sequence[Summary | None]) -> None:
        """One reading for the headers and small sections of a slice, instead of one for each."""
        rows = self._view.rows
        spans: dict[int, tuple[int, int]] = {}
        for position, summary in zip(positions, summaries, strict=True):
            if summary is None:
                continue
            found = [_span(section, summary, rows.sizes[position]) for section in self._sections]
            wanted = [
                span if section.fields is not None else _cut(section.partial, *span)
                for section, span in zip(self._sections, found, strict=True)
                if span is not None
            ]
            if wanted:
                start, end = min(first for first, _ in wanted), max(last for _, last in wanted)
                if start < end <= start + AHEAD:
                    spans[rows.uids[position]] = (start, end)
        if len(spans) < 2:
            self._ahead = {}
            return
        read = await self._store.many_octets(self._view.folder.folder_id, spans)
        self._ahead = {uid: (spans[uid][0], octets) for uid, octets in read.items()}

    async def _load(self, section: Section, position: int, summary: Summary) -> _Loaded:
        uid = self._view.uids[position]
        span = _span(section, summary, self._view.rows.sizes[position])
        if span is None:
            return _Loaded(section, None)
        start, end = span
        if section.specifier == "PREVIEW":
            shown = preview_of(await self._octets(uid, start, end))
            return _Loaded(section, shown.encode("utf-8", "replace"))
        if section.fields is not None:
            header = await self._octets(uid, start, end)
            kept = filter_header(header, section.fields, exclude=section.exclude)
            first, last = _cut(section.partial, 0, len(kept))
            return _Loaded(section, kept[first:last])
        start, end = _cut(section.partial, start, end)
        here = min(end, start + CHUNK)
        return _Loaded(section, await self._octets(uid, start, here), (here, end))

    async def _octets(self, uid: int, start: int, end: int) -> bytes:
        if start >= end:
            return b""
        first, ahead = self._ahead.get(uid, (0, b""))
        if first <= start and end <= first + len(ahead):
            return ahead[start - first : end - first]
        return await self._store.octets(self._view.folder.folder_id, uid, start, end)

    async def _rest(self, uid: int, loaded: _Loaded) -> AsyncIterator[bytes]:
        """What follows the first chunk. A literal that was announced must be told whole or the connection ends."""
        position, end = loaded.rest
        while position < end:
            here = min(end, position + CHUNK)
            try:
                piece = await self._octets(uid, position, here)
            except NotStored as error:
                raise Ended from error
            if len(piece) != here - position:
                raise Ended
            yield piece
            position = here


def _span(section: Section, summary: Summary, size: int) -> tuple[int, int] | None:
    """The octets of a section in the whole message (RFC 3501 §6.4.5)."""
    if section.path:
        return PartTable.load(summary.parts).span(section.path, section.specifier)
    if section.specifier == "HEADER":
        return 0, summary.header_size
    if section.specifier == "PREVIEW":
        return 0, min(size, PREVIEW_READ)
    return (summary.header_size if section.specifier == "TEXT" else 0), size


def _cut(partial: tuple[int, int] | None, start: int, end: int) -> tuple[int, int]:
    """RFC 3501 §6.4.5: a partial beyond the end is cut short, wholly beyond it is empty."""
    if partial is None:
        return start, end
    first = min(start + partial[0], end)
    return first, min(first + partial[1], end)
