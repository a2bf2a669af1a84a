"""Counters: errors, connections, octets, slowness; and what a listener says of itself."""

from __future__ import annotations

import pytest

from core import reply
from mta.rooms import Listener
from mta.smtp import extensions
from mta.smtp.limits import ConnectionLimits, DataPace, ErrorBudget, OctetBudget, Patience, network_of
from mta.smtp.settings import RELAY_MESSAGE, SUBMISSION_MESSAGE, SmtpSettings

HOSTNAME = "mss.ch-rivage.mssante.example"


def settings(**changes: int) -> SmtpSettings:
    return SmtpSettings(hostname=HOSTNAME, **changes)


def test_errors_first_slow_down_and_then_close() -> None:
    budget = ErrorBudget(settings(soft_errors=1, hard_errors=3))
    answers = [budget.refused(reply.SYNTAX) for _ in range(3)]
    assert answers == [Patience.FULL, Patience.SLOW_DOWN, Patience.CLOSE]


def test_a_letter_forgives_and_a_temporary_refusal_was_our_fault() -> None:
    budget = ErrorBudget(settings(soft_errors=1, hard_errors=2))
    budget.refused(reply.SYNTAX)
    budget.letter_accepted()
    assert budget.refused(reply.SYNTAX) is Patience.FULL
    assert all(budget.refused(reply.LOCAL_ERROR) is Patience.FULL for _ in range(50))


def test_junk_becomes_an_error_after_a_while() -> None:
    budget = ErrorBudget(settings(junk_commands=3, soft_errors=0, hard_errors=2))
    assert [budget.said("NOOP") for _ in range(5)] == [Patience.FULL] * 3 + [
        Patience.SLOW_DOWN,
        Patience.CLOSE,
    ]
    assert ErrorBudget(settings(junk_commands=0)).said("MAIL") is Patience.FULL


def test_recipients_far_beyond_the_limit_are_errors() -> None:
    budget = ErrorBudget(settings(soft_errors=0, hard_errors=1))
    answers = {budget.refused(reply.TOO_MANY_RECIPIENTS) for _ in range(1000)}
    assert answers == {Patience.FULL}
    assert budget.refused(reply.TOO_MANY_RECIPIENTS) is Patience.CLOSE


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_what_counts_as_one_network(address: str, network: str) -> None:
    assert network_of(address) == network


def test_connections_of_one_network_and_of_all() -> None:
    limits = ConnectionLimits(settings(max_connections=5, max_connections_per_network=2))
    assert [limits.enter("192.0.2.1") for _ in range(3)] == [True, True, False]
    assert not limits.is_under_stress
    assert limits.enter("2001:db8::1")
    assert limits.enter("2001:db8::2")
    assert limits.is_under_stress
    assert not limits.enter("2001:db8::3")
    assert limits.enter("192.0.2.2")
    assert not limits.enter("192.0.2.3")
    limits.leave("192.0.2.1")
    assert limits.enter("192.0.2.1")


def test_octets_in_flight() -> None:
    budget = OctetBudget(10)
    assert budget.take(6)
    assert not budget.take(5)
    assert budget.take(4)
    budget.give_back(10)
    assert budget.taken == 0


def test_a_letter_has_a_pace() -> None:
    pace = DataPace(settings(), started=0.0, progressed=0.0)
    assert not pace.is_too_slow(179.0, 100_000)
    assert not pace.is_too_slow(358.0, 100_000)
    assert pace.is_too_slow(359.0, 100_000)  # nothing for 180 s
    pace = DataPace(settings(), started=0.0, progressed=0.0)
    assert not any(pace.is_too_slow(float(second), second * 499) for second in range(300))
    assert pace.is_too_slow(200_000.0, 499 * 200_000)  # 499 octets a second, for ever
    assert not DataPace(settings(), started=0.0, progressed=0.0).is_too_slow(1000.0, 500_000)


def test_a_relay_takes_what_a_submission_has_grown_to() -> None:
    relay = SmtpSettings.for_listener(Listener.RELAY, HOSTNAME)
    submission = SmtpSettings.for_listener(Listener.SUBMISSIONS, HOSTNAME)
    assert (relay.max_message_octets, submission.max_message_octets) == (RELAY_MESSAGE, SUBMISSION_MESSAGE)
    assert RELAY_MESSAGE > SUBMISSION_MESSAGE
    assert submission.max_connections_per_network > relay.max_connections_per_network


@pytest.mark.parametrize("listener", [Listener.SUBMISSION, Listener.SUBMISSIONS, Listener.SUBMISSION_APP])
def test_auth_is_offered_to_our_people_under_tls(listener: Listener) -> None:
    encrypted = extensions.keywords(listener, is_encrypted=True, max_message_octets=9)
    assert encrypted[-2:] == ("SIZE 9", "AUTH PLAIN LOGIN")
    clear = extensions.keywords(listener, is_encrypted=False, max_message_octets=9)
    assert clear[-1] == "STARTTLS"
    assert not any(keyword.startswith("AUTH") for keyword in clear)


def test_auth_is_never_offered_to_peers() -> None:
    keywords = extensions.keywords(Listener.RELAY, is_encrypted=True, max_message_octets=9)
    assert keywords == ("PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN", "SIZE 9")


def test_which_doors_speak_tls_first_and_which_ask_for_a_certificate() -> None:
    assert [door for door in Listener if extensions.is_implicit_tls(door)] == [
        Listener.SUBMISSIONS,
        Listener.SUBMISSION_APP,
    ]
    assert [door for door in Listener if extensions.asks_client_certificate(door)] == [
        Listener.SUBMISSION_APP,
        Listener.RELAY,
    ]


def test_the_wire_form_of_hello() -> None:
    assert extensions.extended_hello("a.example", ("X", "Y 1")) == b"250-a.example\r\n250-X\r\n250 Y 1\r\n"
    assert extensions.extended_hello("a.example", ()) == b"250 a.example\r\n"
    assert extensions.hello("a.example") == b"250 a.example\r\n"
    assert extensions.greeting("a.example") == b"220 a.example Vaguemestre ESMTP\r\n"
