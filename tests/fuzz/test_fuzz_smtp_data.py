"""Invariant: where a letter ends and what is in it does not depend on how the network cut it."""

from hypothesis import given
from hypothesis import strategies as st

from core.testing.near_valid import near_valid, splits
from mta.smtp.data import END_OF_DATA, OPENING, LetterAssembly, LineEndWatch

LETTERS = [
    b"From: a@b.example\r\n\r\nBonjour\r\n", b"\r\n", b"a\r\n..\r\n...b\r\n", b"x" * 2050 + b"\r\n",
    b"Subject: \xc3\xa9\r\n\r\n.\r\n",
]  # fmt: skip
PIECES = [
    b"\r\n.\r\n", b"\r\n.", b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\n", b"\r\n\x00.\r\n", b".", b"..", b"\r", b"\n",
    b"\r\n", b"\x00", b"\r\r\n", b"\r\n.\r", b"x" * 2047,
]  # fmt: skip


def is_clean(octets: bytes) -> bool:
    """The rule, written another way: without its CRLFs a stream holds no CR, LF or NUL."""
    return not set(octets.replace(b"\r\n", b"")) & {0, 10, 13}


@given(st.data())
def test_stray_line_ends_are_seen_whatever_the_cuts(data: st.DataObject) -> None:
    octets = data.draw(near_valid(LETTERS, PIECES))
    watch = LineEndWatch()
    seen = [watch.is_stray(part) for part in data.draw(splits(octets))]
    if octets.endswith(b"\r"):
        octets = octets[:-1]  # it may still become a CRLF
    assert any(seen) == (not is_clean(octets))


@given(st.data())
def test_a_letter_is_what_was_sent_whatever_the_cuts(data: st.DataObject) -> None:
    letter = data.draw(near_valid(LETTERS, PIECES)).replace(b"\x00", b"")
    letter = letter.replace(b"\r\n", b"\n").replace(b"\r", b"").replace(b"\n", b"\r\n")
    if letter and not letter.endswith(b"\r\n"):
        letter += b"\r\n"
    stuffed = (OPENING + letter).replace(b"\r\n.", b"\r\n..")[len(OPENING) :]
    wire = stuffed + b".\r\n"
    assert (OPENING + wire).index(END_OF_DATA) == len(OPENING + wire) - len(END_OF_DATA)
    assembly = LetterAssembly()
    for part in data.draw(splits(stuffed)):
        assembly.add(part)
    assembly.add(b".\r\n")
    assert assembly.letter() == letter
    assert assembly.size == len(letter)
    assert assembly.is_8bit == (not letter.isascii())
    assert assembly.has_long_line == any(len(line) + 2 > 2048 for line in letter.split(b"\r\n"))
