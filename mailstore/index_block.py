"""The words of up to 1,024 messages of one box, so packed that a part of a word finds its messages.

What it is: pure. A `Block` holds two word lists (header, body): every different word once, and for each the set of
messages it stands in. A word is a longest run of letters, digits and underscores of the *folded* text, so a needle
that is such a run itself stands in a text exactly when it stands in one of its words: no letter is read for it.
Other needles give candidates. What it is not: sealing or tables (`mailstore.index`). Start at `Block.find`.
"""

from __future__ import annotations

import re
import struct
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mailstore.sealing import SealBroken

BLOCK_BITS = 10
BLOCK_MESSAGES = 1 << BLOCK_BITS  # ours: a block of 10 kB letters opens in about 5 ms and is written in 50
MAX_TEXT = 512 * 1024  # ours: characters of one message that are indexed; a longer one is always read
MAX_BLOCK_WORDS = 16 * 1024 * 1024  # ours: octets of different words of a block; beyond it messages are read
_BITMAP = BLOCK_MESSAGES // 8
_VERSION = 1
_HEAD = struct.Struct(f">BQ{_BITMAP}s{_BITMAP}s")
_LIST = struct.Struct(">IIQ")
_COMPRESSION = 1  # zlib: the quickest; the second costs a third more time for three hundredths of room
_WORD = re.compile(r"\w+")
_MAX_INFLATED = 8 * MAX_BLOCK_WORDS


def block_of(message_id: int) -> int:
    """The number of the block in which a message of a box stands."""
    return message_id >> BLOCK_BITS


def words_of(texts: Iterable[str], limit: int) -> tuple[set[str], int]:
    """(the different words, characters left of `limit`; below 0 when there were more) of folded texts."""
    words: set[str] = set()
    for text in texts:
        limit -= len(text)
        if limit < 0:
            break
        words.update(_WORD.findall(text))
    return words, limit


@dataclass(frozen=True, slots=True)
class Needle:
    """What is looked for: patterns over `\\nword\\nword\\n`, all of which must be found."""

    patterns: tuple[bytes, ...]
    is_exact: bool
    """Whether a message with the patterns holds the text for certain."""

    @classmethod
    def of(cls, text: str) -> Needle:
        """The needle of a folded text. Without any word in it, every message is a candidate."""
        found = list(_WORD.finditer(text))
        patterns = []
        for match in found:
            before = (
                b"\n" if match.start() > 0 else b""
            )  # something that is no word stands before: a word begins
            after = b"\n" if match.end() < len(text) else b""
            patterns.append(before + match[0].encode("utf-8", "surrogatepass") + after)
        # One word and nothing else: a line end beside it looks like the mark between words, and is none.
        is_exact = len(found) == 1 and found[0].span() == (0, len(text))
        return cls(tuple(patterns), is_exact)


class WordList:
    """Words in order, each with the messages it stands in; new ones wait beside until `merged`."""

    __slots__ = ("_ends", "_fresh", "_postings", "_starts", "_words", "fresh_octets")

    def __init__(self, words: bytes = b"\n", lengths: bytes = b"", postings: bytes = b"") -> None:
        self._words = words  # \nword\nword\n, in UTF-8
        self._starts = array("I", [match.start() for match in re.finditer(b"\n", words)])
        self._postings = postings
        self._ends = array("I")
        position = 0
        sizes = array("H", lengths)
        for size in sizes:
            position += size
            self._ends.append(position)
        if position != len(postings) or len(sizes) != len(self._starts) - 1:
            raise SealBroken("a word list does not agree with itself")
        self._fresh: dict[bytes, int] = {}
        self.fresh_octets = 0

    @property
    def octets(self) -> int:
        """About the memory it takes."""
        return len(self._words) + len(self._postings) + 8 * len(self._starts) + 3 * self.fresh_octets

    @property
    def word_octets(self) -> int:
        """Octets of its words."""
        return len(self._words) + self.fresh_octets

    def add(self, words: set[str], bit: int) -> None:
        """These words stand in the message of this bit."""
        fresh = self._fresh
        if not words:
            return
        for word in "\n".join(words).encode("utf-8", "surrogatepass").split(b"\n"):
            known = fresh.get(word)
            if known is None:
                self.fresh_octets += len(word) + 1
                known = 0
            fresh[word] = known | bit

    def find(self, pattern: bytes) -> int:
        """The messages with a word that fits, as bits."""
        found = self._find_packed(pattern)
        if self._fresh:
            bare, begins, ends = pattern.strip(b"\n"), pattern.startswith(b"\n"), pattern.endswith(b"\n")
            if begins and ends:
                return found | self._fresh.get(bare, 0)
            for word, bits in self._fresh.items():
                if (
                    bare in word
                    and (not begins or word.startswith(bare))
                    and (not ends or word.endswith(bare))
                ):
                    found |= bits
        return found

    def _find_packed(self, pattern: bytes) -> int:
        words, starts = self._words, self._starts
        found = 0
        position = words.find(pattern)
        while position >= 0:
            index = bisect_right(starts, position) - 1
            found |= self._bits(index)
            # On from the end of this word: it is counted once, however often the pattern stands in it.
            position = words.find(pattern, starts[index + 1])
        return found

    def _bits(self, index: int) -> int:
        start = self._ends[index - 1] if index else 0
        packed = self._postings[start : self._ends[index]]
        if len(packed) == _BITMAP:
            return int.from_bytes(packed, "little")
        bits = 0
        for number in array("H", packed):
            bits |= 1 << number
        return bits

    def items(self) -> Iterator[tuple[bytes, int]]:
        """Every packed word and its messages."""
        for index, word in enumerate(self._words.split(b"\n")[1:-1]):
            yield word, self._bits(index)

    def merged(self, kept: int) -> WordList:
        """All words in one packed list, of the messages of `kept` only."""
        together = dict(self.items())
        for word, bits in self._fresh.items():
            together[word] = together.get(word, 0) | bits
        words, lengths, postings = [b""], array("H"), []
        for word in sorted(together):
            bits = together[word] & kept
            if bits:
                packed = _packed(bits)
                words.append(word)
                lengths.append(len(packed))
                postings.append(packed)
        return WordList(b"\n".join(words) + b"\n", lengths.tobytes(), b"".join(postings))

    def dump(self) -> bytes:
        """The packed list as octets; only after `merged`."""
        lengths = array("H", [b - a for a, b in zip([0, *self._ends], self._ends, strict=False)]).tobytes()
        head = _LIST.pack(len(self._words), len(lengths), len(self._postings))
        return b"".join((head, self._words, lengths, self._postings))


def _packed(bits: int) -> bytes:
    """Message numbers of two octets each when they are few, else a bitmap."""
    if bits.bit_count() >= _BITMAP // 2:
        return bits.to_bytes(_BITMAP, "little")
    numbers = array("H")
    while bits:
        lowest = bits & -bits
        numbers.append(lowest.bit_length() - 1)
        bits ^= lowest
    return numbers.tobytes()


@dataclass(frozen=True, slots=True)
class Found:
    """Bits of messages of one block: `sure` hold the text, `candidates` have its words and must be read."""

    sure: int
    candidates: int


class Block:
    """See the module. `covered` are the messages it can answer for, `opaque` those that must always be read."""

    __slots__ = ("body", "covered", "header", "is_changed", "number", "opaque", "waiting")

    def __init__(self, number: int) -> None:
        self.number = number
        self.covered = 0
        self.opaque = 0
        self.header = WordList()
        self.body = WordList()
        self.waiting = 0
        """Messages added since the last `pack`."""
        self.is_changed = False

    @property
    def octets(self) -> int:
        """About the memory it takes."""
        return self.header.octets + self.body.octets

    @property
    def known(self) -> int:
        """Messages that need not be indexed (again)."""
        return self.covered | self.opaque

    def bit(self, message_id: int) -> int:
        """The bit of a message of this block."""
        return 1 << (message_id & (BLOCK_MESSAGES - 1))

    def add(self, message_id: int, header: Iterable[str], body: Iterable[str]) -> None:
        """Index one message by its folded texts; one that is too long is only remembered as such."""
        bit = self.bit(message_id)
        header_words, left = words_of(header, MAX_TEXT)
        body_words, left = words_of(body, left)
        is_full = self.header.word_octets + self.body.word_octets > MAX_BLOCK_WORDS
        self.is_changed = True
        self.waiting += 1
        if left < 0 or is_full:
            self.opaque |= bit
            return
        self.header.add(header_words, bit)
        self.body.add(body_words, bit)
        self.covered |= bit

    def refuse(self, message_id: int) -> None:
        """This message cannot be indexed: it is always read."""
        self.opaque |= self.bit(message_id)
        self.is_changed = True

    def find(self, needle: Needle, *, with_header: bool) -> Found:
        """The covered messages that hold, or may hold, the needle."""
        found = self._in(self.body, needle)
        if with_header:
            found |= self._in(self.header, needle)
        found &= self.covered
        return Found(found, 0) if needle.is_exact else Found(0, found)

    def _in(self, words: WordList, needle: Needle) -> int:
        found = self.covered
        for pattern in needle.patterns:
            if not found:
                break
            found &= words.find(pattern)
        return found

    def packed(self, existing: int) -> Block:
        """The same, packed, without a trace of the messages that are not in `existing` any more."""
        fresh = Block(self.number)
        fresh.covered = self.covered & existing
        fresh.opaque = self.opaque & existing
        fresh.header = self.header.merged(fresh.covered)
        fresh.body = self.body.merged(fresh.covered)
        return fresh

    def dump(self) -> bytes:
        """As octets; only after `packed`."""
        head = _HEAD.pack(
            _VERSION,
            self.number,
            self.covered.to_bytes(_BITMAP, "little"),
            self.opaque.to_bytes(_BITMAP, "little"),
        )
        return zlib.compress(head + self.header.dump() + self.body.dump(), _COMPRESSION)


def load(record: bytes) -> Block:
    """A block again. Raises SealBroken for a record of another version or form."""
    try:
        inflating = zlib.decompressobj()
        plain = inflating.decompress(record, _MAX_INFLATED)
        version, number, covered, opaque = _HEAD.unpack_from(plain)
        if version != _VERSION or not inflating.eof:
            raise SealBroken("a block of the index is of an unknown version")
        block = Block(number)
        block.header, position = _load_list(plain, _HEAD.size)
        block.body, position = _load_list(plain, position)
    except (zlib.error, struct.error, ValueError) as error:
        raise SealBroken("a block of the index cannot be read") from error
    block.covered = int.from_bytes(covered, "little")
    block.opaque = int.from_bytes(opaque, "little")
    return block


def _load_list(plain: bytes, position: int) -> tuple[WordList, int]:
    words, lengths, postings = _LIST.unpack_from(plain, position)
    first = position + _LIST.size
    second, third = first + words, first + words + lengths
    end = third + postings
    return WordList(plain[first:second], plain[second:third], plain[third:end]), end
