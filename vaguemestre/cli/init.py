"""`vaguemestre init`: keys, folders and tables of a new operator, or the tables of a newer version."""

from __future__ import annotations

import asyncio
from pathlib import Path

import typer

from vaguemestre.cli.config import DEFAULT_CONFIG, ConfigFile
from vaguemestre.config.load import load
from vaguemestre.config.schema import Configuration


def init(config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Make what an operator needs: the key files (never overwritten), the data folder, the database tables.

    Run it once for a new operator, and again after an upgrade: tables are brought to this version only here.
    """
    from mailstore.keys import FileKek
    from vaguemestre.database import Database, migrate
    from vaguemestre.observability.audit_checkpoints import SigningKey

    configuration = load(config, Configuration)
    _private_folder(configuration.operator.data_dir)
    kek = configuration.keys.key_encryption_key
    if kek.exists():
        FileKek.load(kek)
    else:
        _private_folder(kek.parent)
        FileKek.create(kek)
        typer.echo(f"Made the key-encryption key {kek}. Losing it loses every letter: keep a copy apart.")
    _private_folder(configuration.keys.audit_signing_key.parent)
    SigningKey.open(configuration.keys.audit_signing_key)

    async def prepare() -> None:
        database = Database(configuration.database_url)
        try:
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


def _private_folder(folder: Path) -> None:
    if not folder.exists():
        folder.mkdir(parents=True, mode=0o700)
