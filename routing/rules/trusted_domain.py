"""A letter goes only where the liste blanche says; a list too old to trust decides nothing.

Pure: facts in, refusal or None out. The list itself is read by `trust_directory.trusted_domains`.
"""

from __future__ import annotations

from core import reply
from core.plan import Reason, Refuse
from routing.facts import RecipientFacts


def trusted_domain(facts: RecipientFacts) -> Refuse | None:
    """Refuse a foreign domain that is not listed; say `later` when the list is stale."""
    if facts.is_own_domain:
        return None
    if facts.list_is_stale:
        # Never a guess: an old list may lack a domain that joined or keep one that left.
        return Refuse(reply.TRUST_LIST_STALE, Reason.TRUSTED_LIST_STALE)
    if not facts.is_on_trusted_list:
        return Refuse(reply.DOMAIN_NOT_TRUSTED, Reason.NOT_ON_TRUSTED_LIST)
    return None
