"""Large blobs as files: durable in the right order, and every system call failing in turn."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from core.errors import FatalStoreError, NotStored, StoreError, StoreFull
from mailstore.files import BlobFiles, DiskOperations

BLOB = "ab" * 16


class MemoryDisk:
    """A disk in memory that tells the order of calls, writes little at a time, and fails at the k-th call."""

    def __init__(self, *, fail_at: int = 0, error: int = errno.EIO, most: int = 1 << 30) -> None:
        self.calls: list[str] = []
        self.files: dict[Path, bytearray] = {}
        self._open: dict[int, Path] = {}
        self._fail_at = fail_at
        self._error = error
        self._most = most

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if len(self.calls) == self._fail_at:
            raise OSError(self._error, "as told")

    def create(self, path: Path) -> int:
        self._called("create")
        self.files[path] = bytearray()
        self._open[len(self._open) + 3] = path
        return len(self._open) + 2

    def write(self, descriptor: int, octets: memoryview) -> int:
        self._called("write")
        part = bytes(octets[: self._most])
        self.files[self._open[descriptor]] += part
        return len(part)

    def fsync(self, descriptor: int) -> None:
        self._called("fsync")

    def close(self, descriptor: int) -> None:
        self.calls.append("close")

    def rename(self, old: Path, new: Path) -> None:
        self._called("rename")
        self.files[new] = self.files.pop(old)

    def fsync_folder(self, folder: Path) -> None:
        self._called("fsync_folder")

    def unlink(self, path: Path) -> None:
        self._called("unlink")
        if self.files.pop(path, None) is None:
            raise FileNotFoundError(path)

    def read(self, path: Path, offset: int, length: int) -> bytes:
        self._called("read")
        return bytes(self.files[path][offset : offset + length])


def test_content_is_durable_before_the_name_and_the_name_before_the_return() -> None:
    disk = MemoryDisk()
    BlobFiles(Path("/blobs"), disk).write(BLOB, b"sealed")
    assert disk.calls == ["create", "write", "fsync", "close", "rename", "fsync_folder"]
    assert disk.files == {Path("/blobs/ab") / BLOB: b"sealed"}


def test_short_writes_are_continued() -> None:
    disk = MemoryDisk(most=7)
    files = BlobFiles(Path("/blobs"), disk)
    files.write(BLOB, bytes(range(100)))
    assert disk.calls.count("write") == 15
    assert files.read(BLOB, 10, 5) == bytes(range(10, 15))


def test_a_disk_that_takes_nothing_does_not_loop_for_ever() -> None:
    with pytest.raises(FatalStoreError):
        BlobFiles(Path("/blobs"), MemoryDisk(most=0)).write(BLOB, b"sealed")


@pytest.mark.parametrize(
    ("error", "meanings"),
    [
        # create, write, fsync, (close), rename, fsync_folder
        (errno.ENOSPC, (StoreFull, StoreFull, FatalStoreError, StoreFull, FatalStoreError)),
        (errno.EDQUOT, (StoreFull, StoreFull, FatalStoreError, StoreFull, FatalStoreError)),
        (errno.EIO, (FatalStoreError,) * 5),
        (errno.EROFS, (StoreError, StoreError, FatalStoreError, StoreError, FatalStoreError)),
        (errno.EMFILE, (StoreError, StoreError, FatalStoreError, StoreError, FatalStoreError)),
    ],
)
def test_whatever_call_fails_nothing_is_named_and_the_meaning_is_ours(
    error: int, meanings: tuple[type[Exception], ...]
) -> None:
    for call, meaning in zip((1, 2, 3, 5, 6), meanings, strict=True):
        disk = MemoryDisk(fail_at=call, error=error)
        with pytest.raises(meaning) as caught:
            BlobFiles(Path("/blobs"), disk).write(BLOB, b"sealed")
        assert type(caught.value) is meaning
        assert disk.calls.count("fsync") <= 1  # never tried again
        if call < 6:
            assert Path("/blobs/ab") / BLOB not in disk.files
        if call != 3:
            assert not any(path.name.endswith(".new") for path in disk.files)


def test_reading_what_is_not_there_or_cannot_be_read(tmp_path: Path) -> None:
    files = BlobFiles(tmp_path / "blobs")
    with pytest.raises(NotStored):
        files.read(BLOB, 0, 4)
    with pytest.raises(StoreError):
        BlobFiles(Path("/blobs"), MemoryDisk(fail_at=1)).read(BLOB, 0, 4)


def test_a_real_folder_is_prepared_written_read_listed_and_emptied(tmp_path: Path) -> None:
    files = BlobFiles(tmp_path / "deep" / "blobs")
    files.prepare()
    files.prepare()
    files.write(BLOB, bytes(range(256)) * 4)
    path = tmp_path / "deep" / "blobs" / "ab" / BLOB
    assert path.stat().st_mode & 0o777 == 0o600
    assert files.read(BLOB, 1000, 100) == (bytes(range(256)) * 4)[1000:]
    path.with_name(BLOB + ".new").write_bytes(b"x")
    with pytest.raises(StoreError):
        files.write(BLOB, b"again")  # two writers of one name: the second is refused
    path.with_name("cd.new").write_bytes(b"half")
    moment = path.stat().st_mtime
    assert sorted(files.older_than(moment + 10)) == [(BLOB, False), ("cd", True)]
    assert list(files.older_than(moment - 10)) == []
    files.remove_temporary("cd")
    files.remove(BLOB)
    files.remove(BLOB)
    assert not path.exists()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError):
        BlobFiles(tmp_path / "file" / "blobs").prepare()


def test_a_folder_that_cannot_be_synced_is_fatal(tmp_path: Path) -> None:
    class NoSync(DiskOperations):
        def fsync_folder(self, folder: Path) -> None:
            raise OSError(errno.EIO, "as told")

    with pytest.raises(FatalStoreError):
        BlobFiles(tmp_path / "blobs", NoSync()).prepare()
    assert os.path.isdir(tmp_path / "blobs" / "ff")
