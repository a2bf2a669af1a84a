"""`vaguemestre bal …` beside a running operator: each act has its effect at the doors within seconds."""

from __future__ import annotations

import imaplib
import secrets
import smtplib
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from vaguemestre.demo.cast import ANNE, HOSPITAL_DOMAIN, WARD
from vaguemestre.demo.first_letter import session_of, until
from vaguemestre.demo.mail_clients import Answer, Mailbox, Submission, letter
from vaguemestre.demo.space import Space

Command = Callable[..., str]
EFFECT_SECONDS = 6.0  # two seconds are promised; the rest is for a busy machine


@dataclass(slots=True)
class Box:
    """A box of the hospital, made for one test."""

    space: Space
    run: Command
    address: str
    password: str

    def bal(self, verb: str, *arguments: str, secret: str = "") -> str:
        config = str(self.space.operators["hospital"].config_file)
        return self.run("bal", verb, self.address, *arguments, "--config", config, secret=secret)

    def log_in(self, password: str = "") -> Submission:
        ports = self.space.operators["hospital"].ports
        return Submission(ports["submissions"], self.space.ca, self.address, password or self.password)

    def mailbox(self) -> Mailbox:
        ports = self.space.operators["hospital"].ports
        return Mailbox(ports["imaps"], self.space.ca, self.address, self.password)

    def can_log_in(self, password: str = "") -> bool | int:
        try:
            self.log_in(password).close()
        except smtplib.SMTPAuthenticationError as refusal:
            return refusal.smtp_code
        return True


@pytest.fixture
def box(space: Space, command: Command) -> Box:
    made = Box(space, command, f"poste-{secrets.token_hex(4)}@{HOSPITAL_DOMAIN}", secrets.token_hex(12))
    made.bal(
        "create", "--kind", "ORG", "--name", "Poste de soins", "--password-stdin", secret=made.password + "\n"
    )
    return made


def _at_rcpt(space: Space, address: str) -> tuple[int, str]:
    session = session_of(space, ANNE)
    session.smtp.mail(ANNE.address)
    answer = Answer.of(session.smtp.rcpt(address))
    session.close()
    return answer.code, answer.enhanced


def _becomes(look: Callable[[], object], expected: object) -> bool:
    seen: list[object] = []

    def as_expected() -> bool | None:
        seen.append(look())
        return True if seen[-1] == expected else None

    if until(as_expected, EFFECT_SECONDS):
        return True
    raise AssertionError(f"expected {expected}, last seen {seen[-1]}")


def test_a_new_box_is_there_at_once(space: Space, box: Box) -> None:
    assert _becomes(lambda: _at_rcpt(space, box.address), (250, "2.1.5"))
    assert _becomes(box.can_log_in, True)
    assert _at_rcpt(space, f"personne@{HOSPITAL_DOMAIN}") == (550, "5.1.1")


def test_suspended_and_open_again(space: Space, box: Box) -> None:
    assert _becomes(box.can_log_in, True)
    reader = box.mailbox()
    writer = box.log_in()
    box.bal("suspend")
    assert _becomes(lambda: _at_rcpt(space, box.address), (550, "5.2.1"))
    assert _becomes(box.can_log_in, 535)
    assert _becomes(lambda: writer.smtp.mail(box.address)[0] != 250, True)
    assert _becomes(lambda: _is_alive(reader), False)
    box.bal("reopen")
    assert _becomes(lambda: _at_rcpt(space, box.address), (250, "2.1.5"))
    assert _becomes(box.can_log_in, True)


def _is_alive(reader: Mailbox) -> bool:
    try:
        return reader.imap.noop()[0] == "OK"
    except (imaplib.IMAP4.error, OSError):
        return False


def test_closed(space: Space, box: Box) -> None:
    assert _becomes(box.can_log_in, True)
    reader = box.mailbox()
    reader.imap.send(b"i1 IDLE\r\n")
    assert reader.imap.readline().startswith(b"+")
    box.bal("close")
    assert reader.imap.readline().startswith(b"* BYE")  # it said nothing, and is told all the same
    reader.imap.shutdown()
    assert _becomes(lambda: _at_rcpt(space, box.address), (550, "5.2.1"))
    assert _becomes(box.can_log_in, 535)
    config = str(space.operators["hospital"].config_file)
    with pytest.raises(Exception, match=r"closed|exists|again"):  # its address is never given away
        box.run(
            "bal", "create", box.address, "--kind", "ORG", "--name", "x", "--generate", "--config", config
        )


def test_a_delegate_sends_until_the_right_ends(space: Space, box: Box) -> None:
    assert _becomes(box.can_log_in, True)
    session = box.log_in()
    octets = letter(WARD.address, [WARD.address], subject="x", message_id=f"<delegue-{box.address}>")

    def send() -> tuple[int, str]:
        answer = session.send(WARD.address, [WARD.address], octets)
        return answer.code, answer.enhanced

    assert send() == (550, "5.7.1")
    config = str(space.operators["hospital"].config_file)
    box.run("bal", "delegate", WARD.address, "--to", box.address, "--right", "send", "--config", config)
    assert _becomes(send, (250, "2.0.0"))
    box.run("bal", "revoke", WARD.address, "--to", box.address, "--config", config)
    assert _becomes(send, (550, "5.7.1"))
    session.close()


def test_a_new_password_ends_the_old_one(box: Box) -> None:
    assert _becomes(box.can_log_in, True)
    new = secrets.token_hex(12)
    box.bal("passwd", "--password-stdin", secret=new + "\n")
    assert _becomes(lambda: box.can_log_in(new), True)
    assert _becomes(box.can_log_in, 535)
