"""The summaries that were read last, shared by every session of the process, within a bound of memory.

What it is: an LRU of `Summary` by folder and UID (a UID is never used twice, so nothing is ever stale). What
it is not: a cache of letters; only what FETCH tells of their form.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from core.folder import Summary

OVERHEAD = 400  # octets of Python objects around one record, measured with sys.getsizeof


class RecordCache:
    """`get_many` before asking the store, `put_many` after."""

    def __init__(self, max_octets: int) -> None:
        self._max = max_octets
        self._octets = 0
        self._records: OrderedDict[tuple[int, int], Summary] = OrderedDict()

    @property
    def octets(self) -> int:
        """What is held, as it is counted."""
        return self._octets

    def get_many(self, folder_id: int, uids: Sequence[int]) -> list[Summary | None]:
        """The records of these UIDs, None for those that are not here."""
        records, touch = self._records, self._records.move_to_end
        found: list[Summary | None] = []
        for uid in uids:
            key = (folder_id, uid)
            record = records.get(key)
            if record is not None:
                touch(key)
            found.append(record)
        return found

    def put_many(self, folder_id: int, summaries: Mapping[int, Summary]) -> None:
        """Keep these; the least recently used go when there is no room."""
        for uid, summary in summaries.items():
            key = (folder_id, uid)
            if key not in self._records:
                self._records[key] = summary
                self._octets += _size(summary)
        while self._octets > self._max and self._records:
            _, old = self._records.popitem(last=False)
            self._octets -= _size(old)


def _size(summary: Summary) -> int:
    return (
        OVERHEAD
        + len(summary.envelope)
        + len(summary.body)
        + len(summary.body_structure)
        + len(summary.parts)
    )
