"""Room 5: facts → RoutingPlan. Start here to learn where a letter goes and why.

What it is: the fixed order in which rules are asked for each recipient of a spooled letter. What it is not:
admission (`routing.admission`), which asked some of them before; the world may have changed since, so they
are asked again. A plan is a value: nothing happens until room 7 acts on it.
"""

from __future__ import annotations

from collections.abc import Sequence

from core import reply
from core.plan import Action, Reason, Refuse, RelayTo, RoutingPlan
from routing.facts import RecipientFacts
from routing.rules import own_box, trusted_domain


def plan(recipients: Sequence[RecipientFacts]) -> RoutingPlan:
    """One action for each recipient, in their order."""
    return RoutingPlan(tuple(_action(facts) for facts in recipients))


def _action(facts: RecipientFacts) -> Action:
    if facts.is_own_domain:
        return own_box.own_box(facts)
    refusal = trusted_domain.trusted_domain(facts)
    if refusal is None:
        return RelayTo(facts.mailbox.domain)
    if refusal.reason is Reason.NOT_ON_TRUSTED_LIST:
        # It was listed when the letter was accepted: the author is told that the domain left.
        return Refuse(reply.DOMAIN_LEFT_TRUST, refusal.reason)
    return refusal
