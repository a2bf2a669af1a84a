"""Prints the story as it goes: each step, each check with a tick or a cross and what was checked.

What it is: the only place of the demo that writes to the terminal. What it is not: the checks.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console


class Playbill:
    """Counts what held and what did not."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._started = time.monotonic()
        self.held = 0
        self.broken: list[str] = []

    @property
    def seconds(self) -> float:
        """Since the curtain rose."""
        return time.monotonic() - self._started

    def say(self, text: str) -> None:
        """A line between checks."""
        self._console.print(text, markup=False)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """A heading and what happens under it; an unexpected exception is a cross, not a crash."""
        self._console.print(f"\n[bold]{title}[/bold]")
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the story goes on so that every cross is seen
            self.check(False, f"{title}: {type(error).__name__}: {error}")

    def check(self, holds: bool, what: str) -> bool:
        """A tick or a cross, and what was checked."""
        if holds:
            self.held += 1
            self._console.print(f"  [green]✓[/green] {_plain(what)}")
        else:
            self.broken.append(what)
            self._console.print(f"  [red]✗[/red] {_plain(what)}")
        return holds

    @contextmanager
    def progress(self, what: str, total: int) -> Iterator[_Progress]:
        """A bar on a terminal, nothing in a file."""
        with self._console.status(what) as status:
            yield _Progress(what, total, status.update if self._console.is_terminal else lambda _: None)

    def curtain(self) -> int:
        """The last words; the exit status."""
        total = self.held + len(self.broken)
        self._console.print(f"\n{self.held} of {total} checks held, in {self.seconds:.1f} s.")
        for what in self.broken:
            self._console.print(f"  [red]✗[/red] {_plain(what)}")
        return 1 if self.broken or not self.held else 0


class _Progress:
    def __init__(self, what: str, total: int, show: object) -> None:
        self._what, self._total, self._show, self._done = what, total, show, 0

    def advance(self) -> None:
        """One more is done."""
        self._done += 1
        if callable(self._show):
            self._show(f"{self._what} {self._done}/{self._total}")


def _plain(text: str) -> str:
    return text.replace("[", "\\[")
