"""A letter that passed too many hands goes in a circle (RFC 5321 §6.3)."""

from __future__ import annotations

from core import reply
from core.plan import Reason, Refuse
from routing.facts import LetterFacts

MAX_HOPS = 50  # Postfix hopcount_limit; RFC 5321 §6.3 wants at least 100 only where loops are found otherwise


def too_many_hops(facts: LetterFacts) -> Refuse | None:
    """Refuse beyond MAX_HOPS Received fields."""
    return Refuse(reply.LOOP, Reason.TOO_MANY_HOPS) if facts.hops > MAX_HOPS else None
