"""LIST, LSUB, STATUS, NAMESPACE, QUOTA and what SELECT tells (RFC 3501 §7.2, §7.3)."""

from __future__ import annotations

from core.folder import Folder, FolderStatus
from mta.imap.names import SEPARATOR
from mta.imap.responses.strings import folder_name, string

NAMESPACE = b'* NAMESPACE (("" "/")) NIL NIL\r\n'  # RFC 2342 §5: one personal namespace
QUOTA_ROOT = b"box"


def list_line(
    kind: bytes, attributes: list[bytes], name: str, *, extended: bytes = b"", utf8: bool = False
) -> bytes:
    """RFC 3501 §7.2.2 LIST, §7.2.3 LSUB; `extended` is RFC 5258's CHILDINFO."""
    return b'* %b (%b) "%b" %b%b\r\n' % (
        kind,
        b" ".join(attributes),
        SEPARATOR.encode(),
        folder_name(name, utf8=utf8),
        extended,
    )


DELIMITER = b'* LIST (\\Noselect) "/" ""\r\n'  # RFC 3501 §6.3.8: LIST "" "" asks for the delimiter


def mailbox_id(folder_id: int) -> bytes:
    """RFC 8474 §4: a folder's name for good, whatever people call it."""
    return b"F%d" % folder_id


def status_line(folder: Folder, items: tuple[bytes, ...], status: FolderStatus, *, utf8: bool) -> bytes:
    """RFC 3501 §7.2.4."""
    values = {
        b"MESSAGES": status.messages,
        b"RECENT": status.recent,
        b"UIDNEXT": status.uid_next,
        b"UIDVALIDITY": status.uid_validity,
        b"UNSEEN": status.unseen,
        b"SIZE": status.size,
        b"HIGHESTMODSEQ": status.highest_modseq,
    }
    written = {item: b"%d" % value for item, value in values.items()}
    written[b"MAILBOXID"] = b"(%b)" % mailbox_id(folder.folder_id)  # RFC 8474 §4.3
    told = b" ".join(b"%b %b" % (item, written[item]) for item in items)
    return b"* STATUS %b (%b)\r\n" % (folder_name(folder.name, utf8=utf8), told)


def quota_line(used_octets: int, quota_octets: int) -> bytes:
    """RFC 2087 §5.1: STORAGE in units of 1024 octets; a box without a limit has no resource."""
    if quota_octets <= 0:
        return b"* QUOTA %b ()\r\n" % QUOTA_ROOT
    return b"* QUOTA %b (STORAGE %d %d)\r\n" % (QUOTA_ROOT, -(-used_octets // 1024), quota_octets // 1024)


def quota_root_line(wire_name: bytes) -> bytes:
    """RFC 2087 §5.2."""
    return b"* QUOTAROOT %b %b\r\n" % (string(wire_name), QUOTA_ROOT)
