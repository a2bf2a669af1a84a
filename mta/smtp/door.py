"""What all connections of one SMTP listener share: the rooms behind it, TLS, time, limits, counters."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Protocol

from core.clock import Clock
from core.ports import TlsContexts
from mta.rooms import Listener, Rooms, Session
from mta.smtp import extensions
from mta.smtp.limits import ConnectionLimits, OctetBudget
from mta.smtp.metrics import NoMetrics, SmtpMetrics
from mta.smtp.settings import SmtpSettings


class Connection(Protocol):
    """What the listener may ask of one of its connections."""

    session: Session

    def stop(self) -> None:
        """The server closes: end now when idle, else after the letter that is under way."""
        ...

    def expire(self, now: float) -> None:
        """End when the peer has been waited for too long; `now` is monotonic seconds."""
        ...

    def abort(self) -> None:
        """Cut it."""
        ...

    async def ended(self) -> None:
        """Return when the conversation is over and the limits know it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """One listener: its kind, what it asks, and what it counts."""

    listener: Listener
    rooms: Rooms
    tls: TlsContexts
    clock: Clock
    settings: SmtpSettings
    metrics: SmtpMetrics = field(default_factory=NoMetrics)
    limits: ConnectionLimits = field(init=False)
    octets: OctetBudget = field(init=False)
    connections: set[Connection] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        object.__setattr__(self, "limits", ConnectionLimits(self.settings))
        object.__setattr__(self, "octets", OctetBudget(self.settings.max_octets_in_flight))

    def end_sessions_of(self, bal_id: int) -> None:
        """The box was suspended or closed, or its password changed: its sessions end, a letter under way first."""
        for connection in tuple(self.connections):
            account = connection.session.account
            if account is not None and account.bal.bal_id == bal_id:
                connection.stop()

    def context(self) -> ssl.SSLContext:
        """The TLS material of the moment, so that a reload reaches the next connection."""
        asks = extensions.asks_client_certificate(self.listener)
        return self.tls.relay_server() if asks else self.tls.submission_server()


def tls_failure(error: Exception) -> str:
    """Why a handshake failed, in OpenSSL's fixed words; nothing that the peer wrote."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return getattr(error, "reason", None) or type(error).__name__
