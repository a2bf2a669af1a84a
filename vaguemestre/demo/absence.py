"""Step 4: the city operator is away; letters wait, retry, arrive; one report for a recipient unknown there."""

from __future__ import annotations

import re
import time

from vaguemestre.demo.cast import ANNE, CITY_DOMAIN, LABORATORY, NURSE, PAUL
from vaguemestre.demo.first_letter import mailbox_of, session_of, until
from vaguemestre.demo.mail_clients import Conversation, Mailbox, letter, operator_client
from vaguemestre.demo.playbill import Playbill
from vaguemestre.demo.space import Space

UNKNOWN = f"personne@{CITY_DOMAIN}"


def play(space: Space, bill: Playbill) -> None:
    """Away, back, unknown, and a report that nobody can take."""
    _away(space, bill)
    _unknown(space, bill)
    _undeliverable_report(space, bill)


def _away(space: Space, bill: Playbill) -> None:
    city, hospital = space.operators["city"], space.operators["hospital"]
    city.stop()
    message_id = "<absence@demo.example>"
    session = session_of(space, ANNE)
    octets = letter(ANNE.address, [NURSE.address], subject="visite", message_id=message_id)
    answer = session.send(ANNE.address, [NURSE.address], octets)
    session.close()
    bill.check(answer.code == 250, f"the city operator is away; the hospital still says {answer.code}")
    config = str(hospital.config_file)

    def tried() -> str | None:
        listed = space.command("queue", "list", "--config", config)
        return listed if re.search(r"PEER_UNREACHABLE", listed) else None

    bill.check(
        until(tried) is not None, "the letter waits in the hospital's spool and was tried (PEER_UNREACHABLE)"
    )
    city.rehearse("", 1)
    city.start()
    inbox = mailbox_of(space, NURSE)
    arrived = until(lambda: inbox.message_ids().count(message_id) or None)
    inbox.close()
    bill.check(arrived == 1, "the city operator is back: the letter arrived, once")


def _reports(inbox: Mailbox) -> list[bytes]:
    return [
        octets for octets in inbox.all().values() if b"multipart/report" in octets.split(b"\r\n\r\n", 1)[0]
    ]


def _unknown(space: Space, bill: Playbill) -> None:
    inbox = mailbox_of(space, ANNE)
    before = len(_reports(inbox))
    session = session_of(space, ANNE)
    octets = letter(ANNE.address, [UNKNOWN], subject="inconnu", message_id="<inconnu@demo.example>")
    answer = session.send(ANNE.address, [UNKNOWN], octets)
    session.close()
    bill.check(answer.code == 250, f"a recipient unknown there is taken by the hospital: {answer.code}")
    found = until(lambda: ((reports := _reports(inbox)) and len(reports) > before and reports) or None)
    time.sleep(1.5)  # two retries' time: a second report would be here
    reports = _reports(inbox)
    inbox.close()
    bill.check(found is not None and len(reports) == before + 1, "one report (DSN) to the author, not two")
    text = reports[-1] if reports else b""
    bill.check(
        b"Action: failed" in text and b"Status: 5.1.1" in text,
        "the report says failed, 5.1.1, unknown mailbox",
    )


def _undeliverable_report(space: Space, bill: Playbill) -> None:
    """A report whose author's box was closed meanwhile: it cannot be delivered, and no report is made of it."""
    city, hospital = space.operators["city"], space.operators["hospital"]
    before = _spooled_reports(space)
    # A letter whose author's box is closed after it was taken: its report has nowhere to go.
    session = session_of(space, LABORATORY)
    octets = letter(LABORATORY.address, [UNKNOWN], subject="rapport", message_id="<rapport@demo.example>")
    city.stop()
    answer = session.send(LABORATORY.address, [UNKNOWN], octets)
    session.close()
    space.command("bal", "close", LABORATORY.address, "--config", str(hospital.config_file))
    city.start()
    bill.check(answer.code == 250, "a letter is taken from a box that is closed before its report comes")
    ended = until(
        lambda: "Empty" in space.command("queue", "list", "--config", str(hospital.config_file)) or None
    )
    bill.check(bool(ended), "the letter failed, its report could not be delivered, the spool is empty")
    trace = space.command("trace", "<rapport@demo.example>", "--config", str(hospital.config_file))
    bill.check(trace.count("reported") == 1, "one report was made for it")
    bill.check(
        _spooled_reports(space) == before, "no report about the report: postmaster and authors got none"
    )
    good = space.folder / "city" / "keys" / "operator.pem"
    conversation = Conversation(
        hospital.ports["relay"], operator_client(space.ca, good, good.with_suffix(".key"))
    )
    conversation.command(b"MAIL FROM:<>")
    refused = conversation.command(b"RCPT TO:<%s>" % LABORATORY.address.encode())
    accepted = conversation.command(b"RCPT TO:<%s>" % ANNE.address.encode())
    conversation.close()
    bill.check(
        (refused.code, refused.enhanced, accepted.code) == (550, "5.2.1", 250),
        f"a report to the closed box is refused at the door: {refused.code} {refused.enhanced}; "
        f"to an open one it is taken: {accepted.code}",
    )


def _spooled_reports(space: Space) -> int:
    total = 0
    for player in (ANNE, PAUL):
        inbox = mailbox_of(space, player)
        total += len(_reports(inbox))
        inbox.close()
    return total
