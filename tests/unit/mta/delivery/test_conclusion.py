"""From outcome to state and trace, as tables."""

from __future__ import annotations

import pytest

from core import reply as replies
from core.address import Domain, Mailbox
from core.audit import AuditKind
from core.envelope import Envelope, ForwardPath
from core.folder import StoredOctets
from core.outcome import Deferred, Delivered, Failed, Held, Outcome, RemoteAnswer
from core.plan import DeliverToMailbox, Reason, Refuse, RelayTo
from mta.delivery.agent import PlannedRecipient
from mta.delivery.conclusion import conclude, ending, outcome_event, planned_events
from mta.spool.item import INTERNAL_ORIGIN, RecipientState, SpoolItem, State
from mta.spool.retry import DAY, HOUR, RetrySettings

CABINET = Domain("cabinet.mssante.example")
PATH = ForwardPath(Mailbox("paul.test-dune", CABINET))
ITEM = SpoolItem(
    spool_id="s1",
    envelope=Envelope(reverse_path=PATH.mailbox, forward_paths=(PATH,)),
    octets=StoredOctets("b", bytes(32), 10, bytes(32)),
    message_id="<1@x>",
    accepted_at=0.0,
    origin=INTERNAL_ORIGIN,
)
ANSWER = RemoteAnswer(451, "4.3.0", "paul.test-dune must wait", "mx")


def before(**values: object) -> RecipientState:
    whole: dict[str, object] = {"index": 0, "state": State.LEASED, "domain": CABINET.ascii, "action": "relay"}
    return RecipientState(**{**whole, "fence": 3, "owner": "me", "next_due": 9.0, **values})  # type: ignore[arg-type]


def after(outcome: Outcome, now: float = 60.0, **values: object) -> RecipientState:
    return conclude(before(**values), outcome, item=ITEM, retry=RetrySettings(), now=now, dice=0.5)


@pytest.mark.parametrize(
    ("outcome", "state", "kind"),
    [
        (Delivered(replies.RELAYED), State.DELIVERED, AuditKind.RELAYED),
        (Failed(replies.PEER_REFUSED, ANSWER), State.FAILED, AuditKind.FAILED),
        (Held(replies.HELD_FOR_OPERATOR), State.HELD, AuditKind.HELD),
        (Deferred(replies.NO_ROUTE), State.WAITING, AuditKind.DEFERRED),
    ],
)
def test_each_outcome_has_its_state_and_its_event(outcome: Outcome, state: State, kind: AuditKind) -> None:
    found = after(outcome)
    assert (found.state, found.attempts, found.owner, found.fence) == (state, 1, "", 3)
    assert (found.next_due is None) == (state is not State.WAITING)
    assert outcome_event(ITEM, found, ending(found, outcome), {}).kind is kind


def test_a_local_delivery_is_not_called_relayed() -> None:
    found = after(Delivered(replies.DELIVERED), action="local")
    assert outcome_event(ITEM, found, Delivered(replies.DELIVERED), {}).kind is AuditKind.DELIVERED


def test_giving_up_is_a_failure_that_keeps_the_peer_s_answer() -> None:
    outcome = Deferred(replies.PEER_DEFERRED, ANSWER)
    found = after(outcome, now=5 * DAY, attempts=100)
    assert (found.state, found.reply) == (State.EXPIRED, "EXPIRED")
    assert ending(found, outcome) == Failed(replies.EXPIRED, ANSWER)


def test_delay_is_noted_once() -> None:
    outcome = Deferred(replies.NO_ROUTE)
    assert not after(outcome, now=HOUR).delay_reported
    assert after(outcome, now=4 * HOUR).delay_reported
    assert after(outcome, now=5 * HOUR, delay_reported=True).delay_reported


def test_the_trace_has_the_peer_s_codes_and_not_its_words() -> None:
    found = after(Deferred(replies.PEER_DEFERRED, ANSWER))
    event = outcome_event(ITEM, found, Deferred(replies.PEER_DEFERRED, ANSWER), {"next-hop": "mx"})
    assert event.facts["code"] == "451"
    assert event.facts["next-hop"] == "mx"
    assert "paul" not in "".join(event.facts.values())
    assert event.persons == {"forward-path": str(PATH.mailbox)}


def test_a_plan_is_told_with_its_reason_and_nobody_s_name() -> None:
    relayed = planned_events(ITEM, "relay", [PlannedRecipient(0, PATH, RelayTo(CABINET))])
    assert [event.kind for event in relayed] == [AuditKind.PLANNED, AuditKind.PROTECTED]
    assert relayed[0].facts == {
        "action": "relay",
        "reason": "on-trusted-list",
        "recipients": "0",
        "domain": CABINET.ascii,
        "tls": "mutual-required",
    }
    assert relayed[1].facts["verdict"] == "transport-only"
    local = planned_events(ITEM, "local", [PlannedRecipient(0, PATH, DeliverToMailbox(7))])
    assert local[0].facts == {"action": "local", "reason": "own-box-open", "recipients": "0"}
    refused = Refuse(replies.UNKNOWN_MAILBOX, Reason.OWN_BOX_UNKNOWN)
    [told] = planned_events(ITEM, "refuse", [PlannedRecipient(0, PATH, refused)])
    assert told.facts["reply"] == "UNKNOWN_MAILBOX"
