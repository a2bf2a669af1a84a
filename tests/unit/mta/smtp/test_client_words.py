"""The commands of the relay client and the meaning of answers, as tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import reply as replies
from core.address import Domain, Mailbox
from core.envelope import NULL_REVERSE_PATH, Envelope, ForwardPath, Notify, Return
from core.outcome import Deferred, Failed
from mta.smtp import letter as words
from mta.smtp.letter import OutgoingLetter, OutgoingRecipient

CABINET = Domain("cabinet.mssante.example")
DUNE = Mailbox("paul.test-dune", CABINET)
DOCTOR = Mailbox("anne.test-rivage", Domain("ch-rivage.mssante.example"))
ALL = {"size": "1000", "8bitmime": "", "smtputf8": "", "dsn": "", "starttls": ""}


def letter(octets: bytes = b"A: b\r\n\r\nx\r\n", **envelope: object) -> OutgoingLetter:
    values: dict[str, object] = {"reverse_path": DOCTOR, "forward_paths": (ForwardPath(DUNE),)}
    whole = Envelope(**{**values, **envelope})  # type: ignore[arg-type]
    return OutgoingLetter(
        envelope=whole,
        recipients=tuple(OutgoingRecipient(i, path) for i, path in enumerate(whole.forward_paths)),
        envelope_id="e+1=é",
        octets=octets,
    )


def test_mail_says_all_that_the_peer_understands() -> None:
    command = b" ".join(words.mail_command(letter(ret=Return.HEADERS), ALL))
    assert command == (
        b"MAIL FROM:<anne.test-rivage@ch-rivage.mssante.example> SIZE=11 BODY=7BIT"
        b" ENVID=e+2B1+3D+C3+A9 RET=HDRS"
    )


def test_mail_says_nothing_that_the_peer_does_not_understand() -> None:
    assert words.mail_command(letter(ret=Return.FULL), {}) == (
        b"MAIL",
        b"FROM:<anne.test-rivage@ch-rivage.mssante.example>",
    )


def test_the_null_reverse_path_and_utf8() -> None:
    assert words.mail_command(letter(reverse_path=NULL_REVERSE_PATH), {})[1] == b"FROM:<>"
    utf8 = letter(b"A: \xc3\xa9\r\n\r\n", forward_paths=(ForwardPath(Mailbox("rené", CABINET)),))
    command = words.mail_command(utf8, ALL)
    assert b"SMTPUTF8" in command
    assert b"BODY=8BITMIME" in command


@pytest.mark.parametrize(
    ("notify", "wanted"),
    [
        (Notify.ABSENT, ()),
        (Notify.NEVER, (b"NOTIFY=NEVER",)),
        (Notify.SUCCESS | Notify.DELAY, (b"NOTIFY=SUCCESS,DELAY",)),
        (Notify.FAILURE, (b"NOTIFY=FAILURE",)),
    ],
)
def test_notify_goes_on_as_it_came(notify: Notify, wanted: tuple[bytes, ...]) -> None:
    assert words.rcpt_command(ForwardPath(DUNE, notify), ALL)[2:] == wanted


def test_orcpt_goes_on_in_xtext() -> None:
    path = ForwardPath(DUNE, original_recipient="rfc822;a+b@cabinet.mssante.example")
    assert words.rcpt_command(path, ALL)[2:] == (b"ORCPT=rfc822;a+2Bb@cabinet.mssante.example",)
    assert words.rcpt_command(path, {})[2:] == ()


@given(st.text(max_size=40))
def test_xtext_is_one_word(text: str) -> None:
    encoded = words.xtext(text.encode("utf-8", "replace").decode("utf-8"))
    assert all(0x21 <= octet <= 0x7E and octet != 0x3D for octet in encoded)


@pytest.mark.parametrize(
    ("octets", "envelope", "extensions", "reply"),
    [
        (b"x\r\n", {}, {}, None),
        (b"x\n", {}, ALL, replies.MALFORMED),
        (b"x\ry\r\n", {}, ALL, replies.MALFORMED),
        (b"x", {}, ALL, replies.MALFORMED),
        (b"\xe9\r\n", {}, {}, replies.NEEDS_8BITMIME),
        (b"\xe9\r\n", {}, {"8bitmime": ""}, None),
        (b"x\r\n", {"smtputf8": True}, {}, replies.NEEDS_SMTPUTF8),
        (b"x\r\n", {"smtputf8": True}, {"smtputf8": ""}, None),
        (b"x\r\n" * 400, {}, {"size": "1000"}, replies.TOO_BIG_FOR_PEER),
        (b"x\r\n" * 400, {}, {"size": "0"}, None),
        (b"x\r\n" * 400, {}, {"size": ""}, None),
    ],
)
def test_what_can_never_be_sent(
    octets: bytes, envelope: dict[str, object], extensions: dict[str, str], reply: replies.Reply | None
) -> None:
    outcome = words.unable_to_send(letter(octets, **envelope), extensions)
    assert (outcome and outcome.reply) is reply


@pytest.mark.parametrize(
    ("code", "text", "at_rcpt", "kind", "status"),
    [
        (450, "4.2.1 busy", False, Deferred, "4.2.1"),
        (451, "busy", True, Deferred, ""),
        (421, "4.3.2 closing", False, Deferred, "4.3.2"),
        (550, "5.1.1 unknown", True, Failed, "5.1.1"),
        (554, "no", False, Failed, ""),
        (552, "too many recipients", True, Deferred, ""),
        (552, "5.5.3 too many recipients", True, Deferred, "5.5.3"),
        (552, "5.2.2 full", True, Failed, "5.2.2"),
        (552, "5.3.4 big", False, Failed, "5.3.4"),
        (550, "4.7.5 contradiction", False, Deferred, "4.7.5"),
        (354, "go on", False, Deferred, ""),
        (-1, "rubbish", False, Deferred, ""),
        (600, "no such class", False, Deferred, ""),
    ],
)
def test_temporary_or_permanent(code: int, text: str, at_rcpt: bool, kind: type, status: str) -> None:
    outcome = words.outcome_of((code, text), "mx", at_rcpt=at_rcpt)
    assert type(outcome) is kind
    assert outcome.answer is not None
    assert (outcome.answer.code, outcome.answer.status, outcome.answer.host) == (code, status, "mx")


@given(
    st.lists(st.sampled_from([b".", b"..", b"a", b"", b".a", b"a."]), min_size=1, max_size=8),
    st.integers(min_value=1, max_value=20),
)
def test_stuffing_is_undone_by_a_receiver(lines: list[bytes], slice_octets: int) -> None:
    octets = b"".join(line + b"\r\n" for line in lines)
    slices = list(words.stuffed(octets, slice_octets))
    assert all(len(each) <= 2 * (slice_octets + 4) for each in slices)
    sent = b"".join(slices)
    assert sent.endswith(b"\r\n.\r\n")
    received = sent.removesuffix(b".\r\n").split(b"\r\n")[:-1]
    assert b".\r\n" not in (line + b"\r\n" for line in received)  # nothing ends the letter early
    assert b"".join(line.removeprefix(b".") + b"\r\n" for line in received) == octets


def test_what_is_kept_of_an_error() -> None:
    assert words.remote_answer(OSError("gone"), "mx") is None
    error = words.RelayFailure(replies.NO_ROUTE)
    assert words.remote_answer(error, "mx") is None
