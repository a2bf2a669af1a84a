"""DEFLATE in both directions of a connection (RFC 4978), with a guard against bombs.

What it is: `Inflater`, which gives a little at a time and only when it is asked, so that a client's megabyte never
becomes a gigabyte here; `Deflater`, which ends each write where a client can read all of it. What it is not: a
transport (`conversation`). Both are raw streams (RFC 1951), without the header of zlib.
"""

from __future__ import annotations

import zlib

MAX_WINDOW_BITS = 15  # RFC 1951 §2: a client may look back 32 KiB
OUR_WINDOW_BITS = 13  # ours: 8 KiB, so that an idle session costs 50 KB and not 270
OUR_MEMORY_LEVEL = 5  # ours: see zlib.h, deflateInit2
LEVEL = 1  # ours: letters in base64 gain little from more, and other sessions wait
PIECE = 64 * 1024  # ours: octets inflated at one time
GRACE = 64 << 20  # ours: octets inflated before the ratio counts; a letter of zeros may pass
MAX_RATIO = 250  # ours: DEFLATE's own limit is 1032; letters gain 2 to 20


class InflateFailed(Exception):
    """This is not DEFLATE, or it is a bomb: the connection cannot go on."""


class Inflater:
    """What the client sends: `feed`, then `take` while there is something."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(-MAX_WINDOW_BITS)
        self._waiting = bytearray()
        self._came = self._gave = 0

    @property
    def waiting(self) -> int:
        """Octets that came and were not inflated yet."""
        return len(self._waiting)

    def feed(self, octets: bytes) -> None:
        """Octets as they arrived."""
        self._waiting += octets
        self._came += len(octets)

    def take(self) -> bytes:
        """At most `PIECE` octets in clear; none when more must come first. Raises `InflateFailed`."""
        try:
            # What was held back from the last time comes out even when nothing new is here.
            clear = self._stream.decompress(bytes(self._waiting), PIECE)
        except zlib.error as error:
            raise InflateFailed("this is not DEFLATE") from error
        self._waiting = bytearray(self._stream.unconsumed_tail)
        self._gave += len(clear)
        if self._stream.eof:
            raise InflateFailed("the stream ends, and the connection does not")
        if self._gave > GRACE and self._gave > MAX_RATIO * self._came:
            raise InflateFailed("nobody writes letters like these")
        return clear


class Deflater:
    """What the client is told."""

    def __init__(self) -> None:
        self._stream = zlib.compressobj(LEVEL, zlib.DEFLATED, -OUR_WINDOW_BITS, OUR_MEMORY_LEVEL)

    def deflated(self, octets: bytes) -> bytes:
        """These octets, so that all of them can be read at the other end (RFC 4978 §4: flushed)."""
        return self._stream.compress(octets) + self._stream.flush(zlib.Z_SYNC_FLUSH)
