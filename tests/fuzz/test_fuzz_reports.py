"""Invariant: whatever a peer, an author or a letter says, a report is well-formed and nobody writes a line in it."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from core import reply
from core.address import AddressInvalid, Domain, Mailbox
from core.envelope import Envelope, ForwardPath, Return
from core.mime import read_structure
from core.outcome import RemoteAnswer
from core.testing.near_valid import near_valid
from mta.dsn import DsnAction, DsnRecipient, DsnRequest, compose

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
ANNE = Mailbox.parse("anne.test-rivage@ch-rivage.mssante.example")
TEXTS = [
    b"550 5.1.1 No such user",
    b"rfc822;paul+test@cabinet.mssante.example",
    b"utf-8;zo\\x{E9}@x",
    "été".encode(),
]
PIECES = [
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\nAction: delivered", b"\r\n--", b"\x00", b"\x1b[2J",
    b"\xe2\x80\xa8", b"\xff", b"; ", b"x" * 1200, b"\t", b"\xc2\x85", b"=?utf-8?q?=0A?=",
]  # fmt: skip
LETTERS = [
    b"From: a@b.example\r\nSubject: x\r\nMessage-ID: <1@b.example>\r\n\r\nbody\r\n",
    b"Subject: \xc3\xa9\r\n\r\n", b"\r\n", b"Message-ID: <a\r\n b@c>\r\nX: " + b"y" * 3000 + b"\r\n\r\n",
]  # fmt: skip
FIELDS = {
    b"reporting-mta", b"original-envelope-id", b"arrival-date", b"original-recipient", b"final-recipient", b"action",
    b"status", b"remote-mta", b"diagnostic-code", b"last-attempt-date", b"will-retry-until",
}  # fmt: skip
words = near_valid(TEXTS, PIECES).map(lambda octets: octets.decode("utf-8", "replace"))


@given(
    said=words, host=words, status=words, envelope_id=words, original=words,
    recipient=near_valid([b"paul@cabinet.mssante.example", "zoé@x.example".encode()], PIECES),
    letter=near_valid(LETTERS, PIECES), ret=st.sampled_from(Return), action=st.sampled_from(DsnAction),
)  # fmt: skip
def test_reports(
    said: str, host: str, status: str, envelope_id: str, original: str, recipient: bytes, letter: bytes,
    ret: Return, action: DsnAction,
) -> None:  # fmt: skip
    try:
        mailbox = Mailbox.parse(recipient.decode("utf-8", "replace"))
    except AddressInvalid:
        mailbox = Mailbox.parse("paul@cabinet.mssante.example")
    path = ForwardPath(mailbox, original_recipient=original)
    envelope = Envelope(reverse_path=ANNE, forward_paths=(path,), envelope_id=envelope_id, ret=ret)
    answer = RemoteAnswer(550, status, said, host)
    told = DsnRecipient(path=path, action=action, reply=reply.PEER_REFUSED, answer=answer, last_attempt=NOW,
                        will_retry_until=NOW)  # fmt: skip
    octets = compose(
        DsnRequest(envelope=envelope, recipients=(told,), original=letter, arrival=NOW, now=NOW,
                   reporting_mta=Domain.parse("mss.ch-rivage.mssante.example"), postmaster=ANNE,
                   message_id="<s1@mss.ch-rivage.mssante.example>")
    )  # fmt: skip
    root = read_structure(octets)
    assert [len(root.children)] == [3]
    block = octets[root.children[1].body_start : root.children[1].body_end]
    assert block.isascii()
    assert set(block.replace(b"\r\n", b"")).isdisjoint({0, 10, 13, 27})
    lines = block.rstrip(b"\r\n").split(b"\r\n")
    names = [line.partition(b":")[0].lower() for line in lines if line and line[:1] not in b" \t"]
    assert set(names) <= FIELDS
    assert len(names) == len(set(names))
    assert f"Action: {action.value}".encode() in lines
    assert all(len(line) <= 998 for line in lines)  # RFC 5322 §2.1.1
