"""The double of the blob store keeps the rules of the real one."""

from __future__ import annotations

import pytest

from core.errors import NotStored, StoreError
from core.testing.memory_blobs import MemoryBlobs
from core.unit_of_work import UnitOfWork


async def test_octets_are_there_from_the_commit_to_the_last_reference() -> None:
    blobs, unit = MemoryBlobs(), UnitOfWork()
    stored = await blobs.seal(b"letter")
    blobs.keep(unit, stored)
    blobs.refer(unit, stored.blob_id, 2)
    with pytest.raises(NotStored):
        await blobs.read(stored)
    unit.committed()
    assert await blobs.read(stored, 1, 3) == b"et"
    for left in (1, 0):
        away = UnitOfWork()
        blobs.refer(away, stored.blob_id, -1)
        away.committed()
        assert blobs.references.get(stored.blob_id, 0) == left
    with pytest.raises(NotStored):
        await blobs.read(stored)


async def test_a_failure_that_is_asked_for_comes_once() -> None:
    blobs = MemoryBlobs()
    blobs.failure = StoreError("as told")
    with pytest.raises(StoreError):
        await blobs.seal(b"x")
    assert (await blobs.seal(b"x")).size == 1
