"""Room 3 as tables: each refusal, and the same facts with the defect removed are admitted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from core import reply
from core.address import Mailbox
from core.bal import Account, Bal, BalKind, BalState, Right
from core.envelope import NULL_REVERSE_PATH
from core.plan import Admit, Reason, Refuse
from routing.admission import admit_letter, admit_originator, admit_recipient
from routing.facts import (
    CertificateVerdict,
    Door,
    LetterFacts,
    OriginatorFacts,
    RecipientContext,
    RecipientFacts,
)
from routing.rules.loop import MAX_HOPS

ANNE = Mailbox.parse("anne.test-rivage@ch-rivage.mssante.example")
WARD = Mailbox.parse("medecine@ch-rivage.mssante.example")
PAUL = Mailbox.parse("paul.test-dune@cabinet.mssante.example")


def box(mailbox: Mailbox = ANNE, **changes: Any) -> Bal:
    values: dict[str, Any] = {
        "bal_id": 1,
        "mailbox": mailbox,
        "kind": BalKind.PERSONNELLE,
        "state": BalState.OPEN,
        "display_name": "",
        "quota_octets": 0,
    }
    return Bal(**(values | changes))


ACCOUNT = Account(bal=box())
SUBMISSION = OriginatorFacts(door=Door.SUBMISSION, reverse_path=ANNE, account=ACCOUNT)
RELAY = OriginatorFacts(
    door=Door.RELAY,
    reverse_path=PAUL,
    certificate=CertificateVerdict.VALID,
    peer_is_listed=True,
    peer_may_speak_for_reverse_path=True,
)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (replace(SUBMISSION, account=None), reply.AUTHENTICATION_REQUIRED),
        (replace(SUBMISSION, reverse_path=PAUL), reply.NOT_YOUR_ADDRESS),
        (replace(SUBMISSION, reverse_path=WARD), reply.NOT_YOUR_ADDRESS),
        (replace(SUBMISSION, account=Account(bal=box(state=BalState.SUSPENDED))), reply.SENDER_SUSPENDED),
        (replace(SUBMISSION, account=Account(bal=box(state=BalState.CLOSED))), reply.SENDER_SUSPENDED),
        (replace(RELAY, certificate=CertificateVerdict.ABSENT), reply.CERTIFICATE_REQUIRED),
        (replace(RELAY, certificate=CertificateVerdict.REFUSED), reply.CERTIFICATE_REFUSED),
        (replace(RELAY, certificate=CertificateVerdict.REVOKED), reply.CERTIFICATE_REVOKED),
        (replace(RELAY, certificate=CertificateVerdict.UNKNOWN), reply.REVOCATION_UNKNOWN),
        (replace(RELAY, list_is_stale=True), reply.TRUST_LIST_STALE),
        (replace(RELAY, peer_may_speak_for_reverse_path=False), reply.PEER_NOT_ENTITLED),
        (replace(RELAY, reverse_path=NULL_REVERSE_PATH, peer_is_listed=False), reply.PEER_NOT_ENTITLED),
    ],
)
def test_originators_refused(facts: OriginatorFacts, expected: reply.Reply) -> None:
    decision = admit_originator(facts)
    assert isinstance(decision, Refuse)
    assert decision.reply is expected


@pytest.mark.parametrize(
    "facts",
    [
        SUBMISSION,
        replace(SUBMISSION, reverse_path=NULL_REVERSE_PATH),
        replace(
            SUBMISSION,
            reverse_path=WARD,
            account=Account(bal=box(), delegations=frozenset({(2, WARD, Right.SEND)})),
        ),
        RELAY,
        replace(RELAY, reverse_path=NULL_REVERSE_PATH, peer_may_speak_for_reverse_path=False),
        OriginatorFacts(door=Door.INTERNAL, reverse_path=NULL_REVERSE_PATH),
    ],
)
def test_originators_admitted(facts: OriginatorFacts) -> None:
    assert isinstance(admit_originator(facts), Admit)


def test_the_right_to_read_is_not_the_right_to_send() -> None:
    reader = Account(bal=box(), delegations=frozenset({(2, WARD, Right.READ)}))
    assert isinstance(admit_originator(replace(SUBMISSION, reverse_path=WARD, account=reader)), Refuse)


OWN = RecipientFacts(mailbox=WARD, is_own_domain=True, bal=box(WARD))
FOREIGN = RecipientFacts(mailbox=PAUL, is_own_domain=False, is_on_trusted_list=True)
AT_SUBMISSION = RecipientContext(door=Door.SUBMISSION, reverse_path=ANNE, earlier=0, limit=1000)
AT_RELAY = replace(AT_SUBMISSION, door=Door.RELAY, reverse_path=PAUL)


@pytest.mark.parametrize(
    ("facts", "context", "expected"),
    [
        (replace(FOREIGN, is_on_trusted_list=False), AT_SUBMISSION, reply.DOMAIN_NOT_TRUSTED),
        (replace(FOREIGN, list_is_stale=True), AT_SUBMISSION, reply.TRUST_LIST_STALE),
        (FOREIGN, AT_RELAY, reply.RELAYING_DENIED),
        (replace(OWN, bal=None), AT_RELAY, reply.UNKNOWN_MAILBOX),
        (replace(OWN, bal=box(state=BalState.SUSPENDED)), AT_RELAY, reply.MAILBOX_SUSPENDED),
        (replace(OWN, bal=box(state=BalState.CLOSED)), AT_RELAY, reply.MAILBOX_CLOSED),
        (replace(OWN, bal=box(quota_octets=10, used_octets=10)), AT_RELAY, reply.MAILBOX_FULL),
        (OWN, replace(AT_RELAY, earlier=1000), reply.TOO_MANY_RECIPIENTS),
        (OWN, replace(AT_RELAY, reverse_path=NULL_REVERSE_PATH, earlier=1), reply.NULL_PATH_RULES),
    ],
)
def test_recipients_refused(facts: RecipientFacts, context: RecipientContext, expected: reply.Reply) -> None:
    decision = admit_recipient(facts, context)
    assert isinstance(decision, Refuse)
    assert decision.reply is expected


@pytest.mark.parametrize(
    ("facts", "context"),
    [
        (FOREIGN, AT_SUBMISSION),
        (OWN, AT_SUBMISSION),
        (OWN, AT_RELAY),
        (OWN, replace(AT_RELAY, earlier=999)),
        (OWN, replace(AT_RELAY, reverse_path=NULL_REVERSE_PATH)),
        (replace(OWN, list_is_stale=True), AT_SUBMISSION),
        (replace(OWN, bal=box(quota_octets=10, used_octets=9)), AT_RELAY),
    ],
)
def test_recipients_admitted(facts: RecipientFacts, context: RecipientContext) -> None:
    assert isinstance(admit_recipient(facts, context), Admit)


LETTER = LetterFacts(
    door=Door.SUBMISSION,
    reverse_path=ANNE,
    account=ACCOUNT,
    header_is_sound=True,
    from_mailboxes=(ANNE,),
    sender_field=None,
    peer_may_speak_for_from=False,
    is_report=False,
    recipients=1,
    hops=1,
    size=10_000,
    size_limit=26_214_400,
)
RELAYED = replace(
    LETTER,
    door=Door.RELAY,
    reverse_path=PAUL,
    account=None,
    from_mailboxes=(PAUL,),
    peer_may_speak_for_from=True,
)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (replace(LETTER, size=26_214_401), reply.TOO_BIG),
        (replace(LETTER, header_is_sound=False), reply.MALFORMED),
        (replace(LETTER, hops=MAX_HOPS + 1), reply.LOOP),
        (replace(LETTER, reverse_path=NULL_REVERSE_PATH), reply.NULL_PATH_RULES),
        (replace(LETTER, from_mailboxes=()), reply.FROM_NOT_YOURS),
        (replace(LETTER, from_mailboxes=(ANNE, ANNE)), reply.FROM_NOT_YOURS),
        (replace(LETTER, from_mailboxes=(PAUL,)), reply.FROM_NOT_YOURS),
        (replace(LETTER, sender_field=PAUL), reply.FROM_NOT_YOURS),
        (replace(LETTER, account=None), reply.FROM_NOT_YOURS),
        (replace(LETTER, account=Account(bal=box(state=BalState.SUSPENDED))), reply.SENDER_SUSPENDED),
        (replace(LETTER, account=Account(bal=box(state=BalState.CLOSED))), reply.SENDER_SUSPENDED),
        (replace(RELAYED, from_mailboxes=()), reply.FROM_NOT_ENTITLED),
        (replace(RELAYED, from_mailboxes=(PAUL, ANNE)), reply.FROM_NOT_ENTITLED),
        (replace(RELAYED, peer_may_speak_for_from=False), reply.FROM_NOT_ENTITLED),
        (replace(RELAYED, reverse_path=NULL_REVERSE_PATH), reply.NULL_PATH_RULES),
    ],
)
def test_letters_refused(facts: LetterFacts, expected: reply.Reply) -> None:
    decision = admit_letter(facts)
    assert isinstance(decision, Refuse)
    assert decision.reply is expected


@pytest.mark.parametrize(
    "facts",
    [
        LETTER,
        replace(LETTER, hops=MAX_HOPS),
        replace(LETTER, sender_field=ANNE),
        replace(LETTER, reverse_path=NULL_REVERSE_PATH, is_report=True),
        RELAYED,
        replace(RELAYED, reverse_path=NULL_REVERSE_PATH, is_report=True),
        replace(LETTER, door=Door.INTERNAL, account=None, from_mailboxes=()),
    ],
)
def test_letters_admitted(facts: LetterFacts) -> None:
    assert isinstance(admit_letter(facts), Admit)


def test_reasons_are_told_with_the_reply() -> None:
    decision = admit_recipient(replace(FOREIGN, is_on_trusted_list=False), AT_SUBMISSION)
    assert decision == Refuse(reply.DOMAIN_NOT_TRUSTED, Reason.NOT_ON_TRUSTED_LIST)
