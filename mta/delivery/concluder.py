"""The end of an attempt: mailbox rows, spool states, trace and report to the author, durable together.

What it is: `Concluder.conclude`, the only place where an outcome is written. What it is not: the attempt itself.
A commit that does not come through is tried again; the fence of the lease makes that safe, because a unit that was
written after all leaves a fence that the second try does not have.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from core import reply as replies
from core.audit import AuditEvent, AuditKind
from core.errors import FatalStoreError, GatewayError, ReplyError, StoreError
from core.outcome import Deferred, Delivered, Failed, Outcome
from core.unit_of_work import UnitOfWork
from mta.checkpoints import Checkpoint
from mta.delivery.agent import Attempt
from mta.delivery.conclusion import conclude, ending, outcome_event, planned_events
from mta.delivery.parts import EngineParts, EngineSettings, Group
from mta.delivery.reports import ReportedRecipient, SpooledReport
from mta.dsn import DsnAction
from mta.spool.item import Claim, RecipientState, State
from mta.spool.storage import StaleLease

COMMIT_TRIES = 4  # ours: an outcome that already happened at a peer is worth patience
COMMIT_PAUSE = 0.5  # ours: seconds, times the number of the try

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Conclusion:
    """One recipient before and after, and what is told of it."""

    before: RecipientState
    after: RecipientState
    outcome: Outcome


class Concluder:
    """Writes the ends of attempts."""

    def __init__(self, parts: EngineParts, settings: EngineSettings) -> None:
        self._parts = parts
        self._settings = settings

    async def conclude(self, group: Group, attempt: Attempt) -> tuple[Claim, bytes] | None:
        """Make the attempt's outcomes durable. Gives the report that was spooled with them, to be worked on.

        Never raises but FatalStoreError, cancellation and bugs; what cannot be written is found again when the
        lease ends.
        """
        conclusions = self._conclusions(group, attempt)
        report = await self._report(group, attempt, conclusions)
        for number in range(1, COMMIT_TRIES + 1):
            try:
                return await self._commit(group, attempt, conclusions, report)
            except StaleLease:
                _log.warning("lease-lost", spool_id=group.letter.item.spool_id, component="delivery")
                return None
            except FatalStoreError:
                raise
            except StoreError:
                await asyncio.sleep(COMMIT_PAUSE * number)
            except GatewayError as error:
                # An agent's own change was refused (a box that is full or gone): nothing was written.
                attempt = _refused(group, error)
                conclusions = self._conclusions(group, attempt)
                report = await self._report(group, attempt, conclusions)
        _log.error("outcome-not-written", spool_id=group.letter.item.spool_id, component="delivery")
        return None

    def _conclusions(self, group: Group, attempt: Attempt) -> list[_Conclusion]:
        parts, now = self._parts, self._parts.spool.now()
        found = []
        for state in group.states:
            outcome = attempt.outcomes.get(state.index, Deferred(replies.LOCAL_ERROR))
            after = conclude(
                dataclasses.replace(state, action=group.action),
                outcome,
                item=group.letter.item,
                retry=self._settings.retry,
                now=now,
                dice=parts.dice(),
            )
            found.append(_Conclusion(state, after, ending(after, outcome)))
        return found

    async def _report(
        self, group: Group, attempt: Attempt, conclusions: Sequence[_Conclusion]
    ) -> SpooledReport | None:
        told = [
            ReportedRecipient(conclusion.after, kind, conclusion.outcome)
            for conclusion in conclusions
            if (kind := _report_kind(conclusion, attempt)) is not None
        ]
        return await self._parts.reporter.prepare(group.letter, told) if told else None

    async def _commit(
        self,
        group: Group,
        attempt: Attempt,
        conclusions: Sequence[_Conclusion],
        report: SpooledReport | None,
    ) -> tuple[Claim, bytes] | None:
        parts, item = self._parts, group.letter.item
        unit = UnitOfWork()
        attempt.stage(unit)
        for event in self._events(group, attempt, conclusions):
            parts.audit.record(unit, event)
        for conclusion in conclusions:
            parts.spool.change(unit, item, conclusion.before, conclusion.after)
        claim = None
        if report is not None:
            parts.reporter.stage(unit, report)
            claim = parts.spool.put(unit, report.item)
            parts.audit.record(unit, _reported(group, report))
        await parts.committer.commit(unit)
        self._tell(group, conclusions)
        if claim is None or report is None:
            return None
        parts.checkpoints(Checkpoint.REPORT_COMMITTED)
        return claim, report.octets

    def _events(self, group: Group, attempt: Attempt, conclusions: Sequence[_Conclusion]) -> list[AuditEvent]:
        item = group.letter.item
        # A plan is told when it is new: at the first attempt, or when the rules have come to another action.
        new = any(state.attempts == 0 or state.action != group.action for state in group.states)
        events = planned_events(item, group.action, group.planned) if new and group.planned else []
        events.extend(
            outcome_event(item, conclusion.after, conclusion.outcome, attempt.facts)
            for conclusion in conclusions
        )
        return events

    def _tell(self, group: Group, conclusions: Sequence[_Conclusion]) -> None:
        for conclusion in conclusions:
            after = conclusion.after
            self._parts.observer.concluded(after.state.value)
            _log.info(
                f"letter-{after.state.value}",
                spool_id=group.letter.item.spool_id,
                domain=after.domain,
                reply=after.reply,
                attempt=after.attempts,
            )
            if after.state is State.HELD:
                self._parts.observer.held()
                _log.error("letter-needs-operator", spool_id=group.letter.item.spool_id, reply=after.reply)


def _report_kind(conclusion: _Conclusion, attempt: Attempt) -> DsnAction | None:
    match conclusion.outcome:
        case Failed():
            return DsnAction.FAILED
        case Delivered() if not attempt.success_is_told_elsewhere:
            return DsnAction.RELAYED if conclusion.after.action == "relay" else DsnAction.DELIVERED
        case Deferred() if conclusion.after.delay_reported and not conclusion.before.delay_reported:
            return DsnAction.DELAYED
        case _:
            return None


def _refused(group: Group, error: GatewayError) -> Attempt:
    """What an agent's refused change means: the reply it names, or a doubt that is tried again."""
    outcome: Outcome = Deferred(replies.MAILBOX_BUSY)
    if isinstance(error, ReplyError):
        outcome = Failed(error.reply) if error.reply.is_permanent else Deferred(error.reply)
    _log.warning(
        "delivery-refused",
        spool_id=group.letter.item.spool_id,
        reply=outcome.reply.name,
        error=type(error).__name__,
        component="delivery",
    )
    return Attempt(outcomes={state.index: outcome for state in group.states})


def _reported(group: Group, report: SpooledReport) -> AuditEvent:
    item = group.letter.item
    return AuditEvent(
        kind=AuditKind.REPORTED,
        spool_id=item.spool_id,
        message_id=item.message_id,
        facts={"report": report.item.spool_id},
        persons={"reverse-path": str(item.envelope.reverse_path)},
    )
