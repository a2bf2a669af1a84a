"""The octets of letters at rest: sealed, each under its own key, small ones in a table, large ones in files.

What it is: `SealedBlobs`, which implements `core.ports.BlobStore`. What it is not: who may open them (the data key
is wrapped by the place that names the blob: `mailstore.mailboxes`, the spool). Start at `seal`, then `read`.

The order that loses nothing: a large blob is written and fsynced before `seal` returns, the row that names it
comes in the caller's unit; a crash between the two leaves a file that `sweep` removes an hour later.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from core.clock import Clock
from core.errors import FatalStoreError, LocalProtocolError
from core.folder import StoredOctets
from core.unit_of_work import Committer, UnitOfWork
from mailstore.files import BlobFiles
from mailstore.reading import ReadDatabase
from mailstore.sealing import KEY_OCTETS
from mailstore.segments import open_octets, seal_octets
from mailstore.storage import blobs as sql

SMALL_OCTETS = 32 * 1024  # architecture, storage: up to here a row costs less than a file
SWEEP_AGE_SECONDS = 3600.0  # ours: far more than any letter waits between its file and its row

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, repr=False)
class FreshOctets(StoredOctets):
    """What `seal` gives: with the sealed form of a small blob, which `keep` writes."""

    sealed: bytes | None = None

    def __repr__(self) -> str:
        return f"FreshOctets({self.blob_id}, {self.size} octets)"


class SealedBlobs:
    """Implements `core.ports.BlobStore`. Call `open` once. `on_fatal` ends the program."""

    def __init__(
        self,
        database: ReadDatabase,
        committer: Committer,
        clock: Clock,
        files: BlobFiles,
        *,
        on_fatal: Callable[[FatalStoreError], None] = lambda error: None,
    ) -> None:
        self._database = database
        self._committer = committer
        self._clock = clock
        self._files = files
        self._on_fatal = on_fatal
        self._removals: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Make the folders. Raises StoreError, FatalStoreError."""
        await asyncio.to_thread(self._files.prepare)

    async def seal(self, octets: bytes) -> FreshOctets:
        """See `core.ports.BlobStore.seal`. Raises StoreFull, StoreError, FatalStoreError."""
        blob_id = self._new_id()
        key = secrets.token_bytes(KEY_OCTETS)
        if len(octets) <= SMALL_OCTETS:
            sealed = seal_octets(key, blob_id, octets)
            return FreshOctets(blob_id, key, len(octets), hashlib.sha256(octets).digest(), sealed)
        try:
            digest = await asyncio.to_thread(self._write_large, key, blob_id, octets)
        except FatalStoreError as error:
            self._on_fatal(error)
            raise
        return FreshOctets(blob_id, key, len(octets), digest)

    def _new_id(self) -> str:
        # Rises with time, so that the index grows at one end: random ids touched a page of it for each letter.
        return f"{int(self._clock.now().timestamp() * 1000):011x}{secrets.token_hex(11)}"

    def _write_large(self, key: bytes, blob_id: str, octets: bytes) -> bytes:
        self._files.write(blob_id, seal_octets(key, blob_id, octets))
        return hashlib.sha256(octets).digest()

    def keep(self, unit: UnitOfWork, stored: StoredOctets) -> None:
        """See `core.ports.BlobStore.keep`; for what `seal` of this store gave."""
        if not isinstance(stored, FreshOctets):
            raise LocalProtocolError("only octets that were just sealed are kept")
        now = int(self._clock.now().timestamp())
        unit.add(sql.KeepBlob(blob_id=stored.blob_id, size=stored.size, created_at=now, sealed=stored.sealed))

    def refer(self, unit: UnitOfWork, blob_id: str, count: int) -> None:
        """See `core.ports.BlobStore.refer`."""
        change = sql.ReferBlob(blob_id, count)
        unit.add(change)
        if count < 0:
            unit.after_commit(lambda: self.remove_files(change.removed_files))

    def remove_files(self, blob_ids: Sequence[str]) -> None:
        """Remove files whose rows are gone, soon, in a thread; what a crash leaves is swept later."""
        if blob_ids:
            task = asyncio.create_task(asyncio.to_thread(self._remove, list(blob_ids)), name="remove-blobs")
            self._removals.add(task)
            task.add_done_callback(self._removals.discard)

    def _remove(self, blob_ids: Sequence[str]) -> None:
        for blob_id in blob_ids:
            self._files.remove(blob_id)

    async def read(self, stored: StoredOctets, start: int = 0, end: int | None = None) -> bytes:
        """See `core.ports.BlobStore.read`."""
        span = (start, stored.size if end is None else end)
        async with self._database.read() as connection:
            sealed = await sql.sealed_octets(connection, stored.blob_id)
        return await self.opened(stored, sealed, span)

    async def opened(self, stored: StoredOctets, sealed: bytes | None, span: tuple[int, int]) -> bytes:
        """The octets of `span`, from the sealed form when it was read already, else from the file."""
        if sealed is None:
            return await asyncio.to_thread(self._read_large, stored, span)
        return open_octets(
            stored.data_key,
            stored.blob_id,
            stored.size,
            lambda offset, length: sealed[offset : offset + length],
            span,
        )

    def _read_large(self, stored: StoredOctets, span: tuple[int, int]) -> bytes:
        def read(offset: int, length: int) -> bytes:
            return self._files.read(stored.blob_id, offset, length)

        return open_octets(stored.data_key, stored.blob_id, stored.size, read, span)

    async def sweep(self) -> int:
        """Remove files without a row and rows without a reference, older than an hour: how many went."""
        before = self._clock.now().timestamp() - SWEEP_AGE_SECONDS
        count = await self._sweep_rows(int(before))
        old = await asyncio.to_thread(lambda: list(self._files.older_than(before)))
        for blob_id, is_temporary in old:
            if is_temporary:
                await asyncio.to_thread(self._files.remove_temporary, blob_id)
                count += 1
        whole = [blob_id for blob_id, is_temporary in old if not is_temporary]
        for position in range(0, len(whole), sql.IDS_PER_STATEMENT):
            part = whole[position : position + sql.IDS_PER_STATEMENT]
            async with self._database.read() as connection:
                known = await sql.known_ids(connection, part)
            orphans = [blob_id for blob_id in part if blob_id not in known]
            await asyncio.to_thread(self._remove, orphans)
            count += len(orphans)
        if count:
            _log.info("blobs-swept", component="mailstore", count=count)
        return count

    async def _sweep_rows(self, before: int) -> int:
        count = 0
        while True:
            async with self._database.read() as connection:
                rows = await sql.unreferred(connection, before)
            if not rows:
                return count
            unit = UnitOfWork()
            drop = sql.DropUnreferred(rows)
            unit.add(drop)
            await self._committer.commit(unit)
            await asyncio.to_thread(self._remove, drop.removed_files)
            count += drop.removed

    async def close(self) -> None:
        """Wait for the removals under way."""
        if self._removals:
            await asyncio.wait(set(self._removals))
