"""The rows of a folder in columns: forty octets a message instead of three hundred.

What it is: parallel arrays, sorted by UID, with each different set of flags kept once. A thousand clients that
idle on folders of ten thousand letters is the ordinary morning of a hospital. What it is not: the view
(`view`), which decides what a client is told. Start at `extend`.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence

from core.folder import MessageRow

SPARE_SETS = 1024  # ours: sets of flags that are kept beyond twice the number of messages


class RowTable:
    """Positions count from zero; they are sequence numbers less one."""

    __slots__ = (
        "_dates",
        "_known",
        "bal_id",
        "flag_sets",
        "kinds",
        "message_ids",
        "modseqs",
        "sizes",
        "uids",
    )

    def __init__(self, bal_id: int = 0) -> None:
        self.uids = array("I")
        self.sizes = array("I")
        self.kinds = array("I")
        """For each message, which of `flag_sets` it has."""
        self.flag_sets: list[frozenset[str]] = []
        self.bal_id = bal_id
        self.message_ids = array("Q")
        """Which content each is, within the box (RFC 8474 §5.1)."""
        self._dates = array("q")
        self.modseqs = array("Q")
        self._known: dict[frozenset[str], int] = {}

    def __len__(self) -> int:
        return len(self.uids)

    def _forget_unused_sets(self) -> None:
        """A client that changes flags all day makes sets that no message has any more."""
        used = sorted(set(self.kinds))
        renamed = {kind: number for number, kind in enumerate(used)}
        self.flag_sets = [self.flag_sets[kind] for kind in used]
        self.kinds = array("I", [renamed[kind] for kind in self.kinds])
        self._known = {flags: number for number, flags in enumerate(self.flag_sets)}

    def _kind(self, flags: frozenset[str]) -> int:
        kind = self._known.get(flags)
        if kind is None:
            kind = self._known[flags] = len(self.flag_sets)
            self.flag_sets.append(flags)
        return kind

    def flags(self, position: int) -> frozenset[str]:
        """The flags of a message, without \\Recent."""
        return self.flag_sets[self.kinds[position]]

    def date(self, position: int) -> int:
        """The internal date, in seconds since 1970."""
        return self._dates[position]

    def email_id(self, position: int) -> bytes:
        """RFC 8474 §5.1: the same for the same content, wherever in this box it stands."""
        return b"M%d-%d" % (self.bal_id, self.message_ids[position])

    def position_of(self, uid: int) -> int | None:
        """Where a UID stands."""
        position = bisect_left(self.uids, uid)
        return position if position < len(self.uids) and self.uids[position] == uid else None

    def extend(self, rows: Sequence[MessageRow]) -> None:
        """Add rows whose UIDs are higher than all that are here, in their order."""
        self.uids.extend([row.uid for row in rows])
        self.sizes.extend([row.size for row in rows])
        self.kinds.extend([self._kind(row.flags) for row in rows])
        self._dates.extend([row.internal_date for row in rows])
        self.message_ids.extend([row.message_id for row in rows])
        self.modseqs.extend([row.modseq for row in rows])

    def change(self, position: int, row: MessageRow) -> bool:
        """Take the flags of this row; whether they are others than before."""
        if len(self.flag_sets) > 2 * len(self.uids) + SPARE_SETS:
            self._forget_unused_sets()
        kind = self._kind(row.flags)
        is_other = self.kinds[position] != kind
        self.kinds[position] = kind
        self.modseqs[position] = row.modseq
        return is_other

    def remove(self, positions: Iterable[int]) -> None:
        """Take these messages out; what follows moves up."""
        gone = set(positions)
        kept = [position for position in range(len(self.uids)) if position not in gone]
        for name in ("uids", "sizes", "kinds", "message_ids", "_dates", "modseqs"):
            column: array[int] = getattr(self, name)
            setattr(self, name, array(column.typecode, [column[position] for position in kept]))
