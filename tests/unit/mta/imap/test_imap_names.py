"""Folder names, patterns and sequence sets, against simple oracles."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.imap import names
from mta.imap.names import NameInvalid, Pattern, decode_utf7, encode_utf7, new_name, read_name
from mta.imap.sequence import STAR, SequenceSet, compact


def test_the_examples_of_the_standard() -> None:
    # RFC 3501 §5.1.3
    wire = b"~peter/mail/&U,BTFw-/&ZeVnLIqe-"
    assert decode_utf7(wire) == "~peter/mail/台北/日本語"
    assert encode_utf7("~peter/mail/台北/日本語") == wire
    assert decode_utf7(b"A&-B") == "A&B"


@given(st.text(st.characters(blacklist_categories=("Cs",)), max_size=40))
def test_every_name_comes_back(name: str) -> None:
    wire = encode_utf7(name)
    assert wire.isascii()
    assert decode_utf7(wire) == name


@pytest.mark.parametrize(
    "wire", [b"&", b"&AOk", b"&AGE-", b"\xc3\xa9", b"&2D3-", b"a\r\nb", b"&AOk-&AOk-", b"&AA-"]
)
def test_a_second_encoding_of_a_name_is_none(wire: bytes) -> None:
    with pytest.raises(NameInvalid):
        decode_utf7(wire)


def test_inbox_has_no_case() -> None:
    assert read_name(b"iNbOx") == "INBOX"
    assert read_name(b"inbox/a") == "INBOX/a"
    assert read_name(b"inboxes") == "inboxes"
    assert read_name(b"a/") == "a"


@pytest.mark.parametrize("wire", [b"", b"/", b"x" * 256, encode_utf7("a\u202eb"), encode_utf7("a\u0000b")])
def test_names_that_cannot_be(wire: bytes) -> None:
    with pytest.raises(NameInvalid):
        read_name(wire)


@pytest.mark.parametrize(
    "wire",
    [b"a//b", b"/a", b"..", b"a/../b", b"./a", b"a*", b"a%", b" a", b"a /b", b"a\\b", b"/".join([b"a"] * 17)],
)
def test_names_that_are_not_made(wire: bytes) -> None:
    with pytest.raises(NameInvalid):
        new_name(wire)


def test_superiors() -> None:
    assert names.superiors("a/b/c") == ["a", "a/b"]
    assert names.superiors("a") == []


@settings(max_examples=300)
@given(st.text("ab/*%", max_size=9), st.text("ab/", max_size=9))
def test_patterns_mean_what_the_regular_expression_means(pattern: str, name: str) -> None:
    oracle = "".join({"*": ".*", "%": "[^/]*"}.get(c, re.escape(c)) for c in pattern)
    assert Pattern(b"", pattern.encode()).holds(name) == (re.fullmatch(oracle, name) is not None)


def test_patterns_and_inbox() -> None:
    assert Pattern(b"", b"inb%").holds("INBOX")
    assert Pattern(b"IN", b"BOX").holds("INBOX")
    assert not Pattern(b"", b"inb%/x").holds("INBOX")
    assert Pattern(b"", encode_utf7("é*")).holds("été")
    assert not Pattern(b"", b"&AOk").holds("é")


@pytest.mark.parametrize("wire", [b"x" * 2000, b"%a" * 20, b"*a" * 20])
def test_patterns_that_cost_too_much(wire: bytes) -> None:
    with pytest.raises(NameInvalid):
        Pattern(b"", wire)


_RANGES = st.lists(
    st.tuples(st.integers(1, 30) | st.just(STAR), st.integers(1, 30) | st.just(STAR)), min_size=1, max_size=6
)


def _meant(ranges: list[tuple[int, int]], largest: int) -> set[int]:
    meant: set[int] = set()
    for one, other in ranges:
        ends = sorted(largest if end == STAR else end for end in (one, other))
        meant.update(range(ends[0], ends[1] + 1))
    return meant


@given(_RANGES, st.sets(st.integers(1, 40), min_size=1, max_size=20))
def test_sets_over_uids(ranges: list[tuple[int, int]], present: set[int]) -> None:
    uids = sorted(present)
    meant = _meant(ranges, uids[-1])
    expected = [position for position, uid in enumerate(uids) if uid in meant]
    assert SequenceSet(tuple(ranges)).positions_of_uids(uids) == expected


@given(_RANGES, st.integers(0, 40))
def test_sets_over_numbers(ranges: list[tuple[int, int]], count: int) -> None:
    meant = _meant(ranges, count)
    expected = None if 0 in meant or max(meant) > count else [number - 1 for number in sorted(meant)]
    assert SequenceSet(tuple(ranges)).positions_of_numbers(count) == expected


def test_sets_over_nothing() -> None:
    assert SequenceSet(((1, STAR),)).positions_of_uids([]) == []
    assert SequenceSet(((STAR, STAR),)).positions_of_numbers(0) is None


@given(st.lists(st.integers(1, 50), unique=True))
def test_compact_names_every_number_in_its_order(numbers: list[int]) -> None:
    told: list[int] = []
    for part in compact(numbers).decode().split(",") if numbers else []:
        first, _, last = part.partition(":")
        told.extend(range(int(first), int(last or first) + 1))
    assert told == numbers


@given(st.text(min_size=1, max_size=60))
def test_a_name_is_the_same_in_both_writings(name: str) -> None:
    """RFC 6855 §3: what a client of UTF8=ACCEPT calls a folder is what others call it in modified UTF-7."""
    try:
        read = read_name(name.encode("utf-8", "surrogatepass"), utf8=True)
    except NameInvalid:
        return
    assert read_name(encode_utf7(read)) == read
    assert Pattern(b"", read.encode(), utf8=True).holds(read) or any(c in read for c in "*%")


@given(st.binary(max_size=40))
def test_any_octets_are_a_name_in_utf8_or_refused(octets: bytes) -> None:
    with contextlib.suppress(NameInvalid):
        read_name(octets, utf8=True)
    with contextlib.suppress(NameInvalid):
        Pattern(octets, octets, utf8=True).holds("INBOX")
