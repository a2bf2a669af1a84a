"""SELECT, EXAMINE, CREATE, DELETE, RENAME, SUBSCRIBE, STATUS, NAMESPACE, QUOTA, CLOSE, UNSELECT."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.audit import AuditEvent, AuditKind
from core.bal import BalState
from core.errors import NotStored, PermanentError
from core.folder import INBOX, SPECIAL_USES, Folder
from mta.imap import names
from mta.imap.commands import folders, messages
from mta.imap.handlers.declined import Declined
from mta.imap.handlers.fetch import tell_vanished
from mta.imap.responses import folders as responses
from mta.imap.responses import status_text
from mta.imap.view import FolderView

if TYPE_CHECKING:
    from mta.imap.conversation import Conversation

SLICE = 500  # messages of one step of a resynchronisation
MAX_FOLDERS = 2000  # ours: folders of one box


async def existing(conversation: Conversation, wire_name: bytes) -> Folder:
    """The folder of that name. Raises `Declined` (NONEXISTENT) or `NameInvalid`."""
    name = names.read_name(wire_name, utf8=conversation.session.manner.utf8)
    folder = await conversation.ports.store.folder(conversation.session.bal_id, name)
    if folder is None:
        raise Declined(status_text.NONEXISTENT)
    return folder


async def target(conversation: Conversation, wire_name: bytes) -> Folder:
    """The folder that COPY, MOVE or APPEND names. Raises `Declined` (TRYCREATE)."""
    try:
        return await existing(conversation, wire_name)
    except Declined as declined:
        # RFC 3501 §6.3.11, §6.4.7: TRYCREATE tells the client that creating the folder would help.
        raise Declined(status_text.TRY_CREATE) from declined


async def select(conversation: Conversation, command: folders.Select) -> bytes:
    """RFC 3501 §6.3.1, §6.3.2. Nothing is done per message but loading the rows."""
    # RFC 3501 §6.3.1: the folder that was open is closed even when this one cannot be opened.
    was_open = conversation.session.view is not None
    await conversation.leave_folder()
    if was_open:
        conversation.tell(b"* OK [CLOSED] Previous folder closed\r\n")  # RFC 7162 §3.2.11
    manner = conversation.session.manner
    if command.resync is not None and not manner.vanished:
        raise Declined(status_text.NOT_ENABLED)  # RFC 7162 §3.2.5
    manner.modseq = manner.modseq or command.condstore
    await _check_open(conversation)
    folder = await existing(conversation, command.name)
    floor = folder.recent_floor
    if not command.read_only:
        floor = await conversation.ports.store.claim_recent(folder.folder_id)
    view = FolderView(folder, read_only=command.read_only, recent_floor=floor, manner=manner)
    await conversation.enter_folder(view)
    conversation.tell(view.opening_lines())
    if command.resync is not None and command.resync.uid_validity == folder.uid_validity:
        await _resynchronise(conversation, command.resync)
    if command.read_only:
        return b"OK [READ-ONLY] EXAMINE completed"
    return b"OK [READ-WRITE] SELECT completed"


async def _resynchronise(conversation: Conversation, resync: folders.Resync) -> None:
    """RFC 7162 §3.2.5.1: what went and what changed since the client was last here."""
    view = conversation.view
    await tell_vanished(conversation, resync.modseq, resync.known)
    positions = range(len(view)) if resync.known is None else resync.known.positions_of_uids(view.uids)
    modseqs, uids = view.rows.modseqs, view.uids
    changed = [uids[position] for position in positions if modseqs[position] > resync.modseq]
    for start in range(0, len(changed), SLICE):
        await conversation.pour(view.changed_lines(changed[start : start + SLICE]))


async def _check_open(conversation: Conversation) -> None:
    """A box that was suspended or closed meanwhile, maybe by another process, is not opened again."""
    account = await conversation.ports.accounts.account(conversation.session.bal_id)
    if account is None or account.bal.state is not BalState.OPEN:
        raise conversation.end(status_text.BYE_BOX)


async def close(conversation: Conversation, command: messages.Close) -> bytes:
    """RFC 3501 §6.4.2 (removes, tells nothing) and RFC 3691 §2 UNSELECT (removes nothing)."""
    view = conversation.view
    if command.expunge and not view.read_only:
        gone = await conversation.ports.store.expunge(view.folder.folder_id)
        await record_removed(conversation, view.folder.folder_id, len(gone))
    await conversation.leave_folder()
    return b"OK CLOSE completed" if command.expunge else b"OK UNSELECT completed"


async def record_removed(conversation: Conversation, folder_id: int, count: int) -> None:
    """One REMOVED event for messages that are gone for good."""
    if count:
        session = conversation.session
        facts = {"folder": str(folder_id), "count": str(count), "session_id": session.session_id}
        event = AuditEvent(kind=AuditKind.REMOVED, facts=facts, persons=session.persons)
        await conversation.ports.audit.append(event)


# --- the tree -----------------------------------------------------------------------------------------------
async def create(conversation: Conversation, command: folders.Create) -> bytes:
    """RFC 3501 §6.3.3: and the names above that are not there; RFC 6154 §3: USE."""
    name = names.new_name(command.name, utf8=conversation.session.manner.utf8)
    if len(command.uses) > 1 or any(use not in SPECIAL_USES for use in command.uses):
        raise Declined(status_text.USE_UNKNOWN)
    store, bal_id = conversation.ports.store, conversation.session.bal_id
    present = {folder.name: folder for folder in await store.folders(bal_id)}
    if name in present:
        raise Declined(status_text.ALREADY_EXISTS)
    use = command.uses[0] if command.uses else ""
    if use and any(folder.special_use == use for folder in present.values()):
        raise Declined(status_text.USE_UNKNOWN)
    missing = [above for above in names.superiors(name) if above not in present]
    if len(present) + len(missing) >= MAX_FOLDERS:
        raise Declined(status_text.LIMIT)
    for above in missing:
        await store.create_folder(bal_id, above)
    made = await store.create_folder(bal_id, name, use)
    return b"OK [MAILBOXID (%b)] CREATE completed" % responses.mailbox_id(made.folder_id)  # RFC 8474 §4.1


async def delete(conversation: Conversation, command: folders.Delete) -> bytes:
    """RFC 3501 §6.3.4: folders below stay; INBOX cannot go."""
    folder = await existing(conversation, command.name)
    if folder.name == INBOX:
        raise Declined(status_text.INBOX_STAYS)
    session, store = conversation.session, conversation.ports.store
    if session.view is not None and session.view.folder.folder_id == folder.folder_id:
        await conversation.leave_folder()
    count = (await store.status(folder.folder_id)).messages
    await store.delete_folder(session.bal_id, folder.name)
    await record_removed(conversation, folder.folder_id, count)
    return b"OK DELETE completed"


async def rename(conversation: Conversation, command: folders.Rename) -> bytes:
    """RFC 3501 §6.3.5: with what is below; INBOX gives its messages and stays."""
    folder = await existing(conversation, command.name)
    name = names.new_name(command.new_name, utf8=conversation.session.manner.utf8)
    store, bal_id = conversation.ports.store, conversation.session.bal_id
    present = {other.name for other in await store.folders(bal_id)}
    if name in present:
        raise Declined(status_text.ALREADY_EXISTS)
    if name.startswith(folder.name + names.SEPARATOR) and folder.name != INBOX:
        raise Declined(status_text.BAD_NAME)
    for above in names.superiors(name):
        if above not in present:
            await store.create_folder(bal_id, above)
    try:
        await store.rename_folder(bal_id, folder.name, name)
    except NotStored:
        raise
    except PermanentError as error:
        raise Declined(status_text.ALREADY_EXISTS) from error
    return b"OK RENAME completed"


async def subscribe(conversation: Conversation, command: folders.Subscribe) -> bytes:
    """RFC 3501 §6.3.6, §6.3.7. A name that does not exist may be kept, one that cannot exist may not."""
    name = names.read_name(command.name, utf8=conversation.session.manner.utf8)
    store, bal_id = conversation.ports.store, conversation.session.bal_id
    if command.subscribed:
        kept = await store.subscriptions(bal_id)
        if len(kept) >= MAX_FOLDERS and name not in kept:
            raise Declined(status_text.LIMIT)
    await store.subscribe(bal_id, name, command.subscribed)
    return b"OK SUBSCRIBE completed" if command.subscribed else b"OK UNSUBSCRIBE completed"


# --- counts -------------------------------------------------------------------------------------------------
async def status(conversation: Conversation, command: folders.Status) -> bytes:
    """RFC 3501 §6.3.10."""
    folder = await existing(conversation, command.name)
    if b"HIGHESTMODSEQ" in command.items:
        conversation.session.manner.modseq = True  # RFC 7162 §3.1: using it enables it
    counts = await conversation.ports.store.status(folder.folder_id)
    utf8 = conversation.session.manner.utf8
    conversation.tell(responses.status_line(folder, command.items, counts, utf8=utf8))
    return b"OK STATUS completed"


async def namespace(conversation: Conversation, command: folders.Namespace) -> bytes:
    """RFC 2342 §5."""
    conversation.tell(responses.NAMESPACE)
    return b"OK NAMESPACE completed"


async def get_quota_root(conversation: Conversation, command: folders.GetQuotaRoot) -> bytes:
    """RFC 2087 §4.3; Thunderbird asks after each SELECT."""
    conversation.tell(responses.quota_root_line(command.name))
    await _tell_quota(conversation)
    return b"OK GETQUOTAROOT completed"


async def get_quota(conversation: Conversation, command: folders.GetQuota) -> bytes:
    """RFC 2087 §4.2."""
    if command.root != responses.QUOTA_ROOT:
        raise Declined(status_text.NO_SUCH_QUOTA)
    await _tell_quota(conversation)
    return b"OK GETQUOTA completed"


async def _tell_quota(conversation: Conversation) -> None:
    account = await conversation.ports.accounts.account(conversation.session.bal_id)
    if account is None:
        raise Declined(status_text.UNAVAILABLE)
    conversation.tell(responses.quota_line(account.bal.used_octets, account.bal.quota_octets))


async def check_room(conversation: Conversation, octets: int) -> None:
    """Raises `Declined` (OVERQUOTA) when the box cannot take that many octets more."""
    account = await conversation.ports.accounts.account(conversation.session.bal_id)
    if account is None:
        raise Declined(status_text.UNAVAILABLE)
    bal = account.bal
    if bal.quota_octets > 0 and bal.used_octets + octets > bal.quota_octets:
        raise Declined(status_text.OVER_QUOTA)
