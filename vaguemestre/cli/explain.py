"""`vaguemestre explain`: what would happen to a letter, for each recipient, and why. Nothing is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vaguemestre.cli.config import DEFAULT_CONFIG, ConfigFile

if TYPE_CHECKING:
    from vaguemestre.wiring import Operator


def explain(
    author: Annotated[str, typer.Option("--from", help="The author's address, a box of ours.")],
    recipients: Annotated[list[str], typer.Option("--to", help="A recipient; may be repeated.")],
    config: ConfigFile = DEFAULT_CONFIG,
    french: Annotated[bool, typer.Option("--french", help="Say it in French.")] = False,
) -> None:
    """Say what would happen to a letter from A to B, and why, with the rules that would be asked."""
    from vaguemestre.cli.context import with_operator
    from vaguemestre.explaining import explain_letter

    async def work(operator: Operator) -> list[str]:
        return await explain_letter(operator, author, recipients, french=french)

    for line in with_operator(config, work):
        typer.echo(line)
