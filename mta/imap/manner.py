"""How a client wishes to be told: what it enabled, by ENABLE or by using it (RFC 5161, RFC 7162 §3.1).

What it is: one small state for each session, shared by its view. What it is not: what a client may do.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Manner:
    """All false at first; nothing is ever taken back before the connection ends."""

    modseq: bool = False
    """CONDSTORE: changed flags are told with MODSEQ (RFC 7162 §3.1)."""
    vanished: bool = False
    """QRESYNC: removals are told as UIDs (RFC 7162 §3.2.10)."""

    utf8: bool = False
    """UTF8=ACCEPT: names of folders are UTF-8 in both directions (RFC 6855 §3)."""

    def enable(self, name: bytes) -> bool:
        """Take in a capability that ENABLE named; False when it is not one that can be enabled."""
        match name:
            case b"CONDSTORE":
                self.modseq = True
            case b"QRESYNC":
                self.modseq = self.vanished = True  # RFC 7162 §3.2.3: it implies CONDSTORE
            case b"UTF8=ACCEPT":
                self.utf8 = True
            case _:
                return False
        return True
