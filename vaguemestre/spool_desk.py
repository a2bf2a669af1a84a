"""What a person may do with letters that wait: look, try now, hold, release, withdraw. Each act is audited.

What it is: `SpoolDesk`, which works beside a running `serve` on the same rows, under the same fences, so that a
letter in hand is never pulled from under a delivery. What it is not: words (`vaguemestre.spool_words`) or the command
line (`vaguemestre.cli.queue`). Start at `act`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from core import reply
from core.address import Domain, Mailbox
from core.audit import AuditEvent, AuditKind
from core.errors import NotStored, PermanentError, TemporaryError
from core.outcome import Failed
from core.unit_of_work import UnitOfWork
from mta.delivery.agent import LetterInHand
from mta.delivery.conclusion import outcome_event
from mta.delivery.reporting import DsnReporter
from mta.delivery.reports import ReportedRecipient, SpooledReport
from mta.dsn import DsnAction
from mta.spool.item import RecipientState, SpoolItem, State
from mta.spool.storage import StaleLease
from vaguemestre.spool_words import Act, Motive, is_in_hand

if TYPE_CHECKING:
    from vaguemestre.wiring import Operator

IN_HAND = "is being delivered at this moment; look again in a few seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What an act changed: places of recipients, those left alone because they are in hand, the report's id."""

    changed: tuple[int, ...]
    in_hand: tuple[int, ...]
    report: str = ""


class SpoolDesk:
    """`by` is who acts: the login name of the person at the keyboard."""

    def __init__(self, operator: Operator, *, by: str, new_spool_id: Callable[[], str]) -> None:
        self._operator = operator
        self._by = by
        settings = operator.configuration.operator
        self._reporter = DsnReporter(
            blobs=operator.blobs,
            clock=operator.clock,
            reporting_mta=Domain.parse(settings.hostname),
            postmaster=Mailbox(settings.postmaster, Domain.parse(settings.domains[0])),
            new_spool_id=new_spool_id,
            retries_for=operator.configuration.spool.give_up_after_hours * 3600,
        )

    async def open(self) -> None:
        """Fetch the spool's key; the leases stay those of the serving process."""
        await self._operator.spool.open(recover=False)

    async def look(self, spool_id: str, act: Act) -> tuple[SpoolItem, tuple[RecipientState, ...]]:
        """A letter with its recipients; that somebody looked is audited. Raises PermanentError."""
        item, recipients = await self._load(spool_id)
        await self._operator.audit.append(self._event(item, act, ()))
        return item, recipients

    async def act(self, spool_id: str, act: Act, *, motive: Motive = Motive.NOT_SAID) -> Done:
        """Do it to every recipient that is not in hand. Raises PermanentError, or TemporaryError when all are."""
        item, recipients = await self._load(spool_id)
        now = self._operator.spool.now()
        chosen = [recipient for recipient in recipients if _takes(act, recipient)]
        if not chosen:
            raise PermanentError(f"{spool_id}: nothing to {act.value}: {_why_nothing(act)}")
        free = [recipient for recipient in chosen if not is_in_hand(recipient, now)]
        if not free:
            raise TemporaryError(f"{spool_id} {IN_HAND}")
        unit = UnitOfWork()
        self._operator.audit.record(unit, self._event(item, act, free, motive))
        report = None
        if act is Act.DELETE:
            report = await self._withdraw(unit, item, free)
        else:
            for before in free:
                self._operator.spool.change(unit, item, before, _after(act, before, now))
        try:
            await self._operator.committer.commit(unit)
        except StaleLease as error:
            raise TemporaryError(f"{spool_id} {IN_HAND}") from error
        return Done(
            changed=tuple(recipient.index for recipient in free),
            in_hand=tuple(recipient.index for recipient in chosen if recipient not in free),
            report=report.item.spool_id if report else "",
        )

    async def _load(self, spool_id: str) -> tuple[SpoolItem, tuple[RecipientState, ...]]:
        try:
            return await self._operator.spool.load(spool_id)
        except NotStored as error:
            raise PermanentError(
                f"no letter {spool_id} is in the spool; what became of it: vaguemestre trace {spool_id}"
            ) from error

    async def _withdraw(
        self, unit: UnitOfWork, item: SpoolItem, free: Sequence[RecipientState]
    ) -> SpooledReport | None:
        operator = self._operator
        outcome = Failed(reply.DELETED_BY_OPERATOR)
        told = []
        for before in free:
            after = dataclasses.replace(
                before, state=State.FAILED, next_due=None, owner="", reply=outcome.reply.name, answer=None
            )
            operator.spool.change(unit, item, before, after)
            operator.audit.record(unit, outcome_event(item, after, outcome, {}))
            told.append(ReportedRecipient(after, DsnAction.FAILED, outcome))
        report = await self._reporter.prepare(LetterInHand(item, operator.blobs), told)
        if report is not None:
            self._reporter.stage(unit, report)
            operator.spool.put(unit, report.item, leased=False)
            operator.audit.record(unit, _reported(item, report))
        return report

    def _event(
        self,
        item: SpoolItem,
        act: Act,
        recipients: Sequence[RecipientState],
        motive: Motive = Motive.NOT_SAID,
    ) -> AuditEvent:
        facts = {"act": act.value, "recipients": ",".join(str(each.index) for each in recipients)}
        if motive is not Motive.NOT_SAID:
            facts["reason"] = motive.value
        return AuditEvent(
            kind=AuditKind.QUEUE_ACT,
            spool_id=item.spool_id,
            message_id=item.message_id,
            facts=facts,
            persons={"operator": self._by},
        )


def _reported(item: SpoolItem, report: SpooledReport) -> AuditEvent:
    return AuditEvent(
        kind=AuditKind.REPORTED,
        spool_id=item.spool_id,
        message_id=item.message_id,
        facts={"report": report.item.spool_id},
        persons={"reverse-path": str(item.envelope.reverse_path)},
    )


def _takes(act: Act, recipient: RecipientState) -> bool:
    match act:
        case Act.RETRY | Act.HOLD:
            return recipient.state in (State.WAITING, State.LEASED)
        case Act.RELEASE:
            return recipient.state is State.HELD
        case Act.DELETE:
            return not recipient.state.is_end
        case Act.SHOW | Act.WHY:
            return False
    assert_never(act)


def _after(act: Act, before: RecipientState, now: float) -> RecipientState:
    if act is Act.HOLD:
        return dataclasses.replace(before, state=State.HELD, next_due=None, owner="")
    return dataclasses.replace(before, state=State.WAITING, next_due=now, owner="")


def _why_nothing(act: Act) -> str:
    if act is Act.RELEASE:
        return "it is not held"
    return "it is held, see `vaguemestre queue release`, or done with"
