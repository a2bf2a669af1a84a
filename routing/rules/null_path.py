"""The null reverse-path is for reports: one recipient, one report (RFC 5321 §4.5.5, RFC 3464 §2)."""

from __future__ import annotations

from core import reply
from core.envelope import NullReversePath
from core.plan import Reason, Refuse
from routing.facts import LetterFacts, RecipientContext


def one_recipient(context: RecipientContext) -> Refuse | None:
    """A second RCPT after `MAIL FROM:<>` is refused."""
    if isinstance(context.reverse_path, NullReversePath) and context.earlier >= 1:
        return Refuse(reply.NULL_PATH_RULES, Reason.NULL_PATH_RULE)
    return None


def is_a_report(facts: LetterFacts) -> Refuse | None:
    """A letter with `<>` is multipart/report and nothing else."""
    if isinstance(facts.reverse_path, NullReversePath) and not facts.is_report:
        return Refuse(reply.NULL_PATH_RULES, Reason.NULL_PATH_RULE)
    return None
