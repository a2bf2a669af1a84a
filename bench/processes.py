"""What /proc says of processes, read into values.

What it is: the pure parser of `/proc/PID/stat` and the walk from a root process to its descendants.
What it is not: accounting; `keeper.py` adds the times up.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
NANOSECONDS_PER_TICK = 1_000_000_000 // TICKS_PER_SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessStat:
    """The fields of proc(5) `/proc/PID/stat` that accounting needs; times in clock ticks."""

    pid: int
    command: str
    state: str
    parent: int
    user: int
    system: int
    children_user: int
    children_system: int
    started: int

    def own_ticks(self) -> int:
        """Ticks of this process, threads included."""
        return self.user + self.system

    def reaped_ticks(self) -> int:
        """Ticks of its children that ended and were waited for, and of theirs."""
        return self.children_user + self.children_system


def parse_stat(line: str) -> ProcessStat:
    """One line of `/proc/PID/stat`; the command may hold spaces and parentheses."""
    opening, closing = line.index("("), line.rindex(")")
    fields = line[closing + 2 :].split()
    return ProcessStat(
        pid=int(line[:opening]),
        command=line[opening + 1 : closing],
        state=fields[0],
        parent=int(fields[1]),
        user=int(fields[11]),
        system=int(fields[12]),
        children_user=int(fields[13]),
        children_system=int(fields[14]),
        started=int(fields[19]),
    )


def descendants(root: int, processes: Iterable[ProcessStat]) -> list[ProcessStat]:
    """Every process below `root` (not `root` itself), in the order of their numbers."""
    children: dict[int, list[ProcessStat]] = {}
    for process in processes:
        children.setdefault(process.parent, []).append(process)
    found: list[ProcessStat] = []
    waiting = [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found.extend(below)
        waiting.extend(process.pid for process in below)
    return sorted(found, key=lambda process: process.pid)


def process_clock(pid: int) -> int:
    """The clock id of another process's CPU time, as clock_getcpuclockid(3) makes it on Linux."""
    scheduler_clock = 2
    return (~pid << 3) | scheduler_clock
