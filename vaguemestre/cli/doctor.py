"""`vaguemestre doctor`: what is well, what is not, and what to do."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated

import typer

from vaguemestre.cli.config import DEFAULT_CONFIG, ConfigFile

if TYPE_CHECKING:
    from vaguemestre.doctor import Check

_COLOURS = {"OK": "green", "WARN": "yellow", "FAIL": "red"}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="For monitoring: one JSON object.")] = False,
    everything: Annotated[
        bool, typer.Option("--everything", help="Read the whole database file, however long it takes.")
    ] = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Look at everything an operator needs and say what to do. Changes nothing; works beside `serve`.

    Exit status 0: all is well; 1: at least one warning; 2: at least one failure.
    """
    from core.clock import SystemClock
    from vaguemestre.doctor import exit_status
    from vaguemestre.examination import examine
    from vaguemestre.observability.logging import LogFormat, configure

    configure(clock=SystemClock(), log_format=LogFormat.TEXT, level="error")
    checks = asyncio.run(examine(config, SystemClock(), everything=everything))
    if as_json:
        typer.echo(_json(checks))
    else:
        _print(checks)
    raise typer.Exit(exit_status(checks))


def _json(checks: list[Check]) -> str:
    from vaguemestre.doctor import Level, exit_status

    return json.dumps(
        {
            "status": Level(exit_status(checks)).name,
            "checks": [
                {
                    "name": check.name,
                    "level": check.level.name,
                    "sentence": check.sentence,
                    "advice": check.advice,
                }
                for check in checks
            ],
        },
        indent=1,
        ensure_ascii=False,
    )


def _print(checks: list[Check]) -> None:
    from rich.table import Table
    from rich.text import Text

    from vaguemestre.cli.tables import console

    table = Table(box=None, pad_edge=False, show_header=False)
    for _ in range(3):
        table.add_column(overflow="fold")
    for check in checks:
        name = check.level.name
        table.add_row(Text(name, style=_COLOURS[name]), Text(check.name), Text(check.sentence))
        if check.advice and name != "OK":
            table.add_row("", "", Text(f"→ {check.advice}", style="italic"))
    console().print(table)
