"""The end of an attempt: mailbox rows, spool states, trace and report to the author, durable together.

What it is: `Concluder.conclude`, the only place where an outcome is written. What it is not: the attempt itself.
A commit that does not come through is tried again; the fence of the lease makes that safe, because a unit that was
written after all leaves a fence that the second try does not have.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from core import reply as replies
from core.audit import AuditEvent, AuditKind
from core.errors import FatalStoreError, GatewayError, ReplyError, StoreError
from core.outcome import Deferred, Delivered, Failed, Held, Outcome
from core.unit_of_work import UnitOfWork
from mta.checkpoints import Checkpoint
from mta.delivery.agent import Attempt
from mta.delivery.conclusion import conclude, ending, outcome_event, planned_events
from mta.delivery.parts import EngineParts, EngineSettings, Group
from mta.delivery.reports import ReportedRecipient, SpooledReport
from mta.dsn import DsnAction, should_report
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


@dataclass(frozen=True, slots=True)
class _Ready:
    """All that one unit writes."""

    attempt: Attempt
    conclusions: Sequence[_Conclusion]
    report: SpooledReport | None
    facts: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    """More for the trace of one recipient, by its place."""


class Concluder:
    """Writes the ends of attempts."""

    def __init__(self, parts: EngineParts, settings: EngineSettings) -> None:
        self._parts = parts
        self._settings = settings

    async def conclude(self, group: Group, attempt: Attempt) -> Sequence[tuple[Claim, bytes]]:
        """Make the attempt's outcomes durable. Gives the reports that were spooled with them, to be worked on.

        Never raises but FatalStoreError, cancellation and bugs; what cannot be written is found again when the
        lease ends.
        """
        try:
            return await self._written(group, attempt)
        except FatalStoreError:
            raise
        except GatewayError as error:
            # An agent's own change was refused (a box that is full or gone): nothing was written.
            refused = _refused(group, error)
        if len(attempt.pieces) > 1:
            # Together, so that they share few transactions; those that come through do not wait for the others.
            written = await asyncio.gather(
                *(self.conclude(_part_of(group, piece), piece) for piece in attempt.pieces)
            )
            return [report for reports in written for report in reports]
        try:
            return await self._written(group, refused)
        except FatalStoreError:
            raise
        except GatewayError as error:
            return _not_written(group, error)

    async def _written(self, group: Group, attempt: Attempt) -> Sequence[tuple[Claim, bytes]]:
        """As `conclude`, but raises what the commit refused."""
        ready = await self._ready(group, attempt)
        doubt: GatewayError | None = None
        for number in range(1, COMMIT_TRIES + 1):
            try:
                return await self._commit(group, ready)
            except StaleLease:
                _log.warning("lease-lost", spool_id=group.letter.item.spool_id, component="delivery")
                return ()
            except StoreError as error:
                doubt = error
                await asyncio.sleep(COMMIT_PAUSE * number)
        return _not_written(group, doubt)

    async def _ready(self, group: Group, attempt: Attempt) -> _Ready:
        """What is to be written; a report that cannot be made must not keep the rest from it."""
        conclusions = self._conclusions(group, attempt)
        try:
            return _Ready(attempt, conclusions, await self._report(group, attempt, conclusions))
        except FatalStoreError:
            raise
        except Exception as error:  # noqa: BLE001 - a bug here would have the letter offered again for ever
            _log.error(
                "report-not-made", spool_id=group.letter.item.spool_id, component="delivery", exc_info=error
            )
        held = dict(attempt.outcomes)
        for conclusion in conclusions:
            if isinstance(conclusion.outcome, Failed) and _is_asked(group, conclusion):
                held[conclusion.before.index] = Held(replies.HELD_FOR_OPERATOR, conclusion.outcome.answer)
        without = dataclasses.replace(attempt, outcomes=held)
        facts = {
            conclusion.before.index: {"report": "not-made", "instead-of": conclusion.outcome.reply.name}
            for conclusion in conclusions
            if held.get(conclusion.before.index) is not attempt.outcomes.get(conclusion.before.index)
        }
        return _Ready(without, self._conclusions(group, without), None, facts)

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
        if not told:
            return None
        for number in range(1, COMMIT_TRIES):
            try:
                return await self._parts.reporter.prepare(group.letter, told)
            except StoreError:
                await asyncio.sleep(COMMIT_PAUSE * number)
        return await self._parts.reporter.prepare(group.letter, told)

    async def _commit(self, group: Group, ready: _Ready) -> Sequence[tuple[Claim, bytes]]:
        parts, item, report = self._parts, group.letter.item, ready.report
        unit = UnitOfWork()
        ready.attempt.stage(unit)
        for event in self._events(group, ready):
            parts.audit.record(unit, event)
        for conclusion in ready.conclusions:
            parts.spool.change(unit, item, conclusion.before, conclusion.after)
        claim = None
        if report is not None:
            parts.reporter.stage(unit, report)
            claim = parts.spool.put(unit, report.item)
            parts.audit.record(unit, _reported(group, report))
        await parts.committer.commit(unit)
        self._tell(group, ready.conclusions)
        if claim is None or report is None:
            return ()
        parts.checkpoints(Checkpoint.REPORT_COMMITTED)
        return ((claim, report.octets),)

    def _events(self, group: Group, ready: _Ready) -> list[AuditEvent]:
        item, facts = group.letter.item, ready.attempt.facts
        # A plan is told when it is new: at the first attempt, or when the rules have come to another action.
        new = any(state.attempts == 0 or state.action != group.action for state in group.states)
        events = planned_events(item, group.action, group.planned) if new and group.planned else []
        events.extend(
            outcome_event(
                item,
                conclusion.after,
                conclusion.outcome,
                {**facts, **ready.facts.get(conclusion.after.index, {})},
            )
            for conclusion in ready.conclusions
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


def _is_asked(group: Group, conclusion: _Conclusion) -> bool:
    envelope = group.letter.item.envelope
    return should_report(
        notify=envelope.forward_paths[conclusion.before.index].notify,
        action=DsnAction.FAILED,
        reverse_path=envelope.reverse_path,
    )


def _not_written(group: Group, error: GatewayError | None) -> Sequence[tuple[Claim, bytes]]:
    _log.error(
        "outcome-not-written",
        spool_id=group.letter.item.spool_id,
        error=type(error).__name__,
        component="delivery",
    )
    return ()


def _part_of(group: Group, piece: Attempt) -> Group:
    return dataclasses.replace(
        group,
        states=tuple(state for state in group.states if state.index in piece.outcomes),
        planned=tuple(recipient for recipient in group.planned if recipient.index in piece.outcomes),
    )


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
