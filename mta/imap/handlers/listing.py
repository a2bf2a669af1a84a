"""LIST (with LIST-EXTENDED, LIST-STATUS, SPECIAL-USE) and LSUB."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.folder import Folder
from mta.imap import names
from mta.imap.commands import listing
from mta.imap.names import Pattern, superiors
from mta.imap.responses import folders as responses

if TYPE_CHECKING:
    from mta.imap.conversation import Conversation

SLICE = 100  # names matched before others have the loop


@dataclass(slots=True)
class _Entry:
    """One name of the tree: a folder, a level above one, or only a subscription."""

    folder: Folder | None = None
    subscribed: bool = False
    has_children: bool = False


def _tree(folders: Iterable[Folder], subscriptions: Iterable[str]) -> dict[str, _Entry]:
    entries = {folder.name: _Entry(folder) for folder in folders}
    for name in list(entries):
        for above in superiors(name):
            entries.setdefault(above, _Entry()).has_children = True
    for name in subscriptions:
        entries.setdefault(name, _Entry()).subscribed = True
    return entries


async def list_folders(conversation: Conversation, command: listing.List) -> bytes:
    """RFC 3501 §6.3.8, RFC 5258 §3, RFC 5819, RFC 6154 §2."""
    if command.patterns == (b"",) and not command.is_extended:
        conversation.tell(responses.DELIMITER)
        return b"OK LIST completed"
    store, session = conversation.ports.store, conversation.session
    if b"HIGHESTMODSEQ" in command.status_items:
        session.manner.modseq = True  # RFC 7162 §3.1: using it enables it
    wants_subscriptions = b"SUBSCRIBED" in command.selection | command.returned
    subscriptions = await store.subscriptions(session.bal_id) if wants_subscriptions else ()
    tree = _tree(await store.folders(session.bal_id), subscriptions)
    utf8 = session.manner.utf8
    patterns = [Pattern(command.reference, pattern, utf8=utf8) for pattern in command.patterns]
    for count, (name, entry) in enumerate(tree.items(), 1):
        if count % SLICE == 0:
            await conversation.pour(b"")
        matched = any(pattern.holds(name) for pattern in patterns)
        below = b"RECURSIVEMATCH" in command.selection and matched and _selected_below(tree, name, command)
        if not (matched and (_is_selected(entry, command) or below)):
            continue
        extended = b' ("CHILDINFO" ("SUBSCRIBED"))' if below else b""
        attributes = _attributes(entry, command)
        conversation.tell(responses.list_line(b"LIST", attributes, name, extended=extended, utf8=utf8))
        if command.status_items and entry.folder is not None:
            # RFC 5819 §2: STATUS for each folder that can be selected
            counts = await store.status(entry.folder.folder_id)
            conversation.tell(responses.status_line(entry.folder, command.status_items, counts, utf8=utf8))
    return b"OK LIST completed"


def _is_selected(entry: _Entry, command: listing.List) -> bool:
    if b"SUBSCRIBED" in command.selection:
        # RFC 5258 §3.1: subscribed names are told even where no folder is
        return entry.subscribed
    if b"SPECIAL-USE" in command.selection:
        return entry.folder is not None and bool(entry.folder.special_use)
    return entry.folder is not None or entry.has_children


def _selected_below(tree: dict[str, _Entry], name: str, command: listing.List) -> bool:
    """RFC 5258 §3.5: whether a name below is selected (for RECURSIVEMATCH)."""
    prefix = name + names.SEPARATOR
    return any(other.startswith(prefix) and _is_selected(entry, command) for other, entry in tree.items())


def _attributes(entry: _Entry, command: listing.List) -> list[bytes]:
    attributes: list[bytes] = []
    if entry.folder is None:
        # RFC 5258 §3.1: \NonExistent implies \Noselect; a plain LIST knows only the latter.
        attributes.append(b"\\NonExistent" if command.is_extended else b"\\Noselect")
    attributes.append(b"\\HasChildren" if entry.has_children else b"\\HasNoChildren")  # RFC 3348 §3
    if entry.subscribed:
        attributes.append(b"\\Subscribed")
    if entry.folder is not None and entry.folder.special_use:
        attributes.append(entry.folder.special_use.encode("ascii"))
    return attributes


async def lsub(conversation: Conversation, command: listing.Lsub) -> bytes:
    """RFC 3501 §6.3.9: subscribed names, and with `%` the levels above them as \\Noselect."""
    subscribed = await conversation.ports.store.subscriptions(conversation.session.bal_id)
    utf8 = conversation.session.manner.utf8
    pattern = Pattern(command.reference, command.pattern, utf8=utf8)
    told: set[str] = set()
    for count, name in enumerate(subscribed, 1):
        if count % SLICE == 0:
            await asyncio.sleep(0)
        if pattern.holds(name):
            told.add(name)
            conversation.tell(responses.list_line(b"LSUB", [], name, utf8=utf8))
    if b"%" in command.pattern:
        known = set(subscribed)
        levels = {above for name in subscribed for above in superiors(name)} - known
        for above in sorted(level for level in levels if pattern.holds(level)):
            conversation.tell(responses.list_line(b"LSUB", [b"\\Noselect"], above, utf8=utf8))
    return b"OK LSUB completed"
