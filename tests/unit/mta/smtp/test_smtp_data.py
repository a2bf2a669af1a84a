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


def assembled(said: bytes, cuts: tuple[int, ...] = (), limit: int = 2048) -> data.LetterAssembly:
    assembly, start = data.LetterAssembly(limit), 0
    for cut in (*cuts, len(said)):
        assembly.add(said[start:cut])
        start = cut
    return assembly


SAID_AND_LETTER = [
    (b".\r\n", b""),
    (b"\r\n.\r\n", b"\r\n"),
    (b"a\r\n.\r\n", b"a\r\n"),
    (b"..\r\n.\r\n", b".\r\n"),
    (b".a\r\n...\r\nb.\r\n.\r\n", b"a\r\n..\r\nb.\r\n"),
]


@pytest.mark.parametrize(("said", "letter"), SAID_AND_LETTER)
def test_dots_are_taken_off_however_the_stream_was_cut(said: bytes, letter: bytes) -> None:
    places = range(len(said) + 1)
    for cuts in [(), *((a, b) for a in places for b in places if a <= b)]:
        assembly = assembled(said, cuts)
        assert (assembly.letter(), assembly.size) == (letter, len(letter))


@given(st.lists(st.sampled_from([b"", b".", b"..", b"a", b".a", b"a."]), max_size=12))
def test_stuffing_and_unstuffing_give_the_letter_back(lines: list[bytes]) -> None:
    letter = b"".join(line + b"\r\n" for line in lines)
    stuffed = b"".join((b"." if line.startswith(b".") else b"") + line + b"\r\n" for line in lines)
    assert assembled(stuffed + b".\r\n").letter() == letter


@given(st.lists(st.integers(0, 12), max_size=12), st.lists(st.integers(0, 150), max_size=4))
def test_long_lines_are_found_wherever_they_are(lengths: list[int], cuts: list[int]) -> None:
    letter = b"".join(b"x" * length + b"\r\n" for length in lengths)
    inside = tuple(sorted(min(cut, len(letter)) for cut in cuts))
    assembly = assembled(letter + b".\r\n", inside, limit=10)
    assert assembly.has_long_line == any(length + 2 > 10 for length in lengths)


def test_an_endless_line_is_found_before_its_end() -> None:
    assembly = data.LetterAssembly(10)
    for _ in range(11):
        assembly.add(b"x")
    assert assembly.has_long_line


def test_octets_outside_ascii_are_noticed() -> None:
    assert assembled("é\r\n.\r\n".encode(), (1,)).is_8bit
    assert not assembled(b"e\r\n.\r\n").is_8bit


def test_a_refused_letter_is_not_kept_but_still_measured() -> None:
    assembly = data.LetterAssembly()
    assembly.add(b"abc\r\n")
    assembly.forget()
    assembly.add(b".\r\n")
    assert (assembly.size, assembly.letter()) == (5, b"\r\n")
