"""Guessing passwords at a real door: a lock, the same words for everybody, and the holder is not locked out."""

from __future__ import annotations

import base64
import smtplib
from collections.abc import Callable, Iterator

import pytest

from vaguemestre.demo.cast import ANNE, EHPAD, HOSPITAL_DOMAIN
from vaguemestre.demo.mail_clients import Answer, trusting
from vaguemestre.demo.space import Space

GUESSES = 12  # ten are evaluated
Attempt = Callable[[str, str, str], Answer]


@pytest.fixture
def attempt(space: Space) -> Iterator[Attempt]:
    """`attempt(network, login, password)`: one AUTH PLAIN from this address of the loopback network."""
    port = space.operators["hospital"].ports["submissions"]

    def one(network: str, login: str, password: str) -> Answer:
        with smtplib.SMTP_SSL(
            "127.0.0.1", port, context=trusting(space.ca), source_address=(network, 0), timeout=30
        ) as smtp:
            smtp.ehlo()
            token = base64.b64encode(f"\0{login}\0{password}".encode()).decode()
            return Answer.of(smtp.docmd("AUTH", f"PLAIN {token}"))

    yield one
    space.operators["hospital"].stop()  # locks live in its memory; the next test starts without them


def test_guesses_are_locked_and_the_known_device_is_not(space: Space, attempt: Attempt) -> None:
    home, elsewhere = "127.0.9.1", "127.0.9.2"
    password = space.password_of(EHPAD)
    assert attempt(home, EHPAD.address, password).code == 235
    answers = [attempt(elsewhere, EHPAD.address, f"faux-{n}") for n in range(GUESSES)]
    assert [answer.code for answer in answers] == [535] * 10 + [454] * 2
    assert answers[-1].enhanced == "4.7.0"
    assert attempt(elsewhere, EHPAD.address, password).code == 454  # even the right one: nothing to learn
    assert attempt(home, EHPAD.address, password).code == 235
    assert attempt(elsewhere, ANNE.address, space.password_of(ANNE)).code == 235


def test_a_login_that_does_not_exist_is_answered_as_one_that_does(space: Space, attempt: Attempt) -> None:
    known, unknown = EHPAD.address, f"personne@{HOSPITAL_DOMAIN}"
    of_known = [str(attempt("127.0.9.3", known, f"faux-{n}")) for n in range(GUESSES)]
    of_unknown = [str(attempt("127.0.9.4", unknown, f"faux-{n}")) for n in range(GUESSES)]
    assert of_known == of_unknown
    assert of_known[0].startswith("535 5.7.8")
    assert of_known[-1].startswith("454 4.7.0")


def test_the_other_door_counts_too(space: Space, attempt: Attempt) -> None:
    """Ten guesses in all, not ten at each door."""
    import imaplib

    network = "127.0.0.1"  # imaplib cannot choose its address
    hospital = space.operators["hospital"]
    for number in range(10):
        assert attempt(network, EHPAD.address, f"faux-{number}").code == 535
    imap = imaplib.IMAP4_SSL("127.0.0.1", hospital.ports["imaps"], ssl_context=trusting(space.ca), timeout=30)
    with pytest.raises(imaplib.IMAP4.error) as refused:
        imap.login(EHPAD.address, space.password_of(EHPAD))
    assert "AUTHENTICATIONFAILED" in str(refused.value) or "UNAVAILABLE" in str(refused.value)
    imap.shutdown()
