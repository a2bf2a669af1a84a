"""When to try again, when to tell the author, when to give up: pure functions of a letter's history.

What it is: `next_attempt`, `delay_report_is_due`. What it is not: a clock or a dice; time and jitter are given.
"""

from __future__ import annotations

from dataclasses import dataclass

MINUTE = 60.0
HOUR = 60 * MINUTE
DAY = 24 * HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrySettings:
    """The patience of the spool, in seconds.

    RFC 5321 §4.5.4.1 asks for at least 30 minutes between attempts and for four to five days before giving up.
    The first four waits are shorter on purpose: the next hops are a closed list of operators, not the Internet,
    and a letter about a patient should not wait half an hour for a restart; from then on it is hourly.
    """

    schedule: tuple[float, ...] = (1 * MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE)
    then_every: float = 1 * HOUR
    give_up_after: float = 5 * DAY
    report_delay_after: float = 4 * HOUR
    jitter: float = 0.1
    """Part of a wait that is spread at random, so that letters do not return all together."""
    least_attempts: int = 5
    """Never give up before so many attempts: a clock that jumps must not expire the whole spool."""

    def __post_init__(self) -> None:
        if not self.schedule or min(*self.schedule, self.then_every) <= 0:
            raise ValueError("every wait of the schedule is longer than nothing")
        if self.give_up_after <= 0 or not 0 <= self.jitter < 1 or self.least_attempts < 1:
            raise ValueError("the retry settings are out of range")


def wait_after(settings: RetrySettings, attempts: int, dice: float) -> float:
    """Seconds to wait after that many attempts (1 or more). `dice` is in [0, 1)."""
    step = attempts - 1
    wait = settings.schedule[step] if step < len(settings.schedule) else settings.then_every
    return wait * (1 + settings.jitter * (2 * dice - 1))


def next_attempt(
    settings: RetrySettings, *, accepted_at: float, attempts: int, now: float, dice: float
) -> float | None:
    """When to try again after `attempts` that did not succeed, or None: give up now.

    The last attempt is made at the end of the time allowed, not before it.
    """
    due = now + wait_after(settings, attempts, dice)
    deadline = accepted_at + settings.give_up_after  # RFC 5321 §4.5.4.1
    if now >= deadline:
        return due if attempts < settings.least_attempts else None
    return min(due, deadline)


def delay_report_is_due(
    settings: RetrySettings, *, accepted_at: float, now: float, already_reported: bool
) -> bool:
    """Whether the author is now told, once, that the letter still waits (RFC 3461 §4.1, DELAY)."""
    return not already_reported and now - accepted_at >= settings.report_delay_after
