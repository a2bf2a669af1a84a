"""When a report is written, what it says, and what it never carries. Its octets are in tests/golden/dsn."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import combinations

import pytest

from core import reply
from core.address import Domain, Mailbox
from core.envelope import NULL_REVERSE_PATH, Envelope, ForwardPath, Notify, Return
from core.errors import LocalProtocolError
from core.message import Message, check_header
from core.mime import decode_body, read_structure
from core.outcome import RemoteAnswer
from mta.dsn import MAX_RETURNED, DsnAction, DsnRecipient, DsnRequest, compose, needs_8bit, should_report

AUTHOR = Mailbox.parse("anne.test-rivage@ch-rivage.mssante.example")
READER = Mailbox.parse("paul.test-dune@cabinet.mssante.example")
AT = datetime(2025, 11, 14, 8, 12, 0, tzinfo=UTC)
LETTER = b"From: anne.test-rivage@ch-rivage.mssante.example\r\nSubject: x\r\n\r\nDIAGNOSTIC\r\n"


def request(
    recipient: DsnRecipient | None = None, original: bytes = LETTER, **envelope: object
) -> DsnRequest:
    path = ForwardPath(READER)
    base = Envelope(reverse_path=AUTHOR, forward_paths=(path,))
    return DsnRequest(
        envelope=replace(base, **envelope),  # type: ignore[arg-type]  # keyword by keyword, as replace takes them
        recipients=(recipient or DsnRecipient(path=path, action=DsnAction.FAILED, reply=reply.EXPIRED),),
        original=original,
        arrival=AT,
        now=AT,
        reporting_mta=Domain.parse("mx.ch-rivage.mssante.example"),
        postmaster=Mailbox.parse("postmaster@ch-rivage.mssante.example"),
        message_id="<01J1@mx.ch-rivage.mssante.example>",
    )


def parts(report: bytes) -> list[bytes]:
    return [report[part.body_start : part.body_end] for part in read_structure(report).children]


# --- when: the 16 cells of RFC 3461 §4.1, and all combinations ----------------------------------------------
CELLS = {
    Notify.ABSENT: {DsnAction.FAILED, DsnAction.DELAYED},
    Notify.NEVER: set(),
    Notify.SUCCESS: {DsnAction.DELIVERED, DsnAction.RELAYED},
    Notify.FAILURE: {DsnAction.FAILED},
    Notify.DELAY: {DsnAction.DELAYED},
}


@pytest.mark.parametrize("action", DsnAction)
@pytest.mark.parametrize("notify", CELLS)
def test_notify_decides(notify: Notify, action: DsnAction) -> None:
    assert should_report(notify=notify, action=action, reverse_path=AUTHOR) is (action in CELLS[notify])
    assert not should_report(notify=notify, action=action, reverse_path=NULL_REVERSE_PATH)


@pytest.mark.parametrize("action", DsnAction)
def test_notify_values_add_up(action: DsnAction) -> None:
    single = (Notify.SUCCESS, Notify.FAILURE, Notify.DELAY)
    for count in (2, 3):
        for chosen in combinations(single, count):
            notify = Notify.ABSENT
            for flag in chosen:
                notify |= flag
            wanted = any(action in CELLS[flag] for flag in chosen)
            assert should_report(notify=notify, action=action, reverse_path=AUTHOR) is wanted


@pytest.mark.parametrize(
    ("auto_submitted", "expected"),
    [
        ("", True),
        ("no", True),
        ("auto-generated", True),
        ("auto-replied", False),
        (" Auto-Replied ; x=y", False),
    ],
)
def test_no_report_about_an_answer_of_a_machine(auto_submitted: str, expected: bool) -> None:
    # A laboratory's letters are auto-generated, and their failure must be told.
    assert expected is should_report(
        notify=Notify.ABSENT, action=DsnAction.FAILED, reverse_path=AUTHOR, auto_submitted=auto_submitted
    )


@pytest.mark.parametrize(
    "wrong",
    [
        request(reverse_path=NULL_REVERSE_PATH),
        replace(request(), recipients=()),
        replace(request(), postmaster=Mailbox.parse("zoé@ch-rivage.mssante.example")),
        replace(request(), message_id="<a>\r\nBcc: b"),
    ],
)
def test_reports_that_may_not_be(wrong: DsnRequest) -> None:
    with pytest.raises(LocalProtocolError):
        compose(wrong)


# --- what ---------------------------------------------------------------------------------------------------
def test_a_report_is_a_sound_letter_of_three_parts() -> None:
    report = compose(request())
    assert check_header(report).from_mailboxes == (Mailbox.parse("postmaster@ch-rivage.mssante.example"),)
    root = read_structure(report)
    assert (root.subtype, root.parameter(b"report-type")) == (b"report", b"delivery-status")
    assert [part.subtype for part in root.children] == [b"plain", b"delivery-status", b"rfc822-headers"]
    assert b"\n" not in report.replace(b"\r\n", b"")
    assert b"\r" not in report.replace(b"\r\n", b"")
    assert all(len(line) <= 998 for line in report.split(b"\r\n"))
    assert not needs_8bit(report)


def test_both_languages_tell_reason_and_advice() -> None:
    text = decode_body(parts(compose(request()))[0], b"quoted-printable", limit=10_000).decode()
    for sentence in (reply.EXPIRED.french, reply.EXPIRED.english, "Que faire", "What to do", str(READER)):
        assert sentence in text


@pytest.mark.parametrize(
    ("ret", "action", "size", "is_full"),
    [
        (Return.UNSPECIFIED, DsnAction.FAILED, 0, False),
        (Return.HEADERS, DsnAction.FAILED, 0, False),
        (Return.FULL, DsnAction.FAILED, 0, True),
        (Return.FULL, DsnAction.FAILED, MAX_RETURNED, False),
        (Return.FULL, DsnAction.DELIVERED, 0, False),
        (Return.FULL, DsnAction.DELAYED, 0, False),
    ],
)
def test_the_letter_goes_back_only_when_asked_for(
    ret: Return, action: DsnAction, size: int, is_full: bool
) -> None:
    recipient = DsnRecipient(path=ForwardPath(READER), action=action, reply=reply.EXPIRED)
    report = compose(request(recipient, LETTER + b"x" * size, ret=ret))
    assert (b"DIAGNOSTIC" in report) is is_full
    assert b"Subject: x" in parts(report)[2]
    assert len(report) < MAX_RETURNED + 10_000


def test_a_long_header_goes_back_in_whole_fields() -> None:
    long = LETTER.replace(b"Subject: x\r\n", b"X: " + b"y" * 40_000 + b"\r\nZ: " + b"z" * 40_000 + b"\r\n")
    assert parts(compose(request(original=long)))[2].endswith(b"y" * 40_000 + b"\r\n")


@pytest.mark.parametrize(
    ("action", "status", "row", "expected"),
    [
        (DsnAction.FAILED, "5.1.1", reply.PEER_REFUSED, "5.1.1"),
        (DsnAction.FAILED, "", reply.PEER_REFUSED, "5.0.0"),
        (DsnAction.FAILED, "4.2.2", reply.EXPIRED, "5.4.7"),
        (DsnAction.FAILED, "2.0.0", reply.PEER_UNREACHABLE, "5.0.0"),
        (DsnAction.FAILED, "5.1.1\r\nX: y", reply.DOMAIN_NOT_TRUSTED, "5.7.1"),
        (DsnAction.FAILED, "5.-1.1", reply.DOMAIN_NOT_TRUSTED, "5.7.1"),
        (DsnAction.FAILED, "5." + "9" * 5000 + ".1", reply.DOMAIN_NOT_TRUSTED, "5.7.1"),
        (DsnAction.DELAYED, "4.2.2", reply.PEER_DEFERRED, "4.2.2"),
        (DsnAction.DELAYED, "5.2.2", reply.HELLO, "4.0.0"),
        (DsnAction.DELIVERED, "", reply.DELIVERED, "2.1.5"),
    ],
)
def test_the_status_agrees_with_the_action(
    action: DsnAction, status: str, row: reply.Reply, expected: str
) -> None:
    answer = RemoteAnswer(550, status, "no", "mx.cabinet.mssante.example") if status else None
    recipient = DsnRecipient(path=ForwardPath(READER), action=action, reply=row, answer=answer)
    assert f"Status: {expected}\r\n".encode() in parts(compose(request(recipient)))[1]


@pytest.mark.parametrize("text", ["no\r\nFinal-Recipient: x", "é\x00\x1b[31m no", "", "x" * 5000, '("\\<>'])
def test_a_peers_text_ends_no_line(text: str) -> None:
    answer = RemoteAnswer(550, "5.1.1", text, f"mx\r\n{text}")
    recipient = DsnRecipient(
        path=ForwardPath(READER, original_recipient=f"rfc822;{text}"),
        action=DsnAction.FAILED,
        reply=reply.PEER_REFUSED,
        answer=answer,
    )
    status = parts(compose(request(recipient, envelope_id=f"a\r\n{text}")))[1]
    block = status.split(b"\r\n\r\n")[1]
    names = [found.name for found in Message(block + b"\r\n\r\n").fields]
    named = [b"original-recipient"] if text else []
    assert names == [*named, b"final-recipient", b"action", b"status", b"remote-mta", b"diagnostic-code"]
    assert status.isascii()
    assert all(0x20 <= octet <= 0x7E for octet in status.replace(b"\r\n", b""))


@pytest.mark.parametrize(
    ("original", "expected"),
    [
        ("rfc822;a@b.example", b"rfc822; a@b.example"),
        ("RFC822;zoé+x@b.example", b"utf-8; zo\\x{E9}\\x{2B}x@b.example"),
        ("utf-8;zoé@b.example", b"utf-8; zo\\x{E9}@b.example"),
        ("x400;/G=Anne/S=T/", b"x400; /G=Anne/S=T/"),
        ("a@b.example", b"rfc822; a@b.example"),
    ],
)
def test_the_original_recipient_comes_back(original: str, expected: bytes) -> None:
    recipient = DsnRecipient(
        path=ForwardPath(READER, original_recipient=original), action=DsnAction.FAILED, reply=reply.EXPIRED
    )
    assert b"Original-Recipient: " + expected + b"\r\n" in compose(request(recipient))


def test_a_peer_without_a_name_is_not_named() -> None:
    answer = RemoteAnswer(550, "", "no", "\r\n")
    recipient = DsnRecipient(
        path=ForwardPath(READER), action=DsnAction.FAILED, reply=reply.PEER_REFUSED, answer=answer
    )
    report = compose(request(recipient, envelope_id="\x00"))
    assert b"Remote-MTA" not in report
    assert b"Original-Envelope-Id" not in report
    assert b"Diagnostic-Code: smtp; 550 no\r\n" in report


def test_the_delimiter_stands_nowhere_else() -> None:
    report = compose(request())
    boundary = read_structure(report).parameter(b"boundary") or b""
    again = compose(request(original=LETTER.replace(b"Subject: x", b"Subject: --" + boundary)))
    other = read_structure(again).parameter(b"boundary") or b""
    assert other != boundary
    assert len(parts(again)) == 3
    assert compose(request()) == report


@pytest.mark.parametrize("message_id", [b"<0>", b"<" + b"a" * 500 + b">", b"broken"])
def test_the_thread_is_kept_where_it_can_be(message_id: bytes) -> None:
    report = compose(request(original=b"Message-ID: " + message_id + b"\r\n" + LETTER))
    assert (b"\r\nIn-Reply-To: <0>\r\nReferences: <0>\r\n" in report) is (message_id == b"<0>")


def test_a_letter_outside_ascii_comes_back_as_it_is() -> None:
    letter = "Subject: été\r\n\r\ncorps é\r\n".encode()
    full = compose(request(original=letter, ret=Return.FULL))
    assert needs_8bit(full)
    assert parts(full)[2] == letter
    assert [part.encoding for part in read_structure(full).children] == [
        b"quoted-printable",
        b"7bit",
        b"8bit",
    ]
