"""What is written down of every letter, for good: closed kinds of event, and who and what they name.

What it is: the audit vocabulary (a *trace* in MSSanté's sense: author, time, action, request, answer, never
the content). What it is not: the log (`vaguemestre.observability.logging`) nor the chain that makes events
tamper-evident (`vaguemestre.observability.audit_log`).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

_NOTHING: Mapping[str, str] = MappingProxyType({})


class AuditKind(enum.Enum):
    """Closed list: one event per room and per act of a person."""

    LOGIN = "login"
    LOGIN_REFUSED = "login-refused"
    REFUSED = "refused"
    SPOOLED = "spooled"
    DUPLICATE_DROPPED = "duplicate-dropped"
    PLANNED = "planned"
    PROTECTED = "protected"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    DEFERRED = "deferred"
    FAILED = "failed"
    HELD = "held"
    REPORTED = "reported"
    READ = "read"
    STORED = "stored"
    COPIED = "copied"
    MOVED = "moved"
    REMOVED = "removed"
    BAL_CHANGED = "bal-changed"
    BAL_LISTED = "bal-listed"
    DIRECTORY_CHANGED = "directory-changed"
    TRUST_LIST_CHANGED = "trust-list-changed"
    TRUST_LIST_REFUSED = "trust-list-refused"
    CERTIFICATE_CHANGED = "certificate-changed"
    QUEUE_ACT = "queue-act"
    BACKED_UP = "backed-up"
    IMPORTED = "imported"
    EXPORTED = "exported"
    STARTED = "started"
    STOPPED = "stopped"
    TRACE_READ = "trace-read"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One event. `facts` name no person; `persons` are sealed under each person's own key.

    `message_id` is the Message-ID field's value; it is stored sealed and found by a keyed pseudonym.
    """

    kind: AuditKind
    spool_id: str = ""
    message_id: str = ""
    facts: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    """Closed kinds of value: reply name, reason, rule, certificate DN, TLS version, domain, counts."""
    persons: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    """Role (`login`, `reverse-path`, `forward-path`, `operator`) → address or login name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedEvent:
    """An event as `trace` reads it back."""

    event: AuditEvent
    at: float  # seconds since 1970
    writer: str
    sequence: int
