"""Delivery reports, octet by octet. Rewrite with `make golden`, then read what changed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from core import reply
from core.address import Domain, Mailbox
from core.envelope import Envelope, ForwardPath, Notify, Return
from core.outcome import RemoteAnswer
from core.testing.golden import Golden
from mta.dsn import DsnAction, DsnRecipient, DsnRequest, compose

HERE = Path(__file__).parent
PARIS = timezone(timedelta(hours=1))
DOCTOR = Mailbox.parse("anne.test-rivage@ch-rivage.mssante.example")
PRACTITIONER = Mailbox.parse("paul.test-dune@cabinet.mssante.example")
HOMONYM = Mailbox.parse("paule.test-dune@cabinet.mssante.example")
LETTER = (
    b"Received: from mua.invalid by mx.ch-rivage.mssante.example with ESMTPSA id 01J0;\r\n"
    b" Fri, 14 Nov 2025 09:12:00 +0100\r\n"
    b"Date: Fri, 14 Nov 2025 09:12:00 +0100\r\n"
    b"From: Anne TEST-RIVAGE <anne.test-rivage@ch-rivage.mssante.example>\r\n"
    b"To: Paul TEST-DUNE <paul.test-dune@cabinet.mssante.example>\r\n"
    b"Subject: =?UTF-8?Q?Compte_rendu_op=C3=A9ratoire?=\r\n"
    b"Message-ID: <01J0@ch-rivage.mssante.example>\r\n"
    b"MIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: 8bit\r\n"
    b"\r\n"
    b"Une pi\xc3\xa8ce confidentielle.\r\n"
)
UNKNOWN = DsnRecipient(
    path=ForwardPath(PRACTITIONER, Notify.FAILURE, "rfc822;Paul.TEST-DUNE@cabinet.mssante.example"),
    action=DsnAction.FAILED,
    reply=reply.PEER_REFUSED,
    answer=RemoteAnswer(550, "5.1.1", "Boite aux lettres inconnue ici / No such mailbox here", "mx.cabinet.mssante.example"),
    last_attempt=datetime(2025, 11, 14, 8, 12, 4, tzinfo=UTC),
)  # fmt: skip
EXPIRED = DsnRecipient(path=ForwardPath(HOMONYM), action=DsnAction.FAILED, reply=reply.EXPIRED)
REQUEST = DsnRequest(
    envelope=Envelope(reverse_path=DOCTOR, forward_paths=(UNKNOWN.path,), envelope_id="QQ314159"),
    recipients=(UNKNOWN,),
    original=LETTER,
    arrival=datetime(2025, 11, 14, 9, 12, 0, tzinfo=PARIS),
    now=datetime(2025, 11, 14, 9, 12, 5, tzinfo=PARIS),
    reporting_mta=Domain.parse("mx.ch-rivage.mssante.example"),
    postmaster=Mailbox.parse("postmaster@ch-rivage.mssante.example"),
    message_id="<01J1@mx.ch-rivage.mssante.example>",
)
FULL = replace(REQUEST.envelope, ret=Return.FULL)
CASES = {
    "failed-unknown": REQUEST,
    "failed-two-one-expired": replace(REQUEST, recipients=(UNKNOWN, EXPIRED)),
    "failed-full": replace(REQUEST, envelope=FULL),
    "delayed": replace(
        REQUEST,
        envelope=FULL,
        recipients=(
            DsnRecipient(
                path=ForwardPath(PRACTITIONER),
                action=DsnAction.DELAYED,
                reply=reply.PEER_UNREACHABLE,
                will_retry_until=datetime(2025, 11, 19, 9, 12, 0, tzinfo=PARIS),
            ),
        ),
    ),
    "delivered": replace(
        REQUEST,
        recipients=(
            DsnRecipient(
                path=ForwardPath(DOCTOR, Notify.SUCCESS), action=DsnAction.DELIVERED, reply=reply.DELIVERED
            ),
        ),
    ),
    "relayed": replace(
        REQUEST,
        recipients=(
            DsnRecipient(
                path=ForwardPath(PRACTITIONER, Notify.SUCCESS),
                action=DsnAction.RELAYED,
                reply=reply.RELAYED,
                answer=RemoteAnswer(250, "2.0.0", "Queued", "mx.cabinet.mssante.example"),
            ),
        ),
    ),
    "failed-utf8": replace(
        REQUEST,
        envelope=replace(
            REQUEST.envelope, reverse_path=Mailbox.parse("hélène@ch-rivage.mssante.example"), smtputf8=True
        ),
        recipients=(
            DsnRecipient(
                path=ForwardPath(Mailbox.parse("zoé@cabinet.mssante.example")),
                action=DsnAction.FAILED,
                reply=reply.NEEDS_SMTPUTF8,
            ),
        ),
        original="From: hélène@ch-rivage.mssante.example\r\nSubject: été\r\n\r\ncorps\r\n".encode(),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_report(name: str, golden: Golden) -> None:
    golden.check(HERE / f"{name}.eml", compose(CASES[name]))
