"""`vaguemestre backup …`: keep a copy of everything, and show that it can be brought back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import ConfigurationError
from vaguemestre.cli.config import DEFAULT_CONFIG, ConfigFile

if TYPE_CHECKING:
    from vaguemestre.backup_manifest import Manifest
    from vaguemestre.wiring import Operator

app = typer.Typer(help="Keep a copy of everything; restore it; rehearse the restore.", no_args_is_help=True)
POSTGRESQL = (
    "backups of PostgreSQL are made by its own tools, which know how: pg_basebackup with WAL archiving (to any "
    "moment), or pg_dump of this database; copy {blobs} after it, and the files of {data} beside it"
)
KEYS_APART = (
    "The key-encryption key is not in it: without {kek} nothing of it can be read. Keep a copy of that key, and "
    "keep it apart from the backups."
)
KEYS_INSIDE = (
    "The keys are in it: whoever has this backup can read every letter. Encrypt it before it leaves this machine, "
    "and keep it locked away."
)


@app.command()
def create(
    out: Annotated[
        Path,
        typer.Option("--out", help="A file that ends in .tar, a new folder, or a folder to make one in."),
    ],
    with_keys: Annotated[
        bool,
        typer.Option("--with-keys", help="Put every key in too: the backup alone then reads everything."),
    ] = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Make a consistent backup while `serve` runs. Letters stay sealed in it, as they are at rest."""
    from vaguemestre.cli.context import with_operator

    target = _target(out)

    async def work(operator: Operator) -> Manifest:
        return await _create(operator, target, with_keys=with_keys)

    manifest = with_operator(config, work)
    typer.echo(
        f"Backup {target}: {manifest.counts.sentence()}; {len(manifest.files)} files, "
        f"{manifest.octets_in_all} octets."
    )
    if manifest.missing:
        typer.echo(
            f"Attention: the files of {len(manifest.missing)} large letters are lost on this machine, though the "
            "database names them; they are in no backup made from now on. Look in earlier ones, and at the disk."
        )
    typer.echo(KEYS_INSIDE if with_keys else KEYS_APART.format(kek=_kek(config)))
    typer.echo(f"Show that it holds: vaguemestre backup restore {target} --rehearse --config {config}")


def _target(out: Path) -> Path:
    from core.clock import SystemClock

    target = out / f"vaguemestre-{SystemClock().now():%Y%m%dT%H%M%SZ}" if out.is_dir() else out
    if target.exists():
        raise ConfigurationError(f"{target} is there already; backups never overwrite: name another place")
    return target.absolute()


def _kek(config: Path) -> Path:
    from vaguemestre.config.load import load
    from vaguemestre.config.schema import Configuration

    return load(config, Configuration).keys.key_encryption_key


async def _create(operator: Operator, target: Path, *, with_keys: bool) -> Manifest:
    from core.audit import AuditEvent, AuditKind
    from vaguemestre import backup
    from vaguemestre.cli.context import acting_operator
    from vaguemestre.wiring import checkpoint_folder

    configuration = operator.configuration
    database = operator.database.path
    if database is None:
        data = configuration.operator.data_dir
        raise ConfigurationError(POSTGRESQL.format(blobs=data / "blobs", data=data))
    # The act stands in the trail before the copy, so that it is in the copy too.
    await operator.audit.append(
        AuditEvent(
            kind=AuditKind.BACKED_UP,
            facts={"keys": "with" if with_keys else "without"},
            persons={"operator": acting_operator()},
        )
    )
    await operator.audit.checkpoint()
    request = backup.BackupRequest(
        target=target,
        with_keys=with_keys,
        made_at=operator.clock.now(),
        database=database,
        checkpoints=checkpoint_folder(configuration),
    )
    with _bar() as progress:
        manifest = await asyncio.to_thread(backup.create, configuration, request, progress)
    await asyncio.to_thread(backup.remember, configuration.operator.data_dir, manifest)
    return manifest


@app.command()
def restore(
    backup: Annotated[Path, typer.Argument(help="What `backup create` made: a folder or a .tar file.")],
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", help="An empty or new folder; with --rehearse: where to make the temporary place."
        ),
    ] = None,
    rehearse: Annotated[
        bool, typer.Option("--rehearse", help="Restore aside, open, compare, read letters, and remove it.")
    ] = False,
    sample: Annotated[int, typer.Option("--sample", min=1, help="Rehearsal: letters to read.")] = 100,
    everything: Annotated[bool, typer.Option("--all", help="Rehearsal: read every letter.")] = False,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Rehearsal: the operator that lends its keys.")
    ] = None,
) -> None:
    """Restore a backup into an empty place, with a configuration that points there. Every hash is verified first."""
    if rehearse:
        _rehearse(backup, to, None if everything else sample, config)
        return
    if to is None:
        raise ConfigurationError("say where with --to DIR, or rehearse with --rehearse")
    from vaguemestre import restoring

    with _bar() as progress:
        manifest, configuration = restoring.restore(backup, to, progress)
    file = to.absolute() / restoring.CONFIGURATION_FILE
    typer.echo(f"Restored the backup of {manifest.made_at} to {to}: {manifest.counts.sentence()}.")
    for path in restoring.missing_keys(configuration):
        typer.echo(f"Missing: {path}. Put its copy there (mode 0600); without it nothing can be read.")
    typer.echo(
        f"The configuration is {file}. Before you serve: stop the old operator for good (two with one spool would "
        f"send letters twice), look at the ports and paths in it, and run\n"
        f"  vaguemestre doctor --config {file}\n"
        f"  vaguemestre audit verify --config {file}\n"
        "Letters that were under way when the backup was made may be sent once more; peers of this program drop "
        "what they have had within seven days."
    )


def _rehearse(backup: Path, to: Path | None, sample: int | None, config: Path | None) -> None:
    from core.clock import SystemClock
    from vaguemestre.config.load import load
    from vaguemestre.config.schema import Configuration
    from vaguemestre.observability.logging import LogFormat, configure
    from vaguemestre.restore_rehearsal import RehearsalRequest, rehearse

    configure(clock=SystemClock(), log_format=LogFormat.TEXT, level="warning")
    lender = load(config, Configuration) if config else None
    request = RehearsalRequest(backup=backup, sample=sample, keys=lender, inside=to)
    with _bar() as progress:
        report = asyncio.run(rehearse(request, SystemClock(), progress))
    for line in report.lines:
        typer.echo(line)


@contextmanager
def _bar() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar on a terminal's standard error; nothing elsewhere."""
    from rich.console import Console
    from rich.progress import Progress, TaskID

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as shown:
        tasks: dict[str, TaskID] = {}

        def progress(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = shown.add_task(what, total=total)
            shown.update(tasks[what], completed=done, total=total)

        yield progress
