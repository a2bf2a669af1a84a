"""The patience of the spool, as a table."""

from __future__ import annotations

import pytest

from mta.spool.retry import DAY, HOUR, MINUTE, RetrySettings, delay_report_is_due, next_attempt, wait_after

SETTINGS = RetrySettings()
MIDDLE = 0.5  # no jitter


@pytest.mark.parametrize(
    ("attempts", "wait"),
    [(1, 1 * MINUTE), (2, 5 * MINUTE), (3, 15 * MINUTE), (4, 30 * MINUTE), (5, HOUR), (6, HOUR), (120, HOUR)],
)
def test_the_schedule(attempts: int, wait: float) -> None:
    assert next_attempt(SETTINGS, accepted_at=0, attempts=attempts, now=100, dice=MIDDLE) == 100 + wait


@pytest.mark.parametrize(("dice", "factor"), [(0.0, 0.9), (0.5, 1.0), (1.0, 1.1)])
def test_jitter_spreads_a_tenth_to_both_sides(dice: float, factor: float) -> None:
    assert wait_after(SETTINGS, 5, dice) == pytest.approx(HOUR * factor)


def test_the_last_attempt_is_at_the_end_of_the_time_allowed() -> None:
    now = 5 * DAY - 60
    assert next_attempt(SETTINGS, accepted_at=0, attempts=100, now=now, dice=MIDDLE) == 5 * DAY


def test_given_up_after_five_days() -> None:
    assert next_attempt(SETTINGS, accepted_at=0, attempts=100, now=5 * DAY, dice=MIDDLE) is None


def test_a_clock_that_jumps_by_a_year_gives_nothing_up_at_the_first_attempts() -> None:
    year = 400 * DAY
    assert next_attempt(SETTINGS, accepted_at=0, attempts=1, now=year, dice=MIDDLE) == year + MINUTE
    assert next_attempt(SETTINGS, accepted_at=0, attempts=4, now=year, dice=MIDDLE) == year + 30 * MINUTE
    assert next_attempt(SETTINGS, accepted_at=0, attempts=5, now=year, dice=MIDDLE) is None


def test_a_whole_life_has_the_attempts_that_the_schedule_promises() -> None:
    now, attempts = 0.0, 0
    while True:
        attempts += 1
        due = next_attempt(SETTINGS, accepted_at=0, attempts=attempts, now=now, dice=MIDDLE)
        if due is None:
            break
        assert due > now
        now = due
    assert now == 5 * DAY
    assert 120 <= attempts <= 126


@pytest.mark.parametrize(
    ("age", "already", "due"),
    [(4 * HOUR - 1, False, False), (4 * HOUR, False, True), (DAY, False, True), (DAY, True, False)],
)
def test_one_report_of_delay_after_four_hours(age: float, already: bool, due: bool) -> None:
    assert delay_report_is_due(SETTINGS, accepted_at=50, now=50 + age, already_reported=already) is due


@pytest.mark.parametrize(
    "values",
    [
        {"schedule": ()},
        {"schedule": (0.0,)},
        {"then_every": 0.0},
        {"give_up_after": 0.0},
        {"jitter": 1.0},
        {"least_attempts": 0},
    ],
)
def test_settings_that_make_no_sense_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        RetrySettings(**values)  # type: ignore[arg-type]
