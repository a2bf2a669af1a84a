"""Spool ids rise with time and are never given twice."""

from __future__ import annotations

from core.testing.clock import FakeClock
from vaguemestre.spool_ids import RANDOM_LETTERS, SPOOL_ALPHABET, TIME_LETTERS, spool_ids


def test_ids_rise_with_the_clock_and_differ_within_a_millisecond() -> None:
    clock = FakeClock()
    new_spool_id = spool_ids(clock)
    first = {new_spool_id() for _ in range(1000)}
    clock.advance(0.001)
    later = new_spool_id()
    assert len(first) == 1000
    assert all(one[:TIME_LETTERS] < later[:TIME_LETTERS] for one in first)
    assert all(len(one) == TIME_LETTERS + RANDOM_LETTERS and set(one) <= set(SPOOL_ALPHABET) for one in first)
