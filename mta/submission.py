"""What a submission server adds to a letter of its own people, and takes away (RFC 6409 §8).

What it is: `complete`, on octets: a Date and a Message-ID where they are missing, Bcc removed. What it is not:
a rewriter; nothing else is touched, so signed bodies stay as they were signed. Rights are asked of `routing`.
"""

from __future__ import annotations

import re
from datetime import datetime

from core.address import Domain
from core.errors import LocalProtocolError
from core.message import Message, field_pattern, named_fields
from mta.trace import date_text, without_fields

_BLIND = field_pattern(rb"bcc|resent-bcc")
_DOT_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*\Z")


def complete(octets: bytes, *, now: datetime, message_id_domain: Domain, spool_id: str) -> bytes:
    """The letter with Date and Message-ID put before it where missing, and without its blind copies.

    `now` is timezone-aware. Raises LocalProtocolError when `spool_id` cannot stand in a Message-ID.
    """
    message = Message(octets)
    added = b""
    if not message.all(b"date"):  # RFC 6409 §8.2
        added += b"Date: " + date_text(now).encode("ascii") + b"\r\n"
    if not message.all(b"message-id"):  # RFC 6409 §8.3
        if not _DOT_ATOM.match(spool_id):
            raise LocalProtocolError("this spool id cannot stand in a Message-ID")
        added += f"Message-ID: <{spool_id}@{message_id_domain.ascii}>\r\n".encode("ascii")
    return added + without_fields(octets, list(named_fields(octets, _BLIND)))
