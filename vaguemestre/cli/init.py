"""`vaguemestre init`: keys, folders and tables of a new operator, or the tables of a newer version."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from core.errors import ConfigurationError
from vaguemestre.cli.config import DEFAULT_CONFIG, ConfigFile
from vaguemestre.config.load import load
from vaguemestre.config.schema import Configuration, KeySettings

if TYPE_CHECKING:
    from vaguemestre.database import Database


def init(config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Make what an operator needs: the key files (never overwritten), the data folder, the database tables.

    Run it once for a new operator, and again after an upgrade: tables are brought to this version only here.
    """
    from vaguemestre.database import Database, migrate

    configuration = load(config, Configuration)
    _private_folder(configuration.operator.data_dir)

    async def prepare() -> None:
        database = Database(configuration.database_url)
        try:
            await _keys(configuration.keys, database)
            await migrate(database)
        finally:
            await database.close()

    asyncio.run(prepare())
    typer.echo(
        "Ready. Next:\n"
        f"  vaguemestre bal create ADDRESS --kind PER --name NAME --generate --config {config}\n"
        f"  vaguemestre doctor --config {config}\n"
        f"  vaguemestre serve --config {config}"
    )


async def _keys(keys: KeySettings, database: Database) -> None:
    """Both key files: read when they are there, made only while nothing depends on others."""
    from mailstore.keys import FileKek
    from vaguemestre.observability.audit_checkpoints import SigningKey

    kek, signing = keys.key_encryption_key, keys.audit_signing_key
    # Both are judged before one is made.
    makes_kek = await _is_wanted(
        kek, database, "vault_key", "the key-encryption key", "what is sealed under it"
    )
    makes_signing = await _is_wanted(
        signing, database, "audit_head", "the audit signing key", "a trail that it vouches for"
    )
    _private_folder(kek.parent)
    _private_folder(signing.parent)
    if makes_kek:
        FileKek.create(kek)
        typer.echo(f"Made the key-encryption key {kek}. Losing it loses every letter: keep a copy apart.")
    else:
        FileKek.load(kek)
    if makes_signing:
        SigningKey.create(signing)
    else:
        SigningKey.open(signing)


async def _is_wanted(key: Path, database: Database, table: str, name: str, what: str) -> bool:
    """Whether the key is to be made. Raises ConfigurationError when it is gone but was used here before."""
    from vaguemestre.database import holds_rows

    if await asyncio.to_thread(key.exists):
        return False
    if await holds_rows(database, table):
        raise ConfigurationError(
            f"{name} {key} is gone, but this database holds {what}: put its copy back; a new one would be of no use"
        )
    return True


def _private_folder(folder: Path) -> None:
    if not folder.exists():
        folder.mkdir(parents=True, mode=0o700)
