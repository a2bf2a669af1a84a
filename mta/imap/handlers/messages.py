"""STORE, COPY, MOVE, EXPUNGE, CHECK, IDLE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.audit import AuditEvent, AuditKind
from core.folder import Folder
from core.ports import FlagChange
from mta.imap.commands import messages
from mta.imap.handlers.declined import Declined
from mta.imap.handlers.folders import check_room, record_removed, target
from mta.imap.responses import flags, status_text
from mta.imap.sequence import SequenceSet, compact
from mta.imap.view import FolderView

if TYPE_CHECKING:
    from mta.imap.conversation import Conversation

SLICE = (
    1000  # messages of one step of STORE: it need not be all or none (RFC 3501 §6.4.6), the loop must go on
)
MAX_TOLD = 1000  # ours: UIDs that one event of the trail names; its count tells the rest
MAX_KEYWORDS = 256  # ours: different keywords of one folder


async def check(conversation: Conversation, command: messages.Check) -> bytes:
    """RFC 3501 §6.4.1: all is durable already; what happened is told."""
    await conversation.look()
    return b"OK CHECK completed"


def _chosen(conversation: Conversation, chosen: SequenceSet, *, by_uid: bool) -> list[int]:
    """The UIDs that a set names, without those that are gone. Raises `Declined` (BAD) for a wrong number."""
    view = conversation.view
    positions = view.positions(chosen, by_uid=by_uid)
    if positions is None:
        raise Declined(status_text.NO_SUCH_NUMBER)
    uids = view.uids
    return [uids[position] for position in positions if not view.is_gone(uids[position])]


async def store(conversation: Conversation, command: messages.Store) -> bytes:
    """RFC 3501 §6.4.6."""
    view = conversation.view
    uids = _chosen(conversation, command.messages, by_uid=command.by_uid)
    names = frozenset(flags.canonical(flag, view.keywords) for flag in command.flags)
    new = {name.lower() for name in names if not flags.is_system(name)} - view.keywords.keys()
    if len(view.keywords) + len(new) > MAX_KEYWORDS and command.operation != "remove":
        raise Declined(status_text.LIMIT)
    if command.unchanged_since is not None:
        conversation.session.manner.modseq = True  # RFC 7162 §3.1: using it enables it
    tells_modseq = conversation.session.manner.modseq
    change = FlagChange(operation=command.operation, flags=names, unchanged_since=command.unchanged_since)
    modified: list[int] = []
    for start in range(0, len(uids), SLICE):
        some = uids[start : start + SLICE]
        after, left = await conversation.ports.store.store_flags(view.folder.folder_id, some, change)
        modified += left
        view.absorb_rows(after)
        if view.has_new_keywords:
            conversation.tell(view.flags_lines())  # RFC 3501 §7.2.6: before a flag is used
        if tells_modseq or not command.silent:
            # RFC 7162 §3.1.3: even .SILENT tells the sequence
            told = [row.uid for row in after]
            lines = view.changed_lines(told, with_uid=command.by_uid, with_flags=not command.silent)
            await conversation.pour(lines)
    if modified:
        return b"OK [MODIFIED %b] Some were changed meanwhile" % _named(view, modified, by_uid=command.by_uid)
    return b"OK STORE completed"


def _named(view: FolderView, uids: Sequence[int], *, by_uid: bool) -> bytes:
    """The messages as the command named them, by UID or by number."""
    if by_uid:
        return compact(uids)
    positions = (view.position_of(uid) for uid in uids)
    return compact(position + 1 for position in positions if position is not None)


async def copy(conversation: Conversation, command: messages.Copy) -> bytes:
    """RFC 3501 §6.4.7 COPY and RFC 6851 §3 MOVE: all or none; RFC 4315 §3: COPYUID."""
    view = conversation.view
    done = b"OK MOVE completed" if command.move else b"OK COPY completed"
    uids = _chosen(conversation, command.messages, by_uid=command.by_uid)
    folder = await target(conversation, command.target)
    if command.move and folder.folder_id == view.folder.folder_id:
        raise Declined(status_text.CANNOT)
    if not uids:
        return done
    act = conversation.ports.store.move if command.move else conversation.ports.store.copy
    if not command.move:
        await check_room(conversation, view.octets_of(uids))
    pairs = await act(view.folder.folder_id, uids, folder.folder_id)
    if not pairs:
        return done
    await _record_copied(conversation, folder, [old for old, _ in pairs], moved=command.move)
    code = b"[COPYUID %d %b %b]" % (
        folder.uid_validity,
        compact(old for old, _ in pairs),
        compact(new for _, new in pairs),
    )
    if not command.move:
        return b"OK %b COPY completed" % code
    # RFC 6851 §4.3: COPYUID stands in an untagged OK, before the EXPUNGEs
    conversation.tell(b"* OK %b Moved\r\n" % code)
    view.vanish(old for old, _ in pairs)
    return await _with_highest(conversation, done)


async def _record_copied(
    conversation: Conversation, folder: Folder, uids: Sequence[int], *, moved: bool
) -> None:
    """One event for the messages that have another place now, or one place more."""
    session = conversation.session
    facts = {
        "folder": str(conversation.view.folder.folder_id),
        "target": str(folder.folder_id),
        "uids": compact(uids[:MAX_TOLD]).decode("ascii"),
        "count": str(len(uids)),
        "session_id": session.session_id,
    }
    kind = AuditKind.MOVED if moved else AuditKind.COPIED
    await conversation.ports.audit.append(AuditEvent(kind=kind, facts=facts, persons=session.persons))


async def expunge(conversation: Conversation, command: messages.Expunge) -> bytes:
    """RFC 3501 §6.4.3; RFC 4315 §2.1: with UIDs, only these."""
    view = conversation.view
    uids = None
    if command.uids is not None:
        uids = _chosen(conversation, command.uids, by_uid=True)
        if not uids:
            return b"OK EXPUNGE completed"
    gone = await conversation.ports.store.expunge(view.folder.folder_id, uids)
    view.vanish(gone)
    await record_removed(conversation, view.folder.folder_id, len(gone))
    return await _with_highest(conversation, b"OK EXPUNGE completed") if gone else b"OK EXPUNGE completed"


async def _with_highest(conversation: Conversation, done: bytes) -> bytes:
    """RFC 7162 §3.2.7: after a removal, up to where a client that resynchronises has now been told everything."""
    if not conversation.session.manner.vanished:
        return done
    await conversation.look()
    return b"OK [HIGHESTMODSEQ %d] %b" % (conversation.view.modseq, done.removeprefix(b"OK "))


async def idle(conversation: Conversation, command: messages.Idle) -> bytes:
    """RFC 2177 §3: news as it comes, until the client says DONE."""
    await conversation.look()
    conversation.tell(b"+ idling\r\n")
    while True:
        view = conversation.session.view
        if view is not None:
            if conversation.is_woken:
                await conversation.look()
            conversation.tell(view.announce(may_expunge=True))
        line = conversation.line_if_here()
        if line is not None:
            break
        await conversation.wait()
    if line.upper() != b"DONE":
        raise Declined(status_text.SYNTAX)
    return b"OK IDLE completed"
