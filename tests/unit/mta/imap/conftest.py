"""An IMAP server in memory with one box, and letters to put in it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from core.bal import Account
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

ADDRESS = "paul.test-dune@cabinet.mssante.example"
PASSWORD = "dunes"
LETTER = (
    b"From: Anne TEST-RIVAGE <anne.test-rivage@ch-rivage.mssante.example>\r\n"
    b"To: paul.test-dune@cabinet.mssante.example\r\n"
    b"Subject: =?utf-8?q?R=C3=A9sultats?=\r\n"
    b"Date: Mon, 2 Mar 2026 09:00:00 +0100\r\n"
    b"Message-ID: <one@ch-rivage.mssante.example>\r\n"
    b"MIME-Version: 1.0\r\n"
    b'Content-Type: multipart/mixed; boundary="b"\r\n'
    b"\r\n"
    b"--b\r\nContent-Type: text/plain\r\n\r\nBonjour\r\n"
    b"--b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERi0=\r\n"
    b"--b--\r\n"
)
SHORT = b"From: a@cabinet.mssante.example\r\nSubject: short\r\n\r\nbody text\r\n"
BASE_DATE = 1_772_438_400  # 2026-03-02 08:00:00 UTC


class Space:
    """The doubles of one test, and what is done with them."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.clock = FakeClock()
        self.feed = MemoryFeed()
        self.store = MemoryMailStore(self.feed)
        self.committer = MemoryCommitter(self.store)
        self.accounts = StaticAccounts()
        self.audit = MemoryAuditTrail()
        self.account: Account = self.accounts.open(ADDRESS, PASSWORD.encode())
        self.settings = settings or Settings(server_name="mss.cabinet.mssante.example")
        self.ports = Ports(
            accounts=self.accounts,
            store=self.store,
            blobs=self.store.blobs,
            committer=self.committer,
            audit=self.audit,
            feed=self.feed,
            clock=self.clock,
            refusals=RefusalLedger(self.clock, lambda login: "p"),
        )
        self.shared = Shared.of(self.settings, self.ports)
        self.tasks: list[asyncio.Task[None]] = []
        self.conversations: list[Conversation] = []

    async def deliver(
        self,
        octets: bytes = SHORT,
        *,
        folder: str = "INBOX",
        flags: tuple[str, ...] = (),
        date: int = BASE_DATE,
        prefix: bytes = b"",
    ) -> int:
        """Put a letter into the box; its UID."""
        found = await self.store.folder(self.account.bal.bal_id, folder)
        assert found is not None
        unit = UnitOfWork()
        message = NewMessage(
            bal_id=found.bal_id,
            folder_id=found.folder_id,
            octets=await self.store.blobs.seal(octets),
            prefix=prefix,
            summary=summarise(prefix + octets, date),
            flags=frozenset(flags),
            internal_date=date,
        )
        self.store.add(unit, message)
        await self.committer.commit(unit)
        return message.uid

    async def deliver_document(self) -> int:
        """The letter with a document."""
        return await self.deliver(LETTER)

    def connect(self, *, tls: bool = True) -> MemoryChannel:
        """A new connection; its greeting is still to be read."""
        channel = MemoryChannel()
        session = Session(
            session_id=f"s{len(self.tasks)}",
            network="192.0.2.7",
            listener="imaps" if tls else "imap",
            is_tls=tls,
            max_message_octets=self.settings.max_message_octets,
        )
        conversation = Conversation(channel, self.shared, session)
        channel.connect(conversation.receive)
        self.conversations.append(conversation)
        self.tasks.append(asyncio.ensure_future(conversation.run()))
        return channel

    async def log_in(self) -> MemoryChannel:
        """A connection that is logged in."""
        channel = self.connect()
        await channel.receive_line()
        await self.ask(channel, f"L LOGIN {ADDRESS} {PASSWORD}")
        return channel

    async def open(self, folder: str = "INBOX", *, command: str = "SELECT") -> MemoryChannel:
        """A connection with a folder selected."""
        channel = await self.log_in()
        answer = await self.ask(channel, f"S {command} {folder}")
        assert b"\r\nS OK" in answer
        return channel

    async def ask(self, channel: MemoryChannel, command: str | bytes) -> bytes:
        """Send a command; everything up to its tagged answer."""
        octets = command.encode() if isinstance(command, str) else command
        tag = octets.split(b" ", 1)[0]
        await channel.send(octets + b"\r\n")
        answer = b""
        while True:
            line = await channel.receive_line()
            answer += line
            if not line or line.startswith(tag + b" "):
                return answer

    def end(self) -> None:
        """Cut every connection."""
        for conversation in self.conversations:
            conversation.lost()
        for task in self.tasks:
            task.cancel()


@pytest.fixture
def space() -> Iterator[Space]:
    """One server in memory."""
    made = Space()
    yield made
    made.end()


@pytest.fixture
def make_space() -> Iterator[Any]:
    """Servers with settings of their own."""
    made: list[Space] = []

    def make(**fields: Any) -> Space:
        made.append(Space(Settings(**fields)))
        return made[-1]

    yield make
    for space in made:
        space.end()
