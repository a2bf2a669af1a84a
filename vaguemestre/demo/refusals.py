"""Step 2: what is refused, by exact code, with nothing stored; and the same without its defect, accepted."""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from pathlib import Path

from trust_directory.trusted_domains.reasons import Reason
from vaguemestre.demo.cast import ANNE, HOSPITAL, LABORATORY, PAUL, PAULE, STRUCTURES
from vaguemestre.demo.first_letter import mailbox_of, session_of, until
from vaguemestre.demo.mail_clients import Answer, Conversation, letter, operator_client
from vaguemestre.demo.playbill import Playbill
from vaguemestre.demo.space import Space


def play(space: Space, bill: Playbill) -> None:
    """Authors, peers, smugglers, lists."""
    _authors(space, bill)
    _peers(space, bill)
    _smugglers(space, bill)
    _lists(space, bill)


def _authors(space: Space, bill: Playbill) -> None:
    session = session_of(space, ANNE)
    outside = "quelqu.un@exterieur.example"
    honest = letter(ANNE.address, [PAUL.address], subject="refus", message_id="<auteurs.0@demo.example>")
    try:
        answer = Answer.of(session.smtp.mail(ANNE.address))
        answer = Answer.of(session.smtp.rcpt(outside))
        _refused(bill, answer, 550, "5.7.1", "a recipient outside the trust space, at RCPT")
        answer = Answer.of(session.smtp.rcpt(PAUL.address))
        _accepted(bill, answer, "the same letter to a recipient inside it, at RCPT")
        session.smtp.rset()
        answer = Answer.of(session.smtp.mail(PAUL.address))
        _refused(bill, answer, 550, "5.7.1", "a MAIL FROM that is not the authenticated box")
        session.smtp.rset()
        forged = honest.replace(ANNE.address.encode(), LABORATORY.address.encode(), 1)
        answer = session.send(ANNE.address, [PAUL.address], forged)
        _refused(bill, answer, 550, "5.7.1", "a From that is not the authenticated box")
        answer = session.send(ANNE.address, [PAUL.address], honest)
        _accepted(bill, answer, "the same letter with its own From")
    finally:
        session.close()
    _stored(space, bill, {"<auteurs.0@demo.example>": 1})


@dataclass(frozen=True, slots=True)
class _Peer:
    what: str
    certificate: Path | None
    author: str
    code: int
    enhanced: str


def _peers(space: Space, bill: Playbill) -> None:
    port = space.operators["city"].ports["relay"]
    good = space.folder / "hospital" / "keys" / "operator.pem"
    peers = (
        _Peer("a peer without certificate", None, ANNE.address, 530, "5.7.0"),
        _Peer(
            "a valid one, not listed for this domain",
            space.others / "unlisted.pem",
            ANNE.address,
            550,
            "5.7.1",
        ),
        _Peer("a revoked one", space.others / "revoked.pem", PAULE.address, 550, "5.7.1"),
        _Peer("the listed one, for a domain that is not its own", good, PAULE.address, 550, "5.7.1"),
    )
    for peer in peers:
        key = peer.certificate.with_suffix(".key") if peer.certificate else None
        conversation = Conversation(port, operator_client(space.ca, peer.certificate, key))
        answer = conversation.command(b"MAIL FROM:<%s>" % peer.author.encode())
        conversation.close()
        _refused(bill, answer, peer.code, peer.enhanced, peer.what)
    own = space.folder / "city" / "keys" / "operator.pem"
    for certificate, author, what in (
        (good, ANNE, "the hospital's own certificate for its own domain"),
        (own, PAULE, "the same name as the revoked one, not revoked"),
    ):
        conversation = Conversation(
            port, operator_client(space.ca, certificate, certificate.with_suffix(".key"))
        )
        answer = conversation.command(b"MAIL FROM:<%s>" % author.address.encode())
        conversation.close()
        _accepted(bill, answer, what)


_HEAD = (
    b"From: %s\r\nTo: %s\r\nSubject: x\r\nDate: Sat, 21 Nov 2026 10:00:00 +0100\r\n"
    b"Message-ID: <%s@demo.example>\r\n\r\n"
)


def _smugglers(space: Space, bill: Playbill) -> None:
    operator = space.operators["hospital"]
    good = space.folder / "city" / "keys" / "operator.pem"
    context = operator_client(space.ca, good, good.with_suffix(".key"))
    expected: dict[str, int] = {}
    for name, hostile in (
        ("bare LF", b"one\ntwo\r\n"),
        ("bare CR", b"one\rtwo\r\n"),
        ("NUL", b"one\x00two\r\n"),
    ):
        key = name.replace(" ", "-")
        refused = _data(operator.ports["relay"], context, f"{key}.1", hostile)
        bill.check(
            (refused.code, refused.enhanced) == (521, "5.5.2"),
            f"refused: {name} in the letter: {refused.code} {refused.enhanced}",
        )
        accepted = _data(operator.ports["relay"], context, f"{key}.2", b"one\r\ntwo\r\n")
        _accepted(bill, accepted, f"the same letter without {name}")
        expected |= {f"<{key}.1@demo.example>": 0, f"<{key}.2@demo.example>": 1}
    _empty_message(space, bill, context)
    _stored(space, bill, expected, reader_is_anne=True)


def _data(port: int, context: ssl.SSLContext, name: str, body: bytes) -> Answer:
    conversation = Conversation(port, context)
    conversation.command(b"MAIL FROM:<%s>" % PAUL.address.encode())
    conversation.command(b"RCPT TO:<%s>" % ANNE.address.encode())
    conversation.command(b"DATA")
    head = _HEAD % (PAUL.address.encode(), ANNE.address.encode(), name.encode())
    conversation.write(head + body + b".\r\n")
    answer = conversation.answer()
    conversation.close()
    return answer


def _empty_message(space: Space, bill: Playbill, context: ssl.SSLContext) -> None:
    conversation = Conversation(space.operators["hospital"].ports["relay"], context)
    conversation.command(b"MAIL FROM:<%s>" % PAUL.address.encode())
    conversation.command(b"RCPT TO:<%s>" % ANNE.address.encode())
    conversation.command(b"DATA")
    conversation.write(b".\r\nNOOP\r\nMAIL FROM:<%s>\r\nRSET\r\n" % PAUL.address.encode())
    answers = [conversation.answer() for _ in range(4)]
    after = conversation.command(b"NOOP")
    conversation.close()
    bill.check(
        answers[0].code == 554 and [a.code for a in answers[1:]] == [250, 250, 250] and after.code == 250,
        "an empty message followed by pipelined commands stays one empty message "
        f"({', '.join(str(a.code) for a in answers)})",
    )


def _lists(space: Space, bill: Playbill) -> None:
    """The list in force stays when another is unsigned, damaged, cut, old or has lost a third."""
    operator = space.operators["city"]
    good = space.trust_list.read_bytes()
    time.sleep(1.1)  # the list's date has whole seconds: the next one must be newer
    newer = space.folder / "trust" / "newer.xml"
    space.publish_list(newer)
    fresh = newer.read_bytes()
    unsigned, lost = space.folder / "trust" / "unsigned.xml", space.folder / "trust" / "lost.xml"
    space.publish_list(unsigned, signer=None)
    space.publish_list(lost, structures=STRUCTURES[:0])
    foreign = space.folder / "trust" / "foreign.xml"
    space.publish_list(foreign, signer="other-signer")
    damaged = fresh.replace(HOSPITAL.domain.encode(), b"ch-autre.mssante.example", 1)
    cut = fresh[: fresh.index(b"</ListeDomaines>") + len(b"</ListeDomaines>")]
    defects = (
        ("unsigned", unsigned.read_bytes(), Reason.UNSIGNED),
        ("signed by another name of the same authority", foreign.read_bytes(), Reason.SIGNER_NOT_PINNED),
        ("damaged", damaged, Reason.DAMAGED),
        ("cut short", cut, Reason.UNREADABLE),
    )
    lists = _Lists(space, bill, operator.config_file)
    for name, octets, reason in defects:
        lists.refuse(name, octets, reason)
    lists.accept("the newer list, whole and signed by the pinned name", fresh)
    lists.refuse("older than the one in force", good, Reason.OLDER_THAN_CURRENT)
    lists.refuse("that lost a third of its entries", lost.read_bytes(), Reason.LOST_TOO_MANY)
    lists.accept("the same, once a person has compared it", lost.read_bytes(), "--accept-losses")
    space.publish_list(space.trust_list)
    lists.accept("the whole list again", space.trust_list.read_bytes())


@dataclass(frozen=True, slots=True)
class _Lists:
    """Offers a list to an operator, as its source would."""

    space: Space
    bill: Playbill
    config: Path

    def refuse(self, name: str, octets: bytes, reason: Reason) -> None:
        """The list in force stays, and the sentence is the one of this reason."""
        before = self._in_force()
        status, said = self._offer(octets)
        told = " ".join(reason.english.split()) in " ".join(said.split())
        self.bill.check(
            status == 1 and told and self._in_force() == before,
            f"refused: a list {name}; the good one stays ({reason.english})",
        )

    def accept(self, name: str, octets: bytes, *options: str) -> None:
        """It is in force now."""
        before = self._in_force()
        status, _ = self._offer(octets, *options)
        self.bill.check(status == 0 and self._in_force() != before, f"accepted: {name}")

    def _offer(self, octets: bytes, *options: str) -> tuple[int, str]:
        offered = self.space.folder / "trust" / "offered.xml"
        offered.write_bytes(octets)
        return self.space.outcome(
            "directory", "list", "refresh", "--source", str(offered), "--config", str(self.config), *options
        )

    def _in_force(self) -> str:
        return _digest(self.space.command("directory", "list", "status", "--config", str(self.config)))


def _digest(status: str) -> str:
    return next((line for line in status.splitlines() if "SHA-256" in line), status)


def _refused(bill: Playbill, answer: Answer, code: int, enhanced: str, what: str) -> None:
    bill.check(
        answer.code == code and answer.enhanced == enhanced,
        f"refused: {what}: {answer.code} {answer.enhanced}",
    )


def _accepted(bill: Playbill, answer: Answer, what: str) -> None:
    bill.check(answer.code == 250, f"accepted: {what}: {answer.code} {answer.enhanced}")


def _stored(space: Space, bill: Playbill, expected: dict[str, int], *, reader_is_anne: bool = False) -> None:
    """Exactly these are in the box; a refused letter left nothing."""
    inbox = mailbox_of(space, ANNE if reader_is_anne else PAUL)
    try:
        wanted = {message_id for message_id, count in expected.items() if count}
        until(lambda: wanted <= set(inbox.message_ids()) or None)
        found = inbox.message_ids()
        holds = all(found.count(message_id) == count for message_id, count in expected.items())
        bill.check(holds, f"stored: {sum(expected.values())} accepted, nothing of what was refused")
    finally:
        inbox.close()
