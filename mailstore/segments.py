"""How a letter is sealed: AES-256-GCM in segments, so that a part is read by opening only the segments it is in.

What it is: pure functions over octets. The key is fresh for each blob, so the nonce is the segment's place: its
index and whether it is the last (the STREAM construction of Hoang, Reyhanitabar, Rogaway, Vizár 2015). The blob's
id is the associated data. Segments that are cut off, swapped, repeated or of another blob do not open. What it is
not: files or tables (`mailstore.messages`).
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mailstore.sealing import TAG_OCTETS, SealBroken

SEGMENT = 256 * 1024  # ours: one segment opens in about 0.1 ms
SEALED_SEGMENT = SEGMENT + TAG_OCTETS
FORMAT = b"VMB1"  # this format: A256GCM, 256 KiB segments
_NONCE = struct.Struct(">4xIxxxB")  # 12 octets: index, last flag

Read = Callable[[int, int], bytes]
"""(offset, length) → that many sealed octets, fewer at the end."""


def segments_of(size: int) -> int:
    """How many segments `size` octets make; nothing makes one, empty."""
    return max(1, -(-size // SEGMENT))


def sealed_size(size: int) -> int:
    """The length of the sealed form."""
    return len(FORMAT) + size + segments_of(size) * TAG_OCTETS


def seal_octets(key: bytes, blob_id: str, octets: bytes) -> bytes:
    """The sealed form of a whole blob."""
    cipher = AESGCM(key)
    place = FORMAT + blob_id.encode()
    last = segments_of(len(octets)) - 1
    view = memoryview(octets)
    parts = [FORMAT]
    for index in range(last + 1):
        part = view[index * SEGMENT : (index + 1) * SEGMENT]
        parts.append(cipher.encrypt(_NONCE.pack(index, index == last), part, place))
    return b"".join(parts)


def open_octets(key: bytes, blob_id: str, size: int, read: Read, span: tuple[int, int]) -> bytes:
    """The octets of `span` [start, end) of a blob of `size` octets. Raises SealBroken."""
    start, end = max(0, span[0]), min(size, span[1])
    if start >= end and size > 0:
        return b""
    cipher = AESGCM(key)
    place = FORMAT + blob_id.encode()
    last = segments_of(size) - 1
    first = start // SEGMENT
    until = max(0, end - 1) // SEGMENT
    if read(0, len(FORMAT)) != FORMAT:
        raise SealBroken("a blob has an unknown form")
    opened = []
    for index in range(first, until + 1):
        length = TAG_OCTETS + (SEGMENT if index < last else size - last * SEGMENT)
        sealed = read(len(FORMAT) + index * SEALED_SEGMENT, length)
        try:
            opened.append(cipher.decrypt(_NONCE.pack(index, index == last), sealed, place))
        except InvalidTag as error:
            raise SealBroken("a segment of a blob does not open") from error
    offset = first * SEGMENT
    if len(opened) == 1 and start == offset and end - start == len(opened[0]):
        return opened[0]
    return b"".join(opened)[start - offset : end - offset]
