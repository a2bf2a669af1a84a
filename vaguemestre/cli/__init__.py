"""The command line: one file per verb, `--help` that teaches, errors that say what to do next.

What it is: the tree of commands and the one place where an error becomes an exit status (78 for configuration,
75 for try again, 70 for what we did not expect). What it is not: the work; verbs call `vaguemestre.wiring`.
"""

from __future__ import annotations

import importlib.metadata
import sys
import traceback
from importlib import import_module
from typing import Annotated, NoReturn

import typer

from core.errors import ConfigurationError, GatewayError, TemporaryError

EX_CONFIG = 78  # sysexits.h
EX_TEMPFAIL = 75
EX_SOFTWARE = 70

GROUPS = ("audit", "backup", "bal", "config", "directory", "export", "import", "queue", "simulate")
MODULES = {"export": "export_letters", "import": "import_letters"}  # a module cannot be called import
VERBS = ("demo", "doctor", "explain", "init", "serve", "trace")
HELP = (
    "Secure health mail for a trust space: SMTP, IMAP, directory, spool, audit.\n\n"
    "Begin with `vaguemestre demo`, or with `vaguemestre config example > vaguemestre.toml` and `vaguemestre init`."
)


def tree(first: str = "") -> typer.Typer:
    """The commands; only the one that is named when it exists, so that a start costs no other's imports."""
    app = typer.Typer(name="vaguemestre", help=HELP, no_args_is_help=True, pretty_exceptions_enable=False)
    app.callback(invoke_without_command=True)(_common)
    wanted = (first,) if first in GROUPS + VERBS else GROUPS + VERBS
    for name in wanted:
        module = import_module(f"vaguemestre.cli.{MODULES.get(name, name)}")
        if name in GROUPS:
            app.add_typer(module.app, name=name)
        else:
            app.command(name)(getattr(module, name))
    return app


def _common(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", is_eager=True)
    ] = False,
) -> None:
    """What is common to all verbs; without it a tree of one verb would lose the verb's name."""
    if version:
        typer.echo(f"vaguemestre {importlib.metadata.version('vaguemestre')}")
        raise typer.Exit


def run(arguments: list[str]) -> int:
    """Run one command in this process; the exit status. The demo calls this too."""
    try:
        result = tree(arguments[0] if arguments else "")(
            arguments, prog_name="vaguemestre", standalone_mode=False
        )
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
        return _said(error)
    return result if isinstance(result, int) else 0


def _said(error: Exception) -> int:
    """A mistake in the arguments speaks for itself; anything else is a bug of ours."""
    if hasattr(error, "show") and hasattr(error, "exit_code"):  # typer's own copy of click has no public name
        error.show()
        return int(error.exit_code)
    places = traceback.format_tb(error.__traceback__)
    typer.echo(f"vaguemestre: unexpected {type(error).__name__}; please report it:\n{places[-1]}", err=True)
    return EX_SOFTWARE


def main() -> NoReturn:
    """Entry point of the `vaguemestre` command."""
    sys.exit(run(sys.argv[1:]))
