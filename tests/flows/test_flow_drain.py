"""SIGTERM in the middle of work (threat F3): 421 to who waits, 250 to who was writing, exit 0, nothing lost."""

from __future__ import annotations

import smtplib
import socket
import threading
import time
from collections import Counter

from vaguemestre.demo.cast import ANNE, LABORATORY, PAUL, WARD, Player
from vaguemestre.demo.first_letter import mailbox_of, session_of, until
from vaguemestre.demo.mail_clients import Answer, letter
from vaguemestre.demo.space import Space

EXIT_SECONDS = 15.0
LETTERS_FIRST = 20  # acknowledged before the signal


class Ledger:
    """Who said what to which letter; written by several threads."""

    def __init__(self) -> None:
        self.sent: dict[str, Player] = {}
        self.acknowledged: set[str] = set()
        self.last_answers: list[Answer] = []

    def work(self, space: Space, author: Player, recipient: Player, name: str) -> None:
        """Send letters over one session until it ends."""
        session = session_of(space, author)
        try:
            for number in range(10_000):
                message_id = f"<{name}.{number}@demo.example>"
                octets = letter(author.address, [recipient.address], subject="flux", message_id=message_id)
                self.sent[message_id] = recipient
                answer = session.send(author.address, [recipient.address], octets)
                if answer.code != 250:
                    self.last_answers.append(answer)
                    return
                self.acknowledged.add(message_id)
        except (smtplib.SMTPException, OSError):
            return


def _found(space: Space) -> Counter[str]:
    found: Counter[str] = Counter()
    for player in (WARD, PAUL):
        inbox = mailbox_of(space, player)
        found.update(inbox.message_ids())
        inbox.close()
    return found


def test_sigterm_under_load(space: Space) -> None:
    hospital = space.operators["hospital"]
    ledger = Ledger()
    jobs = [(ANNE, WARD, "a"), (ANNE, PAUL, "b"), (LABORATORY, WARD, "c"), (LABORATORY, PAUL, "d")]
    workers = [
        threading.Thread(target=ledger.work, args=(space, author, recipient, f"drain-{name}"))
        for author, recipient, name in jobs
    ]
    idle, writing = session_of(space, ANNE), session_of(space, ANNE)
    octets = letter(ANNE.address, [WARD.address], subject="à moitié", message_id="<moitie@demo.example>")
    writing.smtp.mail(ANNE.address)
    writing.smtp.rcpt(WARD.address)
    writing.smtp.docmd("DATA")
    writing.smtp.send(octets[:200])
    for worker in workers:
        worker.start()
    assert until(lambda: len(ledger.acknowledged) >= LETTERS_FIRST or None)
    assert hospital.process is not None
    started = time.monotonic()
    hospital.process.terminate()
    assert Answer.of(idle.smtp.getreply()).code == 421
    writing.smtp.send(octets[200:] + b".\r\n")
    finished = Answer.of(writing.smtp.getreply())
    status = hospital.process.wait(EXIT_SECONDS + 5)
    elapsed = time.monotonic() - started
    for worker in workers:
        worker.join(30)
    assert status == 0
    assert elapsed < EXIT_SECONDS
    assert finished.code == 250
    assert all(answer.code == 421 for answer in ledger.last_answers), ledger.last_answers
    hospital.start()
    expected = ledger.acknowledged | {"<moitie@demo.example>"}
    settled = until(lambda: ((found := _found(space)).keys() >= expected and found) or None)
    assert settled is not None, "an acknowledged letter did not arrive"
    assert {message_id: settled[message_id] for message_id in expected} == dict.fromkeys(expected, 1)
    assert all(settled[message_id] <= 1 for message_id in ledger.sent)


def test_an_idle_reader_hears_bye_and_the_process_ends_at_once(space: Space) -> None:
    hospital = space.operators["hospital"]
    inbox = mailbox_of(space, WARD)
    inbox.imap.send(b"i1 IDLE\r\n")
    assert inbox.imap.readline().startswith(b"+")
    assert hospital.process is not None
    started = time.monotonic()
    hospital.process.terminate()
    assert inbox.imap.readline().startswith(b"* BYE")
    assert inbox.imap.readline() == b""
    inbox.imap.shutdown()
    assert hospital.process.wait(EXIT_SECONDS) == 0
    assert time.monotonic() - started < EXIT_SECONDS / 3


def test_nobody_who_stands_still_holds_the_process(space: Space) -> None:
    """A peer that never answers, a client that never ends its letter, a reader that reads nothing."""
    hospital = space.operators["hospital"]
    space.operators["other"].stop()  # a test before may have started it
    silent = socket.create_server(("127.0.0.1", space.operators["other"].ports["relay"]))
    peers: list[socket.socket] = []
    waiting = threading.Thread(target=lambda: peers.append(silent.accept()[0]))
    waiting.start()
    session = session_of(space, ANNE)
    to = "personne@autre.mssante.example"
    octets = letter(ANNE.address, [to], subject="x", message_id="<silence@demo.example>")
    assert session.send(ANNE.address, [to], octets).code == 250
    waiting.join(10)
    assert peers, "the relay did not connect"
    session.smtp.mail(ANNE.address)
    session.smtp.rcpt(WARD.address)
    session.smtp.docmd("DATA")
    session.smtp.send(octets[:200])
    reader = mailbox_of(space, WARD)
    assert hospital.process is not None
    started = time.monotonic()
    hospital.process.terminate()
    try:
        assert hospital.process.wait(EXIT_SECONDS + 15) == 0
        assert time.monotonic() - started < EXIT_SECONDS
    finally:
        reader.imap.shutdown()
        session.smtp.close()
        peers[0].close()
        silent.close()
