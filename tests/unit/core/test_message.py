"""Fields are found where they stand; what two readers may read in two ways is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import reply
from core.address import Mailbox
from core.message import (
    MAX_FIELDS,
    MAX_HEADER,
    HeaderMalformed,
    Message,
    check_header,
    decode_charset,
    decode_words,
    filter_header,
    message_id_of,
    originators_of,
    raw_fields,
    unfold,
)

DOCTOR = Mailbox.parse("anne.test-rivage@ch-rivage.mssante.example")
FROM = b"From: Anne <anne.test-rivage@ch-rivage.mssante.example>\r\n"
LETTER = (
    b"Received: from a\r\n\tby b;\r\n  Fri, 14 Nov 2025 09:12:00 +0100\r\n" + FROM + b"SUBJECT:\r\n x\r\n"
    b"\r\nFrom: body@cabinet.mssante.example\r\n\r\nend\r\n"
)


def test_fields_know_their_octets() -> None:
    message = Message(LETTER)
    assert [field.name for field in message.fields] == [b"received", b"from", b"subject"]
    assert b"".join(LETTER[field.start : field.end] for field in message.fields) + b"\r\n" == message.header
    assert message.header + message.body == LETTER
    assert message.body_start == message.header_size == LETTER.index(b"\r\n\r\n") + 4
    assert message.fields[0].unfolded == b"from a\tby b;  Fri, 14 Nov 2025 09:12:00 +0100"
    assert message.all(b"Subject")[0].body == b"\r\n x\r"
    assert message.first(b"subject") == message.fields[2]
    assert message.first(b"to") is None
    assert "body" not in repr(message)


@pytest.mark.parametrize(
    ("octets", "header_size", "names"),
    [
        (b"", 0, []),
        (b"\r\nbody", 2, []),
        (b"\nbody", 1, []),
        (b"A: b", 4, [b"a"]),
        (b"A: b\r\n", 6, [b"a"]),
        (b"A: b\n\nbody\r\n\r\n", 6, [b"a"]),
        (b"A: b\r\n\nbody", 7, [b"a"]),
        (b"A : b\r\njunk\r\nB:\r\n\r\n", 19, [b"a", b"b"]),
        (b" fold of nothing\r\nA: b\r\n\r\n", 26, [b"a"]),
        (b"A: b\r\n \r\nB: c\r\n\r\n", 17, [b"a", b"b"]),
    ],
)
def test_the_header_ends_at_the_first_empty_line(octets: bytes, header_size: int, names: list[bytes]) -> None:
    message = Message(octets)
    assert message.header_size == header_size
    assert [field.name for field in message.fields] == names


def test_a_header_beyond_the_limit_is_read_up_to_its_last_whole_field() -> None:
    folded = b"B: " + b"x" * 500 + b"\r\n" + b" y\r\n" * 40_000
    octets = FROM + folded + b"C: d\r\n\r\n"
    assert [field.name for field in Message(octets).fields] == [b"from"]
    assert raw_fields(b"B: x\r\n" + b" y\r\n" * 40_000, 0, 160_006) == {}
    assert len(Message(octets).header) == len(octets)
    assert len(Message(b"A:\r\n" * (MAX_FIELDS + 5) + b"\r\n").fields) == MAX_FIELDS


def test_raw_fields_gives_the_first_of_each_name() -> None:
    assert raw_fields(b"A: 1\r\na: 2\r\nB: 3\r\n 4\r\n\r\n", 0, 24) == {b"a": b"1", b"b": b"3 4"}


@settings(deadline=None)
@given(st.lists(st.sampled_from([b"A: b", b"A", b":", b" ", b"\r\n", b"\n", b"\r", b"\x00", b"\xff"])))
def test_any_octets_are_read(pieces: list[bytes]) -> None:
    message = Message(b"".join(pieces))
    assert message.header + message.body == message.octets
    for field in message.fields:
        assert message.octets[field.start : field.end].lower().startswith(field.name)
        assert field.end <= message.header_size


# --- filter -------------------------------------------------------------------------------------------------
HEADER = b"A: 1\r\nB: 2\r\n x\r\njunk\r\na: 3\r\n\r\n"


@pytest.mark.parametrize(
    ("header", "exclude", "expected"),
    [
        (HEADER, False, b"A: 1\r\na: 3\r\n\r\n"),
        (HEADER, True, b"B: 2\r\n x\r\njunk\r\n\r\n"),
        (b"\r\n", False, b"\r\n"),
        (b"\r\n", True, b"\r\n"),
        (b"A: 1\r\n", False, b"A: 1\r\n"),
        (b"B: 1\r\n", False, b""),
        (b"junk\r\n\r\n", False, b"\r\n"),
        (b"B: 1\r\n", True, b"B: 1\r\n"),
        (b"", False, b""),
    ],
)
def test_filter_copies_fields(header: bytes, exclude: bool, expected: bytes) -> None:
    assert filter_header(header, frozenset({b"a"}), exclude=exclude) == expected


# --- what a door refuses ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "header",
    [
        FROM,
        FROM + b"\r\n",
        FROM + b"X-Empty:\r\nX:y\r\nSubject: \xc3\xa9\r\n\t \r\n\r\n",
        FROM + b"Received: a\r\nReceived: b\r\nComments: a\r\nComments: b\r\n\r\n",
        b"From: Zo\xc3\xa9 <anne.test-rivage@ch-rivage.mssante.example>\r\n\r\n",
        b"From: =?windows-1252?q?S=9Cur?= <anne.test-rivage@ch-rivage.mssante.example>\r\n\r\n",
    ],
)
def test_sound_headers_pass(header: bytes) -> None:
    assert (
        check_header(header + b"From: body\x00 : \r\r\n").from_mailboxes == (DOCTOR,)
        if header.endswith(b"\r\n\r\n")
        else check_header(header)
    )
    assert check_header(Message(header)).from_mailboxes == (DOCTOR,)


def test_the_body_is_not_looked_at() -> None:
    assert check_header(FROM + b"\r\nFrom: body\x00 :\r\r\n").from_mailboxes == (DOCTOR,)


ONCE = (
    *("Date", "From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Message-ID", "In-Reply-To", "References"),
    *("Subject", "MIME-Version", "Content-Type", "Content-Transfer-Encoding", "Content-Disposition"),
)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\r\n",
        b"To: a@cabinet.mssante.example\r\n\r\n",
        b"From :a@cabinet.mssante.example\r\n\r\n",
        b"From\t:a@cabinet.mssante.example\r\n\r\n",
        FROM + b"From : a@cabinet.mssante.example\r\n\r\n",
        b" " + FROM + b"\r\n",
        b"From anne Fri Nov 14 2025\r\n" + FROM + b"\r\n",
        FROM + b"no colon\r\n\r\n",
        FROM + b": no name\r\n\r\n",
        FROM + b"X\xc3\xa9: y\r\n\r\n",
        FROM + b"X: \x00\r\n\r\n",
        FROM + b"X: \x1b[31m\r\n\r\n",
        FROM + b"X: \x7f\r\n\r\n",
        FROM + b"X: a\rBcc: b\r\n\r\n",
        FROM + b"X: a\nBcc: b\r\n\r\n",
        FROM + b"X: a\r\n\nBody\r\n\r\n",
        b"From:\r\n\r\n",
        b"From: undisclosed:;\r\n\r\n",
        b"From: Direction: bob@evil.example;\r\n\r\n",
        FROM + b"Sender: x: bob@evil.example;\r\n\r\n",
        b"From: alice@good.example <bob@evil.example>\r\n\r\n",
        b"From: alice@good.example(<bob@evil.example>\r\n\r\n",
        # the class of "Mailsploit": the name ends for some readers at the hidden NUL or line end
        b"From: =?utf-8?b?YWxpY2VAZ29vZC5leGFtcGxlAA==?= <bob@evil.example>\r\n\r\n",
        b"From: =?utf-8?q?alice=40good.example=0A?= <bob@evil.example>\r\n\r\n",
        FROM + b"Sender: a@b.example, c@b.example\r\n\r\n",
        FROM + b"Sender: a@b.example <c@b.example>\r\n\r\n",
        FROM + b"Reply-To: <a@b.example\r\n\r\n",
    ],
    ids=lambda header: ascii(header[-48:]),
)
def test_what_two_readers_may_read_in_two_ways_is_refused(header: bytes) -> None:
    with pytest.raises(HeaderMalformed) as refused:
        check_header(header)
    assert refused.value.reply is reply.MALFORMED
    assert "evil" not in str(refused.value)


@pytest.mark.parametrize("name", ONCE)
def test_fields_that_stand_once_stand_once(name: str) -> None:
    line = FROM if name == "From" else f"{name}: a@b.example\r\n".encode()
    rest = b"" if name == "From" else FROM
    check_header(rest + line + b"\r\n")
    with pytest.raises(HeaderMalformed):
        check_header(rest + line + line.swapcase() + b"\r\n")


def test_a_header_may_not_be_too_big() -> None:
    filler = b"X: " + b"y" * 995 + b"\r\n"
    fits = FROM + filler * ((MAX_HEADER - len(FROM) - 2) // len(filler)) + b"\r\n"
    check_header(fits + b"body" * 100_000)
    for big in (FROM + filler * 103 + b"\r\n", FROM + b"A:\r\n" * MAX_FIELDS + b"\r\n"):
        with pytest.raises(HeaderMalformed) as refused:
            check_header(big)
        assert refused.value.reply is reply.HEADER_TOO_BIG


def test_originators_are_read() -> None:
    octets = (
        b"From: Anne <anne.test-rivage@ch-rivage.mssante.example>, paul.test-dune@cabinet.mssante.example\r\n"
        b"Sender: paul.test-dune@cabinet.mssante.example\r\nReply-To: x: a@b.example;, c@b.example\r\n\r\n"
    )
    found = originators_of(Message(octets))
    paul = Mailbox.parse("paul.test-dune@cabinet.mssante.example")
    assert found.from_mailboxes == (DOCTOR, paul)
    assert found.sender_field == paul
    assert found.reply_to == (Mailbox.parse("a@b.example"), Mailbox.parse("c@b.example"))
    alone = originators_of(Message(FROM))
    assert (alone.sender_field, alone.reply_to) == (None, ())


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"<01J0@ch-rivage.mssante.example>", "<01J0@ch-rivage.mssante.example>"),
        (b"\r\n <a>", "<a>"),
        (b"01J0@ch-rivage.mssante.example", ""),
        (b"<a> <b>", ""),
        (b"<\xe9>", ""),
        (b"<" + b"a" * 1000 + b">", ""),
        (b"", ""),
    ],
)
def test_a_message_id_is_one_name_in_brackets(body: bytes, expected: str) -> None:
    assert message_id_of(Message(b"Message-ID: " + body + b"\r\n\r\n")) == expected
    assert message_id_of(Message(b"\r\n")) == ""


# --- for people ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"plain", "plain"),
        (b" folded\r\n text ", "folded text"),
        ("déjà".encode(), "déjà"),
        (b"d\xe9j\xe0", "d\ufffdj\ufffd"),
        # RFC 2047 §8
        (b"(=?ISO-8859-1?Q?a?=)", "(a)"),
        (b"(=?ISO-8859-1?Q?a?= b)", "(a b)"),
        (b"(=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=)", "(ab)"),
        (b"(=?ISO-8859-1?Q?a?=\r\n    =?ISO-8859-1?Q?b?=)", "(ab)"),
        (b"(=?ISO-8859-1?Q?a_b?=)", "(a b)"),
        (b"(=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=)", "(a b)"),
        (b"=?utf-8*fr?q?=C3=A9?=", "é"),
        (b"=?UTF-8?B?w6k=?= =?utf8?b?w6k?=", "éé"),
        # a character cut between two words
        (b"=?utf-8?q?=C3?= =?utf-8?q?=A9?=", "é"),
        (b"=?windows-1252?q?=9C?=", "œ"),
        (b"=?x-unknown?q?=C3=A9?=", "é"),
        (b"=?utf-7?q?+AEA-?=", "+AEA-"),
        (b"=?punycode?q?abc-?=", "abc-"),
        (b"=?utf-8?q?a=00b=0D=0Ac?=", "a\ufffdb\ufffd\ufffdc"),
        (b"=?utf-8?q?=E2=80=AEfdp?=", "\ufffdfdp"),
        (b"=?utf-8?b?!!!!?=", ""),
        (b"=?utf-8?b?YQ?=", "a"),
        (b"=?utf-8?b?YWJjZ?=", "abc"),
        (b"=?utf-8?q?unfinished", "=?utf-8?q?unfinished"),
        (b"=?utf-8?x?a?=", "=?utf-8?x?a?="),
    ],
)
def test_words_are_decoded_for_people(body: bytes, expected: str) -> None:
    assert decode_words(body) == expected


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from([b"=?", b"?=", b"utf-8", b"?q?", b"?b?", b"=C3", b"w6k=", b" ", b"\xff", b"\x00"])
    )
)
def test_decoding_never_raises_and_shows_no_control(pieces: list[bytes]) -> None:
    shown = decode_words(b"".join(pieces))
    assert not any(ord(character) < 0x20 for character in shown)


def test_what_is_decoded_is_bounded() -> None:
    assert len(decode_words(b"=?utf-8?q?a?= " * 100_000)) <= 16_384
    assert decode_charset(b"\xe9", "latin1") == "é"
    assert unfold(b"\ta\r\n b\r") == b"a b"
