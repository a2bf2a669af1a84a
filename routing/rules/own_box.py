"""What a box of ours answers, by its state (RFC 3463 §3.2, §3.3)."""

from __future__ import annotations

from typing import assert_never

from core import reply
from core.bal import BalState
from core.plan import DeliverToMailbox, Reason, Refuse
from routing.facts import RecipientFacts


def own_box(facts: RecipientFacts) -> DeliverToMailbox | Refuse:
    """Deliver into an open box; each other state has its own reply."""
    bal = facts.bal
    if bal is None:
        return Refuse(reply.UNKNOWN_MAILBOX, Reason.OWN_BOX_UNKNOWN)
    match bal.state:
        case BalState.SUSPENDED:
            return Refuse(reply.MAILBOX_SUSPENDED, Reason.OWN_BOX_SUSPENDED)
        case BalState.CLOSED:
            return Refuse(reply.MAILBOX_CLOSED, Reason.OWN_BOX_CLOSED)
        case BalState.OPEN:
            if bal.quota_octets and bal.used_octets >= bal.quota_octets:
                return Refuse(reply.MAILBOX_FULL, Reason.OWN_BOX_FULL)
            return DeliverToMailbox(bal.bal_id)
        case _:
            assert_never(bal.state)
