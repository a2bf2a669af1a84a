"""Who is told, and who is not."""

from __future__ import annotations

import dataclasses

import pytest

from core import reply as replies
from core.address import Domain, Mailbox
from core.envelope import NULL_REVERSE_PATH, Envelope, ForwardPath, Notify, ReversePath
from core.outcome import Deferred, Delivered, Failed, Outcome
from core.testing.clock import FakeClock
from core.testing.mail_store import MemoryBlobStore
from mta.delivery.agent import LetterInHand
from mta.delivery.reporting import DsnReporter
from mta.delivery.reports import ReportedRecipient, SpooledReport
from mta.dsn import DsnAction
from mta.spool.item import INTERNAL_ORIGIN, RecipientState, SpoolItem, State

HERE = Domain("ch-rivage.mssante.example")
ANNE = Mailbox("anne.test-rivage", HERE)
PAUL = Mailbox("paul.test-dune", Domain("cabinet.mssante.example"))
LETTER = b"From: <anne.test-rivage@ch-rivage.mssante.example>\r\nMessage-ID: <1@x.example>\r\n\r\nsecret\r\n"
FAILED = Failed(replies.UNKNOWN_MAILBOX)


async def report(
    outcome: Outcome = FAILED,
    action: DsnAction = DsnAction.FAILED,
    *,
    sender: ReversePath = ANNE,
    notify: tuple[Notify, ...] = (Notify.ABSENT,),
    octets: bytes = LETTER,
    is_lost: bool = False,
) -> SpooledReport | None:
    blobs, clock = MemoryBlobStore(), FakeClock()
    reporter = DsnReporter(
        blobs=blobs,
        clock=clock,
        reporting_mta=HERE,
        postmaster=Mailbox("postmaster", HERE),
        new_spool_id=lambda: "r1",
        retries_for=3600,
    )
    item = SpoolItem(
        spool_id="s1",
        envelope=Envelope(
            reverse_path=sender, forward_paths=tuple(ForwardPath(PAUL, each) for each in notify)
        ),
        octets=await blobs.seal(octets),
        message_id="<1@x.example>",
        accepted_at=clock.now().timestamp(),
        origin=INTERNAL_ORIGIN,
    )
    if is_lost:
        item = dataclasses.replace(item, octets=dataclasses.replace(item.octets, blob_id="gone"))
    told = [
        ReportedRecipient(
            RecipientState(index=n, state=State.FAILED, domain=PAUL.domain.ascii), action, outcome
        )
        for n in range(len(notify))
    ]
    return await reporter.prepare(LetterInHand(item, blobs), told)


async def test_a_report_is_a_letter_of_ours_that_nobody_answers() -> None:
    made = await report()
    assert made is not None
    envelope = made.item.envelope
    assert envelope.reverse_path == NULL_REVERSE_PATH
    assert [(path.mailbox, path.notify) for path in envelope.forward_paths] == [(ANNE, Notify.NEVER)]
    assert made.item.origin == INTERNAL_ORIGIN
    assert made.item.message_id == "<r1@ch-rivage.mssante.example>"
    assert made.octets.endswith(b"\r\n")
    assert b"secret" not in made.octets
    assert made.item.octets.size == len(made.octets)


@pytest.mark.parametrize(
    ("values", "is_told"),
    [
        ({}, True),
        ({"sender": NULL_REVERSE_PATH}, False),
        ({"notify": (Notify.NEVER,)}, False),
        ({"notify": (Notify.SUCCESS,)}, False),
        ({"notify": (Notify.FAILURE,)}, True),
        ({"octets": b"Auto-Submitted: auto-replied\r\n\r\n"}, False),
        ({"octets": b"Auto-Submitted: auto-generated\r\n\r\n"}, True),
        ({"is_lost": True}, True),
        ({"outcome": Delivered(replies.DELIVERED), "action": DsnAction.DELIVERED}, False),
        ({"outcome": Deferred(replies.NO_ROUTE), "action": DsnAction.DELAYED}, True),
    ],
)
async def test_who_is_told(values: dict[str, object], is_told: bool) -> None:
    assert (await report(**values) is not None) is is_told  # type: ignore[arg-type]


async def test_only_the_recipients_for_whom_it_was_asked() -> None:
    made = await report(notify=(Notify.NEVER, Notify.FAILURE, Notify.FAILURE))
    assert made is not None
    assert made.octets.count(b"Final-Recipient") == 2


async def test_a_report_of_delay_says_until_when() -> None:
    made = await report(Deferred(replies.NO_ROUTE), DsnAction.DELAYED)
    assert made is not None
    assert b"Will-Retry-Until: Mon, 2 Mar 2026 09:00:00" in made.octets
