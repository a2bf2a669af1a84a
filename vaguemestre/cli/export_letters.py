"""`vaguemestre export …`: all letters of a box into files that any mail program reads."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import ConfigurationError
from vaguemestre.cli.config import DEFAULT_CONFIG, ConfigFile

if TYPE_CHECKING:
    from vaguemestre.exporting import Exported, Target
    from vaguemestre.wiring import Operator

app = typer.Typer(
    help="Write all letters of a box, in clear, with flags and dates; audited.", no_args_is_help=True
)
Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="The box, as local.part@domain.")]
Out = Annotated[Path, typer.Option("--out", help="A folder that does not exist yet, or is empty.")]


@app.command()
def maildir(address: Address, out: Out, config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Write a Maildir++, as Dovecot and Courier keep it."""
    from vaguemestre.maildir import MaildirTarget

    _export(address, out, config, "maildir", MaildirTarget(out))


@app.command()
def mbox(address: Address, out: Out, config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Write one mbox file for each folder, as Thunderbird keeps them."""
    from vaguemestre.mbox import MboxTarget

    _export(address, out, config, "mbox", MboxTarget(out))


def _export(address: str, out: Path, config: Path, kind: str, target: Target) -> None:
    from vaguemestre.cli.context import acting_operator, with_operator
    from vaguemestre.cli.import_letters import bar, box_of
    from vaguemestre.exporting import count, export

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigurationError(f"{out} is there already; exports never overwrite: name another folder")

    async def work(operator: Operator) -> Exported:
        bal_id = await box_of(operator, address)
        await asyncio.to_thread(out.mkdir, 0o700, parents=True, exist_ok=True)
        with bar("Export", await count(operator.mail_store, bal_id)) as moved:
            return await export(
                operator.mail_store, operator.audit, bal_id, target,
                operator=acting_operator(), kind=kind, moved=moved,
            )  # fmt: skip

    done = with_operator(config, work)
    typer.echo(f"{done.letters} letters of {done.folders} folders are in {out}, {done.octets} octets.")
    if done.vanished:
        typer.echo(f"{done.vanished} letters were removed from the box meanwhile.")
    typer.echo(
        "They are in clear: whoever has this folder reads them. Encrypt it before it leaves this machine."
    )
