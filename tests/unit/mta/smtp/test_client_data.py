"""The client's DATA: no more in the buffers than the network takes, and no letter taken by half."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiosmtplib.protocol import SMTPProtocol

from core import reply as replies
from core.address import Domain, Mailbox
from core.envelope import Envelope, ForwardPath
from core.outcome import Deferred, Delivered, Failed, Outcome
from mta.checkpoints import Checkpoint
from mta.smtp.client import MAX_SLICE, ClientSettings, RelayConnection
from mta.smtp.letter import OutgoingLetter, OutgoingRecipient

DUNE = Mailbox("paul.test-dune", Domain("cabinet.mssante.example"))
OCTETS = b"Subject: image\r\n\r\n" + b".0123456789abcdef\r\n" * (4 * MAX_SLICE // 18)


class Wire(asyncio.Transport):
    """A transport whose network takes nothing of the octets until `flow`."""

    def __init__(self) -> None:
        super().__init__()
        self.protocol = SMTPProtocol(asyncio.get_running_loop())
        self.protocol.connection_made(self)
        self.protocol._response_pending = False  # the greeting was read
        self.held = self.most_held = 0
        self.taken = bytearray()
        self.flows = False
        self.is_data = False
        self.is_closed = False

    def write(self, data: Any) -> None:
        if not self.is_data:
            self.is_data = data == b"DATA\r\n"
            self.say("354 go on" if self.is_data else "250 2.0.0 OK")
            return
        self.taken += data
        if not self.flows:
            self.held += len(data)
            self.most_held = max(self.most_held, self.held)
            self.protocol.pause_writing()
        if self.taken.endswith(b"\r\n.\r\n"):
            self.say("250 2.0.0 Queued")

    def say(self, answer: str) -> None:
        asyncio.get_running_loop().call_soon(self.protocol.data_received, f"{answer}\r\n".encode())

    def flow(self) -> None:
        self.flows, self.held = True, 0
        self.protocol.resume_writing()

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True


class Smtp:
    """The few words of aiosmtplib.SMTP that a connection uses."""

    esmtp_extensions: dict[str, str] = {}  # noqa: RUF012 - a double

    def __init__(self, wire: Wire) -> None:
        self.wire, self.protocol, self.execute_command = wire, wire.protocol, wire.protocol.execute_command

    @property
    def is_connected(self) -> bool:
        return not self.wire.is_closed

    def get_transport_info(self, key: str) -> Any:
        return SimpleNamespace(version=lambda: "TLSv1.3", cipher=lambda: ("x", "", 0))

    def supports_extension(self, name: str) -> bool:
        return False

    def close(self) -> None:
        self.wire.close()


class Talk:
    """One letter on one connection."""

    def __init__(self, octets: bytes = OCTETS, patience: float = 5.0) -> None:
        self.wire = Wire()
        self.passed: list[Checkpoint] = []
        settings = ClientSettings(host_name="mss.ch-rivage.mssante.example", end_of_data_timeout=patience)
        smtp: Any = Smtp(self.wire)
        peer: Any = object()
        self.connection = RelayConnection(smtp, peer, "mx", settings, self.passed.append)
        path = ForwardPath(DUNE)
        self.letter = OutgoingLetter(
            envelope=Envelope(reverse_path=DUNE, forward_paths=(path,)),
            recipients=(OutgoingRecipient(0, path),),
            envelope_id="e1",
            octets=octets,
        )

    def begin(self) -> asyncio.Task[dict[int, Outcome]]:
        return asyncio.ensure_future(self.connection.send(self.letter))


async def turn(times: int = 60) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


async def test_a_slow_network_holds_one_slice_and_not_the_letter() -> None:
    talk = Talk()
    sending = talk.begin()
    await turn()
    assert 0 < talk.wire.most_held <= MAX_SLICE + MAX_SLICE // 8
    talk.wire.flow()
    [outcome] = (await sending).values()
    assert isinstance(outcome, Delivered)
    assert talk.wire.taken == OCTETS.replace(b"\r\n.", b"\r\n..") + b".\r\n"
    assert talk.passed == [Checkpoint.RELAY_DATA_SENT, Checkpoint.RELAY_ANSWERED]
    assert talk.connection.is_open


async def test_a_network_that_takes_nothing_more_is_waited_for_no_longer_than_allowed() -> None:
    talk = Talk(patience=0.01)
    [outcome] = (await talk.begin()).values()
    assert outcome == Deferred(replies.PEER_UNREACHABLE)
    assert not talk.connection.is_open


async def test_a_connection_that_breaks_while_it_is_full_is_a_doubt() -> None:
    talk = Talk()
    sending = talk.begin()
    await turn()
    talk.wire.protocol.connection_lost(ConnectionResetError())
    [outcome] = (await sending).values()
    assert outcome == Deferred(replies.PEER_UNREACHABLE)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [("552 5.3.4 big", Failed), ("451 4.3.0 later", Deferred), ("250 2.0.0 what", Deferred)],
)
async def test_an_answer_before_the_end_is_not_a_letter_taken_and_ends_the_connection(
    answer: str, kind: type
) -> None:
    talk = Talk()
    sending = talk.begin()
    await turn()
    talk.wire.say(answer)
    [outcome] = (await sending).values()
    assert isinstance(outcome, kind)
    assert not talk.connection.is_open  # what would be said next would be read as the letter's rest


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Only reference counts free what is not needed any more."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
async def test_a_letter_that_failed_is_not_pinned() -> None:
    octets = b"Subject: x\r\n\r\n" + b"y" * 1000 + b"\r\n"
    before = sys.getrefcount(octets)
    talk = Talk(octets, patience=0.01)
    talk.wire.say = lambda answer: (  # type: ignore[method-assign]  # silent at the end of the letter
        None if answer.startswith("250 2.0.0 Q") else Wire.say(talk.wire, answer)
    )
    [outcome] = (await talk.begin()).values()
    assert outcome == Deferred(replies.PEER_UNREACHABLE)
    await turn(3)
    del talk.letter
    assert sys.getrefcount(octets) == before
