"""The command line: one file per verb, `--help` that teaches, errors that say what to do next.

What it is: the tree of commands and the one place where an error becomes an exit status (78 for configuration,
75 for try again, 70 for what we did not expect). What it is not: the work; verbs call `vaguemestre.wiring`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import NoReturn

import typer

from core.errors import ConfigurationError, GatewayError, TemporaryError

EX_CONFIG = 78  # sysexits.h
EX_TEMPFAIL = 75
EX_SOFTWARE = 70

app = typer.Typer(
    name="vaguemestre",
    help="Secure health mail for a trust space: SMTP, IMAP, directory, spool, audit.\n\n"
    "Begin with `vaguemestre demo`, or with `vaguemestre config example > vaguemestre.toml` and `vaguemestre init`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
)


GROUPS = ("audit", "backup", "bal", "config", "directory", "queue", "simulate")
VERBS = ("demo", "doctor", "explain", "init", "serve", "trace")


def _add_verbs() -> None:
    for name in GROUPS:
        try:
            app.add_typer(import_module(f"vaguemestre.cli.{name}").app, name=name)
        except ModuleNotFoundError: pass
    for name in VERBS:
        try:
            app.command(name)(getattr(import_module(f"vaguemestre.cli.{name}"), name))
        except ModuleNotFoundError: pass


def run(arguments: list[str]) -> int:
    """Run one command in this process; the exit status. The demo calls this too."""
    try:
        result = app(arguments, prog_name="vaguemestre", standalone_mode=False)
    except ConfigurationError as error:
        typer.echo(f"vaguemestre: {error}", err=True)
        return EX_CONFIG
    except TemporaryError as error:
        typer.echo(f"vaguemestre: {error}; try again later", err=True)
        return EX_TEMPFAIL
    except GatewayError as error:
        typer.echo(f"vaguemestre: {error}", err=True)
        return 1
    except typer.Exit as leaving:
        return leaving.exit_code
    except typer.Abort:
        return 130
    except Exception as error:  # noqa: BLE001 - the command line's door
        import click

        if isinstance(error, click.ClickException):
            error.show()
            return error.exit_code
        typer.echo(
            f"vaguemestre: unexpected {type(error).__name__}; please report it (SECURITY.md if letters are touched)",
            err=True,
        )
        import traceback

        traceback.print_tb(error.__traceback__)
        return EX_SOFTWARE
    return result if isinstance(result, int) else 0


def main() -> NoReturn:
    """Entry point of the `vaguemestre` command."""
    sys.exit(run(sys.argv[1:]))


_add_verbs()
