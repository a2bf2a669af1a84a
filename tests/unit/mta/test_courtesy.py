"""Acknowledging comes first, and delivery is never put off for long."""

from __future__ import annotations

from core.testing.clock import FakeClock
from mta.courtesy import PATIENCE, QUIET, Courtesy


class Naps:
    """A sleep that lets the clock go on and counts."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.seconds = clock, 0.0

    async def __call__(self, seconds: float) -> None:
        self.seconds += seconds
        self.clock.advance(seconds)


async def test_with_quiet_doors_nobody_waits() -> None:
    clock = FakeClock()
    naps = Naps(clock)
    await Courtesy(clock, sleep=naps).give_way(clock.now().timestamp())
    assert naps.seconds == 0.0


async def test_a_delivery_waits_while_a_letter_is_at_the_door_but_not_for_ever() -> None:
    clock = FakeClock()
    naps = Naps(clock)
    courtesy = Courtesy(clock, sleep=naps)
    with courtesy.letter_at_the_door():
        assert not courtesy.is_quiet
        await courtesy.give_way(clock.now().timestamp())
    assert PATIENCE <= naps.seconds <= PATIENCE + 0.1


async def test_a_letter_that_has_waited_long_goes_at_once() -> None:
    clock = FakeClock()
    naps = Naps(clock)
    courtesy = Courtesy(clock, sleep=naps)
    with courtesy.letter_at_the_door():
        await courtesy.give_way(clock.now().timestamp() - PATIENCE)
    assert naps.seconds == 0.0


async def test_the_moment_between_two_letters_is_not_quiet_yet() -> None:
    clock = FakeClock()
    naps = Naps(clock)
    courtesy = Courtesy(clock, sleep=naps)
    with courtesy.letter_at_the_door():
        pass
    await courtesy.give_way(clock.now().timestamp())
    assert QUIET <= naps.seconds < 0.1


async def test_a_door_that_fails_leaves_no_letter_standing() -> None:
    clock = FakeClock()
    courtesy = Courtesy(clock)
    try:
        with courtesy.letter_at_the_door():
            raise ValueError
    except ValueError:
        clock.advance(1.0)
    assert courtesy.is_quiet


async def test_work_that_nobody_waits_for_waits_longer() -> None:
    clock = FakeClock()
    naps = Naps(clock)
    courtesy = Courtesy(clock, sleep=naps)
    await courtesy.until_quiet(30.0)
    assert naps.seconds == 0.0
    with courtesy.letter_at_the_door():
        await courtesy.until_quiet(30.0)
    assert 30.0 <= naps.seconds <= 30.1
