"""What a backup says of itself: its files with their hashes, its counts, its time. Pure but for `digest_of`.

What it is: `Manifest`, written by `vaguemestre.backup` and read by `vaguemestre.restoring`. What it is not: a
signature; whoever can change a backup can change its manifest, but not open or forge what is sealed in it, and the
audit trail in it is vouched for by its own checkpoints.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from core.errors import PermanentError

FORMAT = 1
MANIFEST = "manifest.json"
DATABASE = "database/vaguemestre.db"
CONFIGURATION = "config/vaguemestre.toml"
PUBLIC_AUDIT_KEY = "public/audit.key.pub"
TRUST_LIST = "liste-blanche.xml"
TRUST_LIST_STATUS = TRUST_LIST + ".status"
MAX_MANIFEST = 512 * 1024 * 1024  # ours: two million large letters
CHUNK = 1024 * 1024


class BackupDamaged(PermanentError):
    """This is not a backup, or not the one that was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One file, by its path in the backup."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What a restored operator must hold."""

    boxes: int
    messages: int
    spool_items: int
    audit_events: int
    blobs: int

    def sentence(self) -> str:
        """In words."""
        return (
            f"{self.boxes} boxes, {self.messages} messages, {self.spool_items} letters in the spool, "
            f"{self.audit_events} audit events"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """See the module. `missing` are large letters that the database names and whose files were lost before."""

    made_at: str
    operator: str
    node: str
    schema: tuple[str, ...]
    with_keys: bool
    counts: Counts
    missing: tuple[str, ...]
    files: tuple[FileEntry, ...]
    format: int = FORMAT

    def octets(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self), indent=1).encode()

    @classmethod
    def read(cls, octets: bytes) -> Manifest:
        """From JSON. Raises BackupDamaged."""
        try:
            form = json.loads(octets)
            if form["format"] != FORMAT:
                raise BackupDamaged("this backup was made by another version: restore it with that one")
            return cls(
                made_at=str(form["made_at"]),
                operator=str(form["operator"]),
                node=str(form["node"]),
                schema=tuple(form["schema"]),
                with_keys=bool(form["with_keys"]),
                counts=Counts(**form["counts"]),
                missing=tuple(form["missing"]),
                files=tuple(_entry(entry) for entry in form["files"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise BackupDamaged("the manifest of this backup cannot be read") from error

    @property
    def octets_in_all(self) -> int:
        """The size of the files."""
        return sum(entry.size for entry in self.files)


def _entry(form: dict[str, object]) -> FileEntry:
    path = str(form["path"])
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or str(pure) != path or path == MANIFEST:
        raise BackupDamaged("the manifest names a file outside the backup")
    size = form["size"]
    if not isinstance(size, int) or size < 0:
        raise BackupDamaged("the manifest names a file without a size")
    return FileEntry(path=path, size=size, sha256=str(form["sha256"]))


def digest_of(path: Path) -> tuple[int, str]:
    """(size, SHA-256 in hexadecimal) of a file."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as stream:
        while part := stream.read(CHUNK):
            digest.update(part)
            size += len(part)
    return size, digest.hexdigest()
