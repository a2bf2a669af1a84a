"""`vaguemestre queue …` on a small operator: what is said, what is done, what is audited."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from core.audit import AuditKind, RecordedEvent
from core.errors import TemporaryError
from core.outcome import RemoteAnswer
from core.testing.small_operator import ANNE, CITY, DOMAIN, PAUL, Waiting, command, spool, work
from core.unit_of_work import UnitOfWork
from mta.spool.item import ListedRecipient, RecipientState, State
from vaguemestre.spool_desk import SpoolDesk
from vaguemestre.spool_words import Act
from vaguemestre.wiring import Operator

TRIED = Waiting(
    attempts=3,
    reply="PEER_UNREACHABLE",
    answer=RemoteAnswer(450, "4.3.0", "come back later", "mss.cabinet.mssante.example"),
)


def queue(config: Path, *arguments: str, typed: str = "") -> tuple[int, str, str]:
    return command(["queue", *arguments, "--config", str(config)], typed=typed)


def put(config: Path, spool_id: str, stands: Waiting | None = None, **options: object) -> None:
    work(config, lambda operator: spool(operator, spool_id, stands=stands, **options))  # type: ignore[arg-type]


def states(config: Path, spool_id: str) -> tuple[RecipientState, ...]:
    async def look(operator: Operator) -> tuple[RecipientState, ...]:
        await operator.spool.open(recover=False)
        return (await operator.spool.load(spool_id))[1]

    return work(config, look)


def everything(config: Path) -> list[ListedRecipient]:
    async def look(operator: Operator) -> list[ListedRecipient]:
        await operator.spool.open(recover=False)
        return await operator.spool.listing()

    return work(config, look)


def acts(config: Path, spool_id: str) -> list[RecordedEvent]:
    async def look(operator: Operator) -> list[RecordedEvent]:
        return list(await operator.audit.events_of(spool_id=spool_id))

    return work(config, look)


def test_nothing_waits(operator: Path) -> None:
    assert queue(operator, "list") == (0, "Empty: no letter waits.\n", "")


def test_the_list_tells_domain_state_and_last_reply_and_no_address(operator: Path) -> None:
    put(operator, "aaaa", TRIED)
    put(operator, "bbbb", Waiting(state=State.HELD), accepted_ago=7200.0)
    status, said, _ = queue(operator, "list")
    lines = said.splitlines()
    assert status == 0
    assert lines[1].split()[:3] == ["bbbb", CITY, "held"]
    assert lines[2].split()[:3] == ["aaaa", CITY, "waiting"]
    assert "PEER_UNREACHABLE" in lines[2]
    assert "in 9 min" in lines[2] or "in 10 min" in lines[2]
    assert lines[3] == "2 letters, 2 of their recipients."
    assert "paul" not in said
    assert "anne" not in said


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (["--domain", CITY], {"aaaa", "bbbb"}),
        (["--domain", DOMAIN], {"cccc"}),
        (["--state", "held"], {"bbbb"}),
        (["--older-than", "90m"], {"bbbb"}),
        (["--older-than", "3d"], set()),
        (["--limit", "1"], {"bbbb"}),
    ],
)
def test_filters(operator: Path, filters: list[str], found: set[str]) -> None:
    put(operator, "aaaa", TRIED)
    put(operator, "bbbb", Waiting(state=State.HELD), accepted_ago=7200.0)
    put(operator, "cccc", to=(ANNE,))
    status, said, _ = queue(operator, "list", *filters)
    assert status == 0
    assert {name for name in ("aaaa", "bbbb", "cccc") if name in said} == found
    assert ("Empty: no letter matches." in said) == (not found)
    assert ("and more" in said) == (filters[0] == "--limit")


@pytest.mark.parametrize("filters", [["--older-than", "soon"], ["--domain", "a@b"]])
def test_a_filter_that_cannot_be_read(operator: Path, filters: list[str]) -> None:
    status, _, said = queue(operator, "list", *filters)
    assert (status, "that filter cannot be read" in said) == (1, True)


def test_why_says_how_it_stands_and_what_to_do(operator: Path) -> None:
    put(operator, "aaaa", TRIED)
    status, said, _ = queue(operator, "why", "aaaa")
    assert status == 0
    for words in (
        f"aaaa to {PAUL}",
        "3 attempts did not succeed",
        "PEER_UNREACHABLE (450 4.4.1)",
        "The host mss.cabinet.mssante.example answered: 450 4.3.0 come back later",
        f"relayed to the operator of {CITY} under mutual TLS",
        "Next attempt: ",
        "vaguemestre queue retry aaaa",
    ):
        assert words in said
    assert [event.event.facts["act"] for event in acts(operator, "aaaa")] == ["why"]


def test_show_tells_the_envelope_and_is_audited(operator: Path) -> None:
    put(operator, "aaaa", TRIED)
    status, said, _ = queue(operator, "show", "aaaa")
    assert status == 0
    assert f"From        {ANNE}" in said
    assert f"To          {PAUL}: waiting, attempts 3, last reply PEER_UNREACHABLE, next attempt" in said
    assert "Bonjour" not in said
    (event,) = acts(operator, "aaaa")
    assert event.event.kind is AuditKind.QUEUE_ACT
    assert event.event.facts["act"] == "show"
    assert event.event.persons["operator"]


def test_an_unknown_letter_leads_to_the_trace(operator: Path) -> None:
    status, _, said = queue(operator, "show", "zzzz")
    assert status == 1
    assert "vaguemestre trace zzzz" in said


def test_retry_makes_it_due_now(operator: Path) -> None:
    put(operator, "aaaa", TRIED)
    assert queue(operator, "retry", "aaaa")[:2] == (0, "aaaa will be tried now.\n")
    (recipient,) = states(operator, "aaaa")
    assert recipient.state is State.WAITING
    assert recipient.next_due is not None
    assert recipient.next_due <= work(operator, _now)
    assert recipient.attempts == 3


async def _now(operator: Operator) -> float:
    return operator.spool.now()


def test_retry_of_a_domain(operator: Path) -> None:
    put(operator, "aaaa", TRIED)
    put(operator, "bbbb", TRIED)
    status, said, _ = queue(operator, "retry", "--domain", CITY)
    assert (status, sorted(said.splitlines())) == (0, ["aaaa will be tried now.", "bbbb will be tried now."])
    assert "Empty" in queue(operator, "retry", "--domain", DOMAIN)[1]


@pytest.mark.parametrize("arguments", [[], ["aaaa", "--domain", CITY]])
def test_retry_wants_letters_or_a_domain(operator: Path, arguments: list[str]) -> None:
    status, _, said = queue(operator, "retry", *arguments)
    assert (status, "name spool ids, or --domain" in said) == (78, True)


def test_hold_and_release(operator: Path) -> None:
    put(operator, "aaaa", TRIED)
    assert queue(operator, "hold", "aaaa", "--reason", "security")[:2] == (0, "aaaa is held.\n")
    (recipient,) = states(operator, "aaaa")
    assert (recipient.state, recipient.next_due) == (State.HELD, None)
    assert "A person held it" in queue(operator, "why", "aaaa")[1]
    status, _, said = queue(operator, "retry", "aaaa")
    assert (status, "vaguemestre queue release" in said) == (1, True)
    assert queue(operator, "release", "aaaa")[0] == 0
    (recipient,) = states(operator, "aaaa")
    assert recipient.state is State.WAITING
    status, _, said = queue(operator, "release", "aaaa")
    assert (status, "it is not held" in said) == (1, True)
    told = [(event.event.facts["act"], event.event.facts.get("reason")) for event in acts(operator, "aaaa")]
    assert told == [("hold", "security"), ("why", None), ("release", None)]


def test_a_letter_in_hand_is_left_alone(operator: Path) -> None:
    put(operator, "aaaa", Waiting(state=State.LEASED, due_in=60.0))
    for verb in ("retry", "hold"):
        status, _, said = queue(operator, verb, "aaaa")
        assert (status, "is being delivered at this moment" in said) == (75, True)
    status, _, said = queue(operator, "delete", "--yes", "aaaa")
    assert status == 75
    assert states(operator, "aaaa")[0].state is State.LEASED
    assert "being delivered at this moment" in queue(operator, "why", "aaaa")[1]


def test_a_lease_that_ended_holds_nobody_up(operator: Path) -> None:
    put(operator, "aaaa", Waiting(state=State.LEASED, due_in=-60.0))
    assert "the process that worked on it is gone" in queue(operator, "why", "aaaa")[1]
    assert queue(operator, "hold", "aaaa")[0] == 0
    assert states(operator, "aaaa")[0].state is State.HELD


def test_delete_asks_and_does_nothing_without_a_yes(operator: Path) -> None:
    put(operator, "aaaa", TRIED)
    status, _, _ = queue(operator, "delete", "aaaa", typed="n\n")
    assert status == 130
    assert len(everything(operator)) == 1


def test_delete_withdraws_with_one_report_to_the_author(operator: Path) -> None:
    put(operator, "aaaa", TRIED, to=(PAUL, PAUL))
    status, said, _ = queue(operator, "delete", "aaaa", typed="y\n")
    assert status == 0
    (report,) = everything(operator)
    assert f"aaaa is withdrawn; report {report.spool_id} goes to the author." in said
    assert report.recipient.domain == DOMAIN
    assert report.recipient.state is State.WAITING

    async def octets(operator: Operator) -> tuple[str, bytes]:
        await operator.spool.open(recover=False)
        item, _ = await operator.spool.load(report.spool_id)
        return str(item.envelope.reverse_path), await operator.blobs.read(item.octets)

    reverse_path, text = work(operator, octets)
    assert reverse_path == ""
    assert text.count(b"Action: failed") == 2
    assert b"Status: 5.7.1" in text
    kinds = [event.event.kind for event in acts(operator, "aaaa")]
    assert sorted(kind.value for kind in kinds) == ["failed", "failed", "queue-act", "reported"]


def test_a_letter_with_the_null_path_is_withdrawn_in_silence(operator: Path) -> None:
    put(operator, "aaaa", TRIED)
    queue(operator, "delete", "--yes", "aaaa")
    (report,) = everything(operator)
    assert "From        <> (a report)" in queue(operator, "show", report.spool_id)[1]
    status, said, _ = queue(operator, "delete", "--yes", report.spool_id)
    assert (status, said) == (0, f"{report.spool_id} is withdrawn.\n")
    assert everything(operator) == []


def test_one_letter_that_cannot_be_taken_does_not_stop_the_others(operator: Path) -> None:
    put(operator, "aaaa", TRIED)
    status, said, error = queue(operator, "hold", "zzzz", "aaaa")
    assert status == 1
    assert "aaaa is held." in said
    assert "no letter zzzz is in the spool" in said
    assert "not every letter" in error


def test_a_letter_that_is_taken_between_look_and_act_stays_with_its_taker(operator: Path) -> None:
    put(operator, "aaaa", TRIED)

    async def race(operator: Operator) -> str:
        desk = SpoolDesk(operator, by="test", new_spool_id=lambda: "bbbb")
        await desk.open()
        seen = await operator.spool.load("aaaa")
        await desk.act("aaaa", Act.RETRY)

        async def as_before(spool_id: str) -> object:
            return seen

        operator.spool.load = as_before  # type: ignore[method-assign,assignment]
        with pytest.raises(TemporaryError, match="is being delivered at this moment"):
            await desk.act("aaaa", Act.HOLD)
        return "refused"

    assert work(operator, race) == "refused"
    assert states(operator, "aaaa")[0].state is State.WAITING


def test_of_several_recipients_those_in_hand_are_left_alone(operator: Path) -> None:
    put(operator, "aaaa", TRIED, to=(PAUL, ANNE))

    async def take_one(operator: Operator) -> None:
        await operator.spool.open(recover=False)
        item, (first, _) = await operator.spool.load("aaaa")
        unit = UnitOfWork()
        taken = replace(first, state=State.LEASED, owner="x", next_due=operator.spool.now() + 60)
        operator.spool.change(unit, item, first, taken)
        await operator.committer.commit(unit)

    work(operator, take_one)
    assert queue(operator, "hold", "aaaa")[1] == "aaaa is held; 1 recipients are being delivered now.\n"
    assert [each.state for each in states(operator, "aaaa")] == [State.LEASED, State.HELD]
