"""One operator on PostgreSQL, whole: boxes, submission, IMAP, relay in both directions, reports, audit."""

from __future__ import annotations

import imaplib
import secrets
import smtplib
from collections.abc import Callable

import pytest

from core.testing.postgresql import PostgresqlServer
from vaguemestre.demo.cast import ANNE
from vaguemestre.demo.first_letter import mailbox_of, session_of, until
from vaguemestre.demo.mail_clients import Mailbox, Submission, letter
from vaguemestre.demo.space import OperatorProcess, Space

Command = Callable[..., str]
AUTHOR = "secretariat@autre.mssante.example"
READER = "accueil@autre.mssante.example"


@pytest.fixture(scope="module")
def boxes(other: OperatorProcess, command: Command) -> dict[str, str]:
    """Two boxes on PostgreSQL: address → password."""
    made = {AUTHOR: secrets.token_hex(12), READER: secrets.token_hex(12)}
    for address, password in made.items():
        command(
            "bal", "create", address, "--kind", "ORG", "--name", "Structure", "--password-stdin",
            "--config", str(other.config_file), secret=password + "\n",
        )  # fmt: skip
    return made


def _arrives(inbox: Mailbox, message_id: str) -> bytes:
    found = until(lambda: inbox.with_id(message_id))
    assert found is not None, message_id
    assert inbox.message_ids().count(message_id) == 1
    inbox.close()
    return found


def _inbox(space: Space, other: OperatorProcess, boxes: dict[str, str], address: str) -> Mailbox:
    return Mailbox(other.ports["imaps"], space.ca, address, boxes[address])


def _letter(author: str, recipient: str, name: str) -> bytes:
    return letter(author, [recipient], subject="été", message_id=f"<{name}@demo.example>", pdf_name="é.pdf")


def test_an_operator_on_postgresql(
    space: Space, other: OperatorProcess, boxes: dict[str, str], command: Command
) -> None:
    other.start()
    config = str(other.config_file)
    session = Submission(other.ports["submissions"], space.ca, AUTHOR, boxes[AUTHOR])
    for name, recipient in (("pg-ici", READER), ("pg-la", ANNE.address)):
        octets = _letter(AUTHOR, recipient, name)
        assert session.send(AUTHOR, [recipient], octets).code == 250
        inbox = _inbox(space, other, boxes, READER) if name == "pg-ici" else mailbox_of(space, ANNE)
        assert _arrives(inbox, f"<{name}@demo.example>").endswith(octets)
    back = session_of(space, ANNE)
    octets = _letter(ANNE.address, READER, "pg-retour")
    assert back.send(ANNE.address, [READER], octets).code == 250
    assert _arrives(_inbox(space, other, boxes, READER), "<pg-retour@demo.example>").endswith(octets)
    unknown = _letter(ANNE.address, "personne@autre.mssante.example", "pg-inconnu")
    assert back.send(ANNE.address, ["personne@autre.mssante.example"], unknown).code == 250
    back.close()
    session.close()
    assert b"Status: 5.1.1" in _report(space, b"<pg-inconnu@demo.example>")
    assert "spooled" in command("trace", "<pg-retour@demo.example>", "--config", config)
    assert "whole" in command("audit", "verify", "--config", config).lower()


def _report(space: Space, message_id: bytes) -> bytes:
    inbox = mailbox_of(space, ANNE)

    def found() -> bytes | None:
        reports = [octets for octets in inbox.all().values() if b"multipart/report" in octets]
        return next((octets for octets in reports if message_id in octets), None)

    report = until(found)
    inbox.close()
    assert report is not None
    return report


def test_a_box_is_suspended_by_another_process(
    space: Space, other: OperatorProcess, boxes: dict[str, str], command: Command
) -> None:
    other.start()
    config = str(other.config_file)
    session = Submission(other.ports["submissions"], space.ca, AUTHOR, boxes[AUTHOR])

    def code() -> int:
        session.smtp.mail(AUTHOR)
        answer = session.smtp.rcpt(READER)
        session.smtp.rset()
        return answer[0]

    assert code() == 250
    command("bal", "suspend", READER, "--config", config)
    assert until(lambda: code() == 550 or None, 6.0)
    command("bal", "reopen", READER, "--config", config)
    assert until(lambda: code() == 250 or None, 6.0)
    session.close()


def test_a_killed_operator_keeps_what_it_acknowledged(
    space: Space, other: OperatorProcess, boxes: dict[str, str]
) -> None:
    other.start()
    session = Submission(other.ports["submissions"], space.ca, AUTHOR, boxes[AUTHOR])
    names = [f"pg-tue-{number}" for number in range(5)]
    for name in names:
        assert session.send(AUTHOR, [READER], _letter(AUTHOR, READER, name)).code == 250
    other.kill()
    session.smtp.close()
    other.start()
    inbox = _inbox(space, other, boxes, READER)
    expected = {f"<{name}@demo.example>" for name in names}
    assert until(lambda: set(inbox.message_ids()) >= expected or None)
    found = inbox.message_ids()
    inbox.close()
    assert [found.count(message_id) for message_id in expected] == [1] * len(expected)


def test_the_database_goes_and_comes_back(
    space: Space, other: OperatorProcess, boxes: dict[str, str], postgresql: PostgresqlServer
) -> None:
    """While it is away nothing is acknowledged; when it is back, the same process works on."""
    other.start()
    session = Submission(other.ports["submissions"], space.ca, AUTHOR, boxes[AUTHOR])
    assert session.send(AUTHOR, [READER], _letter(AUTHOR, READER, "pg-avant")).code == 250
    pid = other.pid
    postgresql.kill()
    answer = session.send(AUTHOR, [READER], _letter(AUTHOR, READER, "pg-pendant"))
    assert answer.code in (421, 451), answer
    session.close()
    postgresql.start()

    def accepted() -> bool | None:
        again = Submission(other.ports["submissions"], space.ca, AUTHOR, boxes[AUTHOR])
        taken = again.send(AUTHOR, [READER], _letter(AUTHOR, READER, "pg-apres")).code == 250
        again.close()
        return taken or None

    def tried() -> bool | None:
        try:
            return accepted()
        except (smtplib.SMTPException, OSError):  # while the connections are made anew
            return None

    assert until(tried)
    assert other.pid == pid

    def read() -> list[str] | None:
        try:
            inbox = _inbox(space, other, boxes, READER)
            found = inbox.message_ids()
            inbox.close()
        except (imaplib.IMAP4.error, OSError):
            return None
        return found if {"<pg-avant@demo.example>", "<pg-apres@demo.example>"} <= set(found) else None

    found = until(read)
    assert found is not None
    assert found.count("<pg-avant@demo.example>") == 1
    assert found.count("<pg-pendant@demo.example>") <= 1
