"""Reading /proc."""

from __future__ import annotations

import os
import time

from bench.processes import ProcessStat, descendants, parse_stat, process_clock

LINE = "42 (a (b) c) S 7 42 42 0 -1 4194560 1 2 3 4 11 12 13 14 20 0 1 0 5555 0 0"


def process(pid: int, parent: int) -> ProcessStat:
    return ProcessStat(pid=pid, command="x", state="S", parent=parent, user=0, system=0, children_user=0,
                       children_system=0, started=0)  # fmt: skip


def test_a_command_with_spaces_and_parentheses_does_not_shift_the_fields() -> None:
    stat = parse_stat(LINE)
    assert (stat.pid, stat.command, stat.state, stat.parent) == (42, "a (b) c", "S", 7)
    assert (stat.own_ticks(), stat.reaped_ticks(), stat.started) == (23, 27, 5555)


def test_descendants_are_found_at_every_depth_and_the_root_is_not_one() -> None:
    every = [process(1, 0), process(2, 1), process(3, 2), process(4, 9), process(5, 1)]
    assert [one.pid for one in descendants(1, every)] == [2, 3, 5]
    assert descendants(3, every) == []


def test_the_clock_of_a_process_is_its_cpu_time() -> None:
    before = time.process_time_ns()
    read = time.clock_gettime_ns(process_clock(os.getpid()))
    assert before <= read <= time.process_time_ns()
