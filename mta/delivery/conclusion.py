"""From an outcome to what is written of it: the recipient's next state and the events of the trace. Pure.

What it is: `conclude` (one recipient), `planned_events`, `outcome_event`. What it is not: the unit of work, which
the engine fills. Start at `conclude`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import assert_never

from core import reply as replies
from core.audit import AuditEvent, AuditKind
from core.outcome import Deferred, Delivered, Failed, Held, Outcome
from core.plan import Action, DeliverToMailbox, Refuse, RelayTo
from mta.delivery.agent import PlannedRecipient
from mta.spool.item import RecipientState, SpoolItem, State
from mta.spool.retry import RetrySettings, delay_report_is_due, next_attempt

VERDICT = "transport-only"
"""What room 6 says while it opens and closes no seal: the letter was protected by mutual TLS, nothing else."""


def conclude(
    before: RecipientState,
    outcome: Outcome,
    *,
    item: SpoolItem,
    retry: RetrySettings,
    now: float,
    dice: float,
) -> RecipientState:
    """How the recipient stands after this outcome."""
    after = dataclasses.replace(
        before,
        attempts=before.attempts + 1,
        reply=outcome.reply.name,
        answer=outcome.answer,
        owner="",
        next_due=None,
    )
    match outcome:
        case Delivered():
            return dataclasses.replace(after, state=State.DELIVERED)
        case Failed():
            return dataclasses.replace(after, state=State.FAILED)
        case Held():
            return dataclasses.replace(after, state=State.HELD)
        case Deferred():
            return _deferred(after, item=item, retry=retry, now=now, dice=dice)
    assert_never(outcome)


def _deferred(
    after: RecipientState, *, item: SpoolItem, retry: RetrySettings, now: float, dice: float
) -> RecipientState:
    due = next_attempt(retry, accepted_at=item.accepted_at, attempts=after.attempts, now=now, dice=dice)
    if due is None:
        return dataclasses.replace(after, state=State.EXPIRED, reply=replies.EXPIRED.name)
    late = delay_report_is_due(
        retry, accepted_at=item.accepted_at, now=now, already_reported=after.delay_reported
    )
    return dataclasses.replace(
        after, state=State.WAITING, next_due=due, delay_reported=after.delay_reported or late
    )


def ending(after: RecipientState, outcome: Outcome) -> Outcome:
    """The outcome that is told: giving up turns a deferral into a failure that keeps the peer's last answer."""
    if after.state is State.EXPIRED:
        return Failed(replies.EXPIRED, outcome.answer)
    return outcome


def planned_events(item: SpoolItem, action: str, recipients: Sequence[PlannedRecipient]) -> list[AuditEvent]:
    """Rooms 5 and 6: which rule, and what was done to the letter's form."""
    places = ",".join(str(recipient.index) for recipient in recipients)
    reasons = ",".join(sorted({recipient.action.reason.value for recipient in recipients}))
    facts = {"action": action, "reason": reasons, "recipients": places}
    facts |= _target(recipients[0].action)
    events = [_event(AuditKind.PLANNED, item, facts)]
    if action != "refuse":
        events.append(_event(AuditKind.PROTECTED, item, {"verdict": VERDICT, "recipients": places}))
    return events


def _target(action: Action) -> dict[str, str]:
    match action:
        case RelayTo():
            return {"domain": action.domain.ascii, "tls": action.tls.value}
        case Refuse():
            return {"reply": action.reply.name}
        case DeliverToMailbox():
            return {}
    assert_never(action)


_KINDS = {
    Delivered: AuditKind.DELIVERED,
    Deferred: AuditKind.DEFERRED,
    Failed: AuditKind.FAILED,
    Held: AuditKind.HELD,
}


def outcome_event(
    item: SpoolItem, after: RecipientState, outcome: Outcome, facts: Mapping[str, str]
) -> AuditEvent:
    """Room 7: what became of the letter for one recipient, and who said so."""
    kind = _KINDS[type(outcome)]
    if kind is AuditKind.DELIVERED and after.action == "relay":
        kind = AuditKind.RELAYED
    told = {
        **facts,
        "recipient": str(after.index),
        "domain": after.domain,
        "reply": after.reply,
        "attempt": str(after.attempts),
    }
    if outcome.answer is not None:
        # The peer's free text may repeat an address: it is sealed in the spool and goes into the report only.
        told |= {
            "code": str(outcome.answer.code),
            "status": outcome.answer.status,
            "host": outcome.answer.host,
        }
    if after.next_due is not None:
        told["next-attempt"] = str(int(after.next_due))
    mailbox = item.envelope.forward_paths[after.index].mailbox
    return _event(kind, item, told, {"forward-path": str(mailbox)})


def _event(
    kind: AuditKind, item: SpoolItem, facts: Mapping[str, str], persons: Mapping[str, str] | None = None
) -> AuditEvent:
    return AuditEvent(
        kind=kind, spool_id=item.spool_id, message_id=item.message_id, facts=facts, persons=persons or {}
    )
