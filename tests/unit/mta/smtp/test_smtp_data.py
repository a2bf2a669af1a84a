"""Where a letter ends, what may not be in it, and its dots."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.smtp import data

TRICKY = st.lists(
    st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"\0", b"a", b"..", b"\r\n."]), max_size=40
).map(b"".join)


def is_stray(octets: bytes) -> bool:
    """The rule in the slow way."""
    rest = octets.removesuffix(b"\r").replace(b"\r\n", b"")
    return any(octet in rest for octet in b"\r\n\0")


@given(TRICKY, st.lists(st.integers(0, 80), max_size=6))
def test_the_watch_says_the_same_however_the_stream_was_cut(octets: bytes, cuts: list[int]) -> None:
    watch, found, start = data.LineEndWatch(), False, 0
    for cut in [*sorted(cuts), len(octets)]:
        found = watch.is_stray(octets[start:cut]) or found
        start = max(start, cut)
    assert found == is_stray(octets)


@pytest.mark.parametrize("octets", [b"a\nb", b"a\rb", b"\n", b"\0", b"\r\r\n", b"\n\r", b"\r\n\n"])
def test_stray(octets: bytes) -> None:
    assert data.LineEndWatch().is_stray(octets)


def test_a_cr_at_the_end_waits_for_its_lf() -> None:
    watch = data.LineEndWatch()
    assert not watch.is_stray(b"a\r")
    assert not watch.is_stray(b"")
    assert not watch.is_stray(b"\nb\r")
    assert watch.is_stray(b"c")


@pytest.mark.parametrize(
    ("said", "letter"),
    [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"a\r\n.\r\n", b"a\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b".a\r\n...\r\nb.\r\n.\r\n", b"a\r\n..\r\nb.\r\n"),
    ],
)
def test_dots_are_taken_off(said: bytes, letter: bytes) -> None:
    assert data.letter_of(data.OPENING + said) == letter


@given(st.lists(st.sampled_from([b"", b".", b"..", b"a", b".a", b"a."]), max_size=12))
def test_stuffing_and_unstuffing_give_the_letter_back(lines: list[bytes]) -> None:
    letter = b"".join(line + b"\r\n" for line in lines)
    stuffed = b"".join((b"." if line.startswith(b".") else b"") + line + b"\r\n" for line in lines)
    assert data.letter_of(data.OPENING + stuffed + b".\r\n") == letter


@given(st.lists(st.integers(0, 12), max_size=12))
def test_long_lines_are_found_wherever_they_are(lengths: list[int]) -> None:
    letter = b"".join(b"x" * length + b"\r\n" for length in lengths)
    assert data.has_long_line(letter, 10) == any(length + 2 > 10 for length in lengths)
