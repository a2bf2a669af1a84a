"""Room 3: may this originator send, is this forward-path ours or trusted, may this letter enter?

What it is: three pure functions that ask the rules in a fixed, visible order; the first refusal wins. What it
is not: the plan for a letter that is in (`routing.planner`).
"""

from __future__ import annotations

from core import reply
from core.plan import Admission, Admit, DeliverToMailbox, Reason, Refuse
from routing.facts import Door, LetterFacts, OriginatorFacts, RecipientContext, RecipientFacts
from routing.rules import (
    loop,
    null_path,
    own_box,
    peer_entitlement,
    sender_rights,
    size_and_type,
    trusted_domain,
)


def admit_originator(facts: OriginatorFacts) -> Admission:
    """MAIL FROM."""
    match facts.door:
        case Door.SUBMISSION:
            return sender_rights.reverse_path_is_owned(facts) or Admit(Reason.ORIGINATOR_OWNS_ADDRESS)
        case Door.RELAY:
            return (
                peer_entitlement.certificate_is_valid(facts)
                or peer_entitlement.reverse_path_is_entitled(facts)
                or Admit(Reason.PEER_ENTITLED)
            )
        case Door.INTERNAL:
            return Admit(Reason.ORIGINATOR_OWNS_ADDRESS)


def admit_recipient(facts: RecipientFacts, context: RecipientContext) -> Admission:
    """RCPT TO: refused now, so that the author's client shows which address it was."""
    refusal = size_and_type.too_many_recipients(context) or null_path.one_recipient(context)
    if refusal:
        return refusal
    if not facts.is_own_domain:
        if context.door is Door.RELAY:
            return Refuse(reply.RELAYING_DENIED, Reason.NOT_SERVED_HERE)
        return trusted_domain.trusted_domain(facts) or Admit(Reason.ON_TRUSTED_LIST)
    decision = own_box.own_box(facts)
    return Admit(decision.reason) if isinstance(decision, DeliverToMailbox) else decision


def admit_letter(facts: LetterFacts) -> Admission:
    """After end of data, before the letter is kept."""
    refusal = (
        size_and_type.too_big(facts)
        or size_and_type.header_is_sound(facts)
        or loop.too_many_hops(facts)
        or null_path.is_a_report(facts)
    )
    if refusal:
        return refusal
    match facts.door:
        case Door.SUBMISSION:
            return (
                sender_rights.box_is_open(facts)
                or sender_rights.from_field_is_owned(facts)
                or Admit(Reason.ORIGINATOR_OWNS_ADDRESS)
            )
        case Door.RELAY:
            return peer_entitlement.from_field_is_entitled(facts) or Admit(Reason.PEER_ENTITLED)
        case Door.INTERNAL:
            return Admit(Reason.ORIGINATOR_OWNS_ADDRESS)
