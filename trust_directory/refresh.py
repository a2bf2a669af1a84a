"""Keep a signed list fresh: look, verify, compare, keep, swap, tell.

What it is: the loop around the pure rules of `signed_list`, for the liste blanche and for the annuaire des
sceaux. What it is not: those rules, or the answers (`directory`, `seals.directory`). Start at `ListRefresher.look`;
`run` calls it for ever.

The order of a change: verified → compared with the list in force → audited → kept on disk → in force. What
fails on the way leaves the list in force as it was. A refused list is told once, not at every look. A list that
another process of this node accepted (the command line, a second worker) is followed from the disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Generic, assert_never

import structlog

from core.audit import AuditEvent, AuditKind
from core.clock import Clock
from core.errors import GatewayError, StoreError, TemporaryError
from core.ports import AuditTrail
from trust_directory.kept_list import KeptList, ListStatus, Waiting, instant
from trust_directory.signed_list import (
    Accepted,
    Freshness,
    ListInForce,
    ListOpener,
    Refused,
    S,
    accept_next,
)
from trust_directory.sources import Fetched, Source, SourceAway
from trust_directory.trusted_domains.reasons import Reason, TrustListRefused

TICK = 1.0  # seconds; ours: how soon a list kept by another process and a change of freshness are seen
UNCHANGED, CHANGED, SOURCE_AWAY, NOT_NOW = "unchanged", "changed", "source-away", "not-now"

_log = structlog.get_logger()


TRUST_LIST = "trust-list"


class ListRefresher(Generic[S]):
    """See the module. One for each list and process; `list_name` is the word of logs and audit."""

    def __init__(
        self,
        directory: ListInForce[S],
        source: Source,
        verifier: ListOpener[S],
        *,
        kept: KeptList,
        audit: AuditTrail,
        clock: Clock,
        list_name: str = TRUST_LIST,
    ) -> None:
        self._name = list_name
        self._directory = directory
        self._source = source
        self._verifier = verifier
        self.kept = kept
        self._audit = audit
        self._clock = clock
        self._mark = ""
        self._kept_mark = ""
        self._told: tuple[str, str] = ("", "")
        self._status = ListStatus()
        self._is_loaded = False
        self._freshness = Freshness.STALE
        self._watchers: list[Callable[[Freshness], None]] = []
        self._one_look = asyncio.Lock()

    def watch(self, changed: Callable[[Freshness], None]) -> None:
        """Call this whenever the freshness changes (an alarm, a metric)."""
        self._watchers.append(changed)

    def with_source(self, source: Source) -> ListRefresher[S]:
        """Another refresher of the same list that looks elsewhere, once (a file that an operator offers)."""
        return ListRefresher(
            self._directory,
            source,
            self._verifier,
            kept=self.kept,
            audit=self._audit,
            clock=self._clock,
            list_name=self._name,
        )

    # --- at the start ---------------------------------------------------------------------------------------
    async def load_kept(self) -> bool:
        """Put the kept list in force after verifying it again; whether there is a list now.

        Its age counts from when the source last confirmed it, not from this start.
        """
        if self._is_loaded:
            return self._directory.current is not None
        try:
            mark, _ = await asyncio.to_thread(self.kept.mark)
            octets = await asyncio.to_thread(self.kept.octets)
            self._status = await asyncio.to_thread(self.kept.status)
            if octets is None:
                self._is_loaded = True
                return False
            snapshot = await self._opened(octets)
        except TrustListRefused as refusal:
            self._is_loaded = True
            await self._refused("kept", refusal.reason.value)
            return False
        except TemporaryError as error:  # revocation not known yet, disk: tried again at the next tick
            _log.warning(f"{self._name}.kept-not-read", component="refresh", error=type(error).__name__)
            return False
        self._is_loaded, self._kept_mark = True, mark
        confirmed = instant(self._status.confirmed_at) if self._status.digest == snapshot.digest else None
        # Without a status we know only that it was good when it was made.
        at = min(confirmed or snapshot.generated_at, self._clock.now())
        self._directory.put_in_force(snapshot.last_seen(at))
        self._watch_freshness()
        return True

    async def follow_kept(self) -> None:
        """Put in force what another process kept since we last looked, when it is not older than ours."""
        try:
            mark, kept_at = await asyncio.to_thread(self.kept.mark)
            if not self._is_loaded or mark in ("", self._kept_mark):
                return
            octets = await asyncio.to_thread(self.kept.octets)
            snapshot = await self._opened(octets or b"")
        except TrustListRefused as refusal:
            self._kept_mark = mark
            await self._refused("kept", refusal.reason.value)
            return
        except TemporaryError as error:
            _log.warning(f"{self._name}.kept-not-read", component="refresh", error=type(error).__name__)
            return
        self._kept_mark = mark
        current = self._directory.current
        if current is not None and (
            snapshot.digest == current.digest or snapshot.generated_at < current.generated_at
        ):
            return
        confirmed = min(self._clock.now(), datetime.fromtimestamp(kept_at, UTC))
        self._directory.put_in_force(snapshot.last_seen(confirmed))
        # The mark stood for the former list; the source must be heard again before it confirms this one.
        self._mark = ""
        _log.info(f"{self._name}.followed", component="refresh", count=len(snapshot))

    # --- one look -------------------------------------------------------------------------------------------
    async def look(self, *, confirmed_digest: str = "") -> str:
        """Ask the source once and act on the answer; the outcome's word (see `ListStatus.outcome`).

        `confirmed_digest` names the one list whose losses an operator confirmed (see `waiting`). Raises nothing
        but a bug: whatever the source does, the list in force stays until a better one came.
        """
        async with self._one_look:
            if not self._is_loaded:
                await self.load_kept()
            if not self._is_loaded:  # what was in force is unknown now, so an older list could not be told
                return NOT_NOW
            await self.follow_kept()
            now = self._clock.now()
            try:
                outcome = await self._look(now, confirmed_digest)
            except SourceAway as error:
                _log.warning(f"{self._name}.source-away", component="refresh", reason=str(error))
                outcome = SOURCE_AWAY
            except TrustListRefused as refusal:
                outcome = await self._refused(self._mark, refusal.reason.value)
            except (
                GatewayError
            ) as error:  # revocation unknown, audit or disk not writable: the next look retries
                _log.error(f"{self._name}.not-now", component="refresh", error=type(error).__name__)
                outcome = NOT_NOW
            await self._put_status(now, outcome)
            self._watch_freshness()
            return outcome

    async def _look(self, now: datetime, confirmed_digest: str) -> str:
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
        verdict = self._judge(current, candidate, now, confirmed_digest)
        match verdict:
            case Accepted():
                is_confirmed = candidate.digest == confirmed_digest
                await self._take(verdict, fetched, is_confirmed)
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
        self,
        current: S | None,
        candidate: S,
        now: datetime,
        confirmed_digest: str,
    ) -> Accepted[S] | Refused:
        newest = instant(self._status.generated_at)
        if current is None and newest is not None and candidate.generated_at < newest:
            # The kept list is gone or refused, but we know how new it was.
            return Refused(Reason.OLDER_THAN_CURRENT)
        limits = self._directory.limits
        return accept_next(current, candidate, limits, now=now, confirmed_digest=confirmed_digest)

    async def _opened(self, octets: bytes) -> S:
        # In a thread: the signature of a list of 9,000 entries takes longer than the loop may be held.
        return await asyncio.to_thread(self._verifier.open_list, octets, at=self._clock.now())

    async def _take(self, accepted: Accepted[S], fetched: Fetched, is_confirmed: bool) -> None:
        snapshot = accepted.snapshot
        facts = {
            "list": self._name,
            "digest": snapshot.digest,
            "count": str(len(snapshot)),
            "added": str(accepted.added),
            "removed": str(accepted.removed),
            "unreadable": str(snapshot.unreadable),
            "generated": snapshot.generated_at.isoformat(),
            "signer": str(snapshot.signer),
            "confirmed": "yes" if is_confirmed else "no",
        }
        await self._audit.append(AuditEvent(kind=AuditKind.TRUST_LIST_CHANGED, facts=facts))
        try:
            await asyncio.to_thread(self.kept.keep, fetched.octets)
            self._kept_mark, _ = await asyncio.to_thread(self.kept.mark)
        except StoreError as error:
            # It is in force all the same: an old list in use is worse than a restart that needs the source.
            _log.error(f"{self._name}.not-kept", component="refresh", error=type(error).__name__)
        self._directory.put_in_force(snapshot)
        self._mark, self._told = fetched.mark, ("", "")
        self._status = replace(self._status, waiting=None)
        _log.info(f"{self._name}.changed", component="refresh", count=len(snapshot))

    async def _refused(self, digest: str, reason: str, verdict: Refused | None = None) -> str:
        _log.error(f"{self._name}.refused", component="refresh", reason=reason)
        if self._told == (digest, reason):
            return reason
        facts = {"list": self._name, "reason": reason, "digest": digest}
        if verdict is not None and verdict.lost:
            facts |= {"lost": str(verdict.lost), "before": str(verdict.before)}
        try:
            await self._audit.append(AuditEvent(kind=AuditKind.TRUST_LIST_REFUSED, facts=facts))
        except GatewayError as error:
            _log.error(f"{self._name}.refusal-not-audited", component="refresh", error=type(error).__name__)
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
            await asyncio.to_thread(self.kept.put_status, self._status)
        except StoreError as error:
            _log.error(f"{self._name}.status-not-kept", component="refresh", error=type(error).__name__)

    @property
    def waiting(self) -> Waiting | None:
        """The list of the last look, when it waits for an operator's confirmation."""
        return self._status.waiting

    # --- for ever -------------------------------------------------------------------------------------------
    async def run(
        self, every: timedelta, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """Look now, then each `every`; follow other processes in between; until cancelled."""
        due = self._clock.monotonic()
        while True:
            if self._clock.monotonic() >= due:
                await self.look()
                due = self._clock.monotonic() + every.total_seconds()
            else:
                async with self._one_look:
                    await self.follow_kept()
            self._watch_freshness()
            await sleep(min(TICK, every.total_seconds()))

    def _watch_freshness(self) -> None:
        freshness = self._directory.freshness()
        if freshness is self._freshness:
            return
        self._freshness = freshness
        for watcher in self._watchers:
            watcher(freshness)
