"""Room 5: the plan of a letter, its transport, and the sentences that explain it."""

from __future__ import annotations

import pytest

from core import reply
from core.address import Domain, Mailbox
from core.bal import Bal, BalKind, BalState
from core.plan import Admit, DeliverToMailbox, Reason, Refuse, RelayTo, TlsLevel
from routing.explain import SENTENCES, explain_action, explain_admission
from routing.facts import RecipientFacts
from routing.planner import plan
from routing.transport import NextHop, Routes, transport_of

WARD = Mailbox.parse("medecine@ch-rivage.mssante.example")
PAUL = Mailbox.parse("paul.test-dune@cabinet.mssante.example")
BOX = Bal(
    bal_id=7,
    mailbox=WARD,
    kind=BalKind.ORGANISATIONNELLE,
    state=BalState.OPEN,
    display_name="",
    quota_octets=0,
)


def test_one_item_may_hold_a_delivery_a_relay_and_a_refusal() -> None:
    actions = plan(
        [
            RecipientFacts(mailbox=WARD, is_own_domain=True, bal=BOX),
            RecipientFacts(mailbox=PAUL, is_own_domain=False, is_on_trusted_list=True),
            RecipientFacts(mailbox=WARD, is_own_domain=True),
        ]
    ).actions
    assert actions == (
        DeliverToMailbox(7),
        RelayTo(PAUL.domain),
        Refuse(reply.UNKNOWN_MAILBOX, Reason.OWN_BOX_UNKNOWN),
    )


def test_a_domain_that_left_after_acceptance_is_a_failure_that_says_so() -> None:
    (action,) = plan([RecipientFacts(mailbox=PAUL, is_own_domain=False)]).actions
    assert action == Refuse(reply.DOMAIN_LEFT_TRUST, Reason.NOT_ON_TRUSTED_LIST)


def test_a_stale_list_makes_the_letter_wait() -> None:
    facts = RecipientFacts(mailbox=PAUL, is_own_domain=False, is_on_trusted_list=True, list_is_stale=True)
    (action,) = plan([facts]).actions
    assert isinstance(action, Refuse)
    assert action.reply.is_temporary


def test_a_route_wins_over_the_smart_host_and_both_over_mx() -> None:
    city, other = Domain.parse("cabinet.mssante.example"), Domain.parse("ch-rivage.mssante.example")
    routes = Routes(table={city: NextHop("127.0.0.1", 2525)}, smart_host=NextHop("127.0.0.2", 25))
    assert transport_of(city, routes).fixed == NextHop("127.0.0.1", 2525)
    assert transport_of(other, routes).fixed == NextHop("127.0.0.2", 25)
    assert transport_of(other, Routes()).fixed is None
    assert transport_of(other, Routes()).tls is TlsLevel.MUTUAL_REQUIRED


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_its_two_sentences(reason: Reason) -> None:
    sentence = SENTENCES[reason]
    assert sentence.english
    assert sentence.french
    assert sentence.english != sentence.french


def test_explanations_name_the_code_and_what_is_done() -> None:
    refused = explain_admission(Refuse(reply.DOMAIN_NOT_TRUSTED, Reason.NOT_ON_TRUSTED_LIST))
    assert refused.english.startswith("refused (550 5.7.1)")
    assert explain_admission(Admit(Reason.ON_TRUSTED_LIST)).french.startswith("accepté")
    assert "cabinet.mssante.example" in explain_action(RelayTo(PAUL.domain)).english
    assert explain_action(DeliverToMailbox(1)).english.startswith("put into the mailbox")
    assert "tried again" in explain_action(Refuse(reply.MAILBOX_FULL, Reason.OWN_BOX_FULL)).english
    assert "refused" in explain_action(Refuse(reply.UNKNOWN_MAILBOX, Reason.OWN_BOX_UNKNOWN)).english


def test_a_box_of_any_state_answers() -> None:
    for state in BalState:
        facts = RecipientFacts(
            mailbox=WARD,
            is_own_domain=True,
            bal=Bal(
                bal_id=7,
                mailbox=WARD,
                kind=BalKind.CABINET,
                state=state,
                display_name="",
                quota_octets=0,
            ),
        )
        (action,) = plan([facts]).actions
        assert isinstance(action, DeliverToMailbox) is (state is BalState.OPEN)
