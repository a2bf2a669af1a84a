"""Hostile IMAP clients (threats A4, A35, A36): refused, bounded in time and memory, others not hurt."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import Iterator

import pytest

from core.folder import NewMessage
from core.testing.accounts import StaticAccounts
from core.testing.audit import MemoryAuditTrail
from core.testing.clock import FakeClock
from core.testing.feed import MemoryFeed
from core.testing.mail_store import MemoryCommitter, MemoryMailStore
from core.testing.memory_channel import MemoryChannel
from core.unit_of_work import UnitOfWork
from mta.imap.channel import Ports, Shared
from mta.imap.conversation import Conversation
from mta.imap.session import Session
from mta.imap.settings import Settings
from mta.imap.summary import summarise
from mta.refusal_ledger import RefusalLedger

LOGIN = b"L LOGIN paul.test-dune@cabinet.mssante.example dunes\r\n"
SECONDS = 2.0  # of CPU for the worst single input; most take a few milliseconds


class Target:
    """A server in memory with one box of a hundred letters."""

    def __init__(self) -> None:
        feed = MemoryFeed()
        self.store = MemoryMailStore(feed)
        self.accounts = StaticAccounts()
        self.accounts.open("paul.test-dune@cabinet.mssante.example", b"dunes")
        self.committer = MemoryCommitter(self.store)
        self.shared = Shared.of(
            Settings(),
            Ports(
                accounts=self.accounts,
                store=self.store,
                blobs=self.store.blobs,
                committer=self.committer,
                audit=MemoryAuditTrail(),
                feed=feed,
                clock=FakeClock(),
                refusals=RefusalLedger(FakeClock(), lambda login: "p"),
            ),
        )
        self.conversations: list[Conversation] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def fill(self, count: int) -> None:
        folder = await self.store.folder(1, "INBOX")
        assert folder is not None
        octets = b"Subject: x\r\n\r\nbody\r\n"
        for _ in range(count):
            unit = UnitOfWork()
            message = NewMessage(
                bal_id=1,
                folder_id=folder.folder_id,
                octets=await self.store.blobs.seal(octets),
                summary=summarise(octets, 0),
                internal_date=0,
            )
            self.store.add(unit, message)
            await self.committer.commit(unit)

    def connect(self) -> MemoryChannel:
        channel = MemoryChannel()
        session = Session(
            session_id="s", network="192.0.2.7", listener="imaps", is_tls=True, max_message_octets=1 << 20
        )
        conversation = Conversation(channel, self.shared, session)
        channel.connect(conversation.receive)
        self.conversations.append(conversation)
        self.tasks.append(asyncio.ensure_future(conversation.run()))
        return channel

    async def open(self) -> MemoryChannel:
        channel = self.connect()
        await channel.send(LOGIN + b"S SELECT INBOX\r\n")
        await channel.receive_until(b"S OK [READ-WRITE] SELECT completed\r\n")
        return channel


@pytest.fixture
def target() -> Iterator[Target]:
    made = Target()
    yield made
    for conversation in made.conversations:
        conversation.lost()
    for task in made.tasks:
        task.cancel()


HOSTILE: dict[str, bytes] = {
    "deep parentheses": b"a FETCH 1 " + b"(" * 60_000,
    "deep search": b"a SEARCH " + b"(" * 60_000,
    "not not not": b"a SEARCH " + b"NOT " * 15_000 + b"ALL",
    "or or or": b"a SEARCH " + b"OR " * 20_000,
    "many keys": b"a SEARCH " + b"ALL " * 15_000,
    "huge literal": b"a SELECT {999999999999}",
    "huge append": b"a APPEND INBOX {99999999999999999999}",
    "literal of twenty-one digits": b"a SELECT {999999999999999999999}",
    "negative literal": b"a SELECT {-1}",
    "a million characters": b"a SELECT " + b"x" * 1_000_000,
    "a million quotes": b'a SELECT "' + b'\\"' * 500_000,
    "quotes that do not end": b'a SELECT "' + b'\\"' * 30_000,
    "star bomb": b'a LIST "" ' + b"*" * 60_000,
    "star and letter bomb": b'a LIST "" ' + b"*a" * 500,
    "percent bomb": b'a LIST "" ' + b"%/" * 500,
    "wrong set": b"a FETCH 1:2:3 UID",
    "number beyond 32 bits": b"a UID FETCH 4294967296 UID",
    "part path": b"a FETCH 1 BODY[" + b"1." * 20_000 + b"1]",
    "part number": b"a FETCH 1 BODY[99999999999999999999]",
    "header list": b"a FETCH 1 BODY[HEADER.FIELDS (" + b"x " * 20_000 + b"x)]",
    "flags": b"a STORE 1 FLAGS (" + b"x " * 20_000 + b"x)",
    "crlf in a name": b"a CREATE {9+}\r\na\r\nb NOOP",
    "crlf in a field name": b"a FETCH 1 BODY[HEADER.FIELDS ({3+}\r\na\r\n)]",
    "nul in a name": b"a CREATE {3+}\r\na\x00b",
    "path traversal": b"a CREATE ../../etc/passwd",
    "absolute path": b"a CREATE /etc/passwd",
    "traversal in utf-7": b"a CREATE &AC4ALgAv-etc",
    "status of everything": b"a STATUS INBOX (" + b"MESSAGES " * 5000 + b"UNSEEN",
    "id fields": b"a ID (" + b'"a" "b" ' * 5000 + b'"a" "b")',
    "tag of a megabyte": b"t" * 1_000_000 + b" NOOP",
    "control octets": bytes(range(1, 10)) * 1000,
    "date": b"a SEARCH SINCE 99-Foo-99999",
}


@pytest.mark.parametrize("command", HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_hostile_command_is_refused_quickly_and_the_next_is_answered(
    target: Target, command: bytes
) -> None:
    await target.fill(3)
    channel = await target.open()
    began = time.process_time()
    await channel.send(command + b"\r\nz NOOP\r\n")
    said = await channel.receive_until(b"z OK NOOP completed\r\n")
    assert time.process_time() - began < SECONDS
    lines = said.split(b"\r\n")
    assert lines[0].split(b" ")[:2][1] in (b"BAD", b"NO")
    assert lines[1] == b"z OK NOOP completed"
    assert len(await target.store.folders(1)) == 1


async def test_a_set_that_names_four_thousand_million_messages_costs_what_is_there(target: Target) -> None:
    await target.fill(100)
    channel = await target.open()
    began = time.process_time()
    ranges = b",".join([b"1:4294967295"] * 4000)
    await channel.send(b"a UID FETCH " + ranges + b" UID\r\n")
    said = await channel.receive_until(b"a OK FETCH completed\r\n")
    assert said.count(b"* ") == 100
    assert time.process_time() - began < SECONDS


async def test_partials_beyond_everything(target: Target) -> None:
    await target.fill(1)
    channel = await target.open()
    await channel.send(b"a FETCH 1 BODY[]<4294967295.4294967295>\r\nb FETCH 1 BODY[]<0.4294967295>\r\n")
    said = await channel.receive_until(b"b OK FETCH completed\r\n")
    assert b"BODY[]<4294967295> {0}" in said
    assert b"BODY[]<0> {20}" in said


async def test_a_date_beyond_the_calendar_does_not_poison_the_folder(target: Target) -> None:
    channel = await target.open()
    for date in (b'"31-Dec-9999 23:59:59 -1200"', b'"01-Jan-0001 00:00:00 +1200"'):
        await channel.send(b"a APPEND INBOX " + date + b" {3+}\r\nx\r\n\r\n")
        await channel.receive_until(b"a OK ")
        await channel.receive_line()
    await channel.send(b"b FETCH 1:* (INTERNALDATE)\r\nc SEARCH SINCE 1-Jan-2000\r\n")
    said = await channel.receive_until(b"c OK SEARCH completed\r\n")
    assert b'"31-Dec-9999 23:59:59 +0000"' in said
    assert b'" 1-Jan-1970 00:00:00 +0000"' in said
    assert b"* SEARCH 1\r\n" in said


async def test_a_name_never_breaks_the_answer_that_tells_it(target: Target) -> None:
    channel = await target.open()
    for name in (b'a"b', b"a{5}", b"a)b", b"&AOk-(", b"a]b"):
        await channel.send(b"a CREATE {%d+}\r\n%b\r\n" % (len(name), name))
        assert (await channel.receive_line()).endswith(b"] CREATE completed\r\n")
    await channel.send(b'b LIST "" *\r\n')
    said = (await channel.receive_until(b"b OK LIST completed\r\n")).splitlines()
    assert len(said) == 7
    assert b'* LIST (\\HasNoChildren) "/" "a\\"b"' in said


async def test_literals_of_strangers_stay_small(target: Target) -> None:
    channel = target.connect()
    await channel.receive_line()
    await channel.send(b"a LOGIN {5000}\r\n")
    assert (await channel.receive_line()).startswith(b"a NO [TOOBIG]")
    await channel.send(b"b LOGIN {4294967295+}\r\n")
    assert b"* BYE" in await channel.wait_closed()
    assert target.accounts.attempts == []


async def test_memory_of_a_connection_stays_within_bounds(target: Target) -> None:
    channel = await target.open()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(64):
            await channel.send(b"x" * (1 << 16))
            await asyncio.sleep(0)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 1 << 20


async def test_many_appends_under_way_share_one_budget(target: Target) -> None:
    target.shared.budget.take(target.shared.budget.free - 100_000)
    channels = [await target.open() for _ in range(3)]
    for channel in channels:
        await channel.send(b"a APPEND INBOX {60000+}\r\n" + b"x" * 60_000)
    for channel in channels:
        await channel.send(b"\r\n")
    said = [await channel.receive_line() for channel in channels]
    assert any(line.startswith(b"a NO [LIMIT]") for line in said)
    for channel in channels:
        await channel.send(b"z NOOP\r\n")
        await channel.receive_until(b"z OK NOOP completed\r\n")
    assert target.shared.budget.free == 100_000


async def test_other_sessions_are_served_while_one_floods(target: Target) -> None:
    await target.fill(100)
    flooding, calm = await target.open(), await target.open()
    await flooding.send(b"f FETCH 1:* (ENVELOPE BODYSTRUCTURE BODY.PEEK[])\r\n" * 200)
    await calm.send(b"a NOOP\r\n")
    assert await calm.receive_line() == b"a OK NOOP completed\r\n"
    assert bytes(flooding._octets).count(b"f OK") < 200
