"""How big a letter may be, and that its header has one reading."""

from __future__ import annotations

from core import reply
from core.plan import Reason, Refuse
from routing.facts import LetterFacts, RecipientContext


def too_big(facts: LetterFacts) -> Refuse | None:
    """The size limit of the door (RFC 1870 §6.3)."""
    return Refuse(reply.TOO_BIG, Reason.TOO_BIG) if facts.size > facts.size_limit else None


def header_is_sound(facts: LetterFacts) -> Refuse | None:
    """A header that two readers could read in two ways is not passed on."""
    return None if facts.header_is_sound else Refuse(reply.MALFORMED, Reason.HEADER_MALFORMED)


def too_many_recipients(context: RecipientContext) -> Refuse | None:
    """Beyond the limit the rest goes in another letter (RFC 5321 §4.5.3.1.10)."""
    if context.earlier >= context.limit:
        return Refuse(reply.TOO_MANY_RECIPIENTS, Reason.TOO_MANY_RECIPIENTS)
    return None
