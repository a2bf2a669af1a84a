"""The last good trust list on disk, how it stands, and what an operator asked for.

What it is: three small files beside each other, each written whole or not at all. What it is not: trust; the
kept list is verified again when it is read. Start at `KeptList`. The running service writes the list and its
status, the command line reads them and leaves a request; both need no connection between them.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path

from core.errors import NotStored, StoreError
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


@dataclass(frozen=True, slots=True)
class Request:
    """What an operator asked for: to look now (""), or to take the list with this digest."""

    confirmed_digest: str


class KeptList:
    """`path` is the list; `.status` and `.request` stand beside it. Calls touch the disk: use a thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._status = path.with_name(path.name + ".status")
        self._request = path.with_name(path.name + ".request")

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

    def ask_for_a_look(self) -> None:
        """Ask the service to look at the source now. Raises StoreError."""
        _write(self._request, b"{}")

    def confirm_waiting(self) -> Waiting:
        """Ask the service to take the list that waits. Raises NotStored when none does, StoreError."""
        waiting = self.status().waiting
        if waiting is None:
            raise NotStored("no trust list waits for a confirmation")
        _write(self._request, json.dumps({"digest": waiting.digest}).encode())
        return waiting

    def take_request(self) -> Request | None:
        """What was asked for since the last call, once."""
        octets = _read(self._request, MAX_STATUS)
        if octets is None:
            return None
        try:
            self._request.unlink(missing_ok=True)
            digest = json.loads(octets).get("digest", "")
        except OSError as error:
            raise StoreError("the request for the trust list cannot be removed") from error
        except (ValueError, AttributeError):
            return Request("")
        return Request(digest if isinstance(digest, str) else "")


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
