"""Who may write as whom at submission: the authenticated box, and the boxes that delegated to it.

RFC 6409 §6.1 lets a submission server enforce this; MSSanté lives by it.
"""

from __future__ import annotations

from core import reply
from core.bal import BalState
from core.envelope import NullReversePath
from core.plan import Reason, Refuse
from routing.facts import LetterFacts, OriginatorFacts


def reverse_path_is_owned(facts: OriginatorFacts) -> Refuse | None:
    """MAIL FROM at submission."""
    if facts.account is None:
        return Refuse(reply.AUTHENTICATION_REQUIRED, Reason.NOT_AUTHENTICATED)
    if facts.account.bal.state is not BalState.OPEN:
        return Refuse(reply.SENDER_SUSPENDED, Reason.ORIGINATOR_SUSPENDED)
    if isinstance(facts.reverse_path, NullReversePath):
        return None  # a disposition report of a mail client (RFC 8098 §3); its letter is judged later
    if not facts.account.may_send_as(facts.reverse_path):
        return Refuse(reply.NOT_YOUR_ADDRESS, Reason.ORIGINATOR_NOT_OWNER)
    return None


def box_is_open(facts: LetterFacts) -> Refuse | None:
    """After end of data: a box that was suspended or closed since MAIL sends nothing any more."""
    if facts.account is not None and facts.account.bal.state is not BalState.OPEN:
        return Refuse(reply.SENDER_SUSPENDED, Reason.ORIGINATOR_SUSPENDED)
    return None


def from_field_is_owned(facts: LetterFacts) -> Refuse | None:
    """The From field at submission: exactly one address, and the account may write as it."""
    if len(facts.from_mailboxes) != 1:
        return Refuse(reply.FROM_NOT_YOURS, Reason.FROM_MISSING_OR_SEVERAL)
    claimed = [*facts.from_mailboxes, *([facts.sender_field] if facts.sender_field else [])]
    if facts.account is None or not all(facts.account.may_send_as(mailbox) for mailbox in claimed):
        return Refuse(reply.FROM_NOT_YOURS, Reason.FROM_NOT_OWNED)
    return None
