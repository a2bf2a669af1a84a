"""`vaguemestre audit …`: is the trail whole?"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vaguemestre.cli.config import DEFAULT_CONFIG, ConfigFile

if TYPE_CHECKING:
    from vaguemestre.observability.audit_chain import VerifyReport

app = typer.Typer(help="The audit trail: who did what to which letter.", no_args_is_help=True)
FINDINGS_SHOWN = 100  # ours: after so many sentences the reader knows


@app.callback()
def group() -> None:
    """The audit trail: who did what to which letter. `vaguemestre trace` reads one letter's life."""


@app.command()
def verify(
    checkpoints: Annotated[
        Path | None,
        typer.Option(
            "--checkpoints", help="Folder with the checkpoint files (*.jsonl), when a copy is kept elsewhere."
        ),
    ] = None,
    public_key: Annotated[
        Path | None, typer.Option("--key", help="The audit key's public half (.pub), when kept elsewhere.")
    ] = None,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Read the whole trail and say whether it is whole: nothing altered, removed, moved, cut off or rewritten.

    Changes nothing and works beside a running `serve`. Exit status 0 when whole; 1 with one sentence per
    finding. A witness is worth most when it lies elsewhere: copy the checkpoint files and the public key to
    another machine, and name them with --checkpoints and --key.
    """
    from core.clock import SystemClock
    from core.errors import ConfigurationError
    from vaguemestre.config.load import load
    from vaguemestre.config.schema import Configuration
    from vaguemestre.trail import verify_trail

    configuration = load(config, Configuration)
    files = None
    if checkpoints is not None:
        node = configuration.operator.node
        files = {f"{node}/{file.stem}": file for file in sorted(checkpoints.glob("*.jsonl"))}
        if not files:
            raise ConfigurationError(f"there are no checkpoint files (*.jsonl) in {checkpoints}")
    report = asyncio.run(verify_trail(configuration, SystemClock(), files=files, public_key=public_key))
    _tell(report)


def _tell(report: VerifyReport) -> None:
    if report.is_whole:
        typer.echo(
            f"The audit trail is whole: {report.events} events of {report.writers} chains, "
            f"{report.checkpoints} checkpoints."
        )
        return
    for finding in report.findings[:FINDINGS_SHOWN]:
        typer.echo(f"{finding.sentence}.")
    if len(report.findings) > FINDINGS_SHOWN:
        typer.echo(f"… and {len(report.findings) - FINDINGS_SHOWN} more findings.")
    typer.echo(
        f"The audit trail does not hold: {len(report.findings)} findings. Keep the database, the checkpoint "
        "files and the last backups as they are, and compare with the copies kept elsewhere.",
        err=True,
    )
    raise typer.Exit(1)
