"""ENVELOPE, BODY and BODYSTRUCTURE as a client reads them (RFC 3501 §7.4.2)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.imap.envelope import MAX_SHOWN_ADDRESSES, envelope_text, nstring
from mta.imap.summary import summarise

LETTER = (
    b"Date: Fri, 14 Nov 2025 09:12:00 +0100\r\n"
    b"From: \"TEST-RIVAGE, Anne\" <anne.test-rivage@ch-rivage.mssante.example>\r\n"
    b"To: paul.test-dune@cabinet.mssante.example\r\nCc: Paule <paule.test-dune@cabinet.mssante.example>,\r\n"
    b" x@y.example\r\nSubject: le \"bilan\"\r\nMessage-ID: <1@ch-rivage.mssante.example>\r\n"
    b"In-Reply-To: <0@cabinet.mssante.example>\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nun\r\ndeux\r\n"
)  # fmt: skip
ANNE = b'(("TEST-RIVAGE, Anne" NIL "anne.test-rivage" "ch-rivage.mssante.example"))'


def test_a_common_letter() -> None:
    summary = summarise(LETTER, 7)
    assert summary.envelope == (
        b'("Fri, 14 Nov 2025 09:12:00 +0100" "le \\"bilan\\"" ' + ANNE + b" " + ANNE + b" " + ANNE
        + b' ((NIL NIL "paul.test-dune" "cabinet.mssante.example"))'
        b' (("Paule" NIL "paule.test-dune" "cabinet.mssante.example")(NIL NIL "x" "y.example")) NIL'
        b' "<0@cabinet.mssante.example>" "<1@ch-rivage.mssante.example>")'
    )  # fmt: skip
    assert summary.body == b'("text" "plain" ("charset" "utf-8") NIL NIL "8bit" 10 2)'
    assert summary.body_structure == (
        b'("text" "plain" ("charset" "utf-8") NIL NIL "8bit" 10 2 NIL NIL NIL NIL)'
    )
    assert summary.header_size == LETTER.index(b"\r\n\r\n") + 4
    assert summary.sent_date == 1763107920


def test_a_letter_without_header() -> None:
    summary = summarise(b"\r\nbody", 7)
    assert summary.envelope == b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"
    assert summary.body == b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 4 0)'
    assert (summary.sent_date, summary.header_size) == (7, 2)


@pytest.mark.parametrize(
    ("content_type", "parameters"),
    [
        (b"text/html", b'("charset" "us-ascii")'),
        (b"text/html; format=flowed", b'("format" "flowed" "charset" "us-ascii")'),
        (b"text/html; CHARSET=utf-8", b'("charset" "utf-8")'),
        (b"text/html; charset*=utf-8''x", b'("charset*" "utf-8\'\'x")'),
    ],
)
def test_text_has_a_charset(content_type: bytes, parameters: bytes) -> None:
    summary = summarise(b"Content-Type: " + content_type + b"\r\n\r\nx", 0)
    assert summary.body == b'("text" "html" ' + parameters + b' NIL NIL "7bit" 1 0)'


def test_a_subject_folded_with_tabs_is_one_line() -> None:
    summary = summarise(b"Subject: le\r\n\tbilan\r\n  ici\r\n\r\n", 0)
    assert summary.envelope.startswith(b'(NIL "le bilan  ici" ')


def test_a_structure_with_everything() -> None:
    octets = (
        b"Content-Type: multipart/mixed; boundary=b\r\nContent-Language: fr\r\n\r\n--b\r\n\r\ntext\r\n--b\r\n"
        b"Content-Type: message/rfc822\r\nContent-Disposition: inline\r\n\r\nSubject: in\r\n\r\nx\r\n\r\n--b\r\n"
        b"Content-Type: application/pdf; name=\"a\\\"b\"\r\nContent-ID: <1>\r\nContent-Description: d\r\n"
        b"Content-Transfer-Encoding: base64\r\nContent-MD5: m\r\nContent-Location: l\r\n"
        b"Content-Language: fr, en\r\nContent-Disposition: attachment; filename=\"\xc3\xa9.pdf\"\r\n"
        b"\r\nQQ==\r\n--b--\r\n"
    )  # fmt: skip
    summary = summarise(octets, 0)
    text = b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 4 0'
    letter = b'("message" "rfc822" NIL NIL NIL "7bit" 18 (NIL "in" NIL NIL NIL NIL NIL NIL NIL NIL) '
    inner = b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 3 1'
    pdf = b'("application" "pdf" ("name" "a\\"b") "<1>" "d" "base64" 4'
    assert summary.body == b"(" + text + b")" + letter + inner + b") 3)" + pdf + b') "mixed")'
    assert summary.body_structure == (
        b"(" + text + b" NIL NIL NIL NIL)" + letter + inner + b' NIL NIL NIL NIL) 3 NIL ("inline" NIL) NIL NIL)'
        + pdf + b' "m" ("attachment" ("filename" {6}\r\n\xc3\xa9.pdf)) ("fr" "en") "l")'
        b' "mixed" ("boundary" "b") NIL ("fr") NIL)'
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, b"NIL"),
        (b"", b'""'),
        (b"a b", b'"a b"'),
        (b'a"\\b', b'"a\\"\\\\b"'),
        (b"\xc3\xa9", b"{2}\r\n\xc3\xa9"),
        (b"a\x01b", b"{3}\r\na\x01b"),
        (b"a\x00\xff", b"{2}\r\na\xff"),
        (b"x" * 1001, b"{1001}\r\n" + b"x" * 1001),
    ],
)
def test_strings(value: bytes | None, expected: bytes) -> None:
    assert nstring(value) == expected


A = b'(NIL NIL "a" "b.example")'


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (b"a@b.example", b"(" + A + b")"),
        (b"<a@b.example>", b"(" + A + b")"),
        (b"a@b.example,<a@b.example>, ", b"(" + A + A + b")"),
        (b'"" <a@b.example>', b"(" + A + b")"),
        (b"a@b.example (Anne (TEST))", b'(("Anne (TEST)" NIL "a" "b.example"))'),
        (b"Anne T <a@b.example>", b'(("Anne T" NIL "a" "b.example"))'),
        (b"Anne  T (x) <a@b.example> (y)", b'(("Anne T" NIL "a" "b.example"))'),
        (b'"T, \\"A\\"" <a@b.example>', b'(("T, \\"A\\"" NIL "a" "b.example"))'),
        (b"Zo\xc3\xa9 <a@b.example>", b'(({4}\r\nZo\xc3\xa9 NIL "a" "b.example"))'),
        (b"=?utf-8?q?Zo=C3=A9?= <a@b.example>", b'(("=?utf-8?q?Zo=C3=A9?=" NIL "a" "b.example"))'),
        # groups
        (b"undisclosed-recipients:;", b'((NIL NIL "undisclosed-recipients" NIL)(NIL NIL NIL NIL))'),
        (b"team: a@b.example;", b'((NIL NIL "team" NIL)' + A + b"(NIL NIL NIL NIL))"),
        # obsolete and broken
        (b"<@x.example,@y.example:a@b.example>", b'((NIL "@x.example,@y.example" "a" "b.example"))'),
        (b"Anne", b'((NIL NIL "Anne" "MISSING_DOMAIN"))'),
        (b"Anne <>", b'(("Anne" NIL "MISSING_MAILBOX" "MISSING_DOMAIN"))'),
        (b"<@b.example>", b'((NIL NIL "b.example" "MISSING_DOMAIN"))'),
        (b"a@b.example <c@d.example>", b'(("a@b.example" NIL "c" "d.example"))'),
        (b'"a@b"@c.example', b'((NIL NIL "a@b" "c.example"))'),
        (b'"unfinished <a@b.example>', b'((NIL NIL "unfinished <a" "b.example>"))'),
        (b"<a@b.example", b"(" + A + b")"),
        (b"(open a@b.example", b"NIL"),
        (b"a@b.example> x", b'((NIL NIL "a" "b.example> x"))'),
        (b"<a@b.example, c<d>", b'((NIL NIL "a" "b.example, c<d"))'),
        (b" ", b"NIL"),
        (b"()", b"NIL"),
    ],
)
def test_addresses_are_shown_whatever_they_are(field: bytes, expected: bytes) -> None:
    envelope = envelope_text({b"to": field})
    assert envelope == b"(NIL NIL NIL NIL NIL " + expected + b" NIL NIL NIL NIL)"


def test_sender_and_reply_to_default_to_from() -> None:
    fields = {b"from": b"a@b.example", b"sender": b"", b"reply-to": b"()"}
    assert envelope_text(fields).count(A) == 3
    fields = {b"from": b"a@b.example", b"sender": b"c@d.example"}
    assert envelope_text(fields).count(A) == 2


def test_the_addresses_that_are_shown_are_bounded() -> None:
    shown = envelope_text({b"to": b"a@b.example," * (MAX_SHOWN_ADDRESSES + 10)})
    assert shown.count(A) == MAX_SHOWN_ADDRESSES


def balanced(text: bytes) -> bool:
    """Whether an IMAP client finds its way: strings, literals and parentheses close, and nothing follows."""
    position = depth = 0
    while position < len(text):
        octet = text[position : position + 1]
        if octet == b'"':
            position += 1
            while text[position : position + 1] != b'"':
                assert text[position : position + 1] not in (b"\r", b"\n", b"")
                position += 2 if text[position : position + 1] == b"\\" else 1
        elif octet == b"{":
            end = text.index(b"}\r\n", position)
            position = end + 2 + int(text[position + 1 : end])
        depth += (octet == b"(") - (octet == b")")
        position += 1
        if depth == 0 and position < len(text):
            return False
    return depth == 0


PIECES = [
    *(b"From: ", b"To: ", b"Subject: ", b"Date: ", b"a@b", b"{3}"),
    *(b"<", b">", b"(", b")", b'"', b"\\", b",", b";", b":"),
    *(b"\r\n", b"\r\n\r\n", b" ", b"\xe9", b"\x00", b"Content-Type: multipart/mixed; boundary=b", b"--b", b"--b--"),
    *(b"Content-Type: message/rfc822", b"Content-Disposition: x; y=", b"Content-Language: "),
]  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(PIECES), max_size=40))
def test_whatever_comes_in_the_client_finds_its_way(pieces: list[bytes]) -> None:
    summary = summarise(b"".join(pieces), 0)
    assert balanced(summary.envelope)
    assert balanced(summary.body)
    assert balanced(summary.body_structure)
