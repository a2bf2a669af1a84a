"""Step 3: the city operator is killed twenty times while letters are under way; nothing is lost or doubled.

What it is: senders that keep a ledger of what was acknowledged, kills at named points, and a comparison of the
ledger with the mailboxes. SIGKILL comes from outside (during DATA) or, at a checkpoint, from the process itself.
"""

from __future__ import annotations

import smtplib
import ssl
import threading
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from vaguemestre.demo.cast import ANNE, PAUL, PAULE, Player
from vaguemestre.demo.first_letter import mailbox_of, session_of, until
from vaguemestre.demo.mail_clients import letter
from vaguemestre.demo.playbill import Playbill
from vaguemestre.demo.space import OperatorProcess, Space

DURING_DATA = "during DATA"
ROUNDS = (
    *(DURING_DATA,) * 5,
    *("spool.committed",) * 4,
    *("local.prepared",) * 2,
    *("local.committed",) * 2,
    *("relay.connected",) * 2,
    *("relay.data-sent",) * 2,
    *("relay.answered",) * 3,
)
SAID = {
    DURING_DATA: "during DATA",
    "spool.committed": "after the commit and before 250",
    "local.prepared": "during delivery",
    "local.committed": "during delivery",
    "relay.connected": "during relay",
    "relay.data-sent": "during relay",
    "relay.answered": "during relay",
}
DEATH_SECONDS = 20.0
SETTLE_SECONDS = 60.0


@dataclass(slots=True)
class Ledger:
    """What was sent, to whom, and whether somebody said 250."""

    sent: dict[str, Player] = field(default_factory=dict)
    acknowledged: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def post(self, space: Space, author: Player, recipient: Player, message_id: str) -> None:
        """Send one letter; a broken connection is an outcome that nobody knows."""
        with self.lock:
            self.sent[message_id] = recipient
        octets = letter(author.address, [recipient.address], subject="en route", message_id=message_id)
        try:
            session = session_of(space, author)
            answer = session.send(author.address, [recipient.address], octets)
            if answer.code == 250:
                with self.lock:
                    self.acknowledged.add(message_id)
            session.close()
        except (OSError, smtplib.SMTPException, ssl.SSLError):
            return


def play(space: Space, bill: Playbill) -> None:
    """Twenty kills, then the count."""
    city = space.operators["city"]
    ledger, kills = Ledger(), Counter[str]()
    city.stop()
    with bill.progress("killing the city operator", len(ROUNDS)) as progress:
        for number, point in enumerate(ROUNDS):
            _start(city, point)
            if _round(space, ledger, number, point):
                kills[SAID[point]] += 1
            progress.advance()
    _start(city, DURING_DATA)
    for where in dict.fromkeys(SAID.values()):
        bill.check(kills[where] >= 1, f"killed {where}: {kills[where]} times")
    bill.check(sum(kills.values()) == len(ROUNDS), f"{sum(kills.values())} kills with SIGKILL in all")
    _count(space, bill, ledger)


def _start(city: OperatorProcess, point: str) -> None:
    city.rehearse("" if point == DURING_DATA else point, 1)
    city.start()


def _round(space: Space, ledger: Ledger, number: int, point: str) -> bool:
    """Letters in both directions and inside, and the kill in the middle of them."""
    city = space.operators["city"]
    pairs = ((ANNE, PAUL), (PAUL, PAULE), (PAUL, ANNE))
    with ThreadPoolExecutor(len(pairs)) as pool:
        work: list[Future[None]] = []
        half = _half_a_letter(space, ledger, number) if point == DURING_DATA else None
        for index, (author, recipient) in enumerate(pairs):
            message_id = f"<coup-{number}.{index}@demo.example>"
            work.append(pool.submit(ledger.post, space, author, recipient, message_id))
        if half is not None:
            time.sleep(0.02 * (number + 1))  # another moment in each round
            city.kill()
            half.close()
            died = True
        else:
            died = city.wait_killed(DEATH_SECONDS)
            if not died:
                city.kill()
        wait(work)
    return died


def _half_a_letter(space: Space, ledger: Ledger, number: int) -> smtplib.SMTP:
    """A session that stands in the middle of DATA."""
    message_id = f"<moitie-{number}@demo.example>"
    ledger.sent[message_id] = PAULE
    octets = letter(PAUL.address, [PAULE.address], subject="moitié", message_id=message_id)
    smtp = session_of(space, PAUL).smtp
    smtp.mail(PAUL.address)
    smtp.rcpt(PAULE.address)
    smtp.docmd("DATA")
    smtp.send(octets[: len(octets) // 2])
    return smtp


def _count(space: Space, bill: Playbill, ledger: Ledger) -> None:
    def missing() -> set[str]:
        return {m for m in ledger.acknowledged if not found[m]}

    found: Counter[str] = Counter()

    def settled() -> bool | None:
        found.clear()
        for player in (ANNE, PAUL, PAULE):
            inbox = mailbox_of(space, player)
            found.update(inbox.message_ids())
            inbox.close()
        return True if not missing() else None

    until(settled, SETTLE_SECONDS)
    time.sleep(3.5)  # longer than a lease: what would come twice would have come by now
    settled()
    acknowledged = len(ledger.acknowledged)
    exactly_once = sum(1 for m in ledger.acknowledged if found[m] == 1)
    unknown = [m for m in ledger.sent if m not in ledger.acknowledged]
    bill.check(
        acknowledged > 0 and exactly_once == acknowledged,
        f"of {acknowledged} acknowledged letters {exactly_once} are there exactly once, {len(missing())} are lost",
    )
    stored = sum(found[m] for m in unknown)
    bill.check(
        all(found[m] <= 1 for m in unknown),
        f"of {len(unknown)} letters without an answer {stored} are there, none of them twice",
    )
