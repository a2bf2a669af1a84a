"""`vaguemestre config …`: the example, what is in force, and whether a file is right."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vaguemestre.config.load import load, write
from vaguemestre.config.schema import Configuration
from vaguemestre.config.schema import example as example_configuration

app = typer.Typer(help="Print, check and explain the configuration.", no_args_is_help=True)

ConfigFile = Annotated[
    Path, typer.Option("--config", "-c", envvar="VAGUEMESTRE_CONFIG", help="The operator's TOML file.")
]
DEFAULT_CONFIG = Path("/etc/vaguemestre/vaguemestre.toml")


@app.command()
def example() -> None:
    """Print a complete example; each setting with its documentation and default."""
    typer.echo(write(example_configuration(), commented=True), nl=False)


@app.command()
def show(config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Print the settings in force, defaults included. Secrets are only paths."""
    typer.echo(write(load(config, Configuration), commented=False), nl=False)


@app.command()
def check(config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Read the file and say whether it is right."""
    load(config, Configuration)
    typer.echo(f"{config} is right.")
