"""The doctor's round: looks at everything an operator needs, beside a running `serve` or when nothing runs.

What it is: `examine`; each look is apart from the others, so that one thing that is broken does not hide the next.
What it is not: a judgement (`vaguemestre.doctor`). Nothing is changed. Start at `examine`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from certs.keystore import IdentityFiles, KeyStore
from certs.profiles import Purpose
from certs.trust_material import TrustMaterial
from core.address import Domain
from core.clock import Clock
from core.errors import ConfigurationError, GatewayError
from core.identity import DistinguishedName
from mailstore.keys import FileKek, KeyVault
from mailstore.storage.keys import KeyApplier
from mta.spool.storage import SpoolStorage
from trust_directory.annuaire.bal_index import BalIndex
from trust_directory.annuaire.storage import DirectoryReader
from trust_directory.kept_list import KeptList, instant
from trust_directory.trusted_domains.snapshot import TrustedDomains
from trust_directory.trusted_domains.verify import ListVerifier
from vaguemestre import doctor
from vaguemestre.backup import LAST_BACKUP, key_files
from vaguemestre.backup_manifest import Manifest
from vaguemestre.committer import GroupCommitter
from vaguemestre.config.load import load
from vaguemestre.config.schema import Configuration
from vaguemestre.database import Database, check_schema
from vaguemestre.doctor import Check, Level
from vaguemestre.doors import Ourselves, look_at_doors
from vaguemestre.observability.audit_tail import verify_tail
from vaguemestre.trail import checkpoint_files, verification_key
from vaguemestre.wiring import list_limits, material_settings

CHECK_SECONDS = 20.0  # ours: how long the database file is read through, unless everything is asked for
HELD_COUNTED = 10_000  # ours: beyond this the number does not matter
_PROGRESS_STEPS = 100_000  # SQLite instructions between two looks at the clock


@dataclass(slots=True)
class _Round:
    """What is known so far."""

    configuration: Configuration
    clock: Clock
    everything: bool
    checks: list[Check] = field(default_factory=list)
    material: TrustMaterial | None = None
    trusted: TrustedDomains | None = None

    @property
    def now(self) -> datetime:
        return self.clock.now()


async def examine(config_path: Path, clock: Clock, *, everything: bool = False) -> list[Check]:
    """All checks, in the order in which things need each other. Raises nothing but a bug."""
    try:
        configuration = load(config_path, Configuration)
    except ConfigurationError as error:
        return [
            Check("configuration", Level.FAIL, str(error), "vaguemestre config example shows every setting")
        ]
    at_work = _Round(configuration, clock, everything)
    at_work.checks.append(Check("configuration", Level.OK, f"{config_path} is right"))
    for name, look in _LOOKS:
        try:
            await look(at_work)
        except (GatewayError, OSError) as error:
            at_work.checks.append(
                Check(name, Level.FAIL, str(error) or type(error).__name__, _ADVICE.get(name, ""))
            )
    return at_work.checks


# --- files --------------------------------------------------------------------------------------------------
async def _keys(at_work: _Round) -> None:
    for name, path in key_files(at_work.configuration).items():
        mode = await asyncio.to_thread(_mode_of, path)
        at_work.checks.append(doctor.judge_key_file(f"key {Path(name).stem}", path, mode))


def _mode_of(path: Path) -> int | None:
    try:
        return os.stat(path).st_mode
    except OSError:
        return None


async def _disk(at_work: _Round) -> None:
    usage = await asyncio.to_thread(shutil.disk_usage, at_work.configuration.operator.data_dir)
    at_work.checks.append(doctor.judge_disk(usage.free, usage.total))


async def _backup(at_work: _Round) -> None:
    if not _is_sqlite(at_work.configuration):
        sentence = "PostgreSQL is backed up by its own tools; this program does not see when"
        at_work.checks.append(Check("backup", Level.OK, sentence))
        return
    note = at_work.configuration.operator.data_dir / LAST_BACKUP
    try:
        octets = await asyncio.to_thread(note.read_bytes)
        made_at = instant(Manifest.read(octets).made_at)
    except FileNotFoundError:
        made_at = None
    at_work.checks.append(doctor.judge_backup(made_at, at_work.now))


def _is_sqlite(configuration: Configuration) -> bool:
    return configuration.database_url.startswith("sqlite")


# --- certificates and trust ---------------------------------------------------------------------------------
async def _certificates(at_work: _Round) -> None:
    settings, now = material_settings(at_work.configuration), at_work.now
    keys = await asyncio.to_thread(KeyStore.load, _identity_files(at_work.configuration))
    newest = max(
        keys.identities, key=lambda each: (each.is_valid(now), each.certificate.not_valid_before_utc)
    )
    for identity in keys.identities:
        check = doctor.judge_dates(
            f"certificate {identity.fingerprint[:8]}",
            not_before=identity.certificate.not_valid_before_utc,
            not_after=identity.not_after,
            now=now,
            is_newest=identity is newest,
        )
        at_work.checks.append(check)
    if not newest.is_valid(now):
        return  # said above; nothing can be loaded with it
    at_work.material = await asyncio.to_thread(TrustMaterial.load, settings, clock=at_work.clock)
    for purpose in (Purpose.TLS_SERVER, Purpose.TLS_CLIENT):
        at_work.material.chains().verify(
            newest.certificate_der(), purpose=purpose, at=now, presented=newest.chain_der()
        )
    sentence = f"{newest.subject} is of our authorities, fit for both sides of TLS, and not revoked"
    at_work.checks.append(Check("certificate path", Level.OK, sentence))


def _identity_files(configuration: Configuration) -> list[IdentityFiles]:
    return [
        IdentityFiles(certificate=one.certificate, key=one.key, passphrase=one.passphrase)
        for one in configuration.tls.identity
    ]


async def _revocation(at_work: _Round) -> None:
    if at_work.material is None:
        return
    grace = timedelta(hours=at_work.configuration.tls.crl_grace_hours)
    crls = at_work.material.crls
    if not crls:
        folder = at_work.configuration.tls.crls
        sentence = f"there is no good revocation list in {folder}; every peer is answered 451"
        at_work.checks.append(Check("revocation list", Level.FAIL, sentence, _ADVICE["revocation list"]))
    for crl in crls:
        at_work.checks.append(
            doctor.judge_crl(crl.issuer, next_update=crl.next_update, now=at_work.now, grace=grace)
        )


async def _trust_list(at_work: _Round) -> None:
    configuration, now = at_work.configuration, at_work.now
    kept = KeptList(configuration.operator.data_dir / "liste-blanche.xml")
    octets = await asyncio.to_thread(kept.octets)
    status = await asyncio.to_thread(kept.status)
    if status.waiting is not None:
        at_work.checks.append(doctor.judge_waiting_list(status.waiting.lost, status.waiting.before))
    if octets is None:
        at_work.checks.append(doctor.judge_trust_list(None, entries=0, confirmed_at=None, now=now))
        return
    if at_work.material is None:
        return  # without authorities nothing can be said of its signature
    signers = frozenset(map(DistinguishedName.parse, configuration.trust.signers))
    verifier = ListVerifier(at_work.material.chains(), signers)
    trusted = await asyncio.to_thread(verifier.open_list, octets, at=now)
    confirmed = instant(status.confirmed_at) if status.digest == trusted.digest else None
    confirmed_at = min(confirmed or trusted.generated_at, now)
    at_work.trusted = trusted
    freshness = replace(trusted, confirmed_at=confirmed_at).freshness(now, list_limits(configuration.trust))
    at_work.checks.append(
        doctor.judge_trust_list(freshness, entries=len(trusted), confirmed_at=confirmed_at, now=now)
    )


async def _listed(at_work: _Round) -> None:
    if at_work.material is None or at_work.trusted is None:
        return
    subject = at_work.material.tls.identity.subject
    for name in at_work.configuration.operator.domains:
        listed = at_work.trusted.may_speak_for(subject, Domain.parse(name))
        at_work.checks.append(doctor.judge_listed(name, listed=listed, subject=str(subject)))


# --- the database -------------------------------------------------------------------------------------------
@asynccontextmanager
async def _database(configuration: Configuration) -> AsyncIterator[Database]:
    database = _existing_database(configuration)
    try:
        yield database
    finally:
        await database.close()


def _existing_database(configuration: Configuration) -> Database:
    database = Database(configuration.database_url)
    if database.path is not None and not database.path.exists():  # opening it would make an empty one
        raise ConfigurationError(f"there is no database at {database.path}: run `vaguemestre init`")
    return database


async def _schema(at_work: _Round) -> None:
    async with _database(at_work.configuration) as database:
        await check_schema(database)
        what = "SQLite" if database.is_sqlite else "PostgreSQL answers, its commits are durable,"
        at_work.checks.append(Check("database", Level.OK, f"{what} with the tables of this version"))
        if database.path is None:
            return
        limit = None if at_work.everything else CHECK_SECONDS
        found = await asyncio.to_thread(_quick_check, database.path, limit)
    at_work.checks.append(found)


def _quick_check(path: Path, seconds: float | None) -> Check:
    name = "database file"
    until = None if seconds is None else time.monotonic() + seconds
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            if until is not None:
                connection.set_progress_handler(lambda: time.monotonic() > until, _PROGRESS_STEPS)
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            sentence = f"nothing was found in the first {seconds:.0f} s; --everything reads all of it"
            return Check(name, Level.OK, sentence)
        return Check(name, Level.FAIL, "it cannot be read", _ADVICE["database"])
    except sqlite3.DatabaseError:
        found = "it is not a database any more"
    if found != "ok":
        return Check(name, Level.FAIL, f"it is damaged: {str(found)[:100]}", _DAMAGED)
    return Check(name, Level.OK, "read through, nothing damaged")


async def _letters(at_work: _Round) -> None:
    configuration = at_work.configuration
    async with _database(configuration) as database:
        await check_schema(database)
        spool = SpoolStorage(database)
        items, oldest = await spool.totals()
        held = await spool.listing(domain="", state="held", accepted_before=None, limit=HELD_COUNTED)
        extract = await BalIndex(DirectoryReader(database)).state()
    at = datetime.fromtimestamp(oldest, UTC) if items and oldest else None
    give_up = timedelta(hours=configuration.spool.give_up_after_hours)
    at_work.checks.append(doctor.judge_spool(items, at, len(held), at_work.now, give_up))
    imported = datetime.fromtimestamp(extract.in_force_at, UTC) if extract else None
    at_work.checks.append(doctor.judge_extract(imported, extract.entries if extract else 0, at_work.now))


async def _vault(at_work: _Round) -> None:
    configuration = at_work.configuration
    kek = await asyncio.to_thread(FileKek.load, configuration.keys.key_encryption_key)
    async with _database(configuration) as database:
        await check_schema(database)
        committer = GroupCommitter(database, (KeyApplier(),))
        try:
            vault = KeyVault(database, committer, at_work.clock, kek)
            await vault.open()
            at_work.checks.append(
                Check("vault", Level.OK, "the key-encryption key opens the database's keys")
            )
            tail = await verify_tail(
                database,
                vault,
                checkpoint_files=checkpoint_files(configuration),
                public_key=verification_key(configuration),
                node=configuration.operator.node,
            )
        finally:
            await committer.close()
    at_work.checks.append(doctor.judge_trail(tail.events, tail.findings))
    last = datetime.fromtimestamp(tail.last_at, UTC) if tail.last_at else None
    at_work.checks.append(doctor.judge_clock(last, at_work.now))


async def _ports(at_work: _Round) -> None:
    material, configuration = at_work.material, at_work.configuration
    ourselves = Ourselves(
        hostname=Domain.parse(configuration.operator.hostname).ascii,
        certificates=frozenset(each.certificate_der() for each in material.keys.identities)
        if material
        else frozenset(),
        tls=material.tls.relay_client() if material else None,
    )
    at_work.checks += doctor.judge_ports(await look_at_doors(configuration.listen, ourselves))


_LOOKS: tuple[tuple[str, Callable[[_Round], Awaitable[None]]], ...] = (
    ("keys", _keys),
    ("certificate path", _certificates),
    ("revocation list", _revocation),
    ("trust list", _trust_list),
    ("our entry", _listed),
    ("disk", _disk),
    ("database", _schema),
    ("vault", _vault),
    ("spool", _letters),
    ("backup", _backup),
    ("ports", _ports),
)
_ADVICE = {
    "certificate path": "compare tls.identity, tls.anchors and tls.crls with what the authority gave",
    "revocation list": "fetch the CRLs of the authorities into tls.crls",
    "trust list": "vaguemestre directory list status; then vaguemestre directory list refresh",
    "disk": "does operator.data_dir exist? `vaguemestre init` makes it",
    "database": "see whether the database is there and this user may use it",
    "vault": "put back the key-encryption key that belongs to this database",
}
_DAMAGED = "stop serve, keep the file as it is, and restore the last backup: vaguemestre backup restore FILE --to DIR"
