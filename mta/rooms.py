"""What a mail door knows of a conversation, and what it may ask of the rooms behind it.

What it is: `Session` (facts, gathered by the door) and the `Rooms` protocol (room 3 ADMISSION and room 4
SPOOL), which `mta.pipeline` implements. What it is not: SMTP; the listener code is in `mta.smtp`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Protocol

from core.bal import Account
from core.envelope import Envelope, ForwardPath, ReversePath
from core.plan import Admission
from core.ports import VerifiedPeer
from core.reply import Reply


class Listener(enum.Enum):
    """The doors of SMTP (RFC 6409, RFC 8314, RFC 5321) and, for letters made inside, no door at all."""

    SUBMISSION = "submission"  # 587, STARTTLS
    SUBMISSIONS = "submissions"  # 465, implicit TLS
    SUBMISSION_APP = "submission_app"  # client certificate
    RELAY = "relay"  # 25, mutual TLS
    INTERNAL = "internal"  # our own reports

    @property
    def is_submission(self) -> bool:
        """Whether a person or an application of ours speaks, not a peer operator."""
        return self in (Listener.SUBMISSION, Listener.SUBMISSIONS, Listener.SUBMISSION_APP)


@dataclass(slots=True, kw_only=True)
class Session:
    """One conversation. The door fills it; `account` is set by `Rooms.authenticate`, `peer` by admission."""

    session_id: str
    listener: Listener
    network: str  # the peer's IP address
    client_name: str = ""  # what EHLO said, checked by the grammar
    tls_version: str = ""  # "TLSv1.3"; empty in clear
    tls_cipher: str = ""
    peer_certificate: bytes | None = None  # DER, as the handshake gave it, chain verified by TLS
    account: Account | None = None
    peer: VerifiedPeer | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The letter is durable: the reply to give (250) and the spool id that follows it."""

    reply: Reply
    spool_id: str


class Rooms(Protocol):
    """Rooms 3 and 4, as a door sees them. Nothing here raises anything but ReplyError; unknown is 451 4.3.0."""

    async def authenticate(self, session: Session, login: str, password: bytes) -> None:
        """Log in; sets `session.account`. Raises ReplyError."""
        ...

    async def admit_originator(
        self, session: Session, reverse_path: ReversePath, declared_size: int
    ) -> Admission:
        """MAIL FROM: may this originator use this reverse-path here?"""
        ...

    async def admit_recipient(
        self, session: Session, reverse_path: ReversePath, earlier: tuple[ForwardPath, ...], path: ForwardPath
    ) -> Admission:
        """RCPT TO: is it a box of ours that is open, or a domain of the trust space?"""
        ...

    async def accept(self, session: Session, envelope: Envelope, octets: bytes) -> Accepted:
        """After end of data: check the letter, make it durable, and only then return. Raises ReplyError.

        `octets` are empty or end with CRLF, are dot-unstuffed and hold no bare CR, bare LF or NUL.
        """
        ...
