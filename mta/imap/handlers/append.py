"""APPEND: a message of the client's own (a draft, a sent copy), durable before the answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from core.audit import AuditEvent, AuditKind
from core.folder import Folder, NewMessage
from core.message import Message, message_id_of
from core.unit_of_work import UnitOfWork
from mta.imap.commands import messages
from mta.imap.handlers.declined import Declined
from mta.imap.handlers.folders import check_room, target
from mta.imap.responses import flags, status_text
from mta.imap.responses.fetch import MAX_DATE
from mta.imap.sequence import compact
from mta.imap.summary import summarise

if TYPE_CHECKING:
    from mta.imap.conversation import Conversation

IN_THREAD = 256 * 1024  # octets from which on the summary is made in a thread


async def append(conversation: Conversation, command: messages.Append) -> bytes:
    """RFC 3501 §6.3.11; RFC 3502 §3: all or none; RFC 4315 §3: APPENDUID; RFC 7889 §3: the limit."""
    for letter in command.letters:
        _check(letter.octets, conversation.session.max_message_octets)
    folder = await target(conversation, command.target)
    await check_room(conversation, sum(len(letter.octets) for letter in command.letters))
    unit = UnitOfWork()
    staged = [await _stage(conversation, unit, folder, letter) for letter in command.letters]
    await conversation.ports.committer.commit(unit)
    uids = compact(message.uid for message in staged)
    return b"OK [APPENDUID %d %b] APPEND completed" % (folder.uid_validity, uids)


def _check(octets: bytes, max_octets: int) -> None:
    if not octets:
        raise Declined(status_text.CANNOT)
    if len(octets) > max_octets:
        raise Declined(status_text.TOO_BIG)
    if b"\0" in octets:
        raise Declined(status_text.NUL_IN_MESSAGE)  # RFC 3501 §9: CHAR8 = %x01-ff


async def _stage(
    conversation: Conversation, unit: UnitOfWork, folder: Folder, letter: messages.Letter
) -> NewMessage:
    """Seal one letter and put it, with its event, in the unit."""
    octets, session, ports = letter.octets, conversation.session, conversation.ports
    date = int(ports.clock.now().timestamp()) if letter.internal_date is None else letter.internal_date
    if len(octets) > IN_THREAD:
        summary = await asyncio.to_thread(summarise, octets, date)
    else:
        summary = summarise(octets, date)
    stored = await ports.blobs.seal(octets)
    ports.blobs.keep(unit, stored)
    message = NewMessage(
        bal_id=folder.bal_id,
        folder_id=folder.folder_id,
        octets=stored,
        summary=summary,
        flags=frozenset(flags.canonical(flag, {}) for flag in letter.flags),
        internal_date=min(max(date, 0), MAX_DATE),
    )
    ports.store.add(unit, message)
    facts = {"folder": str(folder.folder_id), "octets": str(len(octets)), "session_id": session.session_id}
    event = AuditEvent(
        kind=AuditKind.STORED,
        message_id=message_id_of(Message(octets)),
        facts=facts,
        persons=session.persons,
    )
    ports.audit.record(unit, event)
    await asyncio.sleep(0)  # there may be two hundred more
    return message
