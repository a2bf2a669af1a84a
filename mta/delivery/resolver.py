"""Where mail for a domain goes: a route table, a smart host, or the MX records of public DNS.

What it is: `MxResolver`, the implementation of `core.ports.Resolver`. What it is not: trust; whoever answers at a
next hop must still show a certificate of the trust list. A wrong or lying DNS can delay a letter, not lead it
astray nor make it fail. Start at `next_hops`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from core.address import Domain
from core.clock import Clock
from core.errors import PermanentError, TemporaryError
from routing.transport import Routes, transport_of

SMTP_PORT = 25  # RFC 5321 §2.3.5 and IANA
MAX_CACHE_SECONDS = 3600.0  # ours: a long TTL must not outlive an operator's move by more than an hour
MAX_CACHED = 4096  # ours: more than the domains of the whole trust space
MAX_HOPS = 10  # ours: hosts tried for one domain (RFC 5321 §5.1 asks for at least two)

Hop = tuple[str, int]


class DomainTakesNoMail(PermanentError):
    """The domain has a null MX (RFC 7505)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MxAnswer:
    """What DNS says: (preference, host) pairs, empty when there is no MX; and for how long."""

    hosts: tuple[tuple[int, str], ...]
    ttl: float


class MxLookup(Protocol):
    """Asks DNS."""

    async def __call__(self, domain: str) -> MxAnswer:
        """The MX records. Raises TemporaryError when there is no certain answer."""
        ...


class MxResolver:
    """Implements `core.ports.Resolver`."""

    def __init__(
        self,
        *,
        lookup: MxLookup,
        clock: Clock,
        routes: Routes,
        own_hosts: frozenset[str] = frozenset(),
        shuffle: Callable[[list[str]], object] = lambda hosts: None,
    ) -> None:
        """`shuffle` mixes hosts of the same preference in place.

        `own_hosts` are our own names: a next hop that is ourselves, and those behind it, are left out.
        """
        self._lookup = lookup
        self._clock = clock
        self._routes = routes
        self._own_hosts = own_hosts
        self._shuffle = shuffle
        self._cache: dict[str, tuple[float, MxAnswer]] = {}

    async def next_hops(self, domain: Domain) -> Sequence[Hop]:
        """See the port."""
        fixed = transport_of(domain, self._routes).fixed
        if fixed is not None:
            return [(fixed.host, fixed.port)]
        answer = await self._answer(domain.ascii)
        if not answer.hosts:
            return [(domain.ascii, SMTP_PORT)]  # RFC 5321 §5.1: the implicit MX
        if len(answer.hosts) == 1 and answer.hosts[0][1] in ("", "."):
            raise DomainTakesNoMail("this domain takes no mail")  # RFC 7505 §3
        hosts = self._in_order(answer.hosts)
        if not hosts:
            raise TemporaryError("every next hop of this domain is this host")
        return [(host, SMTP_PORT) for host in hosts[:MAX_HOPS]]

    def _in_order(self, records: tuple[tuple[int, str], ...]) -> list[str]:
        # RFC 5321 §5.1: lowest first, equal ones mixed; never to ourselves nor to a less preferred than us.
        ours = [preference for preference, host in records if host in self._own_hosts]
        limit = min(ours, default=None)
        ordered: list[str] = []
        for preference in sorted({preference for preference, _ in records}):
            if limit is not None and preference >= limit:
                break
            group = sorted(host for other, host in records if other == preference and host not in ("", "."))
            self._shuffle(group)
            ordered.extend(group)
        return ordered

    async def _answer(self, domain: str) -> MxAnswer:
        now = self._clock.monotonic()
        cached = self._cache.get(domain)
        if cached is not None and cached[0] > now:
            return cached[1]
        answer = await self._lookup(domain)
        if len(self._cache) >= MAX_CACHED:
            self._cache.clear()
        self._cache[domain] = (now + min(answer.ttl, MAX_CACHE_SECONDS), answer)
        return answer
