"""The SMTP envelope: who is told when it fails, who receives it, and what was asked on the way.

What it is: `Envelope` and its parts as frozen values (RFC 5321 §2.3.1, RFC 3461). What it is not: the header.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from core.address import Mailbox


@dataclass(frozen=True, slots=True)
class NullReversePath:
    """`<>`: a report; nobody is told when it fails (RFC 5321 §4.5.5)."""

    def __str__(self) -> str:
        return ""


NULL_REVERSE_PATH = NullReversePath()
ReversePath = Mailbox | NullReversePath


class Notify(enum.Flag):
    """The NOTIFY values of RFC 3461 §4.1. No flag at all means the parameter was absent."""

    ABSENT = 0
    NEVER = 1
    SUCCESS = 2
    FAILURE = 4
    DELAY = 8


class Return(enum.Enum):
    """The RET values of RFC 3461 §4.3."""

    UNSPECIFIED = ""
    FULL = "FULL"
    HEADERS = "HDRS"


@dataclass(frozen=True, slots=True)
class ForwardPath:
    """One recipient with what was asked about it."""

    mailbox: Mailbox
    notify: Notify = Notify.ABSENT
    original_recipient: str = ""  # RFC 3461 §4.2, as received: "rfc822;xtext", xtext decoded


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Everything that travels beside the letter."""

    reverse_path: ReversePath
    forward_paths: tuple[ForwardPath, ...]
    envelope_id: str = ""  # ENVID, xtext decoded (RFC 3461 §4.4)
    ret: Return = Return.UNSPECIFIED
    smtputf8: bool = False
    body_8bit: bool = False
    declared_size: int = 0
    require_tls: bool = field(default=True)  # always true here: there is no other way out
