"""A real process whose system calls fail or which is killed at the k-th of them: what it acknowledged is there.

The faults are those of threats F1, F6 and F7: fsync says EIO, the disk is full, SIGKILL between two exact steps.
strace makes them happen; the process prints a line for each letter once it is durable.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.folder import StoredOctets
from core.testing.clock import FakeClock
from mailstore.files import BlobFiles
from mailstore.messages import SealedBlobs
from mailstore.storage.blobs import BlobApplier
from vaguemestre.committer import GroupCommitter
from vaguemestre.database import Database

ROOT = Path(__file__).resolve().parents[2]
FATAL, FINISHED = 3, 0
LETTERS = 24

PROGRAM = """
import asyncio, hashlib, os, sys
from pathlib import Path
from core.errors import FatalStoreError, StoreError
from core.clock import SystemClock
from core.unit_of_work import UnitOfWork
from mailstore.files import BlobFiles
from mailstore.messages import SealedBlobs
from mailstore.storage.blobs import BlobApplier
from vaguemestre.committer import GroupCommitter
from vaguemestre.database import Database

async def main(folder, letters):
    fatal = []
    database = Database(f"sqlite:///{folder}/mail.db")
    committer = GroupCommitter(database, [BlobApplier()], on_fatal=fatal.append)
    blobs = SealedBlobs(database, committer, SystemClock(), BlobFiles(Path(folder) / "blobs"), on_fatal=fatal.append)

    async def one(number):
        octets = bytes([number]) * (40_000 if number % 4 == 0 else 500)
        unit = UnitOfWork()
        try:
            stored = await blobs.seal(octets)
            blobs.keep(unit, stored)
            blobs.refer(unit, stored.blob_id, 1)
            await committer.commit(unit)
        except FatalStoreError:
            return
        except StoreError:
            os.write(1, b"refused\\n")
            return
        line = f"kept {stored.blob_id} {stored.data_key.hex()} {stored.size} {number}"
        os.write(1, line.encode() + b"\\n")

    os.write(1, b"ready\\n")
    for first in range(0, letters, 3):
        await asyncio.gather(*(one(number) for number in range(first, first + 3)))
        if fatal:
            os._exit(3)
    os._exit(0)

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


@pytest.fixture
def folder(tmp_path: Path, sqlite_template: Path, await_now: Any) -> Path:
    """A migrated database and the blobs' folders."""
    (tmp_path / "mail.db").write_bytes(sqlite_template.read_bytes())
    BlobFiles(tmp_path / "blobs").prepare()
    return tmp_path


def _run(folder: Path, injection: str) -> tuple[int, list[str]]:
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={injection}",
               sys.executable, "-c", PROGRAM, str(folder), str(LETTERS)]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.startswith("ready\n"), done.stderr
    return done.returncode, done.stdout.splitlines()[1:]


async def _check(folder: Path, lines: list[str]) -> None:
    """Every acknowledged letter is there, whole; nothing is there twice; the database is sound."""
    database = Database(f"sqlite:///{folder}/mail.db")
    committer = GroupCommitter(database, [BlobApplier()])
    blobs = SealedBlobs(database, committer, FakeClock(), BlobFiles(folder / "blobs"))
    kept = [line.split()[1:] for line in lines if line.startswith("kept")]
    for blob_id, key, size, number in kept:
        stored = StoredOctets(blob_id, bytes.fromhex(key), int(size), b"")
        assert await blobs.read(stored) == bytes([int(number)]) * int(size)
    async with database.read() as connection:
        assert (await connection.exec_driver_sql("PRAGMA integrity_check")).scalar() == "ok"
        rows = (await connection.exec_driver_sql("SELECT count(*) FROM blob")).scalar()
    assert len(kept) <= rows <= len(kept) + 3  # three were under way
    await database.close()


@pytest.mark.parametrize("when", [3, 6, 11])
async def test_an_fsync_that_fails_ends_the_program_and_nothing_false_was_said(
    folder: Path, when: int
) -> None:
    status, lines = _run(folder, f"fsync,fdatasync:error=EIO:when={when}")
    assert status == FATAL
    assert len(lines) < LETTERS
    await _check(folder, lines)


async def test_a_write_that_fails_ends_the_program_too(folder: Path) -> None:
    status, lines = _run(folder, "pwrite64:error=EIO:when=40")
    assert status == FATAL
    await _check(folder, lines)


@pytest.mark.parametrize("when", [20, 41])
async def test_a_disk_that_is_full_for_a_moment_refuses_and_goes_on(folder: Path, when: int) -> None:
    status, lines = _run(folder, f"pwrite64:error=ENOSPC:when={when}")
    assert status == FINISHED
    assert "refused" in lines
    # strace counts in each thread anew, and the writer opens its connection anew: a few batches may be refused.
    assert len([line for line in lines if line.startswith("kept")]) >= LETTERS // 2
    assert any(line.startswith("kept") for line in lines[lines.index("refused") :])
    await _check(folder, lines)


@pytest.mark.parametrize("call", ["fdatasync,fsync", "pwrite64", "rename"])
@pytest.mark.parametrize("when", [2, 5])
async def test_a_kill_between_two_steps_loses_nothing_that_was_acknowledged(
    folder: Path, call: str, when: int
) -> None:
    status, lines = _run(folder, f"{call}:signal=SIGKILL:when={when * (7 if call == 'pwrite64' else 1)}")
    assert status != FINISHED
    assert len(lines) < LETTERS
    await _check(folder, lines)
