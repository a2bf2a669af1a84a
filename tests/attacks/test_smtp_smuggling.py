"""SMTP smuggling (CVE-2023-51764, -51765, -51766): never two letters, never a false end of data accepted.

Each hostile sequence stands where an end of data would, at several places of a letter, on each door, followed
by the commands of a second letter. Whatever the server thinks of it, the second letter must not exist.
"""

from __future__ import annotations

import itertools

import pytest

from core.testing.smtp_wire import MemoryClient, MemoryDoor
from mta.rooms import Listener

ANNE = "anne.test-rivage@ch-rivage.mssante.example"
PAUL = "paul.test-dune@cabinet.mssante.example"
HOSTILE = {
    "lf-dot-lf": b"\n.\n",
    "lf-dot-cr": b"\n.\r",
    "lf-dot-crlf": b"\n.\r\n",
    "cr-dot-cr": b"\r.\r",
    "cr-dot-lf": b"\r.\n",
    "cr-dot-crlf": b"\r.\r\n",
    "crlf-dot-lf": b"\r\n.\n",
    "crlf-dot-cr": b"\r\n.\r",
    "crlf-dot-crcrlf": b"\r\n.\r\r\n",
    "crcrlf-dot-crlf": b"\r\r\n.\r\n",
    "crcrlf-dot-crcrlf": b"\r\r\n.\r\r\n",
    "lfcr-dot-crlf": b"\n\r.\r\n",
    "lf-dot-crcrlf": b"\n.\r\r\n",
    "crlf-nul-dot-crlf": b"\r\n\0.\r\n",
    "crlf-dot-nul-crlf": b"\r\n.\0\r\n",
    "crlf-dot-crnullf": b"\r\n.\r\0\n",
    "lflf-dot-lflf": b"\n\n.\n\n",
    "crlf-dot-lfcr": b"\r\n.\n\r",
}
SECOND = (
    f"MAIL FROM:<{PAUL}>\r\nRCPT TO:<{ANNE}>\r\nDATA\r\nSubject: smuggled\r\n\r\nsmuggled\r\n.\r\n"
).encode()
HEADER, BODY = b"Subject: x\r\n\r\n", b"Bonjour\r\n" * 3
PLACES = {
    "at the very start": lambda hostile: hostile + SECOND,
    "after the header": lambda hostile: HEADER + hostile + SECOND,
    "in the header": lambda hostile: b"Subject: x" + hostile + SECOND,
    "in the body": lambda hostile: HEADER + BODY + b"a" + hostile + SECOND + BODY + b".\r\n",
    "after a true line": lambda hostile: HEADER + BODY + hostile + SECOND,
    "after a large letter": lambda hostile: HEADER + BODY * 8000 + hostile + SECOND,
    "twice": lambda hostile: HEADER + b"a" + hostile + SECOND + b"a" + hostile + SECOND,
}
DOORS = (Listener.RELAY, Listener.SUBMISSION, Listener.SUBMISSIONS)


async def ready_for_data(door: MemoryDoor) -> MemoryClient:
    door.rooms.passwords[ANNE] = b"secret"
    is_ours = door.door.listener.is_submission
    client = await door.open(login=ANNE if is_ours else "", password="secret")
    for line in (f"MAIL FROM:<{ANNE}>", f"RCPT TO:<{PAUL}>", "DATA"):
        answer = await client.say(line)
    assert answer.startswith("354")
    return client


@pytest.mark.parametrize("listener", DOORS)
@pytest.mark.parametrize("place", list(PLACES))
@pytest.mark.parametrize("name", list(HOSTILE))
async def test_a_false_end_of_data_ends_the_connection_and_keeps_nothing(
    name: str, place: str, listener: Listener
) -> None:
    door = MemoryDoor(listener)
    client = await ready_for_data(door)
    await client.send(PLACES[place](HOSTILE[name]))
    said = await client.receive_all()
    assert said.startswith(b"521 5.5.2 ")
    assert said.count(b"\r\n") == 1
    assert door.rooms.letters == []


@pytest.mark.parametrize("name", list(HOSTILE))
async def test_a_false_end_of_data_octet_by_octet(name: str) -> None:
    door = MemoryDoor()
    client = await ready_for_data(door)
    for octet in HEADER + b"a" + HOSTILE[name] + SECOND:
        await client.send(bytes([octet]))
    assert (await client.receive_all()).startswith(b"521 5.5.2 ")
    assert door.rooms.letters == []


@pytest.mark.parametrize("listener", DOORS)
@pytest.mark.parametrize("cuts", [*itertools.combinations((1, 2, 3, 4), 2), (0, 5)])
async def test_the_true_end_of_data_split_over_three_segments_is_accepted(
    cuts: tuple[int, int], listener: Listener
) -> None:
    door = MemoryDoor(listener)
    client = await ready_for_data(door)
    end, (first, second) = b"\r\n.\r\n", cuts
    for part in (HEADER + b"x" + end[:first], end[first:second], end[second:]):
        await client.send(part)
    assert (await client.reply())[-1].startswith("250 2.0.0")
    assert [letter.octets for letter in door.rooms.letters] == [HEADER + b"x\r\n"]
    await client.hang_up()


async def test_an_empty_letter_followed_by_commands_is_one_empty_letter() -> None:
    door = MemoryDoor()
    client = await ready_for_data(door)
    await client.send(b".\r\n" + b"MAIL FROM:<>\r\nRSET\r\nQUIT\r\n")
    answers = (await client.receive_all()).split(b"\r\n")
    assert [answer[:3] for answer in answers] == [b"250", b"250", b"250", b"221", b""]
    assert [letter.octets for letter in door.rooms.letters] == [b""]


async def test_a_second_letter_sent_honestly_is_a_second_letter() -> None:
    door = MemoryDoor()
    client = await ready_for_data(door)
    await client.send(HEADER + BODY + b".\r\n" + SECOND.partition(b"Subject")[0])
    for expected in ("250", "250", "250", "354"):
        assert (await client.reply())[-1].startswith(expected)
    await client.send(b"Subject: y\r\n\r\n.\r\n")
    assert (await client.reply())[-1].startswith("250 2.0.0")
    assert len(door.rooms.letters) == 2
    await client.hang_up()


async def test_a_second_letter_that_does_not_wait_for_its_354_is_refused() -> None:
    door = MemoryDoor()
    client = await ready_for_data(door)
    await client.send(HEADER + BODY + b".\r\n" + SECOND)
    answers = (await client.receive_all()).split(b"\r\n")
    assert [answer[:3] for answer in answers] == [b"250", b"250", b"250", b"554", b""]
    assert len(door.rooms.letters) == 1
