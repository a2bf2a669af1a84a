"""IMAP over the real mail store, on both engines: what a client writes is what another client reads."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from core.address import Mailbox
from core.bal import Account, Bal, BalKind, BalState
from core.folder import NewMessage
from core.testing.accounts import StaticAccounts
from core.testing.audit import MemoryAuditTrail
from core.testing.dialogue import play_text
from core.testing.memory_channel import MemoryChannel
from core.unit_of_work import UnitOfWork
from mta.imap.channel import Ports, Shared
from mta.imap.conversation import Conversation
from mta.imap.session import Session
from mta.imap.settings import Settings
from mta.imap.summary import summarise
from mta.refusal_ledger import RefusalLedger

BAL = 21
ADDRESS = "paul.test-dune@cabinet.mssante.example"
LETTER = (
    b"From: anne.test-rivage@ch-rivage.mssante.example\r\nSubject: =?utf-8?q?=C3=A9t=C3=A9?=\r\n"
    b"Message-ID: <one@ch-rivage.mssante.example>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\n\r\nBonjour\r\n--b\r\nContent-Type: application/pdf\r\n\r\n%PDF\r\n--b--\r\n"
)

DIALOGUE = """
S: ...
C: l LOGIN paul.test-dune@cabinet.mssante.example dunes
S: ...
S: /l OK .*/
C: a LIST (SUBSCRIBED) "" "*" RETURN (SPECIAL-USE STATUS (MESSAGES UNSEEN SIZE))
S: /\\* LIST \\(\\\\HasNoChildren \\\\Subscribed\\) "\\/" "INBOX"/
S: /\\* STATUS "INBOX" \\(MESSAGES 2 UNSEEN 2 SIZE \\d+\\)/
S: ...
S: /\\* LIST \\(\\\\HasNoChildren \\\\Subscribed \\\\Sent\\) "\\/" "Sent"/
S: ...
S: a OK LIST completed
C: b SELECT INBOX
S: ...
S: * 2 EXISTS
S: * 2 RECENT
S: ...
S: b OK [READ-WRITE] SELECT completed
C2: l LOGIN paul.test-dune@cabinet.mssante.example dunes
S2: ...
S2: /l OK .*/
C2: b SELECT INBOX
S2: ...
S2: * 0 RECENT
S2: ...
S2: b OK [READ-WRITE] SELECT completed
C2: i IDLE
S2: + idling
C: c FETCH 1 (ENVELOPE BODY.PEEK[1] BODY.PEEK[2.MIME] BODY.PEEK[HEADER.FIELDS (Return-Path)])
S: /\\* 1 FETCH \\(ENVELOPE \\(.*<one@ch-rivage.mssante.example>"\\) BODY\\[1\\] \\{7\\}/
S: Bonjour BODY[2.MIME] {33}
S: Content-Type: application/pdf
S:\x20
S: / BODY\\[HEADER.FIELDS \\(Return-Path\\)\\] \\{\\d+\\}/
S: /Return-Path: .*/
S:\x20
S: )
S: c OK FETCH completed
C: d STORE 1 +FLAGS (\\Seen $label1 \\Deleted)
S: ...
S: /\\* 1 FETCH \\(FLAGS \\(\\\\Seen \\\\Deleted \\$label1 \\\\Recent\\)\\)/
S: d OK STORE completed
S2: ...
S2: /\\* 1 FETCH \\(FLAGS \\(\\\\Seen \\\\Deleted \\$label1\\)\\)/
C: e SEARCH SUBJECT "\u00e9T\u00c9" KEYWORD $label1
S: * SEARCH 1
S: e OK SEARCH completed
C: f CREATE "Patients/R&AOk-sultats"
S: /f OK \\[MAILBOXID \\(F\\d+\\)\\] CREATE completed/
C: g COPY 1:2 "Patients/R&AOk-sultats"
S: /g OK \\[COPYUID \\d+ 1:2 1:2\\] COPY completed/
C: h UID MOVE 2 Archive
S: /\\* OK \\[COPYUID \\d+ 2 1\\] Moved/
S: * 2 EXPUNGE
S: h OK MOVE completed
C: i EXPUNGE
S: * 1 EXPUNGE
S: i OK EXPUNGE completed
S2: ...
S2: * 1 EXPUNGE
C2: DONE
S2: i OK IDLE completed
C| j APPEND INBOX (\\\\Draft) "07-Feb-1994 21:52:25 -0800" {26+}\\r\\nSubject: new\\r\\n\\r\\nnew body\\r\\n\\r\\n
S: * 1 EXISTS
S: ...
S: /j OK \\[APPENDUID \\d+ 3\\] APPEND completed/
C2: k NOOP
S2: * 1 EXISTS
S2: ...
S2: k OK NOOP completed
C2: m FETCH 1 (UID FLAGS INTERNALDATE BODY.PEEK[TEXT])
S2: /\\* 1 FETCH \\(UID 3 FLAGS \\(\\\\Draft.*\\) INTERNALDATE " 8-Feb-1994 05:52:25 \\+0000" BODY\\[TEXT\\] \\{10\\}/
S2| new body\\r\\n)\\r\\n
S2: m OK FETCH completed
C: n RENAME Patients Dossiers
S: n OK RENAME completed
C: o LIST "" "Dossiers*"
S: * LIST (\\HasChildren) "/" "Dossiers"
S: * LIST (\\HasNoChildren) "/" "Dossiers/R&AOk-sultats"
S: o OK LIST completed
C: p DELETE "Dossiers/R&AOk-sultats"
S: p OK DELETE completed
C: q CREATE "Dossiers/R&AOk-sultats"
S: /q OK \\[MAILBOXID \\(F\\d+\\)\\] CREATE completed/
C: r STATUS "Dossiers/R&AOk-sultats" (MESSAGES UIDNEXT)
S: * STATUS "Dossiers/R&AOk-sultats" (MESSAGES 0 UIDNEXT 1)
S: r OK STATUS completed
C: s LOGOUT
S: ...
S: s OK LOGOUT completed
@ closed
"""


@pytest.fixture
def shared(mail: Any, await_now: Any) -> Shared:
    await_now(mail.store.create_box(BAL, 0))
    accounts = StaticAccounts()
    bal = Bal(
        bal_id=BAL,
        mailbox=Mailbox.parse(ADDRESS),
        kind=BalKind.PERSONNELLE,
        state=BalState.OPEN,
        display_name="",
        quota_octets=0,
    )
    accounts.put(Account(bal=bal), b"dunes")
    ports = Ports(
        accounts=accounts,
        store=mail.store,
        blobs=mail.blobs,
        committer=mail.committer,
        audit=MemoryAuditTrail(),
        feed=mail.feed,
        clock=mail.clock,
        refusals=RefusalLedger(mail.clock, lambda login: "p"),
    )
    return Shared.of(Settings(), ports)


async def _deliver(mail: Any, octets: bytes) -> None:
    prefix = b"Return-Path: <anne.test-rivage@ch-rivage.mssante.example>\r\n"
    unit = UnitOfWork()
    stored = await mail.blobs.seal(octets)
    mail.blobs.keep(unit, stored)
    message = NewMessage(
        bal_id=BAL,
        folder_id=await mail.folder_id(BAL, "INBOX"),
        octets=stored,
        prefix=prefix,
        summary=summarise(prefix + octets, 1_772_438_400),
        internal_date=1_772_438_400,
    )
    mail.store.add(unit, message)
    await mail.committer.commit(unit)


RESYNC = """
S: ...
C: l LOGIN paul.test-dune@cabinet.mssante.example dunes
S: ...
S: /l OK .*/
C: e ENABLE QRESYNC
S: * ENABLED QRESYNC
S: e OK ENABLE completed
C: s SELECT INBOX
S: ...
S: * OK [HIGHESTMODSEQ 4] Modification sequences kept
S: s OK [READ-WRITE] SELECT completed
C: a STORE 1:3 (UNCHANGEDSINCE 3) +FLAGS.SILENT (\\Deleted)
S: * 1 FETCH (UID 1 MODSEQ (5))
S: * 2 FETCH (UID 2 MODSEQ (5))
S: a OK [MODIFIED 3] Some were changed meanwhile
C: b UID EXPUNGE 2
S: * VANISHED 2
S: b OK [HIGHESTMODSEQ 6] EXPUNGE completed
C: c UID MOVE 1 Archive
S: /\\* OK \\[COPYUID \\d+ 1 1\\] Moved/
S: * VANISHED 1
S: c OK [HIGHESTMODSEQ 7] MOVE completed
C: d SEARCH MODSEQ 1
S: * SEARCH 1 (MODSEQ 4)
S: d OK SEARCH completed
C: f UID FETCH 1:* (FLAGS) (CHANGEDSINCE 3 VANISHED)
S: * VANISHED (EARLIER) 1:2
S: /\\* 1 FETCH \\(UID 3 FLAGS \\(.*\\) MODSEQ \\(4\\)\\)/
S: f OK FETCH completed
C: g STATUS INBOX (HIGHESTMODSEQ)
S: * STATUS "INBOX" (HIGHESTMODSEQ 7)
S: g OK STATUS completed
"""


async def test_two_clients_on_one_box_see_the_same(mail: Any, shared: Shared) -> None:
    await _deliver(mail, LETTER)
    await _deliver(mail, b"Subject: large\r\n\r\n" + b"x" * 100_000 + b"\r\n")
    await _play(shared, DIALOGUE)


async def test_a_client_resynchronises(mail: Any, shared: Shared) -> None:
    for _ in range(3):
        await _deliver(mail, LETTER)
    await _play(shared, RESYNC)


async def _play(shared: Shared, dialogue: str) -> None:
    tasks: list[asyncio.Task[None]] = []

    def connect(number: int) -> MemoryChannel:
        channel = MemoryChannel()
        session = Session(
            session_id=f"s{number}", network="n", listener="imaps", is_tls=True, max_message_octets=1 << 20
        )
        conversation = Conversation(channel, shared, session)
        channel.connect(conversation.receive)
        tasks.append(asyncio.ensure_future(conversation.run()))
        return channel

    try:
        await play_text("a dialogue of this file", dialogue, connect)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
