"""Which place a process takes beside others on the same data: one serving process, a few commands.

What it is: a lock file for each place, held for the life of the process; the kernel lets go of it even after a
kill. What it is not: a lease in the database (those are for nodes on different machines).
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from core.errors import ConfigurationError, TemporaryError

COMMANDS_AT_ONCE = 64  # ours: more operators' commands than that on one node at the same moment are a mistake


@dataclass(frozen=True, slots=True)
class Slot:
    """A place that is ours until `release`."""

    role: str
    number: int
    descriptor: int

    def release(self) -> None:
        """Let another process have it."""
        os.close(self.descriptor)


def take_serving(folder: Path, number: int) -> Slot:
    """The place of serving process `number`. Raises ConfigurationError when it is taken."""
    slot = _take(folder, "serve", number)
    if slot is None:
        raise ConfigurationError(
            "another process serves this operator already: stop it first, or give this one its own data_dir"
        )
    return slot


def take_command(folder: Path) -> Slot:
    """The first free place of a command. Raises TemporaryError when all are taken."""
    for number in range(COMMANDS_AT_ONCE):
        slot = _take(folder, "command", number)
        if slot is not None:
            return slot
    raise TemporaryError("too many commands run at the same time")


def _take(folder: Path, role: str, number: int) -> Slot | None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(folder / f"{role}-{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigurationError(f"cannot use the folder {folder}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return Slot(role, number, descriptor)
