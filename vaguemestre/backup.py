"""Backups of an operator on SQLite: one folder or tar, consistent, everything sealed as it is at rest.

What it is: `create` (beside a running `serve`), the parts that are copied and the order that makes them agree. What
it is not: reading one back (`vaguemestre.restoring`), or a backup of PostgreSQL, which has its own tools. Start at
`create`.

The order: large blobs first (most of the octets), then the database in one read transaction, then the blobs that
came meanwhile. A blob that the snapshot names and that is gone already means a letter deleted in these moments: the
snapshot is taken again; what is missing from each of five is lost, not deleted, and that is said. Blobs that the
snapshot does not name leave the backup. The checkpoints of the audit trail are cut where the snapshot ends, so that
the restored trail verifies.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from core.errors import ConfigurationError, StoreError
from mailstore.files import BlobFiles
from vaguemestre.backup_manifest import (
    CONFIGURATION,
    DATABASE,
    MANIFEST,
    PUBLIC_AUDIT_KEY,
    TRUST_LIST,
    TRUST_LIST_STATUS,
    Counts,
    FileEntry,
    Manifest,
    digest_of,
)
from vaguemestre.config.load import write
from vaguemestre.config.schema import Configuration

PAGES_PER_STEP = 2_000  # ours: 8 MB between two moves of the progress bar
SNAPSHOTS = 5  # ours: how often the snapshot is taken again because letters were deleted meanwhile
BUSY_SECONDS = 8.0  # as vaguemestre.database: no longer wait for a lock
PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600
LAST_BACKUP = "last-backup.json"

Progress = Callable[[str, int, int], None]
"""(what, done, of how many)."""


def silent(what: str, done: int, total: int) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupRequest:
    """What is asked for."""

    target: Path
    """A folder that does not exist yet, or a file that ends in `.tar`."""
    with_keys: bool
    made_at: datetime
    database: Path
    checkpoints: Path
    """The folder of the audit trail's checkpoint files."""


def create(configuration: Configuration, request: BackupRequest, progress: Progress = silent) -> Manifest:
    """Make a backup; blocking. The target appears whole or not at all. Raises ConfigurationError, StoreError."""
    target = request.target
    if target.exists():
        raise ConfigurationError(f"{target} is there already; backups never overwrite: name another place")
    work = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        work.mkdir(parents=True, mode=PRIVATE_FOLDER)
        manifest = _fill(configuration, request, work, progress)
        _finish(work, target)
    except OSError as error:
        raise StoreError(f"the backup cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return manifest


def _fill(configuration: Configuration, request: BackupRequest, work: Path, progress: Progress) -> Manifest:
    blobs = configuration.operator.data_dir / "blobs"
    copied = _copy_blobs(blobs, work / "blobs", _large_blobs(request.database), progress)
    missing: set[str] = set()
    for _ in range(SNAPSHOTS):
        _snapshot(request.database, work / DATABASE, progress)
        named = _large_blobs(work / DATABASE)
        copied |= _copy_blobs(blobs, work / "blobs", named - copied, progress)
        missing = named - copied
        if not missing:
            break
    for extra in copied - named:
        BlobFiles(work / "blobs").path_of(extra).unlink()
    _copy_checkpoints(request.checkpoints, work)
    kept = configuration.operator.data_dir
    _copy_if_there(kept / TRUST_LIST, work / "trust" / TRUST_LIST)
    _copy_if_there(kept / TRUST_LIST_STATUS, work / "trust" / TRUST_LIST_STATUS)
    _copy_public_material(configuration, work)
    if request.with_keys:
        _copy_keys(configuration, work)
    _write_through(work / CONFIGURATION, write(configuration, commented=False).encode())
    entries = _entries(work, progress)
    with closing(_read_only(work / DATABASE)) as snapshot:
        counts, schema = counts_of(snapshot), schema_of(snapshot)
    manifest = Manifest(
        made_at=request.made_at.isoformat(),
        operator=configuration.operator.name,
        node=configuration.operator.node,
        schema=schema,
        with_keys=request.with_keys,
        counts=counts,
        missing=tuple(sorted(missing)),
        files=tuple(entries),
    )
    _write_through(work / MANIFEST, manifest.octets())
    return manifest


# --- the database -------------------------------------------------------------------------------------------
def _read_only(path: Path) -> sqlite3.Connection:
    """A connection that cannot change the file."""
    try:
        connection = sqlite3.connect(
            f"file:{path.absolute()}?mode=ro", uri=True, isolation_level=None, timeout=BUSY_SECONDS
        )
        connection.execute("PRAGMA query_only=ON")
    except sqlite3.Error as error:
        raise StoreError(f"the database {path} cannot be opened") from error
    return connection


def _snapshot(source: Path, target: Path, progress: Progress) -> None:
    """Copy the database as it is at one moment, while others write to it. Raises StoreError."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER)
    target.unlink(missing_ok=True)
    descriptor = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE)
    os.close(descriptor)
    try:
        with closing(_read_only(source)) as live, closing(sqlite3.connect(target)) as copy:
            # Inside a read transaction the pages are those of one moment: writers neither wait nor restart it.
            live.execute("BEGIN")
            live.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            live.backup(
                copy,
                pages=PAGES_PER_STEP,
                progress=lambda _, left, total: progress("database", total - left, total),
            )
            copy.execute("PRAGMA journal_mode=DELETE").fetchall()  # one file, no -wal beside it
            found = copy.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        raise StoreError("the database cannot be copied") from error
    if found != ("ok",):
        raise StoreError("the database is damaged: this would be no backup; see `vaguemestre doctor`")
    _sync_file(target)


def _large_blobs(database: Path) -> set[str]:
    try:
        with closing(_read_only(database)) as connection:
            return {row[0] for row in connection.execute("SELECT blob_id FROM blob WHERE in_file")}
    except sqlite3.Error as error:
        raise StoreError("the list of large letters cannot be read") from error


def counts_of(connection: sqlite3.Connection) -> Counts:
    """How much is in a database: what a restored one must hold too."""

    def count(table: str) -> int:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 - our names

    return Counts(
        boxes=count("bal"),
        messages=count("message"),
        spool_items=count("spool_item"),
        audit_events=count("audit_event"),
        blobs=count("blob"),
    )


def schema_of(connection: sqlite3.Connection) -> tuple[str, ...]:
    """The revisions that the tables are of."""
    return tuple(sorted(row[0] for row in connection.execute("SELECT version_num FROM alembic_version")))


# --- files --------------------------------------------------------------------------------------------------
def _copy_blobs(source: Path, target: Path, names: set[str], progress: Progress) -> set[str]:
    """Copy these; those that are gone are left out. The names that were copied."""
    copied: set[str] = set()
    kept, copies = BlobFiles(source), BlobFiles(target)
    for number, name in enumerate(sorted(names), 1):
        if _copy_if_there(kept.path_of(name), copies.path_of(name)):
            copied.add(name)
        progress("large letters", number, len(names))
    return copied


def _copy_if_there(source: Path, target: Path) -> bool:
    try:
        with source.open("rb") as stream:
            target.parent.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER)
            descriptor = os.open(target, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, PRIVATE_FILE)
            with os.fdopen(descriptor, "wb") as copy:
                shutil.copyfileobj(stream, copy)
                copy.flush()
                os.fsync(copy.fileno())
    except FileNotFoundError:
        return False
    return True


def _copy_checkpoints(folder: Path, work: Path) -> None:
    """The witness, up to the last checkpoint that the snapshot knows of."""
    with closing(_read_only(work / DATABASE)) as snapshot:
        last = {bytes(row[0]) for row in snapshot.execute("SELECT line FROM audit_checkpoint")}
    for file in sorted(folder.glob("*.jsonl")):
        lines = file.read_bytes().splitlines()
        ends = [number for number, line in enumerate(lines, 1) if line in last]
        kept = lines[: ends[-1]] if ends else []
        _write_through(work / "audit" / file.name, b"".join(line + b"\n" for line in kept))


def _copy_public_material(configuration: Configuration, work: Path) -> None:
    tls = configuration.tls
    for source, name in ((tls.anchors, "anchors"), (tls.crls, "crl")):
        files = [source] if source.is_file() else sorted(source.iterdir()) if source.is_dir() else []
        for file in files:
            if file.is_file():
                _copy_if_there(file, work / name / file.name)
    for number, identity in enumerate(tls.identity):
        if identity.certificate != identity.key:
            _copy_if_there(identity.certificate, work / "certificates" / f"{number}.pem")
    public = configuration.keys.audit_signing_key
    _copy_if_there(public.with_name(public.name + ".pub"), work / PUBLIC_AUDIT_KEY)


def _copy_keys(configuration: Configuration, work: Path) -> None:
    keys = key_files(configuration)
    for name, source in keys.items():
        if not _copy_if_there(source, work / "keys" / name):
            raise ConfigurationError(
                f"the key file {source} is not there; a backup with keys needs all of them"
            )


def key_files(configuration: Configuration) -> dict[str, Path]:
    """The secret files of an operator, by the names they have in a backup with keys."""
    found = {
        "kek.key": configuration.keys.key_encryption_key,
        "audit.key": configuration.keys.audit_signing_key,
    }
    for number, identity in enumerate(configuration.tls.identity):
        found[f"identity-{number}{identity.key.suffix}"] = identity.key
        if identity.passphrase is not None:
            found[f"identity-{number}.passphrase"] = identity.passphrase
    return found


def _entries(work: Path, progress: Progress) -> Iterator[FileEntry]:
    files = sorted(path for path in work.rglob("*") if path.is_file())
    for number, path in enumerate(files, 1):
        size, digest = digest_of(path)
        yield FileEntry(path=path.relative_to(work).as_posix(), size=size, sha256=digest)
        progress("hashes", number, len(files))


def _finish(work: Path, target: Path) -> None:
    if target.suffix != ".tar":
        for folder in (*(path for path in work.rglob("*") if path.is_dir()), work):
            sync_folder(folder)
        work.rename(target)
        sync_folder(target.parent)
        return
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        descriptor = os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE)
        with os.fdopen(descriptor, "wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
                # The manifest first: whoever reads the archive once knows what to expect of the rest.
                archive.add(work / MANIFEST, MANIFEST, filter=_anonymous)
                for path in sorted(path for path in work.rglob("*") if path.is_file()):
                    name = path.relative_to(work).as_posix()
                    if name != MANIFEST:
                        archive.add(path, name, filter=_anonymous)
            file.flush()
            os.fsync(file.fileno())
        os.link(unfinished, target)  # unlike a rename, never over what came there meanwhile
        sync_folder(target.parent)
    finally:
        unfinished.unlink(missing_ok=True)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = PRIVATE_FILE
    return member


def _write_through(path: Path, octets: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER)
    descriptor = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, PRIVATE_FILE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(file.fileno())


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remember(data_dir: Path, manifest: Manifest) -> None:
    """Leave a note of the last backup, for `doctor`."""
    note = replace(manifest, files=(), missing=())
    _write_through(data_dir / f".{LAST_BACKUP}.new", note.octets())
    (data_dir / f".{LAST_BACKUP}.new").replace(data_dir / LAST_BACKUP)
