"""Step 1: a letter from the hospital's doctor to the general practitioner, by both submission doors."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TypeVar

from vaguemestre.demo.cast import ANNE, PAUL, Player
from vaguemestre.demo.mail_clients import Mailbox, Submission, letter
from vaguemestre.demo.playbill import Playbill
from vaguemestre.demo.space import Space

T = TypeVar("T")
ARRIVAL_SECONDS = 30.0  # longest that a relayed letter takes on a busy machine


def until(look: Callable[[], T | None], seconds: float = ARRIVAL_SECONDS) -> T | None:
    """Look again and again until something is there."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found is not None or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def session_of(space: Space, player: Player, door: str = "submissions") -> Submission:
    """The player's mail client, logged in."""
    operator = space.operator_of(player)
    starttls = door == "submission"
    return Submission(
        operator.ports[door], space.ca, player.address, space.password_of(player), starttls=starttls
    )


def mailbox_of(space: Space, player: Player) -> Mailbox:
    """The player's INBOX on 993."""
    operator = space.operator_of(player)
    return Mailbox(operator.ports["imaps"], space.ca, player.address, space.password_of(player))


def play(space: Space, bill: Playbill) -> None:
    """Both doors, one mailbox."""
    inbox = mailbox_of(space, PAUL)
    try:
        for door, port in (("submissions", "465"), ("submission", "587 with STARTTLS")):
            message_id = f"<premiere-lettre.{door}@{ANNE.domain}>"
            octets = letter(
                f"{ANNE.name} <{ANNE.address}>",
                [PAUL.address],
                subject="Compte rendu d'été : épreuve d'effort",
                message_id=message_id,
                pdf_name="compte-rendu-été.pdf",
            )
            session = session_of(space, ANNE, door)
            answer = session.send(ANNE.address, [PAUL.address], octets)
            session.close()
            bill.check(
                answer.code == 250 and answer.enhanced == "2.0.0",
                f"submitted on {port}: {answer.code} {answer.enhanced}, durable before this answer",
            )
            received = until(lambda wanted=message_id: inbox.with_id(wanted))  # type: ignore[misc]
            if bill.check(
                received is not None, "relayed on port 25 under mutual TLS and read by imaplib on 993"
            ):
                _compare(bill, octets, received or b"")
    finally:
        inbox.close()


def _compare(bill: Playbill, sent: bytes, received: bytes) -> None:
    bill.check(
        received.endswith(sent),
        f"the {len(sent)} octets that were submitted are all there, unchanged, behind our trace fields",
    )
    ours = received[: -len(sent)] if received.endswith(sent) else received
    verdict = re.search(rb"(?m)^X-Vaguemestre-Security: (.*(?:\r\n[ \t].*)*)", ours)
    text = re.sub(rb"\r\n[ \t]+", b" ", verdict.group(1)).decode("ascii", "replace") if verdict else "absent"
    bill.check(text.startswith("transport-only"), f"our header says what was verified: {text.strip()}")
    bill.check(
        ours.count(b"\nReceived: ") + ours.startswith(b"Received: ") == 2, "one Received field an operator"
    )
