"""How a foreign domain is reached: a route of the operator's, or the MX records; always mutual TLS.

What it is: the pure choice. What it is not: DNS (`mta.delivery.resolver`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.address import Domain
from core.plan import TlsLevel


@dataclass(frozen=True, slots=True)
class NextHop:
    """A host and port to connect to."""

    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """The operator's route table and smart host."""

    table: Mapping[Domain, NextHop] = field(default_factory=dict)
    smart_host: NextHop | None = None


@dataclass(frozen=True, slots=True)
class Transport:
    """A fixed next hop, or None where the MX records decide."""

    fixed: NextHop | None
    tls: TlsLevel = TlsLevel.MUTUAL_REQUIRED


def transport_of(domain: Domain, routes: Routes) -> Transport:
    """The route of the domain, else the smart host, else MX (RFC 5321 §5.1)."""
    return Transport(routes.table.get(domain) or routes.smart_host)
