"""Sealed octets in memory, with the counting of references, and the errors a test asks for."""

from __future__ import annotations

import hashlib

from core.errors import NotStored
from core.folder import StoredOctets
from core.unit_of_work import UnitOfWork


class MemoryBlobs:
    """Implements `core.ports.BlobStore`. What is staged counts once the unit is committed.

    `failure`, when set, is raised by the next `seal`. `references` and `octets` are what a test looks at.
    """

    def __init__(self) -> None:
        self.octets: dict[str, bytes] = {}
        self.references: dict[str, int] = {}
        self.failure: Exception | None = None
        self._sealed: dict[str, bytes] = {}

    async def seal(self, octets: bytes) -> StoredOctets:
        """See `BlobStore.seal`."""
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure
        blob_id = f"{len(self._sealed) + 1:032x}"
        self._sealed[blob_id] = octets
        key = hashlib.sha256(blob_id.encode()).digest()
        return StoredOctets(blob_id, key, len(octets), hashlib.sha256(octets).digest())

    def keep(self, unit: UnitOfWork, stored: StoredOctets) -> None:
        """See `BlobStore.keep`."""

        def kept() -> None:
            self.octets[stored.blob_id] = self._sealed[stored.blob_id]
            self.references.setdefault(stored.blob_id, 0)

        unit.after_commit(kept)

    def refer(self, unit: UnitOfWork, blob_id: str, count: int) -> None:
        """See `BlobStore.refer`."""

        def referred() -> None:
            self.references[blob_id] = self.references.get(blob_id, 0) + count
            if self.references[blob_id] <= 0:
                del self.references[blob_id]
                self.octets.pop(blob_id, None)

        unit.after_commit(referred)

    async def read(self, stored: StoredOctets, start: int = 0, end: int | None = None) -> bytes:
        """See `BlobStore.read`."""
        if stored.blob_id not in self.octets:
            raise NotStored("no such octets")
        return self.octets[stored.blob_id][start:end]
