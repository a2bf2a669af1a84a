"""The audit trail of an operator as the command line and the doctor look at it: which files, verified how.

What it is: the pairing of checkpoint files with their processes, and `verify_trail`, which opens the database
read-only in effect: it writes no event and vouches for nothing, so that what is judged is what was found. What it is
not: the judgement (`vaguemestre.observability.audit_log.verify`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from core.clock import Clock
from mailstore.keys import FileKek, KeyVault
from mailstore.storage.keys import KeyApplier
from vaguemestre.committer import GroupCommitter
from vaguemestre.config.schema import Configuration
from vaguemestre.database import Database, check_schema
from vaguemestre.observability.audit_chain import VerifyReport
from vaguemestre.observability.audit_log import verify


def checkpoint_files(configuration: Configuration) -> dict[str, Path]:
    """Slot → its file, of those that are there. A file that is gone is found by what the database holds."""
    folder = configuration.operator.data_dir / "audit"
    return {f"{configuration.operator.node}/{file.stem}": file for file in sorted(folder.glob("*.jsonl"))}


def verification_key(configuration: Configuration) -> Path:
    """The public half of the signing key when it lies beside it, else the key itself."""
    key = configuration.keys.audit_signing_key
    public = key.with_name(key.name + ".pub")
    return public if public.is_file() else key


@asynccontextmanager
async def open_vault(configuration: Configuration, clock: Clock) -> AsyncIterator[tuple[Database, KeyVault]]:
    """The database and the vault, and nothing that writes. Raises ConfigurationError."""
    kek = FileKek.load(configuration.keys.key_encryption_key)
    database = Database(configuration.database_url)
    committer = GroupCommitter(database, (KeyApplier(),))
    try:
        await check_schema(database)
        vault = KeyVault(database, committer, clock, kek)
        await vault.open()
        yield database, vault
    finally:
        await committer.close()
        await database.close()


async def verify_trail(
    configuration: Configuration,
    clock: Clock,
    *,
    files: Mapping[str, Path] | None = None,
    public_key: Path | None = None,
) -> VerifyReport:
    """The whole trail. `files` and `public_key` replace the ones beside the database: the copies kept elsewhere."""
    found = await asyncio.to_thread(checkpoint_files, configuration) if files is None else dict(files)
    key = verification_key(configuration) if public_key is None else public_key
    async with open_vault(configuration, clock) as (database, vault):
        node = configuration.operator.node
        return await verify(database, vault, checkpoint_files=found, public_key=key, node=node)
