"""Where tables are printed: as wide as the terminal, and never folded when a program reads them."""

from __future__ import annotations

from rich.console import Console

UNFOLDED = 400  # columns; ours: the longest address and name fit beside each other


def console() -> Console:
    """A console for standard output."""
    made = Console()
    return made if made.is_terminal else Console(width=UNFOLDED)
