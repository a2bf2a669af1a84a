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
STUFFING = 4 / 3  # the worst case: every line of the letter is a dot, written as two ("..", CR, LF)
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


def letter_of(raw: bytes) -> bytes:
    """The letter: `raw` begins with OPENING and ends with END_OF_DATA; dots are unstuffed (RFC 5321 §4.5.2).

    The result is empty or ends with CRLF. No copy is altered but for the dots.
    """
    return raw.replace(b"\r\n.", b"\r\n")[2:-2]


def has_long_line(letter: bytes, limit: int = MAX_TEXT_LINE) -> bool:
    """Whether a line, CRLF counted, has more than `limit` octets. Costs length / limit steps."""
    position, length = 0, len(letter)
    while length - position > limit:
        line_feed = letter.rfind(b"\n", position, position + limit)
        if line_feed < 0:
            return True
        position = line_feed + 1
    return False
