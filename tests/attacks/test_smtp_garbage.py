"""Invariant: whatever octets come, the door answers from its table or closes, and no bug shows."""

from __future__ import annotations

import asyncio
import random

import pytest
from structlog.testing import capture_logs

from core import reply
from core.testing.smtp_wire import MemoryDoor
from mta.rooms import Listener

WORDS = (
    b"EHLO a\r\n",
    b"HELO a\r\n",
    b"STARTTLS\r\n",
    b"AUTH PLAIN\r\n",
    b"AUTH LOGIN AAAA\r\n",
    b"AGEAYg==\r\n",
    b"*\r\n",
    b"MAIL FROM:<a@ch-rivage.mssante.example> SIZE=10\r\n",
    b"MAIL FROM:<>\r\n",
    b"RCPT TO:<b@ch-rivage.mssante.example> NOTIFY=NEVER\r\n",
    b"RCPT TO:<>\r\n",
    b"DATA\r\n",
    b"Subject: x\r\n\r\n",
    b".\r\n",
    b"..\r\n",
    b"RSET\r\n",
    b"NOOP\r\n",
    b"VRFY x\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b"\xff\xfe",
    b"x" * 600,
)
CODES = {b"%d" % row.code for row in reply.TABLE.values()}


@pytest.mark.parametrize("listener", [Listener.RELAY, Listener.SUBMISSION, Listener.SUBMISSIONS])
@pytest.mark.parametrize("seed", range(60))
async def test_garbage(seed: int, listener: Listener) -> None:
    chance = random.Random(seed)
    door = MemoryDoor(listener, hard_errors=1000, soft_errors=1000, junk_commands=1000)
    client = door.connect()
    with capture_logs() as logs:
        for _ in range(chance.randrange(2, 60)):
            octets = (
                chance.choice(WORDS) if chance.random() < 0.9 else chance.randbytes(chance.randrange(1, 50))
            )
            cut = chance.randrange(len(octets) + 1)
            await client.send(octets[:cut] if chance.random() < 0.1 else octets)
        await client.hang_up()
        said = await client.receive_all()
    await asyncio.sleep(0)
    assert all(line[:3] in CODES for line in said.split(b"\r\n")[:-1])
    assert [entry for entry in logs if entry["event"] == "smtp_unexpected"] == []
    assert door.door.connections == set()
    assert door.door.octets.taken == 0
