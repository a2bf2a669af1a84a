"""Plays tests/dialogues/smtp/*.dialogue against the SMTP server in memory.

Actions of these files, beside those of `MemoryClient.act`:

    @ listener relay                    which door (relay, submission, submissions, submission_app)
    @ setting max_recipients 2          a setting of the listener
    @ account ADDRESS PASSWORD          somebody who may log in
    @ refuse ADDRESS NAME               the rooms refuse this address ("accept": the letter) with this reply
    @ without certificate               the client shows none
    @ connect                           a new connection
    @ letters 1                         so many letters were accepted so far
    @ letter OCTETS                     the last of them, with \\r\\n escaped
    @ later 301                         seconds pass
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from core import reply
from core.testing.clock import FakeClock
from core.testing.dialogue import play_text
from core.testing.rooms import ScriptedRooms
from core.testing.smtp_wire import MemoryClient, MemoryDoor
from mta.rooms import Listener

FOLDER = Path(__file__).parent / "smtp"
FILES = sorted(FOLDER.glob("*.dialogue"))


class SmtpPeer:
    """A dialogue's client, with the stage directions of this folder."""

    def __init__(self) -> None:
        self.listener = Listener.RELAY
        self.rooms = ScriptedRooms()
        self.clock = FakeClock()
        self.settings: dict[str, int] = {}
        self.has_certificate = True
        self.door: MemoryDoor | None = None
        self.client: MemoryClient | None = None

    async def send(self, octets: bytes) -> None:
        assert self.client is not None
        await self.client.send(octets)

    async def receive_line(self) -> bytes:
        assert self.client is not None
        return await self.client.receive_line()

    async def receive_exactly(self, count: int) -> bytes:
        assert self.client is not None
        return await self.client.receive_exactly(count)

    async def act(self, action: str) -> None:
        words = action.split(" ", 2)
        match words:
            case ["listener", name]:
                self.listener = Listener(name)
            case ["setting", name, value]:
                self.settings[name] = int(value)
            case ["account", address, password]:
                self.rooms.passwords[address] = password.encode()
            case ["refuse", address, name]:
                self.rooms.refused[address] = reply.TABLE[name]
            case ["without", "certificate"]:
                self.has_certificate = False
            case ["connect"]:
                self.connect()
            case ["letters", count]:
                assert len(self.rooms.letters) == int(count)
            case ["letter", *_]:
                text = action.removeprefix("letter").removeprefix(" ")
                assert self.rooms.letters[-1].octets == text.encode().replace(rb"\r\n", b"\r\n")
            case ["later", seconds]:
                assert self.door is not None
                await asyncio.sleep(0)
                self.clock.advance(float(seconds))
                self.door.sweep()
            case _:
                assert self.client is not None
                await self.client.act(action)

    def connect(self) -> None:
        if self.door is None:
            self.door = MemoryDoor(self.listener, rooms=self.rooms, clock=self.clock, **self.settings)
        if not self.has_certificate:
            self.door.certificate = None
        self.client = self.door.connect()


TEXTS = {path.stem: path.read_text("utf-8") for path in FILES}


@pytest.mark.parametrize("name", sorted(TEXTS))
async def test_dialogue(name: str) -> None:
    peer = SmtpPeer()
    await play_text(name, TEXTS[name], lambda _: peer)
    if peer.client is not None and not peer.client.transport.is_closing():
        await peer.client.hang_up()


def test_there_are_dialogues() -> None:
    assert len(FILES) >= 25
