"""Keep the trust list fresh: look, verify, compare, keep, swap, tell.

What it is: the loop around the pure rules of `trusted_domains`. What it is not: those rules, or the answers
(`directory`). Start at `ListRefresher.look`; `run` calls it for ever.

The order of a change: verified → compared with the list in force → audited → kept on disk → in force. What
fails on the way leaves the list in force as it was. A refused list is told once, not at every look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

import structlog

from core.audit import AuditEvent, AuditKind
from core.clock import Clock
from core.errors import GatewayError, StoreError, TemporaryError
from core.ports import AuditTrail
from trust_directory.directory import ListedDirectory
from trust_directory.kept_list import KeptList, ListStatus, Waiting, instant
from trust_directory.sources import Source, SourceAway
from trust_directory.trusted_domains.reasons import Reason, TrustListRefused
from trust_directory.trusted_domains.snapshot import (
    Accepted,
    Freshness,
    Refused,
    TrustedDomains,
    accept_next,
)
from trust_directory.trusted_domains.verify import ListVerifier

TICK = 2.0  # seconds; ours: how soon an operator's request and a change of freshness are seen
UNCHANGED, CHANGED, SOURCE_AWAY, NOT_NOW = "unchanged", "changed", "source-away", "not-now"

_log = structlog.get_logger()


class ListRefresher:
    """See the module. One for each process."""

    def __init__(
        self,
        directory: ListedDirectory,
        source: Source,
        verifier: ListVerifier,
        *,
        kept: KeptList,
        audit: AuditTrail,
        clock: Clock,
    ) -> None:
        self._directory = directory
        self._source = source
        self._verifier = verifier
        self._kept = kept
        self._audit = audit
        self._clock = clock
        self._mark = ""
        self._confirmed_digest = ""
        self._told: tuple[str, str] = ("", "")
        self._status = ListStatus()
        self._is_loaded = False
        self._freshness = Freshness.STALE
        self._watchers: list[Callable[[Freshness], None]] = []
        self._one_look = asyncio.Lock()

    def watch(self, changed: Callable[[Freshness], None]) -> None:
        """Call this whenever the freshness changes (an alarm, a metric)."""
        self._watchers.append(changed)

    # --- at the start ---------------------------------------------------------------------------------------
    async def load_kept(self) -> bool:
        """Put the kept list in force after verifying it again; whether there is a list now.

        Its age counts from when the source last confirmed it, not from this start.
        """
        if self._directory.current is not None:
            return True
        try:
            octets = await asyncio.to_thread(self._kept.octets)
            self._status = await asyncio.to_thread(self._kept.status)
            if octets is None:
                self._is_loaded = True
                return False
            snapshot = await self._opened(octets)
        except TrustListRefused as refusal:
            self._is_loaded = True
            await self._refused("kept", refusal.reason.value)
            return False
        except TemporaryError as error:  # revocation not known yet, disk: tried again at the next tick
            _log.warning("trust-list.kept-not-read", component="refresh", error=type(error).__name__)
            return False
        self._is_loaded = True
        confirmed = instant(self._status.confirmed_at) if self._status.digest == snapshot.digest else None
        # Without a status we know only that it was good when it was made.
        at = min(confirmed or snapshot.generated_at, self._clock.now())
        self._directory.put_in_force(replace(snapshot, confirmed_at=at))
        self._watch_freshness()
        return True

    # --- one look -------------------------------------------------------------------------------------------
    async def look(self) -> str:
        """Ask the source once and act on the answer; the outcome's word (see `ListStatus.outcome`).

        Raises nothing but a bug: whatever the source does, the list in force stays until a better one came.
        """
        async with self._one_look:
            if not self._is_loaded:
                await self.load_kept()
            if not self._is_loaded:  # what was in force is unknown now, so an older list could not be told
                return NOT_NOW
            now = self._clock.now()
            try:
                outcome = await self._look(now)
            except SourceAway as error:
                _log.warning("trust-list.source-away", component="refresh", reason=str(error))
                outcome = SOURCE_AWAY
            except TrustListRefused as refusal:
                outcome = await self._refused(self._mark, refusal.reason.value)
            except (
                GatewayError
            ) as error:  # revocation unknown, audit or disk not writable: the next look retries
                _log.error("trust-list.not-now", component="refresh", error=type(error).__name__)
                outcome = NOT_NOW
            await self._put_status(now, outcome)
            self._watch_freshness()
            return outcome

    async def _look(self, now: datetime) -> str:
        current = self._directory.current
        # The mark stands for the list in force only: a refused one is fetched and judged again.
        fetched = await self._source.fetch(self._mark if current else "")
        if fetched is None:
            assert current is not None
            self._directory.put_in_force(current.confirmed(now))
            return UNCHANGED
        candidate = await self._opened(fetched.octets)
        if current is not None and candidate.digest == current.digest:
            self._mark = fetched.mark
            self._directory.put_in_force(current.confirmed(now))
            self._status = replace(self._status, waiting=None)
            return UNCHANGED
        verdict = self._judge(current, candidate, now)
        match verdict:
            case Accepted():
                await self._take(verdict, fetched.octets, fetched.mark)
                return CHANGED
            case Refused():
                waiting = None
                if verdict.lost:
                    waiting = Waiting(digest=candidate.digest, lost=verdict.lost, before=verdict.before)
                self._status = replace(self._status, waiting=waiting)
                return await self._refused(candidate.digest, verdict.reason.value, verdict)
            case _:
                assert_never(verdict)

    def _judge(
        self, current: TrustedDomains | None, candidate: TrustedDomains, now: datetime
    ) -> Accepted | Refused:
        newest = instant(self._status.generated_at)
        if current is None and newest is not None and candidate.generated_at < newest:
            # The kept list is gone or refused, but we know how new it was.
            return Refused(Reason.OLDER_THAN_CURRENT)
        limits = self._directory.limits
        return accept_next(current, candidate, limits, now=now, confirmed_digest=self._confirmed_digest)

    async def _opened(self, octets: bytes) -> TrustedDomains:
        # In a thread: the signature of a list of 9,000 entries takes longer than the loop may be held.
        return await asyncio.to_thread(self._verifier.open_list, octets, at=self._clock.now())

    async def _take(self, accepted: Accepted, octets: bytes, mark: str) -> None:
        snapshot = accepted.snapshot
        facts = {
            "digest": snapshot.digest,
            "count": str(len(snapshot)),
            "added": str(accepted.added),
            "removed": str(accepted.removed),
            "unreadable": str(len(snapshot.problems)),
            "generated": snapshot.generated_at.isoformat(),
            "signer": str(snapshot.signer),
            "confirmed": "yes" if snapshot.digest == self._confirmed_digest else "no",
        }
        await self._audit.append(AuditEvent(kind=AuditKind.TRUST_LIST_CHANGED, facts=facts))
        try:
            await asyncio.to_thread(self._kept.keep, octets)
        except StoreError as error:
            # It is in force all the same: an old list in use is worse than a restart that needs the source.
            _log.error("trust-list.not-kept", component="refresh", error=type(error).__name__)
        self._directory.put_in_force(snapshot)
        self._mark, self._confirmed_digest, self._told = mark, "", ("", "")
        self._status = replace(self._status, waiting=None)
        _log.info("trust-list.changed", component="refresh", count=len(snapshot))

    async def _refused(self, digest: str, reason: str, verdict: Refused | None = None) -> str:
        _log.error("trust-list.refused", component="refresh", reason=reason)
        if self._told == (digest, reason):
            return reason
        facts = {"reason": reason, "digest": digest}
        if verdict is not None and verdict.lost:
            facts |= {"lost": str(verdict.lost), "before": str(verdict.before)}
        try:
            await self._audit.append(AuditEvent(kind=AuditKind.TRUST_LIST_REFUSED, facts=facts))
        except GatewayError as error:
            _log.error("trust-list.refusal-not-audited", component="refresh", error=type(error).__name__)
        else:
            self._told = (digest, reason)
        return reason

    async def _put_status(self, now: datetime, outcome: str) -> None:
        current = self._directory.current
        self._status = replace(self._status, looked_at=now.isoformat(), outcome=outcome)
        if current is not None:
            self._status = replace(
                self._status,
                digest=current.digest,
                entries=len(current),
                generated_at=current.generated_at.isoformat(),
                confirmed_at=current.confirmed_at.isoformat(),
                signer=str(current.signer),
            )
        try:
            await asyncio.to_thread(self._kept.put_status, self._status)
        except StoreError as error:
            _log.error("trust-list.status-not-kept", component="refresh", error=type(error).__name__)

    # --- for ever -------------------------------------------------------------------------------------------
    async def run(
        self, every: timedelta, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """Look now, then each `every` and whenever an operator asks; until cancelled."""
        due = self._clock.monotonic()
        while True:
            if await self._is_asked() or self._clock.monotonic() >= due:
                await self.look()
                due = self._clock.monotonic() + every.total_seconds()
            self._watch_freshness()
            await sleep(TICK)

    async def _is_asked(self) -> bool:
        try:
            request = await asyncio.to_thread(self._kept.take_request)
        except StoreError as error:
            _log.error("trust-list.request-not-read", component="refresh", error=type(error).__name__)
            return False
        if request is not None and request.confirmed_digest:
            self._confirmed_digest = request.confirmed_digest
        return request is not None

    def _watch_freshness(self) -> None:
        freshness = self._directory.freshness()
        if freshness is self._freshness:
            return
        self._freshness = freshness
        for watcher in self._watchers:
            watcher(freshness)
