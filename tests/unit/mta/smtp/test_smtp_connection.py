"""A connection in memory: what the peer reads, what the log reads, and when it ends."""

from __future__ import annotations

import ast
import asyncio
import base64
import itertools
import re
from pathlib import Path
from typing import Any

import aiosmtpd.smtp
import pytest
from structlog.testing import capture_logs

import mta.smtp.connection
from core import reply
from core.errors import LocalProtocolError
from core.testing.rooms import ScriptedRooms
from core.testing.smtp_wire import MemoryClient, MemoryDoor, NoContexts
from mta.rooms import Listener
from mta.smtp.connection import SmtpConnection
from mta.smtp.metrics import NoMetrics

ANNE = "anne.test-rivage@ch-rivage.mssante.example"
PAUL = "paul.test-dune@cabinet.mssante.example"
MAIL, RCPT = f"MAIL FROM:<{ANNE}>", f"RCPT TO:<{PAUL}>"
LETTER = b"Subject: x\r\n\r\nBonjour\r\n"


async def until_data(client: MemoryClient) -> None:
    for line in (MAIL, RCPT, "DATA"):
        answer = await client.say(line)
    assert answer.startswith("354")


async def hand_over(client: MemoryClient, letter: bytes = LETTER) -> str:
    await until_data(client)
    said = letter + b".\r\n"
    for start in range(0, len(said), 16_384):
        await client.send(said[start : start + 16_384])
    return (await client.reply())[-1]


def test_no_reply_of_aiosmtpd_can_be_said() -> None:
    ours = {name for name in vars(SmtpConnection) if name.startswith("smtp_")}
    theirs = {name for name in vars(aiosmtpd.smtp.SMTP) if name.startswith("smtp_")}
    assert ours == theirs


async def test_the_writer_of_aiosmtpd_is_closed() -> None:
    client = await MemoryDoor().open()
    with pytest.raises(LocalProtocolError):
        await client.connection.push("500 Error")
    await client.hang_up()


def test_no_reply_is_written_inline() -> None:
    folder = Path(mta.smtp.connection.__file__).parent
    found = []
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            value = getattr(node, "value", None)
            text = value.decode("latin-1") if isinstance(value, bytes) else value
            if isinstance(node, ast.Constant) and isinstance(text, str) and re.match(r"[2-5]\d\d[ -]", text):
                found.append(f"{path.name}: {text}")
    assert found == []


@pytest.mark.parametrize("where", [ANNE, PAUL, "accept"])
async def test_the_unknown_is_451_once_and_its_cause_goes_to_the_log(where: str) -> None:
    door = MemoryDoor(rooms=ScriptedRooms(refused={where: RuntimeError(f"{ANNE} secret")}))
    client = await door.open()
    with capture_logs() as logs:
        answers = [await client.say(MAIL), await client.say(RCPT)]
        if where == "accept":
            await client.say("DATA")
            await client.send(LETTER + b".\r\n")
            answers.append((await client.reply())[-1])
    assert [answer[:9] for answer in answers].count("451 4.3.0") == 1
    causes = [entry for entry in logs if entry["event"] == "smtp_unexpected"]
    assert len(causes) == 1
    assert causes[0]["error"].startswith("RuntimeError ")
    assert causes[0]["session_id"] == client.connection.session.session_id
    assert ANNE not in repr(logs)
    assert "secret" not in repr(logs)
    door.rooms.refused.clear()
    assert (await client.say("RSET")).startswith("250")
    assert (await hand_over(client)).startswith("250 2.0.0")
    await client.hang_up()


async def test_a_connection_error_of_a_room_is_not_the_peers() -> None:
    door = MemoryDoor(rooms=ScriptedRooms(refused={"accept": ConnectionRefusedError("the database")}))
    client = await door.open()
    assert (await hand_over(client)).startswith("451 4.3.0")
    assert (await client.say("NOOP")).startswith("250")
    await client.hang_up()


async def test_a_bug_of_ours_ends_one_connection_with_451() -> None:
    client = await MemoryDoor().open()
    del client.connection._smtp_methods["NOOP"]
    assert (await client.say("NOOP")).startswith("451 4.3.0")
    await client.act("closed")
    await asyncio.wait_for(client.connection.ended(), 1)


async def test_nothing_of_a_conversation_is_logged_but_its_replies() -> None:
    door = MemoryDoor(Listener.SUBMISSIONS, rooms=ScriptedRooms(refused={PAUL: reply.UNKNOWN_MAILBOX}))
    door.rooms.passwords[ANNE] = b"Tres-Secret"
    with capture_logs() as logs:
        client = await door.open(login=ANNE, password="faux")
        await client.say("AUTH PLAIN " + base64.b64encode(f"\0{ANNE}\0Tres-Secret".encode()).decode())
        await client.say(MAIL)
        await client.say(RCPT)
        await client.say("RCPT TO:<Louise TEST-GOELAND>")
    assert [entry["reply"] for entry in logs] == ["AUTHENTICATION_FAILED", "UNKNOWN_MAILBOX", "SYNTAX"]
    allowed = {"event", "session_id", "listener", "reply", "code", "log_level"}
    assert all(set(entry) == allowed for entry in logs)
    assert "192.0.2.7" not in repr(logs)
    await client.hang_up()


CONVERSATION = (
    b"MAIL FROM:<" + ANNE.encode() + b">\r\nRCPT TO:<" + PAUL.encode() + b">\r\nDATA\r\n",
    b"..\r\nx\r\n.\r\nNOOP\r\nMAIL FROM:<>\r\nRSET\r\nQUIT\r\n",
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
async def test_however_the_stream_is_cut_the_answers_are_the_same(size: int) -> None:
    client = await MemoryDoor().open()
    for part in CONVERSATION:
        for start in range(0, len(part), size):
            await client.send(part[start : start + size])
    answers = (await client.receive_all()).split(b"\r\n")
    assert [answer[:3] for answer in answers] == [
        b"250",
        b"250",
        b"354",
        b"250",
        b"250",
        b"250",
        b"250",
        b"221",
        b"",
    ]


@pytest.mark.parametrize("cuts", list(itertools.combinations(range(1, 7), 2)))
async def test_the_end_of_data_may_come_in_three_segments(cuts: tuple[int, int]) -> None:
    door = MemoryDoor()
    client = await door.open()
    await until_data(client)
    said = b"ab\r\n.\r\n"
    first, second = cuts
    for part in (said[:first], said[first:second], said[second:]):
        await client.send(part)
    assert (await client.reply())[-1].startswith("250 2.0.0")
    assert [letter.octets for letter in door.rooms.letters] == [b"ab\r\n"]
    await client.hang_up()


@pytest.mark.parametrize("extra", [0, 1])
async def test_a_large_letter_comes_whole_or_not_at_all(extra: int) -> None:
    door = MemoryDoor(max_message_octets=200_000)
    client = await door.open()
    lines = b"x" * 98 + b"\r\n"
    answer = await hand_over(client, lines * 2000 + b"y" * extra + (b"\r\n" if extra else b""))
    if extra:
        assert answer.startswith("552 5.3.4")
        assert door.rooms.letters == []
    else:
        assert door.rooms.letters[0].octets == lines * 2000
    assert door.door.octets.taken == 0
    assert (await client.say("NOOP")).startswith("250")
    await client.hang_up()


async def test_a_letter_beyond_reason_ends_the_connection() -> None:
    door = MemoryDoor(max_message_octets=100_000)
    client = await door.open()
    await until_data(client)
    for _ in range(6):
        await client.send((b"x" * 98 + b"\r\n") * 500)
    answer = await client.receive_all()
    assert answer.startswith(b"552 5.3.4")
    assert answer.count(b"\r\n") == 1
    assert door.door.octets.taken == 0


async def test_a_letter_too_big_before_its_end_is_read_to_its_end() -> None:
    door = MemoryDoor(max_message_octets=100_000)
    client = await door.open()
    answer = await hand_over(client, (b"x" * 98 + b"\r\n") * 2100)
    assert answer.startswith("552 5.3.4")
    assert (await client.say("NOOP")).startswith("250")
    await client.hang_up()


async def test_no_room_for_large_letters_is_452_and_small_ones_pass() -> None:
    door = MemoryDoor(max_octets_in_flight=100_000)
    client = await door.open()
    assert (await hand_over(client, (b"x" * 98 + b"\r\n") * 3000)).startswith("452 4.3.1")
    assert door.door.octets.taken == 0
    assert (await hand_over(client)).startswith("250 2.0.0")
    await client.hang_up()


async def test_an_endless_line_is_cut() -> None:
    client = await MemoryDoor().open()
    await client.send(b"NOOP " + b"x" * 140_000)
    assert (await client.receive_all()).startswith(b"500 5.5.2")


async def test_connections_are_counted() -> None:
    door = MemoryDoor(max_connections_per_network=2)
    first, second, third = door.connect(), door.connect(), door.connect()
    assert (await third.receive_all()).startswith(b"421 4.7.0")
    assert (await first.reply())[-1].startswith("220")
    assert (await second.reply())[-1].startswith("220")
    await first.hang_up()
    fourth = door.connect()
    assert (await fourth.reply())[-1].startswith("220")
    for client in (second, fourth):
        await client.hang_up()
    assert door.door.connections == set()


async def test_a_crowded_listener_waits_ten_seconds_only() -> None:
    door = MemoryDoor(max_connections=1)
    client = await door.open()
    door.clock.advance(10)  # type: ignore[attr-defined]  # the fake one
    door.sweep()
    assert (await client.receive_all()).startswith(b"421 4.4.2")


async def test_a_peer_that_drips_a_command_is_cut_too() -> None:
    door = MemoryDoor()
    client = await door.open()
    for _ in range(5):
        await client.send(b"N")
        door.clock.advance(60)  # type: ignore[attr-defined]  # the fake one
        door.sweep()
    assert (await client.receive_all()).startswith(b"421 4.4.2")


async def test_a_room_at_work_is_waited_for() -> None:
    gate = asyncio.Event()
    door = MemoryDoor(rooms=ScriptedRooms(gate=gate))
    client = await door.open()
    await until_data(client)
    await client.send(LETTER + b".\r\n")
    door.clock.advance(3600)  # type: ignore[attr-defined]  # the fake one
    door.sweep()
    gate.set()
    assert (await client.reply())[-1].startswith("250 2.0.0")
    await client.hang_up()


async def test_stopping_says_421_to_the_idle_and_waits_for_a_letter() -> None:
    gate = asyncio.Event()
    door = MemoryDoor(rooms=ScriptedRooms(gate=gate))
    idle, busy = await door.open(), await door.open()
    await until_data(busy)
    for connection in tuple(door.door.connections):
        connection.stop()
    assert (await idle.receive_all()).startswith(b"421 4.3.2")
    await busy.send(LETTER + b".\r\n")
    gate.set()
    answers = (await busy.receive_all()).split(b"\r\n")
    assert [answer[:9] for answer in answers] == [b"250 2.0.0", b"421 4.3.2", b""]
    assert len(door.rooms.letters) == 1
    late = door.connect()
    late.connection.stop()
    assert (await late.receive_all()).startswith(b"421 4.3.2")


async def test_a_changed_box_ends_its_sessions_and_no_other() -> None:
    passwords = {"anne@ch-rivage.mssante.example": b"mouette"}
    door = MemoryDoor(listener=Listener.SUBMISSIONS, rooms=ScriptedRooms(passwords=passwords))
    stranger = await door.open()
    anne = await door.open(login="anne@ch-rivage.mssante.example", password="mouette")
    (account,) = [each.session.account for each in door.door.connections if each.session.account]
    door.door.end_sessions_of(account.bal.bal_id + 1)
    assert (await anne.say("NOOP")).startswith("250")
    door.door.end_sessions_of(account.bal.bal_id)
    assert (await anne.receive_all()).startswith(b"421 4.3.2")
    assert (await stranger.say("NOOP")).startswith("250")
    await stranger.hang_up()


async def test_a_peer_that_leaves_during_acceptance_loses_nothing_but_its_answer() -> None:
    gate = asyncio.Event()
    door = MemoryDoor(rooms=ScriptedRooms(gate=gate))
    client = await door.open()
    await until_data(client)
    await client.send(LETTER + b".\r\n")
    client.transport.close()
    await asyncio.sleep(0)
    gate.set()
    await asyncio.wait_for(client.connection.ended(), 1)
    assert len(door.rooms.letters) == 1


async def test_half_a_letter_is_no_letter() -> None:
    door = MemoryDoor()
    client = await door.open()
    await until_data(client)
    await client.send(LETTER + b".\r")
    await client.hang_up()
    assert door.rooms.letters == []
    assert door.door.connections == set()


async def test_a_refused_peer_may_read_its_refusal_before_the_connection_is_cut() -> None:
    door = MemoryDoor(linger=2.0)
    client = await door.open()
    await client.send(b"NOOP\nNOOP\r\n")
    assert (await client.reply())[-1].startswith("521 5.5.2")
    await client.send(b"MAIL FROM:<>\r\n")
    assert not client.transport.is_closing()
    door.clock.advance(2)  # type: ignore[attr-defined]  # the fake one
    door.sweep()
    await client.act("closed")
    await asyncio.wait_for(client.connection.ended(), 1)


async def test_a_refused_peer_that_leaves_is_let_go() -> None:
    client = await MemoryDoor(linger=2.0).open()
    await client.send(b"NOOP\n")
    await client.reply()
    assert client.connection.eof_received() is False
    await client.hang_up()


async def test_soft_errors_slow_the_peer_down() -> None:
    door = MemoryDoor(soft_errors=0, hard_errors=3, error_delay=0.001)
    client = await door.open()
    assert (await client.say("WHAT")).startswith("500")
    assert (await client.say("WHAT")).startswith("500")
    assert (await client.say("WHAT")).startswith("500")
    assert (await client.receive_all()).startswith(b"421 4.7.0")


async def test_without_keys_starttls_is_454_and_the_conversation_goes_on() -> None:
    client = MemoryDoor(Listener.SUBMISSION, tls=NoContexts(is_broken=True)).connect()
    await client.reply()
    await client.say("EHLO poste.example")
    assert (await client.say("STARTTLS")).startswith("454 4.7.0")
    assert (await client.say("MAIL FROM:<>")).startswith("530 5.7.0")
    await client.hang_up()


async def test_the_session_knows_what_tls_said() -> None:
    door = MemoryDoor()
    client = await door.open()
    await client.say(MAIL)
    session = door.rooms.sessions[0]
    assert (session.tls_version, session.tls_cipher) == ("TLSv1.3", "TLS_AES_256_GCM_SHA384")
    assert session.peer_certificate == b"certificate of the peer"
    assert (session.client_name, session.network) == ("poste.example", "192.0.2.7")
    await client.hang_up()


class Counting(NoMetrics):
    """Counts."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def connected(self, listener: Listener) -> None:
        self.seen.append("connected")

    def disconnected(self, listener: Listener) -> None:
        self.seen.append("disconnected")

    def commanded(self, listener: Listener, verb: str) -> None:
        self.seen.append(verb)

    def replied(self, listener: Listener, name: str) -> None:
        self.seen.append(name)

    def received(self, listener: Listener, octets: int, seconds: float) -> None:
        self.seen.append((octets, seconds))


async def test_everything_is_counted() -> None:
    metrics = Counting()
    client = await MemoryDoor(Listener.RELAY, metrics=metrics).open()
    del metrics.seen[1:]
    await hand_over(client)
    await client.say("WHAT")
    await client.say("QUIT")
    await asyncio.wait_for(client.connection.ended(), 1)
    assert metrics.seen == [
        "connected",
        *(
            "MAIL",
            "SENDER_OK",
            "RCPT",
            "RECIPIENT_OK",
            "DATA",
            "START_MAIL_INPUT",
            "QUEUED",
            (len(LETTER), 0.0),
        ),
        *("OTHER", "UNKNOWN_COMMAND", "QUIT", "CLOSING", "disconnected"),
    ]


async def test_a_peer_that_ends_its_side_with_data_gets_no_letter() -> None:
    door = MemoryDoor()
    client = await door.open()
    await client.say(MAIL)
    await client.say(RCPT)
    client.connection.data_received(b"DATA\r\n")
    client.connection.eof_received()
    assert await client.receive_all() == b""
    assert door.rooms.letters == []


async def test_a_login_that_could_not_be_judged_is_not_a_failure_of_the_peer() -> None:
    rooms = ScriptedRooms(refused={ANNE: RuntimeError("the database")})
    client = await MemoryDoor(Listener.SUBMISSIONS, rooms=rooms, max_authentication_failures=1).open()
    line = "AUTH PLAIN " + base64.b64encode(f"\0{ANNE}\0secret".encode()).decode()
    assert (await client.say(line)).startswith("451 4.3.0")
    assert (await client.say("NOOP")).startswith("250")
    await client.hang_up()


async def test_expn_counts_as_an_error() -> None:
    client = await MemoryDoor(hard_errors=2).open()
    assert (await client.say("EXPN a")).startswith("502")
    assert (await client.say("EXPN a")).startswith("502")
    assert (await client.receive_all()).startswith(b"421 4.7.0")


async def test_a_large_letter_counts_until_it_is_accepted() -> None:
    gate = asyncio.Event()
    door = MemoryDoor(rooms=ScriptedRooms(gate=gate))
    client = await door.open()
    handing = asyncio.ensure_future(hand_over(client, (b"x" * 98 + b"\r\n") * 3000))
    for _ in range(60):
        await asyncio.sleep(0)
    assert door.door.octets.taken > 200_000
    gate.set()
    assert (await handing).startswith("250 2.0.0")
    assert door.door.octets.taken == 0
    await client.hang_up()


async def test_a_long_group_lets_others_speak() -> None:
    door = MemoryDoor(junk_commands=1000)
    greedy, polite = await door.open(), await door.open()
    greedy.connection.data_received(b"NOOP\r\n" * 500)
    polite.connection.data_received(b"NOOP\r\n")
    assert (await polite.reply())[-1].startswith("250")
    assert greedy.connection._input.has_line()  # it is still being served
    await greedy.hang_up()
    await polite.hang_up()


async def test_a_peer_that_does_not_read_is_cut() -> None:
    door = MemoryDoor()
    client = await door.open()
    client.connection.pause_writing()
    await client.send(b"NOOP\r\n")
    door.clock.advance(300)  # type: ignore[attr-defined]  # the fake one
    door.sweep()
    assert (await client.receive_all()).split(b"\r\n")[1].startswith(b"421 4.4.2")
    await asyncio.wait_for(client.connection.ended(), 1)
    assert door.door.connections == set()
