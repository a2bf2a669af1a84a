"""The selected folder as one session has been told of it: sequence numbers, flags, and what is still to be told.

What it is: pure; rows in columns (`row_table`), sorted by UID. What it is not: the store. Changes come in by
`absorb`; `announce` gives the untagged responses that may be sent now (RFC 3501 §7.4.1: no EXPUNGE while a
client may still use sequence numbers). Start at `absorb`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from core.folder import SYSTEM_FLAGS, Folder, FolderChanges, MessageRow
from mta.imap.commands.fetch import Item
from mta.imap.manner import Manner
from mta.imap.responses import fetch, flags
from mta.imap.responses.folders import mailbox_id
from mta.imap.row_table import RowTable
from mta.imap.sequence import SequenceSet, compact


class FolderView:
    """One selected folder of one session."""

    def __init__(
        self, folder: Folder, *, read_only: bool, recent_floor: int, manner: Manner | None = None
    ) -> None:
        self.folder = folder
        self.read_only = read_only
        self.manner = manner or Manner()
        self.recent_floor = recent_floor
        """UIDs from here on are \\Recent for this session (RFC 3501 §2.3.2)."""
        self.modseq = 0
        self.uid_next = folder.uid_next
        self.rows = RowTable(folder.bal_id)
        self.keywords: dict[str, str] = {}
        """Lower case → spelling, of every keyword seen in the folder."""
        self.audited: set[int] = set()
        """UIDs whose reading was recorded in this session."""
        self.saved: Sequence[int] = ()
        """The UIDs of the last SEARCH that was to SAVE (RFC 5182 §2.1), ascending."""
        self.saw_arrivals = False
        self._told = 0  # how many messages the client was told of
        self._changed: set[int] = set()
        self._gone: set[int] = set()
        self._new_keywords = False

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def uids(self) -> Sequence[int]:
        """The UIDs, ascending."""
        return self.rows.uids

    # --- looking --------------------------------------------------------------------------------------------
    def positions(self, messages: SequenceSet, *, by_uid: bool) -> list[int] | None:
        """Zero-based positions, ascending; None when a sequence number does not exist."""
        if messages.is_saved:  # RFC 5182 §2.1: what was expunged since is no longer in it
            return [position for uid in self.saved if (position := self.position_of(uid)) is not None]
        if by_uid:
            return messages.positions_of_uids(self.uids)
        return messages.positions_of_numbers(len(self.uids))

    def position_of(self, uid: int) -> int | None:
        """Where a UID stands."""
        return self.rows.position_of(uid)

    def is_recent(self, uid: int) -> bool:
        """Whether the message is \\Recent in this session."""
        return uid >= self.recent_floor

    def is_gone(self, uid: int) -> bool:
        """Whether the message is expunged but the client was not told yet."""
        return uid in self._gone

    def octets_of(self, uids: Iterable[int]) -> int:
        """How large these messages are together."""
        positions = (self.rows.position_of(uid) for uid in uids)
        return sum(self.rows.sizes[position] for position in positions if position is not None)

    @property
    def first_recent(self) -> int:
        """The position from which on messages are \\Recent."""
        return bisect_left(self.uids, self.recent_floor)

    @property
    def recent(self) -> int:
        """How many are \\Recent."""
        return len(self.uids) - self.first_recent

    @property
    def first_unseen(self) -> int | None:
        """The sequence number of the first unseen message."""
        unseen = {kind for kind, names in enumerate(self.rows.flag_sets) if "\\Seen" not in names}
        return next((number for number, kind in enumerate(self.rows.kinds, 1) if kind in unseen), None)

    # --- changing -------------------------------------------------------------------------------------------
    def absorb(self, changes: FolderChanges) -> None:
        """Take in what happened in the store; the client is told later."""
        known = len(self.rows)
        last = self.rows.uids[-1] if known else 0
        new = [row for row in changes.rows if row.uid > last]
        if len(new) < len(changes.rows):
            for row in changes.rows:
                if row.uid <= last:
                    self._absorb_row(row)
        if new:
            self.rows.extend(new)
            self.saw_arrivals = self.saw_arrivals or self._told > 0 or self.modseq > 0
            self._learn(new)
        for uid in changes.vanished:
            if self.position_of(uid) is not None:
                self._gone.add(uid)
        self.modseq = max(self.modseq, changes.highest_modseq)
        self.uid_next = max(self.uid_next, changes.uid_next)

    def absorb_rows(self, rows: Iterable[MessageRow]) -> None:
        """Rows of known messages after a STORE of this session; its own answer tells them."""
        for row in rows:
            self._absorb_row(row)
            self._changed.discard(row.uid)

    def _absorb_row(self, row: MessageRow) -> None:
        position = self.position_of(row.uid)
        if position is None:
            return
        is_later = self.rows.modseqs[position] != row.modseq
        if self.rows.change(position, row):
            self._changed.add(row.uid)
            self._learn((row,))
        elif is_later and self.manner.modseq:
            self._changed.add(row.uid)  # there and back again: the sequence moved

    def _learn(self, rows: Iterable[MessageRow]) -> None:
        for names in {row.flags for row in rows}:
            for flag in names:
                if flag.lower() not in self.keywords and not flags.is_system(flag):
                    self.keywords[flag.lower()] = flag
                    self._new_keywords = True

    @property
    def has_new_keywords(self) -> bool:
        """Whether a keyword came up that the client was not told of."""
        return self._new_keywords

    # --- telling --------------------------------------------------------------------------------------------
    def flags_lines(self) -> bytes:
        """RFC 3501 §7.2.6 FLAGS and §7.1 PERMANENTFLAGS."""
        self._new_keywords = False
        names = " ".join((*SYSTEM_FLAGS, *sorted(self.keywords.values()))).encode("ascii", "replace")
        permanent = b"" if self.read_only else names + b" \\*"
        return b"* FLAGS (%b)\r\n* OK [PERMANENTFLAGS (%b)] Flags kept\r\n" % (names, permanent)

    def opening_lines(self) -> bytes:
        """What SELECT tells (RFC 3501 §6.3.1)."""
        self._told = len(self.uids)
        first = self.first_unseen
        unseen = b"" if first is None else b"* OK [UNSEEN %d] First unseen\r\n" % first
        return (
            self.flags_lines()
            + b"* %d EXISTS\r\n* %d RECENT\r\n" % (len(self.uids), self.recent)
            + unseen
            + b"* OK [UIDVALIDITY %d] UIDs valid\r\n" % self.folder.uid_validity
            + b"* OK [UIDNEXT %d] Next UID\r\n" % self.uid_next
            # RFC 8474 §4.2
            + b"* OK [MAILBOXID (%b)] Name of this folder for good\r\n" % mailbox_id(self.folder.folder_id)
            # RFC 7162 §3.1.2.1
            + b"* OK [HIGHESTMODSEQ %d] Modification sequences kept\r\n" % self.modseq
        )

    def announce(self, *, may_expunge: bool) -> bytes:
        """The untagged responses that are due and allowed now."""
        out: list[bytes] = []
        if may_expunge and self._gone:
            out.append(self._expunge_lines())
        if len(self.uids) != self._told:
            self._told = len(self.uids)
            out.append(b"* %d EXISTS\r\n* %d RECENT\r\n" % (self._told, self.recent))
        if self._new_keywords:
            out.append(self.flags_lines())
        if self._changed:
            out.append(self.changed_lines(sorted(self._changed)))
            self._changed.clear()
        return b"".join(out)

    def changed_lines(self, uids: Iterable[int], *, with_uid: bool = False, with_flags: bool = True) -> bytes:
        """The untagged FETCHes that tell the flags (and sequences) of these messages, those that are here."""
        # RFC 7162 §3.2.10: a client that is told UIDs of removals is told those of changes too
        with_uid = with_uid or self.manner.vanished
        items = (Item.UID,) * with_uid + (Item.FLAGS,) * with_flags + (Item.MODSEQ,) * self.manner.modseq
        positions = [position for uid in uids if (position := self.position_of(uid)) is not None]
        return fetch.MetadataPlan(items).lines(self.rows, positions, (), self.first_recent)

    def _expunge_lines(self) -> bytes:
        """RFC 3501 §7.4.1, the highest number first, so that no number shifts under another; or RFC 7162 §3.2.10."""
        gone = sorted(position for uid in self._gone if (position := self.position_of(uid)) is not None)
        known = [position for position in gone if position < self._told]
        if self.manner.vanished:
            uids = compact(self.uids[position] for position in known)
            lines = [b"* VANISHED %b\r\n" % uids] if known else []
        else:
            lines = [b"* %d EXPUNGE\r\n" % (position + 1) for position in reversed(known)]
        self._told -= len(known)
        self.rows.remove(gone)
        self.audited -= self._gone
        self._changed -= self._gone
        self._gone.clear()
        return b"".join(lines)

    def vanish(self, uids: Iterable[int]) -> None:
        """These UIDs are gone by this session's own command; `announce` tells it."""
        self._gone.update(uid for uid in uids if self.position_of(uid) is not None)
