"""Who may log in is never told apart: same text, same way, and few tries (A39, A40)."""

from __future__ import annotations

import base64

import pytest

from core import reply
from core.errors import ReplyError
from core.testing.rooms import ScriptedRooms
from core.testing.smtp_wire import MemoryDoor
from mta.rooms import Listener

ANNE = "anne.test-rivage@ch-rivage.mssante.example"
DOORS = (Listener.SUBMISSION, Listener.SUBMISSIONS, Listener.SUBMISSION_APP)


def plain(login: str, password: str, authzid: str = "") -> str:
    return "AUTH PLAIN " + base64.b64encode(f"{authzid}\0{login}\0{password}".encode()).decode()


@pytest.mark.parametrize("listener", DOORS)
async def test_all_failures_read_the_same(listener: Listener) -> None:
    door = MemoryDoor(
        listener, rooms=ScriptedRooms(passwords={ANNE: b"secret"}), max_authentication_failures=99
    )
    client = await door.open()
    answers = {
        await client.say(plain(ANNE, "wrong")),
        await client.say(plain("nobody@ch-rivage.mssante.example", "secret")),
        await client.say(plain("nobody", "secret")),
        await client.say(plain(ANNE, "secret", "paul.test-dune@cabinet.mssante.example")),
        await client.say(plain(ANNE, "")),
        await client.say(plain("", "secret")),
    }
    assert len(answers) == 1
    assert answers.pop().startswith("535 5.7.8 ")
    assert (await client.say(f"MAIL FROM:<{ANNE}>")).startswith("530 5.7.0")
    assert (await client.say(plain(ANNE, "secret"))).startswith("235 2.7.0")
    await client.hang_up()


@pytest.mark.parametrize("listener", DOORS)
async def test_five_tries_and_the_connection_is_gone(listener: Listener) -> None:
    door = MemoryDoor(listener)
    client = await door.open()
    await client.send("".join(plain(f"a{n}", "b") + "\r\n" for n in range(50)).encode())
    answers = (await client.receive_all()).split(b"\r\n")
    assert [answer[:3] for answer in answers] == [b"535"] * 5 + [b"421", b""]
    assert len(door.rooms.attempts) == 5


async def test_a_failed_login_that_comes_after_a_good_one_is_not_even_tried() -> None:
    door = MemoryDoor(Listener.SUBMISSIONS, rooms=ScriptedRooms(passwords={ANNE: b"secret"}))
    client = await door.open()
    assert (await client.say(plain(ANNE, "secret"))).startswith("235")
    assert (await client.say(plain("nobody", "x"))).startswith("503 5.5.1")
    assert door.rooms.attempts == [ANNE]
    await client.hang_up()


async def test_a_lock_is_told_as_the_accounts_tell_it() -> None:
    locked = ScriptedRooms(refused={ANNE: ReplyError(reply.AUTHENTICATION_LOCKED)})
    client = await MemoryDoor(Listener.SUBMISSIONS, rooms=locked).open()
    assert (await client.say(plain(ANNE, "secret"))).startswith("454 4.7.0")
    await client.hang_up()


@pytest.mark.parametrize("verb", ["VRFY", "EXPN"])
async def test_nobody_learns_who_has_a_box(verb: str) -> None:
    client = await MemoryDoor().open()
    answers = {await client.say(f"{verb} {name}") for name in (ANNE, "nobody", "<nobody@x.example>", "staff")}
    assert len(answers) == 1
    await client.hang_up()
