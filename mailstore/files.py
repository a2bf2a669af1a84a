"""Large sealed blobs as files: durable before they are named, found again by their id.

What it is: `BlobFiles` (what is where, in which order it is made durable) over `FileOperations` (the few system
calls, which tests replace to make them fail). What it is not: asynchronous; `mailstore.messages` calls it in a
thread. Start at `BlobFiles.write`.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from core import reply
from core.errors import FatalStoreError, GatewayError, NotStored, StoreError, StoreFull

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_TEMPORARY = ".new"
_FANOUT_DIGITS = 2  # 256 folders: a million large letters make 4,000 files in each


class FileOperations(Protocol):
    """The system calls that a blob's life needs."""

    def create(self, path: Path) -> int:
        """A descriptor of a new file, mode 0600."""
        ...

    def write(self, descriptor: int, octets: memoryview) -> int:
        """How many octets were taken; may be fewer than given."""
        ...

    def fsync(self, descriptor: int) -> None:
        """Make the content durable."""
        ...

    def close(self, descriptor: int) -> None:
        """Give the descriptor back."""
        ...

    def rename(self, old: Path, new: Path) -> None:
        """Give the file its name."""
        ...

    def fsync_folder(self, folder: Path) -> None:
        """Make the names in a folder durable."""
        ...

    def unlink(self, path: Path) -> None:
        """Remove a file."""
        ...

    def read(self, path: Path, offset: int, length: int) -> bytes:
        """Octets of a file, fewer at its end."""
        ...


class DiskOperations:
    """The operating system's own."""

    def create(self, path: Path) -> int:
        """See `FileOperations`."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def write(self, descriptor: int, octets: memoryview) -> int:
        """See `FileOperations`."""
        return os.write(descriptor, octets)

    def fsync(self, descriptor: int) -> None:
        """See `FileOperations`."""
        os.fsync(descriptor)

    def close(self, descriptor: int) -> None:
        """See `FileOperations`."""
        os.close(descriptor)

    def rename(self, old: Path, new: Path) -> None:
        """See `FileOperations`."""
        os.rename(old, new)

    def fsync_folder(self, folder: Path) -> None:
        """See `FileOperations`."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def unlink(self, path: Path) -> None:
        """See `FileOperations`."""
        os.unlink(path)

    def read(self, path: Path, offset: int, length: int) -> bytes:
        """See `FileOperations`."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            parts = []
            while length > 0 and (part := os.pread(descriptor, length, offset)):
                parts.append(part)
                offset += len(part)
                length -= len(part)
            return b"".join(parts)
        finally:
            os.close(descriptor)


class BlobFiles:
    """One folder of sealed blobs."""

    def __init__(self, folder: Path, operations: FileOperations | None = None) -> None:
        self._folder = folder
        self._disk: FileOperations = operations or DiskOperations()

    def prepare(self) -> None:
        """Make the folders, durably. Raises StoreError."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for number in range(16**_FANOUT_DIGITS):
                (self._folder / f"{number:0{_FANOUT_DIGITS}x}").mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise _meaning(error) from error
        self._fsync_folder(self._folder)
        self._fsync_folder(self._folder.parent)

    def path_of(self, blob_id: str) -> Path:
        """Where a blob lies."""
        return (
            self._folder / blob_id[-_FANOUT_DIGITS:] / blob_id
        )  # an id begins with its time and ends at random

    def write(self, blob_id: str, sealed: bytes) -> None:
        """Durable when this returns: content first, then name. Raises StoreFull, StoreError, FatalStoreError."""
        path = self.path_of(blob_id)
        temporary = path.with_name(blob_id + _TEMPORARY)
        try:
            self._write_content(temporary, sealed)
            self._disk.rename(temporary, path)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._disk.unlink(temporary)
            raise _meaning(error) from error
        self._fsync_folder(path.parent)

    def _write_content(self, temporary: Path, sealed: bytes) -> None:
        descriptor = self._disk.create(temporary)
        try:
            rest = memoryview(sealed)
            while rest:
                taken = self._disk.write(descriptor, rest)
                if taken <= 0:
                    raise OSError(errno.EIO, "the disk took nothing")
                rest = rest[taken:]
            try:
                self._disk.fsync(descriptor)
            except OSError as error:
                raise FatalStoreError("fsync of a blob failed") from error
        finally:
            self._disk.close(descriptor)

    def _fsync_folder(self, folder: Path) -> None:
        try:
            self._disk.fsync_folder(folder)
        except OSError as error:
            raise FatalStoreError("fsync of the blobs' folder failed") from error

    def read(self, blob_id: str, offset: int, length: int) -> bytes:
        """Sealed octets, fewer at the end. Raises NotStored, StoreError."""
        try:
            return self._disk.read(self.path_of(blob_id), offset, length)
        except FileNotFoundError as error:
            raise NotStored("a blob's file is not there") from error
        except OSError as error:
            raise StoreError("a blob's file cannot be read") from error

    def remove(self, blob_id: str) -> None:
        """Remove a file that no row names; nothing happens when it is gone already."""
        with contextlib.suppress(OSError):
            self._disk.unlink(self.path_of(blob_id))

    def remove_temporary(self, blob_id: str) -> None:
        """Remove what an interrupted write left."""
        with contextlib.suppress(OSError):
            self._disk.unlink(self.path_of(blob_id).with_name(blob_id + _TEMPORARY))

    def older_than(self, moment: float) -> Iterator[tuple[str, bool]]:
        """(blob id, whether it is an interrupted write) of the files last written before `moment` (since 1970)."""
        for folder in sorted(self._folder.iterdir()):
            if not folder.is_dir():
                continue
            for entry in os.scandir(folder):
                if entry.stat(follow_symlinks=False).st_mtime < moment:
                    yield entry.name.removesuffix(_TEMPORARY), entry.name.endswith(_TEMPORARY)


def _meaning(error: OSError) -> GatewayError:
    if error.errno in _NO_ROOM:
        return StoreFull(reply.STORAGE_FULL)
    if error.errno == errno.EIO:
        return FatalStoreError("the disk failed under a blob")
    return StoreError("a blob's file cannot be written")
