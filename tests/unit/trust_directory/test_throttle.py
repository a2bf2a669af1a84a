"""Ten guesses are evaluated, the eleventh waits; a doctor's own telephone is never shut out by others."""

from __future__ import annotations

import pytest

from core.errors import ConfigurationError
from trust_directory.throttle import Limits, Throttle, network_of

HERE, THERE = "192.0.2.1", "192.0.2.2"


def guesses(throttle: Throttle, subject: str, network: str, *, at: float, tries: int = 1000) -> int:
    """How many of these tries are evaluated."""
    return sum(throttle.admit(subject, network, at + n / 100) == 0.0 for n in range(tries))


def test_ten_guesses_in_a_quarter_of_an_hour_are_evaluated_and_no_more() -> None:
    throttle = Throttle()
    assert guesses(throttle, "s", HERE, at=0.0) == 10
    assert guesses(throttle, "s", HERE, at=890.0) == 0
    assert throttle.admit("s", HERE, 100.0) == pytest.approx(900.09 - 100.0)


def test_no_window_of_a_quarter_of_an_hour_ever_holds_more_than_ten() -> None:
    throttle = Throttle()
    evaluated = [at for at in range(0, 20_000, 7) if throttle.admit("s", HERE, float(at)) == 0.0]
    assert all(sum(start <= at < start + 900 for at in evaluated) <= 10 for start in evaluated)


def test_the_lock_doubles_up_to_a_shift_and_is_forgiven_after_a_quiet_time() -> None:
    throttle = Throttle()
    now, waits = 0.0, []
    for _ in range(6):
        guesses(throttle, "s", HERE, at=now, tries=10)
        wait = throttle.admit("s", HERE, now + 0.09)
        waits.append(round(wait))
        now += wait + 1
    assert waits == [900, 1800, 3600, 7200, 14400, 14400]
    now += 4 * 3600 + 1
    guesses(throttle, "s", HERE, at=now, tries=10)
    assert round(throttle.admit("s", HERE, now + 0.09)) == 900


def test_attempts_in_flight_count_before_they_end() -> None:
    throttle = Throttle()
    assert [throttle.admit("s", HERE, 0.0) > 0 for _ in range(12)] == [False] * 10 + [True] * 2


def test_a_right_password_starts_afresh() -> None:
    throttle = Throttle()
    guesses(throttle, "s", HERE, at=0.0, tries=9)
    throttle.admit("s", HERE, 1.0)
    throttle.succeeded("s", HERE)  # the tenth was right
    assert guesses(throttle, "s", HERE, at=2.0) == 10


def test_an_attempt_that_nobody_evaluated_counts_for_nothing() -> None:
    throttle = Throttle()
    for _ in range(50):
        assert throttle.admit("s", HERE, 0.0) == 0.0
        throttle.not_evaluated("s", HERE)
    assert guesses(throttle, "s", HERE, at=1.0) == 10


def test_spraying_many_logins_from_one_network_is_stopped() -> None:
    throttle = Throttle()
    tried = sum(throttle.admit(f"login-{n}", HERE, n / 100) == 0.0 for n in range(1000))
    assert tried == 100
    assert throttle.admit("another", THERE, 11.0) == 0.0


def test_guessing_one_login_from_many_networks_is_stopped() -> None:
    throttle = Throttle()
    assert sum(throttle.admit("s", f"198.51.100.{n}", n / 100) == 0.0 for n in range(250)) == 100


def test_the_device_that_knew_the_password_is_not_shut_out_by_others() -> None:
    throttle = Throttle()
    throttle.admit("doctor", HERE, 0.0)
    throttle.succeeded("doctor", HERE)
    for n in range(250):
        throttle.admit("doctor", f"198.51.100.{n}", 1.0)  # many networks, one login
        throttle.admit(f"login-{n}", HERE, 1.0)  # the same network, many logins
    assert throttle.admit("doctor", THERE, 2.0) > 0
    assert throttle.admit("doctor", HERE, 2.0) == 0.0


def test_a_known_device_may_not_guess_without_end_either() -> None:
    throttle = Throttle()
    throttle.admit("doctor", HERE, 0.0)
    throttle.succeeded("doctor", HERE)
    assert guesses(throttle, "doctor", HERE, at=1.0) == 10


def test_what_nobody_can_guess_is_not_watched_by_login_alone() -> None:
    throttle = Throttle()
    for n in range(250):
        throttle.admit("s", f"198.51.100.{n}", 0.0)
    assert throttle.admit("s", HERE, 1.0) > 0
    assert throttle.admit("s", HERE, 1.0, is_guessable=False) == 0.0
    throttle.not_evaluated("s", HERE, is_guessable=False)
    assert throttle.admit("s", HERE, 1.0) > 0  # the lock of the login stands for what can be guessed
    assert throttle.admit("s", HERE, 1.0, is_guessable=False) == 0.0
    throttle.succeeded("s", HERE, is_guessable=False)
    assert throttle.admit("s", HERE, 1.0) == 0.0  # known from now on


def test_a_success_gives_its_own_count_back_and_no_more() -> None:
    throttle = Throttle()
    for n in range(99):
        throttle.admit(f"login-{n}", HERE, 0.0)
    throttle.admit("mine", HERE, 0.0)
    assert throttle.admit("other", HERE, 1.0) > 0
    throttle.succeeded("mine", HERE)
    assert throttle.admit("other", HERE, 1.0) == 0.0
    assert throttle.admit("another", HERE, 1.0) > 0


def test_a_changed_password_forgives_its_login_only() -> None:
    throttle = Throttle()
    guesses(throttle, "s", HERE, at=0.0)
    guesses(throttle, "t", HERE, at=0.0)
    throttle.forgive("s")
    assert throttle.admit("s", HERE, 1.0) == 0.0
    assert throttle.admit("t", HERE, 1.0) > 0


def test_memory_is_bounded_however_many_ask() -> None:
    throttle = Throttle(Limits(counters=50, known_pairs=5))
    for n in range(500):
        throttle.admit(f"s{n}", f"10.0.{n // 250}.{n % 250}", 0.0)
        throttle.succeeded(f"k{n}", HERE)
    assert throttle.counters() <= 50
    assert len(throttle._known) == 5


def test_a_lock_shorter_than_the_window_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        Limits(first_lock=60.0)


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("/run/socket", "/run/socket"),
    ],
)
def test_an_ipv6_site_is_one_guesser(peer: str, network: str) -> None:
    assert network_of(peer) == network
