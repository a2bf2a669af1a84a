"""How many connections may be open: in all, and before login from one network."""

from __future__ import annotations

from collections import Counter

from mta.imap.settings import Settings
from mta.smtp.limits import network_of

__all__ = ["ConnectionLimits", "network_of"]


class ConnectionLimits:
    """One per listener. A network's strangers are few; its users, behind one hospital address, are many."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._strangers: Counter[str] = Counter()
        self.open = 0

    def enter(self, network: str) -> bool:
        """Count a new connection in; False (and not counted) when there are too many."""
        too_many = self.open >= self._settings.max_connections
        if too_many or self._strangers[network] >= self._settings.max_unauthenticated_per_network:
            return False
        self.open += 1
        self._strangers[network] += 1
        return True

    def known(self, network: str) -> None:
        """A connection of this network logged in, or ended before it did."""
        self._strangers[network] -= 1
        if not self._strangers[network]:
            del self._strangers[network]

    def leave(self) -> None:
        """A connection ended."""
        self.open -= 1
