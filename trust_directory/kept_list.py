"""The last good trust list on disk, and how it stands.

What it is: two files beside each other, each written whole or not at all. What it is not: trust; the kept list
is verified again whenever it is read. Start at `KeptList`. All processes of a node share it: who accepts a list
keeps it here, and the others follow.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path

from core.errors import StoreError
from trust_directory.trusted_domains.parse import MAX_LIST

MAX_STATUS = 64 * 1024  # ours: a status has some 500 octets
MODE = 0o640


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A list that waits for an operator's confirmation."""

    digest: str
    lost: int
    before: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ListStatus:
    """How the list stands, for `directory list status`. Times are ISO 8601, empty when it never happened."""

    digest: str = ""
    entries: int = 0
    generated_at: str = ""
    confirmed_at: str = ""
    signer: str = ""
    looked_at: str = ""
    outcome: str = ""
    """The last look: `unchanged`, `changed`, `source-away`, or the reason of a refusal."""
    waiting: Waiting | None = None


class KeptList:
    """`path` is the list; `.status` stands beside it. Calls touch the disk: use a thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._status = path.with_name(path.name + ".status")

    def mark(self) -> tuple[str, float]:
        """(a name of this state of the file, when it was kept in seconds since 1970); empty when there is none."""
        try:
            found = self._path.stat()
        except OSError:
            return "", 0.0
        return f"{found.st_ino}-{found.st_mtime_ns}-{found.st_size}", found.st_mtime

    def octets(self) -> bytes | None:
        """The kept list, None when there is none. Raises StoreError."""
        return _read(self._path, MAX_LIST)

    def keep(self, octets: bytes) -> None:
        """Replace the kept list. Raises StoreError."""
        _write(self._path, octets)

    def status(self) -> ListStatus:
        """As last written; empty when never or unreadable."""
        octets = _read(self._status, MAX_STATUS)
        if octets is None:
            return ListStatus()
        try:
            values = json.loads(octets)
            waiting = values.pop("waiting", None)
            return replace(ListStatus(**values), waiting=Waiting(**waiting) if waiting else None)
        except (ValueError, TypeError, AttributeError):
            return ListStatus()

    def put_status(self, status: ListStatus) -> None:
        """Replace the status. Raises StoreError."""
        _write(self._status, json.dumps(asdict(status), indent=1).encode())


def instant(text: str) -> datetime | None:
    """Read a time of a status; None when it is empty or unreadable."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _read(path: Path, longest: int) -> bytes | None:
    try:
        with path.open("rb") as stream:
            return stream.read(longest + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError("a file of the trust list cannot be read") from error


def _write(path: Path, octets: bytes) -> None:
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE)
        with os.fdopen(handle, "wb") as stream:
            stream.write(octets)
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)  # the rename itself is durable only with its folder
        finally:
            os.close(folder)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise StoreError("a file of the trust list cannot be written") from error
