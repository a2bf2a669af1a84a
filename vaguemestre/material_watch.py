"""Keys, certificates, authorities and CRLs, followed while they change on the disk.

What it is: when to read them again, and what to tell of it. What it is not: the reading (`certs.trust_material`).
They are read when their files changed, when someone asks (SIGHUP), and each minute in any case: a CRL of the future
or a certificate that begins tomorrow takes effect without any file changing. Start at `MaterialWatch.look`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable

import structlog

from certs.trust_material import ReloadReport, TrustMaterial
from core.audit import AuditEvent, AuditKind
from core.clock import Clock
from core.errors import GatewayError
from core.ports import AuditTrail

AT_LEAST_EVERY = 60.0  # ours, seconds: between two readings of files that did not change
_log = structlog.get_logger()


class MaterialWatch:
    """One for each serving process. `mark` tells whether a file changed; it may block."""

    def __init__(
        self, material: TrustMaterial, audit: AuditTrail, clock: Clock, mark: Callable[[], Hashable]
    ) -> None:
        self._material = material
        self._audit = audit
        self._clock = clock
        self._mark = mark
        self._seen: Hashable = mark()
        self._read_at = clock.monotonic()
        self._shown = material.tls.identity.fingerprint
        self._told: Hashable = None
        self._alarmed: dict[str, int] = {}
        self._one = asyncio.Lock()

    async def look(self) -> None:
        """Read again what changed, or what was read a minute ago. Raises nothing but a bug."""
        async with self._one:
            mark = await asyncio.to_thread(self._mark)
            is_changed = mark != self._seen
            if is_changed or self._clock.monotonic() - self._read_at >= AT_LEAST_EVERY:
                await self._read(mark, is_news=is_changed)

    async def reload(self) -> None:
        """Read again now: someone asks."""
        async with self._one:
            self._told = None  # who asks is answered, also with what was said before
            await self._read(await asyncio.to_thread(self._mark), is_news=True)

    async def _read(self, mark: Hashable, *, is_news: bool) -> None:
        self._read_at = self._clock.monotonic()
        try:
            # In a thread: reading a private key checks it, which takes longer than the loop may be held.
            report = await asyncio.to_thread(self._material.reload)
        except GatewayError as error:  # the mark stays as it was: the next look tries again
            if self._is_new(str(error)):
                _log.error("reload-refused", component="material", error=str(error))
            return
        self._seen = mark
        self._tell(report, is_news=is_news)
        await self._tell_identity()

    def _tell(self, report: ReloadReport, *, is_news: bool) -> None:
        refused = tuple((name, cause.value) for name, cause in report.crls.refused)
        if self._is_new(refused):
            for name, cause in refused:
                _log.warning("crl-refused", component="material", reason=cause, error=name)
        if is_news:
            _log.info("reloaded", component="material", count=len(report.crls.taken))

    def _is_new(self, what: Hashable) -> bool:
        is_new, self._told = what != self._told, what
        return is_new

    async def _tell_identity(self) -> None:
        identity = self._material.tls.identity
        if identity.fingerprint == self._shown:
            return
        facts = {
            "certificate": identity.fingerprint,
            "before": self._shown,
            "ends": identity.not_after.isoformat(),
        }
        try:
            await self._audit.append(AuditEvent(kind=AuditKind.CERTIFICATE_CHANGED, facts=facts))
        except GatewayError as error:  # written at the next look
            _log.error("certificate-change-not-audited", component="material", error=type(error).__name__)
            return
        self._shown = identity.fingerprint
        _log.info("certificate-changed", component="material")

    async def alarm(self) -> None:
        """Certificates of ours that end soon: once for each threshold."""
        for identity, days in self._material.alarms(self._clock.now()):
            if self._alarmed.get(identity.fingerprint) != days:
                self._alarmed[identity.fingerprint] = days
                _log.warning("certificate-ends-soon", component="material", days_left=days)
