"""The keeper's accounting against programs that know what they burnt."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.keeper import Keeper

# Burns CPU by its own clock in: a child that is waited for, a thread, an orphan of an orphan that ends, and one
# that lives on; each writes what it burnt. The first process then waits to be stopped.
BURNER = """
import os, sys, threading, time
folder, each = sys.argv[1], float(sys.argv[2])
def burn(name):
    began = time.thread_time()
    while time.thread_time() - began < each: pass
    with open(os.path.join(folder, name), "w") as file: file.write("done")
def child(name, stay=False):
    pid = os.fork()
    if pid == 0:
        burn(name)
        while stay: time.sleep(1)
        os._exit(0)
    return pid
os.waitpid(child("waited"), 0)
thread = threading.Thread(target=burn, args=("thread",)); thread.start(); thread.join()
if (middle := os.fork()) == 0:
    child("orphan"); child("living", stay=True); os._exit(0)
os.waitpid(middle, 0)
burn("own")
time.sleep(60)
"""
EACH = 0.06
PARTS = ("waited", "thread", "orphan", "living", "own")


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def idle(tmp_path: Path) -> Keeper:
    """A keeper of the burner that burns nothing: what Python's own start costs."""
    return burner(tmp_path / "idle", 0.0)


def burner(folder: Path, each: float) -> Keeper:
    folder.mkdir()
    keeper = Keeper([sys.executable, "-S", "-c", BURNER, str(folder), str(each)], log=folder / "log")
    wait_until(lambda: all((folder / part).exists() for part in PARTS))
    return keeper


def test_children_threads_and_orphans_are_all_counted(tmp_path: Path, idle: Keeper) -> None:
    keeper = burner(tmp_path / "burning", EACH)
    try:
        burnt = keeper.spent().seconds - idle.spent().seconds
    finally:
        keeper.stop()
        idle.stop()
    known = EACH * len(PARTS)
    assert burnt == pytest.approx(known, abs=0.03)  # start-up noise and 10 ms ticks of one waiting process


def test_stopping_leaves_no_process_behind(tmp_path: Path) -> None:
    keeper = burner(tmp_path / "burning", 0.0)
    pids = keeper.spent().pids
    assert len(pids) == 2  # the first process and the orphan that stays
    keeper.stop()
    assert not any(Path("/proc", str(pid)).exists() for pid in pids)


def test_the_subtree_of_a_root_is_counted_without_the_rest(tmp_path: Path) -> None:
    keeper = burner(tmp_path / "burning", EACH)
    try:
        every = keeper.spent()
        root = max(every.pids)  # the orphan that lives on
        part = keeper.spent(root)
    finally:
        keeper.stop()
    assert part.pids == (root,)
    assert part.seconds == pytest.approx(EACH, abs=0.02)


def test_a_server_that_ends_by_itself_is_noticed_with_its_last_words(tmp_path: Path) -> None:
    keeper = Keeper([sys.executable, "-S", "-c", "print('no port')"], log=tmp_path / "log")
    try:
        wait_until(keeper.ended)
        assert keeper.log_tail() == "no port"
    finally:
        keeper.stop()
