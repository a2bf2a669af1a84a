"""The octets between DATA and the end of data, without input or output.

What it is: where a letter ends, what may not be in it, and how its dots are taken off. What it is not: the
reading of octets (`mta.smtp.reader`) or the header (`Rooms.accept`). There is one end of data, CRLF "." CRLF;
a letter that holds a CR or LF outside a CRLF, or a NUL, is refused whole, because the next server might see
an end where we saw none (SMTP smuggling, CVE-2023-51764 and its kin).
"""

from __future__ import annotations

END_OF_DATA = b"\r\n.\r\n"  # RFC 5321 §4.1.1.4
OPENING = b"\r\n"  # RFC 5321 §4.1.1.4: with no data, the CRLF that ends the DATA command counts
# RFC 5321 §4.5.3.1.6 asks for 1,000 octets at least and §4.5.3.1 for no more limits than needed. Postfix cuts
# longer lines than 2,048 in two, which breaks a signed letter: we never alter a letter, and refuse what
# the next server would.
MAX_TEXT_LINE = 2048
_CR, _LF = 0x0D, 0x0A


class LineEndWatch:
    """Sees whether every CR and LF of a stream stands in a CRLF and no NUL is there, block by block.

    The answer does not depend on where the stream was cut. A CR that ends the stream is not yet stray.
    """

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open = False

    def is_stray(self, block: bytes) -> bool:
        """Take the next block; True when a stray CR, a stray LF or a NUL is in what was seen so far."""
        if not block:
            return False
        pairs = block.count(b"\r\n")
        line_feeds, carriage_returns = block.count(b"\n"), block.count(b"\r")
        if self._open:
            if block[0] != _LF:
                return True
            line_feeds -= 1
        self._open = block[-1] == _CR
        if self._open:
            carriage_returns -= 1
        # RFC 5321 §2.3.8: CR and LF only together; RFC 5321 §4.5.3.1.10 and RFC 5322 §3.5: no NUL
        return line_feeds != pairs or carriage_returns != pairs or 0 in block


def has_long_line(letter: bytes, limit: int = MAX_TEXT_LINE) -> bool:
    """Whether a line, CRLF counted, has more than `limit` octets. Costs length / limit steps."""
    position, length = 0, len(letter)
    while length - position > limit:
        line_feed = letter.rfind(b"\n", position, position + limit)
        if line_feed < 0:
            return True
        position = line_feed + 1
    return False


class LetterAssembly:
    """Puts a letter together from what comes after DATA, in parts, so that no step is long.

    Dots are unstuffed (RFC 5321 §4.5.2) and nothing else is changed. The result does not depend on where the
    stream was cut. It is meant for octets that a `LineEndWatch` has seen.
    """

    __slots__ = ("_carry", "_limit", "_line", "_parts", "has_long_line", "is_8bit", "size")

    def __init__(self, line_limit: int = MAX_TEXT_LINE) -> None:
        self._carry = OPENING
        self._limit = line_limit
        self._line = 0  # octets of the last line so far
        self._parts: list[bytes] = []
        self.size = -len(OPENING)
        """Octets of the letter so far, dots off; negative before the first."""
        self.is_8bit = False
        self.has_long_line = False

    def add(self, raw: bytes) -> None:
        """The next octets as they came; the last ones end with END_OF_DATA (with what came before)."""
        block = self._carry + raw
        # A line end at the end may have its dot in the next part: it waits.
        waiting = 2 if block.endswith(b"\r\n") else 1 if block.endswith(b"\r") else 0
        cut = len(block) - waiting
        self._carry = block[cut:]
        part = block[:cut].replace(b"\r\n.", b"\r\n")
        if self.size < 0 < len(part):
            part = part[len(OPENING) :]
            self.size = 0
        self.size += len(part)
        self._look_at(part)
        self._parts.append(part)

    def _look_at(self, part: bytes) -> None:
        self.is_8bit = self.is_8bit or not part.isascii()
        first, last = part.find(b"\n"), part.rfind(b"\n")
        if first < 0:
            self._line += len(part)
            self.has_long_line = self.has_long_line or self._line > self._limit
            return
        longest_first = self._line + first + 1 > self._limit
        self._line = len(part) - last - 1
        self.has_long_line = (
            self.has_long_line or longest_first or has_long_line(part[first + 1 :], self._limit)
        )

    def forget(self) -> None:
        """Keep no octets: the letter is refused already. `size` goes on."""
        self._parts.clear()

    def letter(self) -> bytes:
        """The letter, after its end of data was added: empty, or ended by CRLF."""
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
