"""The small sealed records of a message: what stands in them, and the place each is bound to.

What it is: pure packing. A message's *place* is one number, folder and UID; it is the row's key and the associated
data of both records, so that a record moved to another row does not open. What it is not: sealing
(`mailstore.sealing`) nor SQL.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from core.errors import PermanentError
from core.folder import SYSTEM_FLAGS, StoredOctets, Summary
from mailstore.sealing import SealBroken

UID_BITS = 32  # RFC 3501 §2.3.1.1: a UID is an unsigned 32-bit number
MAX_UID = (1 << UID_BITS) - 1
MAX_KEYWORDS = 64  # ours: far more than any client sets on one message
MAX_KEYWORD_OCTETS = 128  # ours
_BITS: dict[str, int] = {flag: 1 << position for position, flag in enumerate(SYSTEM_FLAGS)}
_PLACE = struct.Struct(">q")
_SUMMARY = struct.Struct(">BIIIIIq")
_KEY = struct.Struct(">B32s32sQ")
_VERSION = 1
SEEN = _BITS["\\Seen"]
DELETED = _BITS["\\Deleted"]


def place_of(folder_id: int, uid: int) -> int:
    """The key of a message's row."""
    return folder_id << UID_BITS | uid


def uid_of(place: int) -> int:
    """The UID in a place."""
    return place & MAX_UID


def places_of(folder_id: int) -> tuple[int, int]:
    """The first and the last place of a folder."""
    return place_of(folder_id, 0), place_of(folder_id, MAX_UID)


def summary_place(place: int) -> bytes:
    """What the sealed summary is bound to."""
    return b"summary\0" + _PLACE.pack(place)


def key_place(place: int) -> bytes:
    """What the wrapped data key is bound to."""
    return b"data-key\0" + _PLACE.pack(place)


def folder_place(bal_id: int, name_key: str) -> bytes:
    """What a sealed folder name is bound to."""
    return b"folder\0" + _PLACE.pack(bal_id) + name_key.encode()


# --- flags --------------------------------------------------------------------------------------------------
def packed_flags(flags: frozenset[str]) -> tuple[int, str]:
    """(bits of the system flags, keywords in order, blank between). Raises PermanentError."""
    bits = 0
    keywords = []
    for flag in flags:
        if flag in _BITS:
            bits |= _BITS[flag]
        elif flag.startswith("\\") or not flag.isascii() or not flag.isprintable() or " " in flag or not flag:
            raise PermanentError("this is not a flag that can be stored")
        else:
            keywords.append(flag)
    if len(keywords) > MAX_KEYWORDS or any(len(keyword) > MAX_KEYWORD_OCTETS for keyword in keywords):
        raise PermanentError("too many or too long keywords")
    return bits, " ".join(sorted(keywords))


_unpacked: dict[tuple[int, str], frozenset[str]] = {}


def unpacked_flags(bits: int, keywords: str) -> frozenset[str]:
    """The set again; the same few sets come back thousands of times, so they are shared."""
    found = _unpacked.get((bits, keywords))
    if found is None:
        if len(_unpacked) > 4096:
            _unpacked.clear()
        system = {flag for flag, bit in _BITS.items() if bits & bit}
        found = _unpacked[bits, keywords] = frozenset(system.union(keywords.split()))
    return found


# --- records ------------------------------------------------------------------------------------------------
def packed_summary(summary: Summary) -> bytes:
    """The summary as one record."""
    head = _SUMMARY.pack(
        _VERSION,
        len(summary.envelope),
        len(summary.body),
        len(summary.body_structure),
        len(summary.parts),
        summary.header_size,
        summary.sent_date,
    )
    return b"".join((head, summary.envelope, summary.body, summary.body_structure, summary.parts))


def unpacked_summary(record: bytes) -> Summary:
    """The summary again. Raises SealBroken for a record of another version."""
    version, envelope, body, structure, parts, header_size, sent_date = _SUMMARY.unpack_from(record)
    if version != _VERSION:
        raise SealBroken("a summary of an unknown version")
    first = _SUMMARY.size
    second = first + envelope
    third = second + body
    fourth = third + structure
    return Summary(
        envelope=record[first:second],
        body=record[second:third],
        body_structure=record[third:fourth],
        parts=record[fourth : fourth + parts],
        header_size=header_size,
        sent_date=sent_date,
    )


@dataclass(frozen=True, slots=True, repr=False)
class KeyRecord:
    """What opens a message at its place: the data key, and the header lines of this place only."""

    data_key: bytes
    sha256: bytes
    size: int  # octets of the blob, without the prefix
    prefix: bytes

    def __repr__(self) -> str:
        return f"KeyRecord({self.size} octets)"

    def stored(self, blob_id: str) -> StoredOctets:
        """The octets it opens."""
        return StoredOctets(blob_id, self.data_key, self.size, self.sha256)


def packed_key(stored: StoredOctets, prefix: bytes) -> bytes:
    """The key record as octets."""
    return _KEY.pack(_VERSION, stored.data_key, stored.sha256, stored.size) + prefix


def unpacked_key(record: bytes) -> KeyRecord:
    """The key record again. Raises SealBroken for a record of another version."""
    version, data_key, sha256, size = _KEY.unpack_from(record)
    if version != _VERSION:
        raise SealBroken("a key record of an unknown version")
    return KeyRecord(data_key, sha256, size, record[_KEY.size :])
