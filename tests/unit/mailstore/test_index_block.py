"""The blocks of the secret index give the very messages that reading every text gives."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.message import fold
from mailstore import index_block
from mailstore.index_block import BLOCK_MESSAGES, Block, Needle, load
from mailstore.sealing import SealBroken

ALPHABET = "abé Ωß_-9\n'œ漢"
TEXTS = st.text(ALPHABET, max_size=30).map(fold)
EVERYTHING = (1 << BLOCK_MESSAGES) - 1


def scan(letters: list[tuple[str, str]], text: str, *, with_header: bool) -> set[int]:
    """The naive search."""
    return {
        number
        for number, (header, body) in enumerate(letters)
        if text in body or (with_header and text in header)
    }


def answers(block: Block, letters: list[tuple[str, str]], text: str, *, with_header: bool) -> set[int]:
    """The block's answer, its candidates read."""
    found = block.find(Needle.of(text), with_header=with_header)
    truth = scan(letters, text, with_header=with_header)
    assert not found.sure & found.candidates
    return {
        number
        for number in range(len(letters))
        if found.sure >> number & 1 or (found.candidates >> number & 1 and number in truth)
    }


def block_of(letters: list[tuple[str, str]]) -> Block:
    block = Block(7)
    for number, (header, body) in enumerate(letters):
        block.add(7 * BLOCK_MESSAGES + number, [header], [body])
    return block


@settings(max_examples=200, deadline=None)
@given(
    letters=st.lists(st.tuples(TEXTS, TEXTS), max_size=12),
    text=st.text(ALPHABET, max_size=4).map(fold),
    with_header=st.booleans(),
    packed_after=st.integers(0, 12),
)
def test_the_same_as_reading_everything(
    letters: list[tuple[str, str]], text: str, with_header: bool, packed_after: int
) -> None:
    block = block_of(letters[:packed_after])
    block = load(block.packed(EVERYTHING).dump())
    for number, (header, body) in enumerate(letters[packed_after:], packed_after):
        block.add(7 * BLOCK_MESSAGES + number, [header], [body])
    expected = scan(letters, text, with_header=with_header)
    assert answers(block, letters, text, with_header=with_header) == expected
    again = load(block.packed(EVERYTHING).dump())
    assert answers(again, letters, text, with_header=with_header) == expected


def test_one_word_needs_no_reading_and_several_are_candidates() -> None:
    block = block_of([("", "douleur aigue"), ("", "aigue douleur"), ("", "rien")])
    assert block.find(Needle.of("oule"), with_header=False) == index_block.Found(0b11, 0)
    assert block.find(Needle.of("ouleur ai"), with_header=False) == index_block.Found(0, 0b11)
    assert block.find(Needle.of("douleu ai"), with_header=False) == index_block.Found(0, 0)
    assert block.find(Needle.of(" douleur"), with_header=False) == index_block.Found(0, 0b11)
    assert block.find(Needle.of("-"), with_header=False) == index_block.Found(0, 0b111)
    assert block.find(Needle.of(" aig douleur "), with_header=False) == index_block.Found(0, 0)
    assert block.find(Needle.of("douleur\n"), with_header=False) == index_block.Found(0, 0b11)


def test_frequent_words_become_bitmaps_and_stay_the_same() -> None:
    letters = [("", f"bonjour {number % 9}") for number in range(200)]
    block = load(block_of(letters).packed(EVERYTHING).dump())
    assert answers(block, letters, "onjou", with_header=False) == set(range(200))
    assert answers(block, letters, "8", with_header=False) == set(range(8, 200, 9))


def test_what_is_removed_leaves_no_word() -> None:
    block = block_of([("", "secret"), ("", "banal")]).packed(0b10)
    assert [word for word, _ in block.body.items()] == [b"banal"]
    assert block.covered == 0b10
    assert b"secret" not in index_block.zlib.decompress(block.dump())


def test_a_text_too_long_is_always_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_block, "MAX_TEXT", 10)
    block = block_of([("abc", "defgh"), ("abc", "defghijk")])
    assert (block.covered, block.opaque) == (0b01, 0b10)
    assert block.find(Needle.of("def"), with_header=True).sure == 0b01
    assert load(block.packed(EVERYTHING).dump()).opaque == 0b10


def test_a_full_block_takes_no_more_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_block, "MAX_BLOCK_WORDS", 8)
    block = block_of([("", "longenough"), ("", "more")])
    assert (block.covered, block.opaque) == (0b01, 0b10)


def test_a_message_may_be_refused() -> None:
    block = Block(0)
    block.refuse(5)
    assert block.is_changed
    assert block.known == block.bit(5)


@pytest.mark.parametrize("bent", [b"", b"x", index_block.zlib.compress(b"\x02" + bytes(300))])
def test_what_is_no_block_is_told(bent: bytes) -> None:
    with pytest.raises(SealBroken):
        load(bent)


def test_a_list_that_disagrees_with_itself_is_told() -> None:
    plain = bytearray(index_block.zlib.decompress(block_of([("", "mot")]).packed(EVERYTHING).dump()))
    plain[plain.index(b"mot") + 1] = ord("\n")
    with pytest.raises(SealBroken):
        load(index_block.zlib.compress(bytes(plain)))
