"""A backup read back: every hash first, then an operator's folder with a configuration that points there.

What it is: `opened` (a folder or a tar, verified), `restore`, and `placed`, the configuration of the restored place.
What it is not: the making of backups (`vaguemestre.backup`) or the rehearsal on top of this
(`vaguemestre.restore_rehearsal`). Start at `restore`. Nothing is ever overwritten.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Protocol

from core.errors import ConfigurationError, StoreError
from vaguemestre.backup import (
    PRIVATE_FILE,
    PRIVATE_FOLDER,
    Progress,
    key_files,
    silent,
    sync_folder,
)
from vaguemestre.backup_manifest import (
    CHUNK,
    CONFIGURATION,
    DATABASE,
    MANIFEST,
    MAX_MANIFEST,
    PUBLIC_AUDIT_KEY,
    BackupDamaged,
    FileEntry,
    Manifest,
)
from vaguemestre.config.load import load, write
from vaguemestre.config.schema import Configuration, DatabaseSettings

CONFIGURATION_FILE = "vaguemestre.toml"
_PLACES = {
    "database/": "data/",
    "blobs/": "data/blobs/",
    "trust/": "data/",
    "audit/": "data/audit/",
    "anchors/": "anchors/",
    "crl/": "crl/",
    "certificates/": "keys/",
    "keys/": "keys/",
    "public/": "keys/",
}
"""Folder in the backup → folder in the restored place."""


class Source(Protocol):
    """A backup as a set of files."""

    def files(self) -> Iterator[tuple[str, IO[bytes]]]:
        """(path in the backup, its octets), each once; valid until the next is asked for."""
        ...


@dataclass(frozen=True, slots=True)
class _FolderSource:
    folder: Path

    def files(self) -> Iterator[tuple[str, IO[bytes]]]:
        for path in sorted(self.folder.rglob("*")):
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise BackupDamaged(f"{path.name} in the backup is neither a file nor a folder")
            if path.is_file():
                with path.open("rb") as stream:
                    yield path.relative_to(self.folder).as_posix(), stream


@dataclass(frozen=True, slots=True)
class _TarSource:
    file: Path

    def files(self) -> Iterator[tuple[str, IO[bytes]]]:
        try:
            with tarfile.open(self.file, "r:") as archive:
                for member in archive:
                    stream = archive.extractfile(member) if member.isreg() else None
                    if stream is None:
                        raise BackupDamaged("the archive holds something that is not a file")
                    yield member.name, stream
        except tarfile.TarError as error:
            raise BackupDamaged("this file is not a whole backup archive") from error


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except tarfile.TarError as error:
        raise BackupDamaged("the archive ends too early or cannot be read") from error
    except OSError as error:
        raise StoreError(f"the backup cannot be read or written: {error.strerror}") from error


def source_at(path: Path) -> Source:
    """The backup at this place. Raises ConfigurationError when there is none."""
    if path.is_dir():
        return _FolderSource(path)
    if path.is_file():
        return _TarSource(path)
    raise ConfigurationError(f"there is no backup at {path}")


def verify(source: Source, progress: Progress = silent) -> Manifest:
    """Read every octet and compare every hash. Raises BackupDamaged, which names the first file that differs."""
    with _translated():
        found: dict[str, tuple[int, str]] = {}
        manifest_octets = None
        for number, (path, stream) in enumerate(source.files(), 1):
            if path == MANIFEST:
                manifest_octets = stream.read(MAX_MANIFEST)
                continue
            if path in found:
                raise BackupDamaged(f"{path} stands twice in the backup")
            found[path] = _digest(stream, lambda part: None)
            progress("verifying", number, number)
    if manifest_octets is None:
        raise BackupDamaged("there is no manifest: this is not a backup, or it was not finished")
    manifest = Manifest.read(manifest_octets)
    for entry in manifest.files:
        if found.pop(entry.path, None) != (entry.size, entry.sha256):
            raise BackupDamaged(f"{entry.path} is missing from the backup or is not what was written")
    if found:
        raise BackupDamaged(f"{min(found)} does not belong to the backup")
    return manifest


def _digest(stream: IO[bytes], take: Callable[[bytes], object]) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    while part := stream.read(CHUNK):
        digest.update(part)
        size += len(part)
        take(part)
    return size, digest.hexdigest()


def restore(path: Path, target: Path, progress: Progress = silent) -> tuple[Manifest, Configuration]:
    """Restore into an empty place. Raises ConfigurationError (not empty), BackupDamaged, StoreError.

    The place appears whole or not at all. The configuration given back is the one written there.
    """
    source = source_at(path)
    demand_empty(target)
    manifest = verify(source, progress)
    work = target.with_name(f".{target.name}.{os.getpid()}.partial")
    with _translated():
        try:
            work.mkdir(parents=True, mode=PRIVATE_FOLDER)
            _unpack(source, manifest, work, progress)
            configuration = _write_configuration(work, target, manifest)
            for folder in (*(found for found in work.rglob("*") if found.is_dir()), work):
                sync_folder(folder)
            if target.exists():
                target.rmdir()
            work.rename(target)
            sync_folder(target.parent)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return manifest, configuration


def demand_empty(target: Path) -> None:
    """Raises ConfigurationError when something is there already."""
    with _translated():
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise ConfigurationError(
                f"{target} is not empty; a restore never overwrites: name an empty place"
            )


def _unpack(source: Source, manifest: Manifest, work: Path, progress: Progress) -> None:
    entries = {entry.path: entry for entry in manifest.files}
    done = 0
    for path, stream in source.files():
        entry = entries.get(path)
        if entry is None:  # the manifest itself; nothing else passed `verify`
            continue
        _unpack_one(entry, stream, work / place_of(path))
        done += 1
        progress("restoring", done, len(entries))


def _unpack_one(entry: FileEntry, stream: IO[bytes], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER)
    descriptor = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE)
    with os.fdopen(descriptor, "wb") as file:
        written = _digest(stream, file.write)
        file.flush()
        os.fsync(file.fileno())
    if written != (entry.size, entry.sha256):
        raise BackupDamaged(f"{entry.path} changed while it was restored")


def place_of(path: str) -> str:
    """Where a file of the backup comes to lie in the restored place."""
    if path == CONFIGURATION:
        return f"{CONFIGURATION_FILE}.original"
    for before, after in _PLACES.items():
        if path.startswith(before):
            return after + path.removeprefix(before)
    raise BackupDamaged(f"{path} is of no kind that a backup holds")


def _write_configuration(work: Path, target: Path, manifest: Manifest) -> Configuration:
    original = load(work / place_of(CONFIGURATION), Configuration)
    if not (work / place_of(DATABASE)).is_file():
        raise BackupDamaged("there is no database in this backup")
    names = {entry.path for entry in manifest.files}
    configuration = placed(original, target.absolute(), names)
    octets = write(configuration, commented=False).encode()
    file = work / CONFIGURATION_FILE
    descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(octets)
        stream.flush()
        os.fsync(stream.fileno())
    return configuration


def placed(original: Configuration, target: Path, names: set[str]) -> Configuration:
    """The configuration of the restored place: what the backup holds is read there, the rest where it was."""
    secret = {path: name for name, path in key_files(original).items()}

    def moved(path: Path) -> Path:
        inside = f"keys/{secret.get(path, '')}"
        return target / place_of(inside) if inside in names else path

    identities = []
    for number, identity in enumerate(original.tls.identity):
        key = moved(identity.key)
        # A certificate goes with its key: without the key in the backup, both are read where they were.
        has_own = f"certificates/{number}.pem" in names and key != identity.key
        own = target / place_of(f"certificates/{number}.pem")
        identities.append(
            replace(
                identity,
                certificate=own if has_own else moved(identity.certificate),
                key=key,
                passphrase=moved(identity.passphrase) if identity.passphrase else None,
            )
        )
    return replace(
        original,
        operator=replace(original.operator, data_dir=target / "data"),
        database=DatabaseSettings(),
        keys=replace(
            original.keys,
            key_encryption_key=moved(original.keys.key_encryption_key),
            audit_signing_key=moved(original.keys.audit_signing_key),
        ),
        tls=replace(
            original.tls, identity=tuple(identities), anchors=target / "anchors", crls=target / "crl"
        ),
    )


def missing_keys(configuration: Configuration) -> list[Path]:
    """The key files that the restored operator needs and that are not there: put them back from their own copy."""
    return [path for path in key_files(configuration).values() if not path.is_file()]


def public_audit_key(target: Path) -> Path:
    """Where the public half of the audit key lies in a restored place."""
    return target / place_of(PUBLIC_AUDIT_KEY)
