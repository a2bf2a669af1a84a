"""How a verb gets at the operator: open everything but the doors, do the work, close.

What it is: the one bridge from the synchronous command line to the async parts. What it is not: a server; the
verbs work beside a running `serve`, on the same database.
"""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from core.clock import SystemClock
from vaguemestre.config.load import load
from vaguemestre.config.schema import Configuration
from vaguemestre.observability.logging import LogFormat, configure

if TYPE_CHECKING:
    from vaguemestre.wiring import Operator

T = TypeVar("T")


def acting_operator() -> str:
    """Who types: stands in the audit trail beside the act."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


@asynccontextmanager
async def open_operator(config_path: Path) -> AsyncIterator[Operator]:
    """Everything but the doors."""
    from vaguemestre.wiring import Operator

    configuration = load(config_path, Configuration)
    configure(clock=SystemClock(), log_format=LogFormat.TEXT, level="critical")  # a verb speaks for itself
    operator = await Operator.open(configuration, SystemClock())
    try:
        yield operator
    finally:
        await operator.close()


def with_operator(config_path: Path, work: Callable[[Operator], Awaitable[T]]) -> T:
    """Run one piece of async work with the operator open."""

    async def run() -> T:
        async with open_operator(config_path) as operator:
            return await work(operator)

    return asyncio.run(run())
