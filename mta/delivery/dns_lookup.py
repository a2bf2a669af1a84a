"""Asks public DNS for MX records.

What it is: `DnsMxLookup`, the `MxLookup` of operation. What it is not: order, cache or routes
(`mta.delivery.resolver`).
"""

from __future__ import annotations

from collections.abc import Sequence

import dns.asyncresolver
import dns.exception
import dns.rdatatype
import dns.resolver
from dns.rdtypes.ANY.MX import MX

from core.errors import TemporaryError
from mta.delivery.resolver import MxAnswer

LOOKUP_TIMEOUT = 15.0  # ours: all tries of one question together
NEGATIVE_TTL = 60.0  # ours: how long "no MX" is believed when DNS does not say


class DnsMxLookup:
    """Implements `MxLookup` with the resolvers of the system, or those given (addresses; for tests a port)."""

    def __init__(self, nameservers: Sequence[str] = (), port: int = 53) -> None:
        self._resolver = dns.asyncresolver.Resolver(configure=not nameservers)
        if nameservers:
            self._resolver.nameservers = list(nameservers)
            self._resolver.port = port

    async def __call__(self, domain: str) -> MxAnswer:
        """See `MxLookup`. A domain that DNS does not know is a doubt, not a failure."""
        try:
            answer = await self._resolver.resolve(domain, dns.rdatatype.MX, lifetime=LOOKUP_TIMEOUT)
        except dns.resolver.NoAnswer:
            return MxAnswer(hosts=(), ttl=NEGATIVE_TTL)
        except (dns.exception.DNSException, OSError) as error:
            # NXDOMAIN too: the domain is in the trust list, so it is DNS that must be doubted.
            raise TemporaryError("DNS gave no answer") from error
        ttl = answer.rrset.ttl if answer.rrset is not None else NEGATIVE_TTL
        return mx_answer([record for record in answer if isinstance(record, MX)], ttl)


def mx_answer(records: Sequence[MX], ttl: float) -> MxAnswer:
    """dnspython's records as ours."""
    hosts = tuple(
        (record.preference, record.exchange.to_text(omit_final_dot=True).lower()) for record in records
    )
    return MxAnswer(hosts=hosts, ttl=ttl)
