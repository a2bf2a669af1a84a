"""NO STARTTLS (USENIX Security 2021), CVE-2011-0411: what was said in clear has no effect under TLS."""

from __future__ import annotations

import pytest

from core.testing.smtp_wire import MemoryDoor
from mta.rooms import Listener

INJECTED = (
    b"NOOP\r\n",
    b"EHLO attacker.example\r\n",
    b"EHLO attacker.example\r\nMAIL FROM:<a@ch-rivage.mssante.example>\r\n",
    b"MAIL FROM:<a@ch-rivage.mssante.example>\r\nRCPT TO:<b@ch-rivage.mssante.example>\r\nDATA\r\n",
    b"AUTH PLAIN AGEAYg==\r\n",
    b"STARTTLS\r\n",
    b"QUIT\r\n",
    b"RSET\r\nRSET\r\nRSET\r\n",
    b"\r\n",
    b"EHLO attacker.example\r\nAUTH PLAIN AGEAYg==\r\nMAIL FROM:<>",
)


@pytest.mark.parametrize("listener", [Listener.RELAY, Listener.SUBMISSION])
@pytest.mark.parametrize("injected", INJECTED)
@pytest.mark.parametrize("verb", [b"STARTTLS\r\n", b"starttls \r\n"])
async def test_what_follows_starttls_in_clear_is_forgotten(
    verb: bytes, injected: bytes, listener: Listener
) -> None:
    door = MemoryDoor(listener)
    client = door.connect()
    await client.reply()
    await client.say("EHLO poste.example")
    await client.send(verb + injected)
    assert await client.reply() == ["220 2.0.0 Ready to start TLS"]
    # The first answer under TLS is the answer to the first command under TLS, and nothing counts before EHLO.
    assert (await client.say("MAIL FROM:<>")).startswith("503 5.5.1")
    assert (await client.say("EHLO poste.example")).startswith("250 ")
    assert door.rooms.attempts == []
    assert client.connection.session.client_name == "poste.example"
    await client.hang_up()


@pytest.mark.parametrize("listener", [Listener.RELAY, Listener.SUBMISSION])
async def test_the_name_said_in_clear_is_forgotten(listener: Listener) -> None:
    client = MemoryDoor(listener).connect()
    await client.reply()
    await client.say("EHLO attacker.example")
    await client.say("STARTTLS")
    assert client.connection.session.client_name == ""
    await client.hang_up()
