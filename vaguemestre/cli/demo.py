"""`vaguemestre demo`: a whole trust space on localhost, and the story that shows what it does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from core.errors import ConfigurationError


def demo(
    stay: Annotated[bool, typer.Option("--stay", help="Leave the space running after the story.")] = False,
    space: Annotated[
        Path | None, typer.Option("--space", help="With --stay: write a description here (JSON).")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--dir", help="Keep the space's files in this folder.")
    ] = None,
) -> None:
    """Start two operators on free loopback ports, send letters through them, and check each step.

    Exit status 0 only when every check held. With --stay, SIGINT or SIGTERM ends everything that was started.
    """
    from vaguemestre.demo.story import perform

    if stay and space is None:
        raise ConfigurationError("--stay needs --space FILE, so that somebody can find the space")
    raise typer.Exit(perform(stay=stay, space_file=space, folder=folder))
