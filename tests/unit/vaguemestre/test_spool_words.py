"""Sentences about letters that wait."""

from __future__ import annotations

import dataclasses
from datetime import UTC

import pytest

from core.address import Mailbox
from core.envelope import Envelope, ForwardPath
from core.folder import StoredOctets
from core.outcome import RemoteAnswer
from core.plan import DeliverToMailbox
from core.reply import TABLE
from mta.spool.item import INTERNAL_ORIGIN, RecipientState, SpoolItem, State
from vaguemestre.spool_words import ADVICE, age, distance, moment, seconds_of, why

ANNE = Mailbox.parse("anne.test-rivage@ch-rivage.mssante.example")
ITEM = SpoolItem(
    spool_id="aaaa",
    envelope=Envelope(reverse_path=ANNE, forward_paths=(ForwardPath(ANNE),)),
    octets=StoredOctets("b", bytes(32), 10, bytes(32)),
    message_id="",
    accepted_at=0.0,
    origin=INTERNAL_ORIGIN,
)
WAITING = RecipientState(index=0, state=State.WAITING, domain="ch-rivage.mssante.example", next_due=100.0)


def said(**changes: object) -> str:
    recipient = dataclasses.replace(WAITING, **changes)  # type: ignore[arg-type]
    return "\n".join(why(ITEM, recipient, None, now=90.0, zone=UTC))


def test_a_first_attempt_is_waited_for() -> None:
    assert said() == (
        "It is here since 1970-01-01 00:00:00 +0000 (1 min 30 s) and waits for its first attempt.\n"
        "Next attempt: 1970-01-01 00:01:40 +0000 (in 10 s).\n"
        "What to do: Nothing, if `vaguemestre serve` runs: it is taken up within seconds. "
        "See `vaguemestre doctor`."
    )


def test_one_attempt_is_not_two() -> None:
    assert "; 1 attempt did not succeed." in said(attempts=1, reply="PEER_UNREACHABLE")
    assert "; 2 attempts did not succeed." in said(attempts=2, reply="PEER_UNREACHABLE")


def test_a_reply_of_a_later_version_is_named() -> None:
    told = said(attempts=1, reply="SOMETHING_NEW")
    assert "Its last attempt ended with SOMETHING_NEW." in told
    assert "vaguemestre trace aaaa" in told


def test_a_host_without_a_name() -> None:
    told = said(attempts=1, reply="PEER_DEFERRED", answer=RemoteAnswer(451, "", "later", ""))
    assert "The host that was reached answered: 451 later" in told


@pytest.mark.parametrize("state", [State.DELIVERED, State.FAILED, State.EXPIRED])
def test_what_is_done_with(state: State) -> None:
    assert f"It is done with: {state.value}, after 2 attempts." in said(
        state=state, attempts=2, next_due=None
    )


def test_what_was_held_by_the_program_is_told_apart() -> None:
    by_program = said(state=State.HELD, reply="HELD_FOR_OPERATOR", next_due=None)
    by_person = said(state=State.HELD, reply="PEER_UNREACHABLE", next_due=None)
    assert "kept for you to look at" in by_program
    assert "A person held it" in by_person
    assert "Next attempt" not in by_program


def test_the_plan_of_now() -> None:
    lines = why(ITEM, WAITING, DeliverToMailbox(1), now=90.0, zone=UTC)
    assert "Planned now, it would be put into the mailbox: it is an open box of ours." in lines


def test_every_reply_that_a_letter_can_wait_with_has_its_advice() -> None:
    waits = {
        "PEER_UNREACHABLE", "NO_ROUTE", "PEER_NOT_VERIFIED", "PEER_WITHOUT_TLS", "PEER_DEFERRED",
        "TRUST_LIST_STALE", "REVOCATION_UNKNOWN", "MAILBOX_FULL", "MAILBOX_BUSY", "STORAGE_FULL", "LOCAL_ERROR",
        "HELD_FOR_OPERATOR",
    }  # fmt: skip
    assert set(ADVICE) == waits
    assert waits <= set(TABLE)
    assert all(TABLE[name].is_temporary for name in waits)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0 s"), (0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3600, "1 h"), (90_061, "1 d 1 h")],
)
def test_ages(seconds: float, text: str) -> None:
    assert age(seconds) == text


def test_distances_and_moments() -> None:
    assert distance(10, 5) == "in 5 s"
    assert distance(5, 10) == "due for 5 s"
    assert moment(0, UTC) == "1970-01-01 00:00:00 +0000"
    assert len(moment(0)) == 25


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("3D", 259_200)])
def test_times_that_are_typed(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "2", "-2h", "1.5h", "2w"])
def test_times_that_are_not(text: str) -> None:
    with pytest.raises(ValueError, match="write a time as"):
        seconds_of(text)
