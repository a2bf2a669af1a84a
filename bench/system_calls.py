"""System calls as values, read from the lines that strace(1) writes.

What it is: the pure parser of `strace -f -ttt -T -yy -s 0 -o FILE`, interrupted calls put together again.
What it is not: a verdict; `durability.py` asks the questions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

SYNCS = frozenset({"fsync", "fdatasync"})
READS = frozenset({"read", "readv", "recvfrom", "recvmsg"})
WRITES = frozenset({"write", "writev", "pwrite64", "pwritev", "pwritev2", "sendto", "sendmsg", "sendfile"})
BLIND = frozenset({"io_uring_enter", "msync"})  # data may move without any call above
TRACED = tuple(sorted(SYNCS | READS | WRITES | BLIND))

_LINE = re.compile(r"(?P<pid>\d+) +(?P<moment>\d+\.\d+) (?P<rest>.*)")
_RESUMED = re.compile(r"<\.\.\. (?P<name>\w+) resumed>")
_CALL = re.compile(r"(?P<name>\w+)\((?:(?P<descriptor>\d+)(?P<target><.*?>(?=[,)\s]|$))?)?")
_RESULT = re.compile(r"\) += (?P<result>-?\d+)(?: [^<]*)?(?:<(?P<seconds>\d+\.\d+)>)?$")
_UNFINISHED = " <unfinished ...>"


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemCall:
    """One finished call: seconds since the epoch at its begin and end; `target` is a path or a socket's text."""

    process: int
    begin: float
    end: float
    name: str
    target: str
    result: int

    def is_file(self) -> bool:
        """Whether the target is a file that can be synced."""
        return self.target.startswith("/") and not self.target.startswith(("/dev/", "/proc/"))


def parse_trace(lines: Iterable[str]) -> list[SystemCall]:
    """Every finished call, in the order of their beginnings; lines of another kind are passed over."""
    return sorted(_calls(lines), key=lambda call: call.begin)


def _calls(lines: Iterable[str]) -> Iterator[SystemCall]:
    open_calls: dict[int, tuple[float, str]] = {}
    for line in lines:
        found = _LINE.match(line.rstrip("\n"))
        if found is None:
            continue
        process, moment, rest = int(found["pid"]), float(found["moment"]), found["rest"]
        if rest.endswith(_UNFINISHED):
            open_calls[process] = (moment, rest.removesuffix(_UNFINISHED))
            continue
        begin, end = moment, None
        resumed = _RESUMED.match(rest)
        if resumed is not None:
            begun = open_calls.pop(process, None)
            if begun is None:
                continue
            end = moment
            begin, rest = begun[0], begun[1] + rest[resumed.end() :]
        call = _call(rest, process, begin, end)
        if call is not None:
            yield call


def _call(text: str, process: int, begin: float, end: float | None) -> SystemCall | None:
    head, result = _CALL.match(text), _RESULT.search(text)
    if head is None or result is None:
        return None
    if end is None:
        end = begin + float(result["seconds"] or 0)
    return SystemCall(
        process=process, begin=begin, end=end, name=head["name"], target=(head["target"] or "<>")[1:-1],
        result=int(result["result"]),
    )  # fmt: skip
