"""A backup that was never restored is a hope: restore it aside, open it, read letters, compare, remove it again.

What it is: `rehearse`, which gives a report of sentences and raises when the backup does not hold. What it is not: a
door; nothing is delivered or sent, and nothing of the place remains. Start at `rehearse`.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from core.clock import Clock
from core.errors import ConfigurationError, GatewayError, NotStored, PermanentError, StoreError
from mailstore.records import uid_of
from vaguemestre.backup import Progress, counts_of, key_files, silent
from vaguemestre.backup_manifest import Manifest
from vaguemestre.config.schema import Configuration
from vaguemestre.restoring import missing_keys, public_audit_key, restore
from vaguemestre.trail import verify_trail
from vaguemestre.wiring import Operator

T = TypeVar("T")
DEFAULT_SAMPLE = 100  # ours: letters read; a fault in one of a hundred is found in two rehearsals of three


class RehearsalFailed(PermanentError):
    """This backup would not have brought the operator back."""


@dataclass(slots=True)
class RehearsalReport:
    """What was shown to hold."""

    manifest: Manifest
    messages: int = 0
    letters: int = 0
    gone: int = 0
    audit_events: int = 0
    lines: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class RehearsalRequest:
    """`sample` is None for every letter; `keys` is who lends the keys that the backup does not hold."""

    backup: Path
    sample: int | None = DEFAULT_SAMPLE
    keys: Configuration | None = None
    inside: Path | None = None
    """Where the temporary place is made; it needs as much room as the backup."""


async def rehearse(request: RehearsalRequest, clock: Clock, progress: Progress = silent) -> RehearsalReport:
    """Do it all. Raises BackupDamaged, ConfigurationError (no keys), RehearsalFailed."""
    folder = Path(tempfile.mkdtemp(prefix="vaguemestre-rehearsal-", dir=request.inside))
    try:
        place = folder / "operator"
        manifest, configuration = await asyncio.to_thread(restore, request.backup, place, progress)
        report = RehearsalReport(manifest)
        report.lines.append(
            f"All {len(manifest.files)} files are what was written ({manifest.octets_in_all} octets)."
        )
        configuration = _with_lent_keys(configuration, request.keys)
        await _compare(configuration, report)
        await _verify_trail(configuration, place, clock, report)
        operator = await Operator.open(configuration, clock)
        try:
            await _read_messages(operator, request.sample, report, progress)
            await _read_spool(operator, request.sample, report)
        finally:
            await operator.close()
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, True)
    report.lines.append(
        f"This backup of {manifest.made_at} brings the operator back. The temporary place is removed."
    )
    return report


def _with_lent_keys(configuration: Configuration, lender: Configuration | None) -> Configuration:
    missing = missing_keys(configuration)
    if missing and lender is not None:
        configuration = replace(
            configuration, keys=lender.keys, tls=replace(configuration.tls, identity=lender.tls.identity)
        )
        missing = missing_keys(configuration)
    if missing:
        names = ", ".join(str(path) for path in missing)
        raise ConfigurationError(
            f"without its keys nothing of a backup can be read: {names} is not there; "
            "put the copies back, or name with --config an operator that has them"
        )
    assert key_files(configuration)
    return configuration


async def _compare(configuration: Configuration, report: RehearsalReport) -> None:
    def count() -> object:
        with closing(sqlite3.connect(_database(configuration))) as connection:
            return counts_of(connection)

    try:
        found = await asyncio.to_thread(count)
    except sqlite3.Error as error:
        raise RehearsalFailed("the restored database cannot be read") from error
    expected = report.manifest.counts
    if found != expected:
        raise RehearsalFailed(
            f"the manifest says {expected.sentence()}, but the restored database holds others"
        )
    report.lines.append(f"The counts are those of the manifest: {expected.sentence()}.")


def _database(configuration: Configuration) -> Path:
    return configuration.operator.data_dir / "vaguemestre.db"


async def _verify_trail(
    configuration: Configuration, place: Path, clock: Clock, report: RehearsalReport
) -> None:
    public = public_audit_key(place)
    trail = await verify_trail(configuration, clock, public_key=public if public.is_file() else None)
    if not trail.is_whole:
        raise RehearsalFailed(f"the audit trail in it does not hold: {trail.findings[0].sentence}")
    report.audit_events = trail.events
    report.lines.append(
        f"The audit trail in it is whole: {trail.events} events, {trail.checkpoints} checkpoints."
    )


def _sample(found: Sequence[T], size: int | None) -> list[T]:
    if size is None or len(found) <= size:
        return list(found)
    return secrets.SystemRandom().sample(found, size)


async def _read_messages(
    operator: Operator, size: int | None, report: RehearsalReport, progress: Progress
) -> None:
    def places() -> list[tuple[int, int, str]]:
        with closing(sqlite3.connect(_database(operator.configuration))) as connection:
            return connection.execute("SELECT folder_id, place, blob_id FROM message").fetchall()

    found = await asyncio.to_thread(places)
    chosen = _sample(found, size)
    gone = set(report.manifest.missing)
    for number, (folder_id, place, blob_id) in enumerate(chosen, 1):
        try:
            octets = await operator.mail_store.octets(folder_id, uid_of(place))
            summaries = await operator.mail_store.summaries(folder_id, [uid_of(place)])
        except NotStored as error:
            if blob_id not in gone:
                raise RehearsalFailed(
                    f"the octets of message {uid_of(place)} are not in the backup"
                ) from error
            report.gone += 1
            continue
        except (PermanentError, StoreError) as error:
            raise RehearsalFailed(f"message {uid_of(place)} of folder {folder_id} does not open") from error
        if not octets or not summaries:
            raise RehearsalFailed(f"message {uid_of(place)} of folder {folder_id} is empty")
        report.messages += 1
        progress("reading messages", number, len(chosen))
    which = "all" if len(chosen) == len(found) else f"{len(chosen)} of the {len(found)}"
    report.lines.append(f"{which.capitalize()} messages were read and authenticated ({report.messages}).")


async def _read_spool(operator: Operator, size: int | None, report: RehearsalReport) -> None:
    await operator.spool.open(recover=False)
    listed = await operator.spool.listing(limit=report.manifest.counts.spool_items * 1000 + 1)
    ids = list(dict.fromkeys(line.spool_id for line in listed))
    for spool_id in _sample(ids, size):
        try:
            item, _ = await operator.spool.load(spool_id)
            if item.octets.blob_id in report.manifest.missing:
                report.gone += 1
                continue
            await operator.blobs.read(item.octets)
        except GatewayError as error:
            raise RehearsalFailed(f"letter {spool_id} of the spool does not open") from error
        report.letters += 1
    report.lines.append(f"{report.letters} letters of the spool were read and authenticated.")
    if report.gone:
        report.lines.append(
            f"{report.gone} letters were lost already when the backup was made; see its manifest."
        )
