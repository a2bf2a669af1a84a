"""Header, parameter, address and MIME bombs: each is read in bounded work, and opaque or refused.

Bound: one second of process time each, twenty times what they take; beside it the structural bounds that make
it so (parts, depth, parameters). Standard library parsers take up to 31 s for these.
"""

import contextlib
import time
from collections.abc import Callable

import pytest

from core import mime
from core.address import AddressInvalid, mailboxes_of
from core.message import HeaderMalformed, check_header, decode_words
from core.mime import MAX_DEPTH, MAX_PARTS, read_structure
from mta.imap.summary import summarise
from mta.trace import strip_foreign

MAX_SECONDS = 1.0  # of CPU, for everything that reads one letter
FROM = b"From: anne.test-rivage@ch-rivage.mssante.example\r\n"
MULTIPART = b"Content-Type: multipart/mixed; boundary="

BOMBS: dict[str, Callable[[], bytes]] = {
    "20k RFC 2231 parameters": lambda: (
        FROM + b"Content-Type: text/plain;\r\n" + b"".join(b' f*%d="x";\r\n' % n for n in range(20_000)) + b"\r\nx"
    ),
    "6k RFC 2231 parameters in a legal header": lambda: (
        FROM + b"Content-Type: text/plain;\r\n" + b"".join(b' f*%d="x";\r\n' % n for n in range(6_000)) + b"\r\nx"
    ),
    "10k addresses": lambda: (
        FROM + b"To: " + b",\r\n ".join(b"a%d@b.example" % n for n in range(10_000)) + b"\r\n\r\nx"
    ),
    "18k short addresses in a legal header": lambda: FROM + b"To: " + b"a@b, " * 18_000 + b"\r\n\r\nx",
    "5k addresses in From": lambda: b"From: " + b"a@b.example, " * 5_000 + b"\r\n\r\nx",
    "20k parts": lambda: FROM + MULTIPART + b"b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 20_000 + b"--b--\r\n",
    "20k parts with headers": lambda: (
        FROM + MULTIPART + b"b\r\n\r\n" + b"--b\r\nContent-Type: a/b; c=d\r\n\r\nx\r\n" * 20_000 + b"--b--\r\n"
    ),
    "50k References": lambda: FROM + b"References: " + b"<1@b>\r\n " * 50_000 + b"\r\n\r\nx",
    "1k nested multiparts": lambda: (
        FROM + b"".join(MULTIPART + b"b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(1_000)) + b"\r\nx"
    ),
    "1k nested multiparts around 8 MB": lambda: (
        FROM + b"".join(MULTIPART + b"b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(1_000)) + b"\n--b" * 2_000_000
    ),
    "1k nested letters around 8 MB": lambda: (
        FROM + b"Content-Type: message/rfc822\r\n\r\n" * 1_000 + b"x\r\n" * 2_600_000
    ),
    "20k nested comments in From": lambda: b"From: " + b"(" * 20_000 + b")" * 20_000 + b"a@b.example\r\n\r\nx",
    "20k nested comments in Content-Type": lambda: (
        FROM + b"Content-Type: " + b"(" * 20_000 + b")" * 20_000 + b"text/plain\r\n\r\nx"
    ),
    "100k open comments in To": lambda: FROM + b"To: " + b"(" * 100_000 + b"\r\n\r\nx",
    "50k half quotes": lambda: FROM + b"To: " + b'"\\' * 50_000 + b"\r\n\r\n",
    "40k half quotes in Content-Type": lambda: FROM + b"Content-Type: a/b; c=" + b'"\\' * 40_000 + b"\r\n\r\n",
    "100k blanks": lambda: FROM + b"To: a" + b" " * 100_000 + b"b\r\n\r\n",
    "30k folds": lambda: FROM + b"Subject: x" + b"\r\n " * 30_000 + b"\r\n\r\n",
    "25k fields": lambda: FROM + b"a:\r\n" * 25_000 + b"\r\n",
    "100k semicolons": lambda: FROM + b"Content-Type: text/plain" + b";" * 100_000 + b"\r\n\r\n",
    "25k unfinished parameters": lambda: FROM + b"Content-Type: text/plain" + b';a="' * 25_000 + b"\r\n\r\n",
    "7k encoded words": lambda: b"From: " + b"=?utf-8?q?a?= " * 7_000 + b"<a@b.example>\r\n\r\n",
    "9k unfinished encoded words": lambda: b"From: " + b"=?utf-8?q?" * 9_000 + b"<a@b.example>\r\n\r\n",
    "2M lines that are almost delimiters": lambda: FROM + MULTIPART + b"b\r\n\r\n" + b"\r\n--bb" * 2_000_000,
    "16 MB without a line end": lambda: FROM + b"x" * 16_000_000,
    "16 MB of header": lambda: FROM + b"x: y\r\n" * 2_700_000,
    "8k foreign verdicts": lambda: FROM + b"Authentication-Results: (((\r\n" * 3_000 + b"\r\n",
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_costs_less_than_a_second(name: str) -> None:
    octets = BOMBS[name]()
    start = time.process_time()
    summary = summarise(octets, 0)
    strip_foreign(octets, frozenset({"mx.ch-rivage.mssante.example"}))
    with contextlib.suppress(HeaderMalformed):
        check_header(octets)
    assert time.process_time() - start < MAX_SECONDS
    assert summary.body_structure.startswith(b"(")


def depth_of(part: mime.Part) -> int:
    inner = (*part.children, *((part.message,) if part.message else ()))
    return 1 + max((depth_of(child) for child in inner), default=0)


def test_depth_is_bounded_and_the_rest_is_opaque() -> None:
    octets = BOMBS["1k nested multiparts"]()
    part = read_structure(octets)
    assert depth_of(part) <= MAX_DEPTH + 1
    while part.children:
        part = part.children[-1]
    assert (part.media_type, part.subtype) == (b"application", b"octet-stream")
    assert part.body_end == len(octets)


def test_nested_letters_are_bounded() -> None:
    part = read_structure(FROM + b"Content-Type: message/rfc822\r\n\r\n" * 1_000 + b"x")
    assert depth_of(part) == MAX_DEPTH + 1


def test_the_parts_beyond_the_limit_are_one_opaque_part() -> None:
    octets = BOMBS["20k parts"]()
    root = read_structure(octets)
    assert MAX_PARTS - 1 <= len(root.children) <= MAX_PARTS
    rest = root.children[-1]
    assert (rest.media_type, rest.subtype) == (b"application", b"octet-stream")
    assert rest.body_end == len(octets)
    assert octets[rest.header_start :].count(b"--b\r\n") == 20_000 - len(root.children)


def test_no_letter_is_searched_more_often_than_the_limit() -> None:
    nested = BOMBS["1k nested multiparts around 8 MB"]()
    assert depth_of(read_structure(nested)) <= mime.MAX_PASSES + 3


def test_a_letter_of_false_delimiters_is_opaque() -> None:
    root = read_structure(BOMBS["2M lines that are almost delimiters"]())
    assert root.children == ()
    assert (root.media_type, root.subtype) == (b"application", b"octet-stream")


def test_a_part_with_a_giant_header_is_opaque() -> None:
    giant = b"--b\r\n" + b"X: y\r\n" * 20_000 + b"Content-Type: text/html\r\n\r\nx\r\n--b--\r\n"
    (part,) = read_structure(FROM + MULTIPART + b"b\r\n\r\n" + giant).children
    assert (part.media_type, part.subtype) == (b"application", b"octet-stream")


@pytest.mark.parametrize("body", [b"(" * 100_000, b'"' * 99_999, b"a@b.example, " * 8_000, b"a:" * 50_000])
def test_address_lists_are_refused_in_time(body: bytes) -> None:
    start = time.process_time()
    with pytest.raises(AddressInvalid):
        mailboxes_of(body)
    assert time.process_time() - start < MAX_SECONDS


def test_words_are_decoded_in_time() -> None:
    start = time.process_time()
    decode_words(b"=?iso-2022-jp?b?" + b"GyRC" * 1_000_000 + b"?=")
    assert time.process_time() - start < MAX_SECONDS
