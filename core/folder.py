"""What rests in a mailbox, as values: folders, rows, and the octets they name.

What it is: the words that `mailstore` and its readers (IMAP, local delivery, webmail) share through
`core.ports.MailStore`. What it is not: the IMAP grammar or SQL. "Folder" is an IMAP mailbox; the word mailbox
is kept for addresses.
"""

from __future__ import annotations

from dataclasses import dataclass, field

INBOX = "INBOX"
SYSTEM_FLAGS = ("\\Seen", "\\Answered", "\\Flagged", "\\Deleted", "\\Draft")  # RFC 3501 §2.3.2
SPECIAL_USES = ("\\Sent", "\\Drafts", "\\Trash", "\\Junk", "\\Archive")  # RFC 6154 §2


@dataclass(frozen=True, slots=True, repr=False)
class StoredOctets:
    """Octets that are sealed in the blob store: their name, the key that opens them, their length in clear.

    The key is in memory only; at rest it is wrapped under the key of the place that names it.
    """

    blob_id: str
    data_key: bytes
    size: int
    sha256: bytes

    def __repr__(self) -> str:
        return f"StoredOctets({self.blob_id}, {self.size} octets)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """One folder of a box. The name is Unicode with `/` between levels."""

    folder_id: int
    bal_id: int
    name: str
    uid_validity: int
    uid_next: int
    highest_modseq: int
    recent_floor: int
    """The first UID that no session has yet seen as \\Recent (RFC 3501 §2.3.2)."""
    special_use: str = ""
    subscribed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderStatus:
    """The counts of STATUS (RFC 3501 §6.3.10, RFC 8438)."""

    messages: int
    unseen: int
    recent: int
    deleted: int
    size: int
    uid_next: int
    uid_validity: int
    highest_modseq: int


@dataclass(slots=True)
class MessageRow:
    """What every session needs of a message without opening it."""

    uid: int
    message_id: int
    flags: frozenset[str]
    internal_date: int  # seconds since 1970, UTC
    size: int  # octets of the whole message as FETCH gives it
    modseq: int


@dataclass(frozen=True, slots=True)
class FolderChanges:
    """What happened since a modification sequence: rows new or changed (by UID), and UIDs that are gone."""

    rows: tuple[MessageRow, ...]
    vanished: tuple[int, ...]
    highest_modseq: int
    uid_next: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What is computed once, at delivery, so that FETCH need not read the octets again (sealed at rest).

    `envelope`, `body` and `body_structure` are wire-ready IMAP text (RFC 3501 §7.4.2); `parts` is the
    compact part table (offsets) with which a body section is sliced; `header_size` ends the header.
    """

    envelope: bytes
    body: bytes
    body_structure: bytes
    parts: bytes
    header_size: int
    sent_date: int  # the Date field as seconds since 1970, or the internal date; for SENTSINCE and SORT


@dataclass(slots=True, kw_only=True)
class NewMessage:
    """One message to be put in a folder. After the commit `uid` and `modseq` are set."""

    bal_id: int
    folder_id: int
    octets: StoredOctets
    prefix: bytes = b""  # header lines that stand before the octets in this place only (Return-Path …)
    summary: Summary
    flags: frozenset[str] = field(default_factory=frozenset)
    internal_date: int
    uid: int = 0
    modseq: int = 0
