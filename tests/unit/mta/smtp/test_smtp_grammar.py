"""The words of SMTP: what is read, and with which reply the rest is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import reply
from core.address import Mailbox
from core.envelope import NULL_REVERSE_PATH, Notify
from core.errors import ReplyError
from mta.smtp import grammar

POSTMASTER = Mailbox.parse("postmaster@ch-rivage.mssante.example")


@pytest.mark.parametrize(
    "octets",
    [b"NOOP\n", b"NOOP\r", b"NOOP", b"", b"\n", b"NO\rOP\r\n", b"NO\nOP\r\n", b"NO\0OP\r\n", b"NOOP\r\r\n"],
)
def test_a_line_ends_with_one_crlf(octets: bytes) -> None:
    with pytest.raises(ReplyError) as caught:
        grammar.line_of(octets)
    assert caught.value.reply is reply.BARE_LINE_END


def test_a_line_is_text_without_its_trailing_blanks() -> None:
    assert grammar.line_of("NOOP é \t \r\n".encode()) == "NOOP é"
    with pytest.raises(ReplyError) as caught:
        grammar.line_of(b"NOOP \xff\r\n")
    assert caught.value.reply is reply.SYNTAX


@pytest.mark.parametrize("name", ["a", "pc_1", "mss.example", "mss.example.", "[192.0.2.1]", "[IPv6:::1]"])
def test_client_names(name: str) -> None:
    assert grammar.client_name(name) == name


@pytest.mark.parametrize("name", ["", "-a", "a-", "a b", "a..<", "[a", "[]", "[a[b]", "é", "a" * 256, "\x01"])
def test_client_names_refused(name: str) -> None:
    with pytest.raises(ReplyError):
        grammar.client_name(name)


@pytest.mark.parametrize(
    ("text", "inside", "rest"),
    [
        ("<>", "", ""),
        ("<a@b.example>", "a@b.example", ""),
        ("<a@b.example> SIZE=1  X", "a@b.example", "SIZE=1  X"),
        ('<"a>b"@b.example> X', '"a>b"@b.example', "X"),
        (r'<"a\"b"@b.example>', r'"a\"b"@b.example', ""),
    ],
)
def test_paths_are_split_from_their_parameters(text: str, inside: str, rest: str) -> None:
    assert grammar.split_path(text) == (inside, rest)


@pytest.mark.parametrize(
    "text", ["<a@b", "a@b>", "<a@b>X", "<a b@c>", "<<a@b>>", '<"a@b>', "<" + "a" * 400 + ">"]
)
def test_paths_refused(text: str) -> None:
    with pytest.raises(ReplyError) as caught:
        grammar.split_path(text)
    assert caught.value.reply is reply.SYNTAX


def test_reverse_path_may_be_null_and_forward_path_may_not() -> None:
    assert grammar.reverse_path("") is NULL_REVERSE_PATH
    with pytest.raises(ReplyError) as caught:
        grammar.forward_path("", POSTMASTER)
    assert caught.value.reply is reply.BAD_MAILBOX_SYNTAX


def test_postmaster_needs_no_domain_where_somebody_answers_for_it() -> None:
    assert grammar.forward_path("PostMaster", POSTMASTER) is POSTMASTER
    with pytest.raises(ReplyError):
        grammar.forward_path("postmaster", None)


def test_parameters_have_keywords_once() -> None:
    assert grammar.parameters("size=1 SMTPUTF8") == {"SIZE": "1", "SMTPUTF8": None}
    for text in ("A A", "a=1 A=2", "=1", "A=", "-A", "A=b=c", " ".join(f"A{i}" for i in range(17))):
        with pytest.raises(ReplyError):
            grammar.parameters(text)


@pytest.mark.parametrize(
    ("text", "decoded"), [("", ""), ("abc", "abc"), ("a+2Bb+3D", "a+b="), ("a+20b", "a b")]
)
def test_xtext(text: str, decoded: str) -> None:
    assert grammar.xtext(text) == decoded


@pytest.mark.parametrize("text", ["a+", "a+2", "a+2b", "a=b", "a b", "+0D+0A", "+00", "+7F", "+C3", "é"])
def test_xtext_never_decodes_to_anything_a_report_could_stumble_on(text: str) -> None:
    with pytest.raises(ReplyError):
        grammar.xtext(text)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=100))
def test_xtext_of_any_graphic_text_comes_back(text: str) -> None:
    encoded = "".join(c if c.isalnum() else f"+{ord(c):02X}" for c in text)
    assert grammar.xtext(encoded) == text


@pytest.mark.parametrize("value", [None, "", "x", "-1", "1.0", "٣", "1" * 21])
def test_sizes_refused(value: str | None) -> None:
    with pytest.raises(ReplyError):
        grammar.size(value)


def test_size() -> None:
    assert grammar.size("0026214400") == 26_214_400


def test_notify() -> None:
    assert grammar.notify("never") is Notify.NEVER
    assert grammar.notify("SUCCESS,delay") == Notify.SUCCESS | Notify.DELAY
    for value in (None, "", "NEVER,DELAY", "SUCCESS,", "SUCCESS,SUCCESS", "X"):
        with pytest.raises(ReplyError):
            grammar.notify(value)


def test_envelope_id_has_a_limit() -> None:
    assert grammar.envelope_id("a" * 100) == "a" * 100
    for value in (None, "a" * 101):
        with pytest.raises(ReplyError):
            grammar.envelope_id(value)


def test_original_recipient() -> None:
    assert grammar.original_recipient("rfc822;a+40b.example") == "rfc822;a@b.example"
    assert grammar.original_recipient(r"utf-8;ren\x{E9}@b.example") == r"utf-8;ren\x{E9}@b.example"
    for value in (
        None,
        "",
        "rfc822",
        "rfc822;",
        ";a",
        "a b;c",
        "rfc822;+0Aa",
        "utf-8;a\u200bb",
        "x;" + "a" * 500,
    ):
        with pytest.raises(ReplyError):
            grammar.original_recipient(value)
