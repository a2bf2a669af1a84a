"""A keeper starts one server and knows the CPU time of every process the server ever had.

The problem: Postfix's daemons and Dovecot's workers come and go, so the sum over the processes that live now
forgets those that ended. The way out needs no cgroup: the keeper is a *child subreaper* (prctl(2)), so each
orphan of the server becomes its child and nothing escapes from its tree. Then

    CPU = what the keeper itself has waited for (wait4, microseconds, descendants included)
        + for each living descendant: its own CPU clock (nanoseconds, all its threads, ended ones too)
        + for each living descendant: the children that it has waited for (ticks of /proc/PID/stat)

The keeper's own CPU is not in the sum. The ticks cost at most 10 ms of error for each process that has waited for
children (the kernel adds in nanoseconds and rounds only when it prints). A child whose parent ignores SIGCHLD
would be lost by the kernel; no server measured here does that.

This file is both sides: `python -m bench.keeper` is the small process, `Keeper` the handle on it.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.processes import NANOSECONDS_PER_TICK, ProcessStat, descendants, parse_stat, process_clock

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
STOP_GRACE_SECONDS = 10.0
STEADY_READS = 8


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU seconds of a server since it was started, and the processes that live now."""

    seconds: float
    pids: tuple[int, ...]


class Keeper:
    """A server's processes: started, counted, ended. A child process does the work, see the module."""

    def __init__(
        self, command: Sequence[str], *, log: Path, user: tuple[int, int] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """Start `command` (as uid, gid `user` when given) with its output in `log`."""
        as_user = [f"{user[0]}:{user[1]}"] if user else ["-"]
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bench.keeper", *as_user, *command],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output,
                cwd=Path(__file__).parent.parent, env=dict(environment) if environment else None,
            )  # fmt: skip

    def spent(self, root: int | None = None) -> Spent:
        """What the server has spent until now. Raises RuntimeError when the keeper is gone.

        With `root`: that process and those below it only, exact as long as `root` itself lives and waits for
        its children.
        """
        answer = self._ask("spent" if root is None else f"spent {root}")
        return Spent(answer["nanoseconds"] / 1e9, tuple(answer["pids"]))

    def ended(self) -> bool:
        """Whether the command that was started has ended by itself."""
        return bool(self._ask("spent")["ended"])

    def log_tail(self, lines: int = 20) -> str:
        """The last lines the server wrote to its standard output and error."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self) -> None:
        """End every process of the server, politely first. Safe to call twice."""
        if self._process.poll() is not None:
            return
        with suppress(RuntimeError):
            self._ask("stop")
        self._process.wait(timeout=2 * STOP_GRACE_SECONDS)

    def _ask(self, word: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(word.encode() + b"\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = b""
        if not answer:
            raise RuntimeError(f"the keeper of a server is gone:\n{self.log_tail()}")
        return dict(json.loads(answer))


def read_processes() -> list[ProcessStat]:
    """Every process of the machine, at about this moment."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError, ValueError):
                found.append(parse_stat(Path("/proc", name, "stat").read_text()))
    return found


def own_nanoseconds(process: ProcessStat) -> int:
    """The CPU time of one process by its clock; by its ticks when it is a zombie without a clock."""
    if process.state not in "ZX":
        with suppress(OSError):
            return time.clock_gettime_ns(process_clock(process.pid))
    return process.own_ticks() * NANOSECONDS_PER_TICK


class _Tree:
    """The keeper's side: one child, everything below it, and what has been waited for."""

    def __init__(self, command: Sequence[str], user: tuple[int, int] | None) -> None:
        self.reaped = 0
        self.ended = False
        self._root = subprocess.Popen(
            list(command), stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno(), stderr=sys.stderr.fileno(),
            user=user[0] if user else None, group=user[1] if user else None,
            extra_groups=[] if user else None, start_new_session=True,
        )  # fmt: skip

    def reap(self) -> None:
        """Wait for every child that has ended (the server's first process and adopted orphans)."""
        with suppress(ChildProcessError):
            while True:
                pid, _, usage = os.wait4(-1, os.WNOHANG)
                if pid == 0:
                    return
                self.reaped += round((usage.ru_utime + usage.ru_stime) * 1e9)
                if pid == self._root.pid:
                    self.ended = True
                    self._root.returncode = 0

    def spent(self, root: int | None = None) -> dict[str, object]:
        """A sum during which no process came or went, or the last of a few tries."""
        total, living = 0, self._living(root)
        for _ in range(STEADY_READS):
            self.reap()
            living = self._living(root)
            total = (self.reaped if root is None else 0) + sum(
                own_nanoseconds(process) + process.reaped_ticks() * NANOSECONDS_PER_TICK for process in living
            )
            if self._shape(living) == self._shape(self._living(root)):
                break
        return {"nanoseconds": total, "pids": [process.pid for process in living], "ended": self.ended}

    @staticmethod
    def _living(root: int | None) -> list[ProcessStat]:
        processes = read_processes()
        below = descendants(os.getpid() if root is None else root, processes)
        return below if root is None else [one for one in processes if one.pid == root] + below

    @staticmethod
    def _shape(processes: Sequence[ProcessStat]) -> list[tuple[int, int, int]]:
        return [(process.pid, process.started, process.reaped_ticks()) for process in processes]

    def stop(self) -> None:
        """SIGTERM to the first process, then to all, then SIGKILL, until nothing lives."""
        for number, seconds in ((signal.SIGTERM, STOP_GRACE_SECONDS), (signal.SIGKILL, STOP_GRACE_SECONDS)):
            if number == signal.SIGTERM and not self.ended:
                self._signal([self._root.pid], number)
            else:
                self._signal([process.pid for process in descendants(os.getpid(), read_processes())], number)
            if self._gone(seconds):
                return

    def _gone(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.reap()
            living = descendants(os.getpid(), read_processes())
            if not living:
                return True
            if self.ended:  # the first process left others behind
                self._signal([process.pid for process in living], signal.SIGTERM)
            time.sleep(0.02)
        return False

    @staticmethod
    def _signal(pids: Sequence[int], number: signal.Signals) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def keep(arguments: Sequence[str]) -> int:
    """The keeper process: answers `spent` and `stop` on its standard input, ends when that closes."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    user = None
    if arguments[0] != "-":
        uid, _, gid = arguments[0].partition(":")
        user = (int(uid), int(gid))
    tree = _Tree(arguments[1:], user)
    while True:
        tree.reap()
        readable, _, _ = select.select([sys.stdin], [], [], 0.2)
        if not readable:
            continue
        word, _, root = sys.stdin.readline().strip().partition(" ")
        if word == "spent":
            print(json.dumps(tree.spent(int(root) if root else None)), flush=True)
            continue
        tree.stop()
        if word:
            with suppress(BrokenPipeError):
                print(json.dumps(tree.spent()), flush=True)
        return 0


if __name__ == "__main__":
    sys.exit(keep(sys.argv[1:]))
