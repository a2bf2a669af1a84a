"""From what happens to the numbers: counters for doors and deliveries, gauges read each second, health checks."""

from __future__ import annotations

import enum
import shutil
from typing import TYPE_CHECKING

import structlog

from mta.rooms import Listener
from vaguemestre.observability.metrics import Health, Metrics

if TYPE_CHECKING:
    from vaguemestre.wiring import Operator

LATE_LOOK = 15.0  # ours, seconds: the scheduler looks at the spool each 2 seconds, or more often
LOW_DISK = 64 * 1024 * 1024  # below this, letters would soon be refused


_log = structlog.get_logger()


class SmtpCounts:
    """Implements `mta.smtp.metrics.SmtpMetrics`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def connected(self, listener: Listener) -> None:
        """See the protocol."""
        self._metrics.connections.labels(listener.value).inc()
        self._metrics.open_connections.labels(listener.value).inc()

    def disconnected(self, listener: Listener) -> None:
        """See the protocol."""
        self._metrics.open_connections.labels(listener.value).dec()

    def commanded(self, listener: Listener, verb: str) -> None:
        """See the protocol."""
        self._metrics.commands.labels(listener.value, verb).inc()

    def replied(self, listener: Listener, name: str) -> None:
        """See the protocol."""
        self._metrics.replies.labels(listener.value, name).inc()

    def received(self, listener: Listener, octets: int, seconds: float) -> None:
        """See the protocol."""
        self._metrics.letters.labels(listener.value).inc()
        self._metrics.accept_seconds.observe(seconds)


class ImapCounts:
    """Implements `mta.imap.channel.ImapMetrics`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def commanded(self, name: str, condition: str, seconds: float) -> None:
        """See the protocol."""
        self._metrics.imap_commands.labels(name, condition).inc()
        self._metrics.imap_seconds.observe(seconds)

    def connected(self, listener: str, open_connections: int) -> None:
        """See the protocol."""
        self._metrics.open_connections.labels(listener).set(open_connections)


class DeliveryCounts:
    """Implements `mta.delivery.parts.DeliveryObserver`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def concluded(self, state: str) -> None:
        """See the protocol."""
        self._metrics.outcomes.labels(state).inc()

    def held(self) -> None:
        """See the protocol."""
        self._metrics.held.inc()


class Gauges:
    """What is looked at rather than counted."""

    def __init__(self, operator: Operator, metrics: Metrics, health: Health) -> None:
        self._operator = operator
        self._metrics = metrics
        self._looked_at = operator.clock.monotonic()
        operator.refresher.watch(self._list_is)
        self._list_is(operator.directory.freshness())
        health.checks["scheduler"] = self._scheduler
        health.checks["database"] = self._database
        health.checks["trust-list"] = self._trust_list
        health.checks["disk"] = self._disk
        health.checks["certificate"] = self._certificate

    async def read(self) -> None:
        """Once a second."""
        operator, metrics = self._operator, self._metrics
        state = operator.directory.state()
        metrics.trust_list_entries.set(state.entries)
        current, now = operator.directory.current, operator.clock.now()
        if current is not None:
            metrics.trust_list_age.set((now - current.confirmed_at).total_seconds())
            metrics.trust_list_generated_age.set((now - current.generated_at).total_seconds())
        metrics.certificate_expiry.set(operator.material.tls.identity.not_after.timestamp())
        items, oldest = await operator.spool.totals()
        metrics.spool_items.set(items)
        metrics.spool_oldest.set(0.0 if oldest is None else max(0.0, operator.spool.now() - oldest))

    def spool_was_looked_at(self) -> None:
        """The scheduler has just looked."""
        self._looked_at = self._operator.clock.monotonic()

    def _list_is(self, freshness: enum.Enum) -> None:
        """The alarm of a list that nobody confirms any more (threat F19)."""
        for each in type(freshness):
            self._metrics.trust_list_freshness.labels(each.value).set(each is freshness)
        tell = _log.info if freshness.value == "fresh" else _log.warning
        tell("trust-list-freshness", component="trust-list", reason=freshness.value)

    def _scheduler(self) -> str:
        ago = self._operator.clock.monotonic() - self._looked_at
        return "" if ago <= LATE_LOOK else f"the spool was last looked at {ago:.0f} seconds ago"

    def _database(self) -> str:
        return self._operator.committer.trouble

    def _trust_list(self) -> str:
        return "the trust list is missing or too old" if self._operator.directory.state().is_stale else ""

    def _disk(self) -> str:
        free = shutil.disk_usage(self._operator.configuration.operator.data_dir).free
        return "" if free > LOW_DISK else f"only {free} octets are free"

    def _certificate(self) -> str:
        operator = self._operator
        has_ended = operator.material.tls.identity.not_after <= operator.clock.now()
        return "our certificate has expired" if has_ended else ""
