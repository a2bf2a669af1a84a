"""All letters of a box into files that any mail program reads, each octet for octet.

What it is: `export`, folder by folder, letter by letter, into a target (`vaguemestre.maildir`, `vaguemestre.mbox`).
What it is not: a backup (`vaguemestre.backup` keeps letters sealed); what this writes is in clear, and the audit
trail says who asked for it before the first letter is opened. Memory holds one letter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from core.audit import AuditEvent, AuditKind
from core.errors import NotStored
from core.ports import AuditTrail, MailStore


class Target(Protocol):
    """Where letters go. Blocking; called in a thread. Raises StoreError."""

    def open_folder(self, name: str) -> None:
        """Begin a folder of this Unicode name with `/` between levels."""
        ...

    def put(self, octets: bytes, flags: frozenset[str], internal_date: int) -> None:
        """Write one letter; the date in seconds since 1970."""
        ...

    def close_folder(self) -> None:
        """End the folder."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written."""

    folders: int
    letters: int
    octets: int
    vanished: int
    """Letters that were removed from the box while it was exported."""


async def count(store: MailStore, bal_id: int) -> int:
    """How many letters a box has."""
    return sum([(await store.status(one.folder_id)).messages for one in await store.folders(bal_id)])


async def export(
    store: MailStore,
    audit: AuditTrail,
    bal_id: int,
    target: Target,
    *,
    operator: str,
    kind: str,
    moved: Callable[[], None] = lambda: None,
) -> Exported:
    """Write every folder and letter of a box. Raises NotStored for no such box, StoreError."""
    folders = await store.folders(bal_id)
    if not folders:
        raise NotStored("there is no such box")
    facts = {"to": kind, "bal": str(bal_id)}
    persons = {"operator": operator}
    # The act stands in the trail before the first letter is opened, so that nobody exports unseen by failing.
    await audit.append(
        AuditEvent(kind=AuditKind.EXPORTED, facts={**facts, "state": "begun"}, persons=persons)
    )
    letters = octets = vanished = 0
    for folder in folders:
        await asyncio.to_thread(target.open_folder, folder.name)
        for row in (await store.changes(folder.folder_id)).rows:
            try:
                whole = await store.octets(folder.folder_id, row.uid)
            except NotStored:
                vanished += 1
                continue
            await asyncio.to_thread(target.put, whole, row.flags, row.internal_date)
            letters += 1
            octets += len(whole)
            moved()
        await asyncio.to_thread(target.close_folder)
    done = {**facts, "state": "done", "letters": str(letters), "octets": str(octets)}
    await audit.append(AuditEvent(kind=AuditKind.EXPORTED, facts=done, persons=persons))
    return Exported(folders=len(folders), letters=letters, octets=octets, vanished=vanished)
