"""What a listener tells whoever counts. No address, no name: kinds and numbers only."""

from __future__ import annotations

from typing import Protocol

from mta.rooms import Listener


class SmtpMetrics(Protocol):
    """Counters of the SMTP doors."""

    def connected(self, listener: Listener) -> None:
        """A connection was taken."""
        ...

    def disconnected(self, listener: Listener) -> None:
        """A connection that was taken has ended."""
        ...

    def commanded(self, listener: Listener, verb: str) -> None:
        """A command was read: one of `commands.VERBS`, or OTHER."""
        ...

    def replied(self, listener: Listener, name: str) -> None:
        """A reply of the table was given."""
        ...

    def received(self, listener: Listener, octets: int, seconds: float) -> None:
        """A letter was accepted; `seconds` from its end of data to its reply."""
        ...


class NoMetrics:
    """Counts nothing."""

    def connected(self, listener: Listener) -> None:
        """See `SmtpMetrics`."""

    def disconnected(self, listener: Listener) -> None:
        """See `SmtpMetrics`."""

    def commanded(self, listener: Listener, verb: str) -> None:
        """See `SmtpMetrics`."""

    def replied(self, listener: Listener, name: str) -> None:
        """See `SmtpMetrics`."""

    def received(self, listener: Listener, octets: int, seconds: float) -> None:
        """See `SmtpMetrics`."""
