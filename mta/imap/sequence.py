"""Sequence sets: the `1:5,9,20:*` of FETCH, STORE, SEARCH and COPY, in both directions.

What it is: the value, its meaning over a sorted list of numbers, and the compact writing that COPYUID needs.
What it is not: the parser (`grammar.Cursor.sequence_set`). A set costs what it touches, not what it names:
`1:4294967295` over three messages is three messages.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MAX_NUMBER = (1 << 32) - 1  # RFC 3501 §9: nz-number < 4,294,967,296
STAR = MAX_NUMBER + 1


@dataclass(frozen=True, slots=True)
class SequenceSet:
    """Ranges as written; `STAR` stands for the largest number in use. `is_saved`: the `$` of RFC 5182 §2."""

    ranges: tuple[tuple[int, int], ...]
    is_saved: bool = False

    def spans(self, largest: int) -> list[tuple[int, int]]:
        """Sorted, merged (first, last) pairs; `*` is `largest` (RFC 3501 §9: seq-range, in either order)."""
        pairs = []
        for one, other in self.ranges:
            first = largest if one == STAR else one
            last = largest if other == STAR else other
            pairs.append((first, last) if first <= last else (last, first))
        pairs.sort()
        merged: list[tuple[int, int]] = []
        for first, last in pairs:
            if merged and first <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
            else:
                merged.append((first, last))
        return merged

    def positions_of_uids(self, uids: Sequence[int]) -> list[int]:
        """Zero-based positions in a sorted list of UIDs. UIDs that are not there are no error (RFC 3501 §6.4.8)."""
        return self.positions_within(uids, uids[-1]) if uids else []

    def positions_within(self, uids: Sequence[int], largest: int) -> list[int]:
        """As `positions_of_uids`, where `*` is another number than the last of these."""
        found: list[int] = []
        for first, last in self.spans(largest):
            found.extend(range(bisect_left(uids, first), bisect_right(uids, last)))
        return found

    def positions_of_numbers(self, count: int) -> list[int] | None:
        """Zero-based positions for message sequence numbers; None when one of them does not exist."""
        spans = self.spans(count)
        if not spans or spans[0][0] < 1 or spans[-1][1] > count:
            return None
        return [position for first, last in spans for position in range(first - 1, last)]


def compact(numbers: Iterable[int]) -> bytes:
    """`1:3,7` for the numbers in the order given (RFC 4315 §3: COPYUID pairs them one by one)."""
    out: list[bytes] = []
    first = last = 0
    for number in numbers:
        if first and number == last + 1:
            last = number
            continue
        if first:
            out.append(_range(first, last))
        first = last = number
    if first:
        out.append(_range(first, last))
    return b",".join(out)


def _range(first: int, last: int) -> bytes:
    return b"%d" % first if first == last else b"%d:%d" % (first, last)
