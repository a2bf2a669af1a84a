"""The reading side of one SMTP connection: a StreamReader that knows lines, letters and when to stop.

What it is: `SmtpReader`. What it is not: grammar; the rules of a letter's octets are in `mta.smtp.data`.
"""

from __future__ import annotations

import asyncio

from mta.smtp.data import END_OF_DATA, OPENING, LineEndWatch

BLOCK = 65_536  # octets; what is read at once and, doubled, what is held before the peer must wait


class StrayLineEnd(Exception):
    """A bare CR, a bare LF or a NUL is in the letter; nothing more is read from this peer."""


class SmtpReader(asyncio.StreamReader):
    """Adds to the stream: look without reading, watch a letter's line ends, throw away, change transport."""

    _buffer: bytearray  # of asyncio.StreamReader

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(limit=BLOCK, loop=loop)
        self._watch: LineEndWatch | None = None
        self._is_deaf = self._is_first_part = False
        self.received = 0
        """Octets of the letter that is being read."""

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]  # typeshed says any Iterable of int
        """Octets from the transport."""
        if self._is_deaf:
            return
        if self._watch is not None:
            self.received += len(data)
            if self._watch.is_stray(data):
                # At once, not at the end of data: a peer that ends with LF . LF would wait for ever.
                self._watch = None
                self.set_exception(StrayLineEnd())
        super().feed_data(data)

    @property
    def is_deaf(self) -> bool:
        """Whether nothing is read any more."""
        return self._is_deaf

    def has_line(self) -> bool:
        """Whether a whole line is there already (RFC 2920: more commands of the same group)."""
        return b"\n" in self._buffer

    def has_octets(self) -> bool:
        """Whether the peer has said something that was not read yet."""
        return bool(self._buffer)

    def discard(self) -> None:
        """Forget what was not read yet (RFC 3207 §4.2)."""
        self._buffer.clear()

    def go_deaf(self) -> None:
        """Throw away what is there and whatever comes."""
        self._is_deaf = True
        self.discard()

    def change_transport(self, transport: asyncio.Transport) -> None:
        """From now on flow control is asked of this transport (TLS has begun)."""
        self._transport = transport

    async def read_line(self) -> bytes:
        """Octets up to and with the next LF. Raises LimitOverrunError beyond BLOCK, IncompleteReadError."""
        return await self.readuntil(b"\n")

    def begin_letter(self) -> None:
        """The reply to DATA was written. The buffer holds nothing."""
        # RFC 5321 §4.1.1.4: the CRLF that ended the DATA command is the first half of an empty letter's end.
        self.feed_data(OPENING)
        self._is_first_part = True
        self.received = 0
        self._watch = LineEndWatch()

    async def read_letter_part(self) -> tuple[bytes, bool]:
        """(octets, whether they end with the end of data), at most about BLOCK at a time.

        Raises StrayLineEnd, IncompleteReadError or the transport's error.
        """
        try:
            octets, is_whole = await self.readuntil(END_OF_DATA), True
            self._watch = None
        except asyncio.LimitOverrunError as overrun:
            # What is consumed never holds the beginning of an end of data.
            octets, is_whole = await self.readexactly(overrun.consumed), False
        if self._is_first_part:
            self._is_first_part, octets = False, octets[len(OPENING) :]
        return octets, is_whole
