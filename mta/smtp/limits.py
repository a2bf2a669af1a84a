"""Counters that say when enough is enough: errors of one connection, connections, octets, slowness.

What it is: pure counters, told what happens, asked for a verdict. What it is not: clocks or sockets; times
come as arguments.
"""

from __future__ import annotations

import enum
import ipaddress
from collections import Counter
from dataclasses import dataclass

from core import reply
from mta.smtp.settings import SmtpSettings

STRESS_SHARE = 0.8  # ours: from this share of max_connections on, nobody may be slow
RECIPIENT_OVERSHOOT = 1000  # Postfix smtpd_recipient_overshoot_limit: 452 that are not yet an error
IPV6_NETWORK = 64  # RFC 6177 §2: what one site is given at least
JUNK = frozenset({"EHLO", "HELO", "NOOP", "RSET", "VRFY", "EXPN", "HELP", "STARTTLS"})


class Patience(enum.Enum):
    """How much of it is left."""

    FULL = "full"
    SLOW_DOWN = "slow-down"
    CLOSE = "close"


class ErrorBudget:
    """The errors of one connection. A letter accepted forgives them all, as Postfix does."""

    __slots__ = ("_errors", "_junk", "_overshoot", "_settings")

    def __init__(self, settings: SmtpSettings) -> None:
        self._settings = settings
        self._errors = self._junk = self._overshoot = 0

    def refused(self, answer: reply.Reply) -> Patience:
        """The peer was refused something. What is temporary is our fault and does not count."""
        if answer is reply.TOO_MANY_RECIPIENTS:
            self._overshoot += 1
        if answer.is_permanent or self._overshoot > RECIPIENT_OVERSHOOT:
            self._errors += 1
        return self._patience()

    def said(self, verb: str) -> Patience:
        """The peer said a command."""
        if verb in JUNK:
            self._junk += 1
            if self._junk > self._settings.junk_commands:
                self._errors += 1
                return self._patience()
        return Patience.FULL

    def letter_accepted(self) -> None:
        """A letter came of it."""
        self._errors = self._junk = self._overshoot = 0

    def _patience(self) -> Patience:
        if self._errors >= self._settings.hard_errors:
            return Patience.CLOSE
        return Patience.SLOW_DOWN if self._errors > self._settings.soft_errors else Patience.FULL


def network_of(address: str) -> str:
    """What counts as one peer: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, IPV6_NETWORK), strict=False))


class ConnectionLimits:
    """How many connections are open on a listener, in all and from each network."""

    def __init__(self, settings: SmtpSettings) -> None:
        self._settings = settings
        self._total = 0
        self._by_network: Counter[str] = Counter()

    @property
    def is_under_stress(self) -> bool:
        """Whether nearly all connections are taken."""
        return self._total >= self._settings.max_connections * STRESS_SHARE

    def enter(self, address: str) -> bool:
        """Count one connection in; False (and not counted) when there are too many."""
        network = network_of(address)
        too_many = self._total >= self._settings.max_connections
        if too_many or self._by_network[network] >= self._settings.max_connections_per_network:
            return False
        self._total += 1
        self._by_network[network] += 1
        return True

    def leave(self, address: str) -> None:
        """Count out what `enter` counted in."""
        network = network_of(address)
        self._total -= 1
        self._by_network[network] -= 1
        if not self._by_network[network]:
            del self._by_network[network]


class OctetBudget:
    """The octets of large letters that are in memory at this moment, for a whole listener."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.taken = 0

    def take(self, octets: int) -> bool:
        """Take that many; False (and nothing taken) when they are not there."""
        if self.taken + octets > self._limit:
            return False
        self.taken += octets
        return True

    def give_back(self, octets: int) -> None:
        """Give back what `take` took."""
        self.taken -= octets


@dataclass(slots=True)
class DataPace:
    """Whether a letter comes fast enough (RFC 5321 §4.5.3.2.5, Postfix smtpd_min_data_rate)."""

    settings: SmtpSettings
    started: float
    progressed: float
    received: int = 0

    def is_too_slow(self, now: float, received: int) -> bool:
        """`received` octets have come until `now`."""
        if received != self.received:
            self.received, self.progressed = received, now
        allowed = self.settings.command_timeout + received / self.settings.min_data_rate
        return now - self.progressed >= self.settings.data_silence or now - self.started >= allowed
