"""NOTIFY, end to end over two operators (RFC 3461 §4.1, threat A43): who is told what, and who is not."""

from __future__ import annotations

import re
import urllib.request
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime

from vaguemestre.demo.cast import ANNE, CITY_DOMAIN, PAUL, WARD
from vaguemestre.demo.first_letter import mailbox_of, session_of, until
from vaguemestre.demo.mail_clients import Answer, letter
from vaguemestre.demo.space import Space

UNKNOWN_THERE = f"personne@{CITY_DOMAIN}"


@dataclass(frozen=True, slots=True)
class Case:
    """One recipient and what its author reads: (action, status) of each report."""

    recipient: str
    notify: str
    reports: tuple[tuple[str, str], ...]


CASES = {
    "success there": Case(PAUL.address, "SUCCESS", (("delivered", "2.1.5"),)),
    "success here": Case(WARD.address, "SUCCESS", (("delivered", "2.1.5"),)),
    "success and failure": Case(PAUL.address, "SUCCESS,FAILURE", (("delivered", "2.1.5"),)),
    "failure, arrived": Case(PAUL.address, "FAILURE", ()),
    "nothing asked, arrived": Case(PAUL.address, "", ()),
    "never, arrived": Case(PAUL.address, "NEVER", ()),
    "failure, unknown": Case(UNKNOWN_THERE, "FAILURE", (("failed", "5.1.1"),)),
    "nothing asked, unknown": Case(UNKNOWN_THERE, "", (("failed", "5.1.1"),)),
    "success only, unknown": Case(UNKNOWN_THERE, "SUCCESS", ()),
    "never, unknown": Case(UNKNOWN_THERE, "NEVER", ()),
    "delay only, unknown": Case(UNKNOWN_THERE, "DELAY", ()),
}


def _send(space: Space, name: str, case: Case, ret: str = "HDRS") -> str:
    message_id = f"<{re.sub('[^a-z]+', '-', name)}@notify.demo.example>"
    octets = letter(ANNE.address, [case.recipient], subject="rapport", message_id=message_id)
    session = session_of(space, ANNE)
    session.smtp.mail(ANNE.address, [f"RET={ret}", f"ENVID={name.replace(' ', '+20').replace(',', '+2C')}"])
    options = [f"NOTIFY={case.notify}"] if case.notify else []
    answer = Answer.of(session.smtp.rcpt(case.recipient, [*options, f"ORCPT=rfc822;{case.recipient}"]))
    assert answer.code == 250, answer
    assert Answer.of(session.smtp.data(octets)).code == 250
    session.close()
    return message_id


def _reports(space: Space, message_id: str) -> list[bytes]:
    inbox = mailbox_of(space, ANNE)
    found = [
        octets
        for octets in inbox.all().values()
        if message_id.encode() in octets and b"multipart/report" in octets.split(b"\r\n\r\n", 1)[0]
    ]
    inbox.close()
    return found


def _facts(report: bytes) -> tuple[str, str]:
    action = re.search(rb"^Action: (\w+)", report, re.MULTILINE)
    status = re.search(rb"^Status: (\d\.\d\.\d)", report, re.MULTILINE)
    assert action is not None
    assert status is not None
    return action.group(1).decode(), status.group(1).decode()


def _retried_for(report: bytes) -> timedelta:
    """From the letter's arrival until we give up, as the report of delay says."""
    dates = [
        re.search(rb"^%s: (.*?)\r\n(?![ \t])" % name, report, re.MULTILINE | re.DOTALL)
        for name in (b"Arrival-Date", b"Will-Retry-Until")
    ]
    begin, end = (parsedate_to_datetime(" ".join(found[1].decode().split())) for found in dates if found)
    return end - begin


def _waiting(space: Space) -> float:
    """Letters in the spools of both operators; other tests may have left some that wait for a peer."""
    waiting = 0.0
    for name in ("hospital", "city"):
        url = f"http://127.0.0.1:{space.operators[name].ports['management']}/metrics"
        with urllib.request.urlopen(url, timeout=10) as page:
            text = page.read().decode()
        gauges = re.findall(r"^vaguemestre_spool_items(?:\{[^}]*\})? ([\d.e+]+)$", text, re.MULTILINE)
        assert gauges, text
        waiting += sum(map(float, gauges))
    return waiting


def test_the_notify_matrix(space: Space) -> None:
    before = _waiting(space)
    sent = {name: _send(space, name, case) for name, case in CASES.items()}
    wrong: dict[str, object] = {}

    def as_asked() -> bool | None:
        wrong.clear()
        for name, case in CASES.items():
            facts = tuple(_facts(report) for report in _reports(space, sent[name]))
            if facts != case.reports:
                wrong[name] = facts
        return True if not wrong else None

    assert until(as_asked, 30.0), wrong
    # What comes last comes now: nothing is under way any more, and the count is the same.
    assert until(lambda: _waiting(space) <= before or None, 30.0)
    assert as_asked(), wrong


def test_a_report_carries_what_the_author_gave_and_no_diagnosis(space: Space) -> None:
    message_id = _send(space, "with words", Case(UNKNOWN_THERE, "FAILURE", ()))
    found = until(lambda: _reports(space, message_id) or None)
    assert found is not None
    report = found[0]
    header, _, body = report.partition(b"\r\n\r\n")
    assert b"Auto-Submitted: auto-replied" in header
    assert b"Return-Path: <>" in header
    assert b"Original-Envelope-Id: with words" in body
    assert b"Original-Recipient: rfc822; " + UNKNOWN_THERE.encode() in body
    assert b"text/rfc822-headers" in body
    assert b"Voici le compte rendu" not in body
    assert len(report) < 50_000


def test_ret_full_gives_the_letter_back(space: Space) -> None:
    message_id = _send(space, "whole", Case(UNKNOWN_THERE, "FAILURE", ()), ret="FULL")
    found = until(lambda: _reports(space, message_id) or None)
    assert found is not None
    assert b"message/rfc822" in found[0]
    assert b"Voici le compte rendu" in found[0]


def test_letters_that_wait(space: Space) -> None:
    """A report of delay comes once, to who asked or said nothing; the letter arrives all the same."""
    space.operators["city"].stop()
    expected = {"DELAY": [("delayed", "4.4.1")], "": [("delayed", "4.4.1")], "NEVER": [], "FAILURE": []}
    sent = {
        notify: _send(space, f"waits {notify or 'default'}".lower(), Case(PAUL.address, notify, ()))
        for notify in expected
    }

    def told() -> dict[str, list[tuple[str, str]]]:
        return {notify: [_facts(report) for report in _reports(space, sent[notify])] for notify in expected}

    until(lambda: told() == expected or None, 15.0)
    assert told() == expected
    settings = space.operators["hospital"].configuration.spool
    assert _retried_for(_reports(space, sent["DELAY"])[0]) == timedelta(hours=settings.give_up_after_hours)
    space.operators["city"].start()
    space.operators["hospital"].stop()  # it remembers on disk whom it told, not that the peer was away
    space.operators["hospital"].start()
    inbox = mailbox_of(space, PAUL)
    arrived = until(lambda: set(sent.values()) <= set(inbox.message_ids()) or None, 60.0)
    assert arrived, "a letter did not arrive"
    found = inbox.message_ids()
    inbox.close()
    assert [found.count(message_id) for message_id in sent.values()] == [1] * len(sent)
    assert told() == expected, "a second report came"
