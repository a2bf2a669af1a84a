"""The encoding below CMS: write DER in a few octets, and bound BER before anything reads it.

What it is: `tlv` and its friends for what we write (X.690 §10), and `demand_bounded`, one linear pass over
received octets that refuses depth, number and trailing octets. What it is not: a reader of values, which is
`certs.smime.structure` on asn1crypto.
"""

from __future__ import annotations

from datetime import UTC, datetime

from core.errors import PermanentError

MAX_DEPTH = 32  # ours: a SignedData with its certificates is 14 deep
MAX_ELEMENTS = 100_000  # ours: 30 MB in BER chunks of 1 kB make 30,000

INTEGER, BIT_STRING, OCTET_STRING, NULL_TAG, OID, SEQUENCE, SET = 0x02, 0x03, 0x04, 0x05, 0x06, 0x30, 0x31
UTC_TIME, GENERALIZED_TIME = 0x17, 0x18
NULL = b"\x05\x00"


class EncodingRefused(PermanentError):
    """The octets are not one bounded BER value."""


def tlv(tag: int, *parts: bytes) -> bytes:
    """One value: tag, shortest definite length, contents."""
    size = sum(map(len, parts))
    if size < 0x80:
        return b"".join((bytes((tag, size)), *parts))
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return b"".join((bytes((tag, 0x80 | len(length))), length, *parts))


def sequence(*parts: bytes) -> bytes:
    """A SEQUENCE."""
    return tlv(SEQUENCE, *parts)


def set_of(*parts: bytes) -> bytes:
    """A SET OF; DER demands ascending order (X.690 §11.6)."""
    return tlv(SET, *sorted(parts))


def integer(number: int) -> bytes:
    """A non-negative INTEGER."""
    return tlv(INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def oid(dotted: str) -> bytes:
    """An OBJECT IDENTIFIER."""
    first, second, *others = (int(arc) for arc in dotted.split("."))
    octets = bytearray()
    for arc in (40 * first + second, *others):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | arc & 0x7F)
        octets += bytes(reversed(groups))
    return tlv(OID, bytes(octets))


def time_of(moment: datetime) -> bytes:
    """A Time: UTCTime through 2049, GeneralizedTime from 2050 (RFC 5652 §11.3)."""
    moment = moment.astimezone(UTC)
    if 1950 <= moment.year < 2050:
        return tlv(UTC_TIME, moment.strftime("%y%m%d%H%M%SZ").encode("ascii"))
    return tlv(GENERALIZED_TIME, moment.strftime("%Y%m%d%H%M%SZ").encode("ascii"))


def demand_bounded(octets: bytes) -> None:
    """Refuse what is not exactly one BER value of bounded depth and number. Raises `EncodingRefused`."""
    total = len(octets)
    ends: list[int] = []  # of the open values; complemented when the length is indefinite
    position = elements = 0
    while position < total:
        if elements and not ends:
            raise EncodingRefused("octets behind the value")
        limit = total if not ends else ends[-1] if ends[-1] >= 0 else ~ends[-1]
        if ends and ends[-1] < 0 and octets.startswith(b"\x00\x00", position):
            ends.pop()
            position += 2
        else:
            elements += 1
            start, length = _length(octets, position, limit)
            end = ~limit if length < 0 else start + length
            if end > limit or elements > MAX_ELEMENTS:
                raise EncodingRefused("a value is longer than what holds it, or there are too many")
            if octets[position] & 0x20:  # constructed
                ends.append(end)
                position = start
            elif end < 0:
                raise EncodingRefused("a primitive value of indefinite length")
            else:
                position = end
            if len(ends) > MAX_DEPTH:
                raise EncodingRefused("too deep")
        while ends and ends[-1] == position:
            ends.pop()
    if ends or not elements:
        raise EncodingRefused("the value is cut")


def _length(octets: bytes, position: int, limit: int) -> tuple[int, int]:
    """Where the contents of the value at `position` begin, and how long they are (-1: indefinite)."""
    if octets[position] & 0x1F == 0x1F or position + 2 > limit:
        raise EncodingRefused("a long tag, or a cut value")
    first = octets[position + 1]
    start = position + 2
    if first < 0x80:
        return start, first
    if first == 0x80:
        return start, -1
    width = first & 0x7F
    if width > 4 or start + width > limit:
        raise EncodingRefused("a length of more than four octets, or cut")
    return start + width, int.from_bytes(octets[start : start + width], "big")
