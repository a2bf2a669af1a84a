"""Prometheus metrics, prefixed `vaguemestre_`, and the health answer.

What it is: every gauge, counter and histogram of the product in one place, so that names are chosen once. What
it is not: a place for labels with unbounded values; an address or a domain is never a label. Start at
`Metrics`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """All metrics of one node."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.connections = Counter(
            "vaguemestre_connections_total", "Connections taken", ["listener"], registry=self.registry
        )
        self.open_connections = Gauge(
            "vaguemestre_open_connections", "Connections open now", ["listener"], registry=self.registry
        )
        self.commands = Counter(
            "vaguemestre_smtp_commands_total",
            "SMTP commands by verb",
            ["listener", "verb"],
            registry=self.registry,
        )
        self.replies = Counter(
            "vaguemestre_smtp_replies_total",
            "SMTP replies by name",
            ["listener", "reply"],
            registry=self.registry,
        )
        self.imap_commands = Counter(
            "vaguemestre_imap_commands_total",
            "IMAP commands",
            ["command", "condition"],
            registry=self.registry,
        )
        self.imap_seconds = Histogram(
            "vaguemestre_imap_command_seconds", "One IMAP command", registry=self.registry, buckets=_SECONDS
        )
        self.letters = Counter(
            "vaguemestre_letters_total", "Letters made durable, by door", ["listener"], registry=self.registry
        )
        self.outcomes = Counter(
            "vaguemestre_deliveries_total", "Outcomes by forward-path", ["outcome"], registry=self.registry
        )
        self.accept_seconds = Histogram(
            "vaguemestre_accept_seconds", "End of data to durable", registry=self.registry, buckets=_SECONDS
        )
        self.commit_seconds = Histogram(
            "vaguemestre_commit_seconds", "One group commit", registry=self.registry, buckets=_SECONDS
        )
        self.loop_lag = Gauge(
            "vaguemestre_loop_lag_seconds", "How late the loop wakes", registry=self.registry
        )
        self.spool_items = Gauge("vaguemestre_spool_items", "Letters in the spool", registry=self.registry)
        self.spool_oldest = Gauge(
            "vaguemestre_spool_oldest_age_seconds",
            "Age of the oldest letter in the spool",
            registry=self.registry,
        )
        self.held = Counter(
            "vaguemestre_held_total", "Letters held for a person to look at", registry=self.registry
        )
        self.trust_list_age = Gauge(
            "vaguemestre_trust_list_age_seconds",
            "Since the source last confirmed the trust list in force",
            registry=self.registry,
        )
        self.trust_list_generated_age = Gauge(
            "vaguemestre_trust_list_generated_age_seconds",
            "Since the trust list in force was made",
            registry=self.registry,
        )
        self.trust_list_freshness = Gauge(
            "vaguemestre_trust_list_freshness",
            "1 for what the trust list in force is now, 0 for what it is not",
            ["freshness"],
            registry=self.registry,
        )
        self.trust_list_entries = Gauge(
            "vaguemestre_trust_list_entries", "Entries of the trust list in force", registry=self.registry
        )
        self.certificate_expiry = Gauge(
            "vaguemestre_certificate_expiry_timestamp_seconds",
            "When our newest certificate ends",
            registry=self.registry,
        )


@dataclass(slots=True)
class Health:
    """Named checks; each gives an empty string when well, else one sentence."""

    checks: dict[str, Callable[[], str]] = field(default_factory=dict)

    def failures(self) -> dict[str, str]:
        """The checks that do not hold now."""
        return {name: sentence for name, check in self.checks.items() if (sentence := check())}


class _Page(Resource):
    """One leaf; `page` is set by `_leaf` (Twisted's own constructor has no types)."""

    isLeaf = True
    page: Callable[[Request], bytes]

    def render_GET(self, request: Request) -> bytes:
        """The page's octets."""
        return self.page(request)


def _leaf(page: Callable[[Request], bytes]) -> Any:
    leaf: Any = cast(Any, _Page)()
    leaf.page = page
    return leaf


def health_page(health: Health, request: Request) -> bytes:
    """200 `ok`, or 503 and one line for each check that does not hold."""
    failures = health.failures()
    request.setHeader(b"content-type", b"text/plain; charset=utf-8")
    request.setHeader(b"cache-control", b"no-store")
    if not failures:
        return b"ok\n"
    request.setResponseCode(503)
    return "".join(f"{name}: {sentence}\n" for name, sentence in failures.items()).encode()


def metrics_page(metrics: Metrics, request: Request) -> bytes:
    """The Prometheus text format."""
    request.setHeader(b"content-type", CONTENT_TYPE_LATEST.encode())
    return generate_latest(metrics.registry)


def management_site(metrics: Metrics, health: Health) -> Site:
    """`/metrics` and `/healthz` for the management port (loopback by default)."""
    root = Resource()
    root.putChild(b"metrics", _leaf(lambda request: metrics_page(metrics, request)))
    root.putChild(b"healthz", _leaf(lambda request: health_page(health, request)))
    return Site(root)
