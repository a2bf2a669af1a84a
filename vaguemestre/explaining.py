"""What would happen to a letter, as sentences: the same facts, rules and sentences as for a real one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.address import AddressInvalid, Mailbox
from core.errors import PermanentError
from core.plan import Admission, Admit, Reason
from routing.admission import admit_originator, admit_recipient
from routing.explain import SENTENCES, Sentence, explain_action, explain_admission
from routing.facts import Door, OriginatorFacts, RecipientContext
from routing.planner import plan

if TYPE_CHECKING:
    from vaguemestre.wiring import Operator


async def explain_letter(
    operator: Operator, author: str, recipients: Sequence[str], *, french: bool = False
) -> list[str]:
    """One block of lines for the author and for each recipient. Raises PermanentError for what is no address."""

    def said(sentence: Sentence) -> str:
        return sentence.french if french else sentence.english

    originator = _mailbox(author)
    bal = await operator.accounts.bal(originator)
    account = await operator.accounts.account(bal.bal_id) if bal else None
    facts = OriginatorFacts(door=Door.SUBMISSION, reverse_path=originator, account=account)
    admission = admit_originator(facts)
    lines = [f"From {author}", f"  {said(explain_admission(admission))}"]
    for index, text in enumerate(recipients):
        lines += [f"To {text}"]
        lines += [f"  {line}" for line in await _recipient(operator, text, index, originator, said)]
    state = operator.directory.state()
    age = state.generated_at.isoformat(timespec="seconds") if state.generated_at else "none"
    lines.append(
        f"Trust list in force: {state.entries} entries, of {age}{', STALE' if state.is_stale else ''}"
    )
    return lines


async def _recipient(
    operator: Operator, text: str, index: int, originator: Mailbox, said: object
) -> list[str]:
    assert callable(said)
    mailbox = _mailbox(text)
    facts = await operator.facts.recipient(mailbox)
    context = RecipientContext(
        door=Door.SUBMISSION,
        reverse_path=originator,
        earlier=index,
        limit=operator.configuration.letters.recipients,
    )
    decision: Admission = admit_recipient(facts, context)
    lines = [f"at RCPT: {said(explain_admission(decision))}"]
    if isinstance(decision, Admit):
        (action,) = plan([facts]).actions
        lines.append(f"then: {said(explain_action(action))}")
        names = operator.directory.names_of(mailbox.domain)
        lines += [
            f"its operator must present: {name}"
            for name in sorted(map(str, names))
            if not facts.is_own_domain
        ]
    homonyms = [
        homonym
        for entry in await operator.annuaire.by_address(mailbox)
        for homonym in await operator.annuaire.homonyms(entry)
    ]
    lines += [
        f"warning: {said(SENTENCES[Reason.HOMONYM_WARNING])}: "
        f"{entry.address} ({entry.given_name} {entry.family_name})"
        for entry in homonyms
    ]
    return lines


def _mailbox(text: str) -> Mailbox:
    try:
        return Mailbox.parse(text)
    except AddressInvalid as error:
        raise PermanentError(f"{text} is not an address: {error}") from error
