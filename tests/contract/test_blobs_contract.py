"""Sealed octets on both engines: what was sealed is read, parts too; what nobody refers to is gone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from core.errors import LocalProtocolError, NotStored, PermanentError
from core.folder import StoredOctets
from core.unit_of_work import UnitOfWork
from mailstore.messages import SMALL_OCTETS, SWEEP_AGE_SECONDS
from mailstore.segments import SEGMENT, sealed_size

SIZES = (0, 1, 5000, SMALL_OCTETS, SMALL_OCTETS + 1, SEGMENT, SEGMENT + 1, 3 * SEGMENT - 7)


async def _kept(mail: Any, octets: bytes, references: int = 1) -> Any:
    unit = UnitOfWork()
    stored = await mail.blobs.seal(octets)
    mail.blobs.keep(unit, stored)
    if references:
        mail.blobs.refer(unit, stored.blob_id, references)
    await mail.committer.commit(unit)
    return stored


async def _refer(mail: Any, *counts: tuple[str, int]) -> None:
    unit = UnitOfWork()
    for blob_id, count in counts:
        mail.blobs.refer(unit, blob_id, count)
    await mail.committer.commit(unit)


def _files(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]


@pytest.mark.parametrize("size", SIZES)
async def test_what_was_sealed_is_read(mail: Any, tmp_path: Path, size: int) -> None:
    octets = os.urandom(size)
    stored = await _kept(mail, octets)
    assert await mail.blobs.read(stored) == octets
    assert len(_files(tmp_path)) == (1 if size > SMALL_OCTETS else 0)


async def test_a_part_is_read_from_its_segments(mail: Any) -> None:
    octets = os.urandom(3 * SEGMENT - 7)
    stored = await _kept(mail, octets)
    edges = (
        0,
        1,
        SEGMENT - 1,
        SEGMENT,
        SEGMENT + 1,
        2 * SEGMENT,
        len(octets) - 1,
        len(octets),
        len(octets) + 9,
    )
    for start in edges:
        for end in (*edges, None):
            assert await mail.blobs.read(stored, start, end) == octets[start:end]


async def test_references_are_counted_and_the_last_one_removes(mail: Any) -> None:
    stored = await _kept(mail, b"letter")
    await _refer(mail, (stored.blob_id, 2))
    await _refer(mail, (stored.blob_id, -2))
    assert await mail.blobs.read(stored) == b"letter"
    await _refer(mail, (stored.blob_id, -1))
    with pytest.raises(NotStored):
        await mail.blobs.read(stored)
    assert await mail.sql("SELECT count(*) FROM blob_octets") == [(0,)]


async def test_one_fewer_and_one_more_in_one_unit_is_nothing(mail: Any) -> None:
    stored = await _kept(mail, b"letter")
    await _refer(mail, (stored.blob_id, -1), (stored.blob_id, 1))
    assert await mail.blobs.read(stored) == b"letter"


async def test_the_last_reference_removes_the_file(mail: Any, tmp_path: Path) -> None:
    stored = await _kept(mail, bytes(SMALL_OCTETS + 1))
    assert len(_files(tmp_path)) == 1
    await _refer(mail, (stored.blob_id, 1), (stored.blob_id, -2))
    await mail.blobs.close()
    assert _files(tmp_path) == []
    with pytest.raises(NotStored):
        await mail.blobs.read(stored)


async def test_a_reference_on_nothing_is_refused(mail: Any) -> None:
    with pytest.raises(NotStored):
        await _refer(mail, ("0" * 32, 1))
    await _refer(mail, ("0" * 32, -1))  # what is gone may be let go again


async def test_only_fresh_octets_are_kept(mail: Any) -> None:
    with pytest.raises(LocalProtocolError):
        mail.blobs.keep(UnitOfWork(), StoredOctets("0" * 32, bytes(32), 1, bytes(32)))


@pytest.mark.parametrize("size", [5000, SEGMENT + 100])
async def test_every_alteration_is_found_and_nothing_of_it_served(
    mail: Any, tmp_path: Path, size: int
) -> None:
    octets = os.urandom(size)
    stored = await _kept(mail, octets)
    sealed = await _sealed(mail, tmp_path)
    assert len(sealed) == sealed_size(size)
    flips = {0, 3, 4, 100, size // 2, len(sealed) - 17, len(sealed) - 1}
    altered = [sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :] for at in flips]
    altered += [sealed[:-1], sealed[: SEGMENT + 20], b"", sealed[:3]]
    for damaged in altered:
        if damaged != sealed:
            await _replace(mail, tmp_path, damaged)
            with pytest.raises(PermanentError):
                await mail.blobs.read(stored)


async def test_octets_moved_under_another_id_do_not_open(mail: Any) -> None:
    first, second = await _kept(mail, b"first letter"), await _kept(mail, b"other letter")
    await mail.sql(
        f"UPDATE blob_octets SET sealed = (SELECT sealed FROM blob_octets WHERE blob_id = '{first.blob_id}')"
        f" WHERE blob_id = '{second.blob_id}'"
    )
    with pytest.raises(PermanentError):
        await mail.blobs.read(second)
    swapped = StoredOctets(second.blob_id, first.data_key, first.size, first.sha256)
    with pytest.raises(PermanentError):
        await mail.blobs.read(swapped)  # even with the key: the id is bound


async def test_the_sweep_takes_orphans_of_an_hour_and_leaves_the_rest(mail: Any, tmp_path: Path) -> None:
    kept = await _kept(mail, os.urandom(SMALL_OCTETS + 1))
    never_referred = await _kept(mail, b"x", references=0)
    orphan = await mail.blobs.seal(bytes(SMALL_OCTETS + 1))  # its row never comes
    interrupted = tmp_path / "blobs" / "ab" / ("ab" * 16 + ".new")
    interrupted.write_bytes(b"half")
    for path in _files(tmp_path):
        os.utime(path, (mail.clock.now().timestamp(),) * 2)
    assert await mail.blobs.sweep() == 0
    mail.clock.advance(SWEEP_AGE_SECONDS + 1)
    assert await mail.blobs.sweep() == 3
    assert [path.name for path in _files(tmp_path)] == [kept.blob_id]
    assert len(await mail.blobs.read(kept)) == SMALL_OCTETS + 1
    for gone in (never_referred, orphan):
        with pytest.raises(NotStored):
            await mail.blobs.read(gone)


async def test_a_missing_file_is_said_to_be_missing(mail: Any, tmp_path: Path) -> None:
    stored = await _kept(mail, bytes(SMALL_OCTETS + 1))
    for path in _files(tmp_path):
        path.unlink()
    with pytest.raises(NotStored):
        await mail.blobs.read(stored)


async def _sealed(mail: Any, tmp_path: Path) -> bytes:
    files = _files(tmp_path)
    if files:
        return files[0].read_bytes()
    return bytes((await mail.sql("SELECT sealed FROM blob_octets"))[0][0])


async def _replace(mail: Any, tmp_path: Path, sealed: bytes) -> None:
    files = _files(tmp_path)
    if files:
        files[0].write_bytes(sealed)
        return
    mark = "?" if mail.database.is_sqlite else "$1"
    await mail.sql(f"UPDATE blob_octets SET sealed = {mark}", sealed)
