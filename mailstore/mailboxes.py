"""Folders and messages of boxes: `MailboxStore`, which implements `core.ports.MailStore`.

What it is: the rules (names, order, what is atomic), the opening of sealed records, and the changes handed to the
committer. What it is not: SQL (`mailstore.storage`) nor the octets (`mailstore.messages`). A box is made once by
`create_box`, before any letter. Start at `changes`, `summaries` and `add`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from core.clock import Clock
from core.errors import NotStored, PermanentError
from core.folder import (
    INBOX,
    Folder,
    FolderChanges,
    FolderStatus,
    MessageRow,
    NewMessage,
    Summary,
)
from core.ports import ChangeFeed, FlagChange
from core.unit_of_work import Change, Committer, UnitOfWork
from mailstore import names
from mailstore.keys import KeyVault
from mailstore.messages import SealedBlobs
from mailstore.reading import ReadDatabase
from mailstore.records import (
    folder_place,
    key_place,
    packed_flags,
    place_of,
    summary_place,
    uid_of,
    unpacked_key,
    unpacked_summary,
)
from mailstore.sealing import open_sealed, seal
from mailstore.storage import boxes, rows
from mailstore.storage import changes as sql

FIRST_FOLDERS = (
    (INBOX, ""),
    ("Sent", "\\Sent"),
    ("Drafts", "\\Drafts"),
    ("Trash", "\\Trash"),
    ("Junk", "\\Junk"),
    ("Archive", "\\Archive"),
)  # RFC 6154 §2
KNOWN_FOLDERS = 50_000  # ours: folder → box is remembered for so many


def key_name(bal_id: int) -> str:
    """The name of a box's key in the vault."""
    return f"bal:{bal_id}"


class BoxKeys:
    """The ciphers of boxes; given to the applier of messages. Never makes a key."""

    def __init__(self, vault: KeyVault) -> None:
        self._vault = vault

    async def cipher_of(self, bal_id: int) -> AESGCM:
        """The cipher of the box's key. Raises NotStored when there is none, or not any more."""
        return self._vault.cipher(await self.key_of(bal_id))

    async def key_of(self, bal_id: int) -> bytes:
        """The key itself, for the pseudonyms of names."""
        return await self._vault.existing_key(key_name(bal_id))


class MailboxStore:
    """See the module. `feed` is told of each change once it is durable."""

    def __init__(
        self,
        database: ReadDatabase,
        committer: Committer,
        clock: Clock,
        *,
        vault: KeyVault,
        blobs: SealedBlobs,
        feed: ChangeFeed,
    ) -> None:
        self._database = database
        self._committer = committer
        self._clock = clock
        self._vault = vault
        self._keys = BoxKeys(vault)
        self._blobs = blobs
        self._feed = feed
        self._bals: dict[int, int] = {}

    async def _commit(self, change: Change, *, changed_folders: Sequence[int] = ()) -> None:
        unit = UnitOfWork()
        unit.add(change)
        for folder_id in changed_folders:
            self._publish_after(unit, folder_id)
        await self._committer.commit(unit)

    def _publish_after(self, unit: UnitOfWork, folder_id: int) -> None:
        unit.after_commit(lambda: self._feed.publish(folder_id))

    def _now(self) -> int:
        return int(self._clock.now().timestamp())

    # --- boxes -----------------------------------------------------------------------------------------------
    async def create_box(self, bal_id: int, quota_octets: int) -> None:
        """Make the box, its key and its first folders; nothing when it is there. A quota of 0 is no limit."""
        key = await self._vault.key(key_name(bal_id))
        folders = [self._sealed_name(bal_id, key, name, use) for name, use in FIRST_FOLDERS]
        await self._commit(
            boxes.CreateBox(bal_id=bal_id, quota_octets=quota_octets, folders=folders, now=self._now())
        )

    async def set_quota(self, bal_id: int, quota_octets: int) -> None:
        """How much the box may hold from now on; 0 is no limit. Raises NotStored."""
        await self._commit(boxes.SetQuota(bal_id=bal_id, quota_octets=quota_octets))

    async def quota(self, bal_id: int) -> tuple[int, int]:
        """(quota, used) in octets; each message counts in each of its places. Raises NotStored."""
        async with self._database.read() as connection:
            return await boxes.quota_and_use(connection, bal_id)

    async def erase_box(self, bal_id: int) -> None:
        """Remove a box for good, with its key: what may be left of it in a backup cannot be opened."""
        change = boxes.DeleteFolders(bal_id=bal_id, folder_ids=(), and_box=True)
        unit = UnitOfWork()
        unit.add(change)
        self._vault.stage_erasure(unit, key_name(bal_id))
        unit.after_commit(lambda: self._blobs.remove_files(change.removed_files))
        await self._committer.commit(unit)
        self._bals.clear()

    # --- folders ---------------------------------------------------------------------------------------------
    def _sealed_name(self, bal_id: int, key: bytes, name: str, special_use: str = "") -> boxes.SealedName:
        name_key = names.name_key(key, name)
        sealed = seal(self._vault.cipher(key), name.encode(), folder_place(bal_id, name_key))
        return boxes.SealedName(name_key=name_key, sealed=sealed, special_use=special_use)

    async def _opened_names(self, bal_id: int, sealed: Sequence[tuple[str, bytes]]) -> list[str]:
        if not sealed:
            return []
        cipher = await self._keys.cipher_of(bal_id)
        return [open_sealed(cipher, value, folder_place(bal_id, key)).decode() for key, value in sealed]

    async def folders(self, bal_id: int) -> Sequence[Folder]:
        """See `core.ports.MailStore.folders`. Empty for a box that is not there."""
        async with self._database.read() as connection:
            found = await boxes.folder_rows(connection, bal_id)
            subscribed = {key for key, _ in await boxes.subscription_rows(connection, bal_id)}
        opened = await self._opened_names(bal_id, [(row.name_key, row.name_sealed) for row in found])
        listed = {name: _folder(row, name, subscribed) for name, row in zip(opened, found, strict=True)}
        return [listed[name] for name in names.in_listing_order(list(listed))]

    async def folder(self, bal_id: int, name: str) -> Folder | None:
        """See `core.ports.MailStore.folder`."""
        try:
            wanted = names.folder_name(name)
            key = names.name_key(await self._keys.key_of(bal_id), wanted)
        except (names.FolderNameInvalid, NotStored):
            return None
        async with self._database.read() as connection:
            row = await boxes.folder_row(connection, bal_id, key)
            subscribed = {key for key, _ in await boxes.subscription_rows(connection, bal_id)}
        return _folder(row, wanted, subscribed) if row else None

    async def create_folder(self, bal_id: int, name: str, special_use: str = "") -> Folder:
        """See `core.ports.MailStore.create_folder`. Missing folders above it are made (RFC 3501 §6.3.3)."""
        wanted = names.folder_name(name)
        key = await self._keys.key_of(bal_id)
        sealed = [self._sealed_name(bal_id, key, each) for each in names.ancestors(wanted)]
        sealed.append(self._sealed_name(bal_id, key, wanted, special_use))
        change = boxes.CreateFolders(bal_id=bal_id, names=sealed, now=self._now())
        await self._commit(change)
        folder = await self.folder(bal_id, wanted)
        if folder is None:
            raise NotStored("the folder was deleted while it was made")
        return folder

    async def rename_folder(self, bal_id: int, name: str, new_name: str) -> None:
        """See `core.ports.MailStore.rename_folder`. Raises NotStored, PermanentError."""
        old, new = names.folder_name(name), names.folder_name(new_name)
        if names.is_below(new, old) and old != INBOX:
            raise PermanentError("a folder cannot be moved below itself")
        if old == INBOX:
            await self._rename_inbox(bal_id, new)
            return
        key = await self._keys.key_of(bal_id)
        present = await self.folders(bal_id)
        if not any(folder.name == old for folder in present):
            raise NotStored("no such folder")
        renamed = [
            (folder.folder_id, self._sealed_name(bal_id, key, new + folder.name[len(old) :]))
            for folder in present
            if folder.name == old or names.is_below(folder.name, old)
        ]
        above = [self._sealed_name(bal_id, key, each) for each in names.ancestors(new)]
        await self._commit(boxes.RenameFolders(bal_id=bal_id, renamed=renamed, above=above, now=self._now()))

    async def _rename_inbox(self, bal_id: int, new: str) -> None:
        inbox = await self._existing(bal_id, INBOX)
        target = await self.create_folder(bal_id, new)
        found = await self.changes(inbox.folder_id)
        await self.move(inbox.folder_id, [row.uid for row in found.rows], target.folder_id)

    async def _existing(self, bal_id: int, name: str) -> Folder:
        folder = await self.folder(bal_id, name)
        if folder is None:
            raise NotStored("no such folder")
        return folder

    async def delete_folder(self, bal_id: int, name: str) -> None:
        """See `core.ports.MailStore.delete_folder`. What is below it stays (RFC 3501 §6.3.4)."""
        if names.folder_name(name) == INBOX:
            raise PermanentError("INBOX cannot be deleted")
        folder = await self._existing(bal_id, name)
        change = boxes.DeleteFolders(bal_id=bal_id, folder_ids=(folder.folder_id,))
        await self._commit(change, changed_folders=(folder.folder_id,))
        self._bals.pop(folder.folder_id, None)
        self._blobs.remove_files(change.removed_files)

    async def subscribe(self, bal_id: int, name: str, subscribed: bool) -> None:
        """See `core.ports.MailStore.subscribe`."""
        key = await self._keys.key_of(bal_id)
        sealed = self._sealed_name(bal_id, key, names.folder_name(name))
        await self._commit(boxes.Subscribe(bal_id=bal_id, name=sealed, subscribed=subscribed))

    async def subscriptions(self, bal_id: int) -> Sequence[str]:
        """See `core.ports.MailStore.subscriptions`."""
        async with self._database.read() as connection:
            sealed = await boxes.subscription_rows(connection, bal_id)
        return sorted(await self._opened_names(bal_id, sealed))

    # --- reading ---------------------------------------------------------------------------------------------
    async def status(self, folder_id: int) -> FolderStatus:
        """See `core.ports.MailStore.status`. Raises NotStored."""
        async with self._database.read() as connection:
            return await rows.status_of(connection, folder_id)

    async def changes(self, folder_id: int, since_modseq: int = 0) -> FolderChanges:
        """See `core.ports.MailStore.changes`: one moment, read in slices. Raises NotStored."""
        async with self._database.read(snapshot=True) as connection:
            modseq, uid_next, _ = await rows.folder_numbers(connection, folder_id)
            found: list[MessageRow] = []
            vanished: list[int] = []
            if since_modseq > 0:
                if modseq > since_modseq:
                    found = await rows.changed_rows(connection, folder_id, since_modseq)
                    vanished = await rows.vanished_uids(connection, folder_id, since_modseq)
                return FolderChanges(tuple(found), tuple(vanished), modseq, uid_next)
            uid = 1
            while part := await rows.rows_from(connection, folder_id, uid):
                found += part
                if len(part) < rows.ROWS_PER_SLICE:
                    break
                uid = part[-1].uid + 1
                await asyncio.sleep(0)
        return FolderChanges(tuple(found), (), modseq, uid_next)

    async def claim_recent(self, folder_id: int) -> int:
        """See `core.ports.MailStore.claim_recent`. Writes only when something came since the last claim."""
        async with self._database.read() as connection:
            _, uid_next, floor = await rows.folder_numbers(connection, folder_id)
        if floor == uid_next:
            return floor
        change = sql.ClaimRecent(folder_id)
        await self._commit(change)
        return change.floor

    async def _bal_of(self, folder_id: int) -> int:
        bal_id = self._bals.get(folder_id)
        if bal_id is None:
            async with self._database.read() as connection:
                bal_id = await boxes.bal_of(connection, folder_id)
            if len(self._bals) >= KNOWN_FOLDERS:
                self._bals.clear()
            self._bals[folder_id] = bal_id
        return bal_id

    async def summaries(self, folder_id: int, uids: Sequence[int]) -> Mapping[int, Summary]:
        """See `core.ports.MailStore.summaries`. Raises SealBroken when one of them was altered."""
        cipher = await self._keys.cipher_of(await self._bal_of(folder_id))
        ordered = sorted(set(uids))
        opened: dict[int, Summary] = {}
        async with self._database.read() as connection:
            for start in range(0, len(ordered), rows.IDS_PER_STATEMENT):
                part = ordered[start : start + rows.IDS_PER_STATEMENT]
                for place, sealed in await rows.sealed_summaries(connection, folder_id, part):
                    record = open_sealed(cipher, sealed, summary_place(place))
                    opened[uid_of(place)] = unpacked_summary(record)
                await asyncio.sleep(0)
        return opened

    async def octets(self, folder_id: int, uid: int, start: int = 0, end: int | None = None) -> bytes:
        """See `core.ports.MailStore.octets`. Raises NotStored, StoreError, SealBroken."""
        place = place_of(folder_id, uid)
        async with self._database.read() as connection:
            letter = await rows.letter_row(connection, place)
        cipher = await self._keys.cipher_of(await self._bal_of(folder_id))
        return await self._opened(cipher, place, letter, (start, end))

    async def many_octets(self, folder_id: int, spans: Mapping[int, tuple[int, int]]) -> Mapping[int, bytes]:
        """See `core.ports.MailStore.many_octets`. Raises StoreError, SealBroken."""
        cipher = await self._keys.cipher_of(await self._bal_of(folder_id))
        uids = sorted(spans)
        opened: dict[int, bytes] = {}
        for start in range(0, len(uids), rows.LETTERS_PER_STATEMENT):
            part = uids[start : start + rows.LETTERS_PER_STATEMENT]
            async with self._database.read() as connection:
                letters = await rows.letter_rows(connection, folder_id, part)
            for place, letter in letters:
                span = spans[uid_of(place)]
                opened[uid_of(place)] = await self._opened(cipher, place, letter, span)
            await asyncio.sleep(0)
        return opened

    async def _opened(
        self, cipher: AESGCM, place: int, letter: rows.LetterRow, span: tuple[int, int | None]
    ) -> bytes:
        start, end = span
        record = unpacked_key(open_sealed(cipher, letter.wrapped_key, key_place(place)))
        until = letter.size if end is None else min(end, letter.size)
        ahead = len(record.prefix)
        prefix = record.prefix[start:until]
        if until <= ahead:
            return prefix
        stored = record.stored(letter.blob_id)
        return prefix + await self._blobs.opened(
            stored, letter.sealed, (max(0, start - ahead), until - ahead)
        )

    # --- writing ---------------------------------------------------------------------------------------------
    def add(self, unit: UnitOfWork, message: NewMessage) -> None:
        """See `core.ports.MailStore.add`. The commit raises ReplyError(MAILBOX_FULL) or NotStored.

        Raises PermanentError at once for a flag that cannot be stored.
        """
        packed_flags(message.flags)
        unit.add(sql.AddMessage(message))
        self._blobs.refer(unit, message.octets.blob_id, 1)
        self._publish_after(unit, message.folder_id)

    async def store_flags(
        self, folder_id: int, uids: Sequence[int], change: FlagChange
    ) -> tuple[Sequence[MessageRow], Sequence[int]]:
        """See `core.ports.MailStore.store_flags`. Raises PermanentError for a flag that cannot be stored."""
        packed_flags(change.flags)
        store = sql.StoreFlags(folder_id=folder_id, uids=uids, change=change)
        await self._commit(store, changed_folders=(folder_id,))
        return store.rows, store.modified

    async def copy(self, folder_id: int, uids: Sequence[int], target_id: int) -> Sequence[tuple[int, int]]:
        """See `core.ports.MailStore.copy`. Raises ReplyError(MAILBOX_FULL), NotStored."""
        change = sql.CopyMessages(folder_id=folder_id, uids=uids, target_id=target_id, and_remove=False)
        await self._commit(change, changed_folders=(target_id,))
        return change.pairs

    async def move(self, folder_id: int, uids: Sequence[int], target_id: int) -> Sequence[tuple[int, int]]:
        """See `core.ports.MailStore.move` (RFC 6851)."""
        change = sql.CopyMessages(folder_id=folder_id, uids=uids, target_id=target_id, and_remove=True)
        await self._commit(change, changed_folders=(folder_id, target_id))
        return change.pairs

    async def expunge(self, folder_id: int, uids: Sequence[int] | None = None) -> Sequence[int]:
        """See `core.ports.MailStore.expunge`."""
        change = sql.ExpungeMessages(folder_id=folder_id, uids=uids)
        await self._commit(change, changed_folders=(folder_id,))
        self._blobs.remove_files(change.removed_files)
        return change.gone


def _folder(row: boxes.FolderRow, name: str, subscribed: set[str]) -> Folder:
    return Folder(
        folder_id=row.folder_id,
        bal_id=row.bal_id,
        name=name,
        uid_validity=row.uid_validity,
        uid_next=row.uid_next,
        highest_modseq=row.highest_modseq,
        recent_floor=row.recent_floor,
        special_use=row.special_use,
        subscribed=row.name_key in subscribed,
    )
