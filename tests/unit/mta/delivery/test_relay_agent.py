"""The relay's sharing of connections and memory: nobody is starved, and nothing is held longer than needed."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from core import reply as replies
from core.address import Domain, Mailbox
from core.envelope import Envelope, ForwardPath
from core.errors import PermanentError
from core.folder import StoredOctets
from core.outcome import Deferred, Delivered, Outcome
from core.plan import RelayTo
from core.testing.clock import FakeClock
from core.testing.mail_store import MemoryBlobStore
from mta.delivery.agent import Attempt, LetterInHand, PlannedRecipient
from mta.delivery.relay import RelayAgent, RelaySettings
from mta.smtp.letter import OutgoingLetter, RelayFailure
from mta.spool.item import INTERNAL_ORIGIN, SpoolItem

CABINET = Domain("cabinet.mssante.example")
ANNE = Mailbox("anne.test-rivage", Domain("ch-rivage.mssante.example"))
LETTER = b"Subject: bilan\r\n\r\nx\r\n"


class Connection:
    """A verified conversation that takes everything."""

    offers_dsn = False
    is_open = True
    data_begun = True
    letters = 0
    host = "mx"
    peer = SimpleNamespace(subject="CN=mx", fingerprint="ab")
    tls_version, tls_cipher = "TLSv1.3", "x"

    async def send(self, letter: OutgoingLetter) -> dict[int, Outcome]:
        return {recipient.index: Delivered(replies.RELAYED) for recipient in letter.recipients}

    def close(self) -> None:
        self.is_open = False


class CountedBlobs(MemoryBlobStore):
    """Counts what is read back."""

    reads = 0
    failure: Exception | None = None

    async def read(self, stored: StoredOctets, start: int = 0, end: int | None = None) -> bytes:
        self.reads += 1
        if self.failure is not None:
            raise self.failure
        return await super().read(stored, start, end)


class Client:
    """A RelayClient; hosts in `away` cannot be reached."""

    def __init__(self) -> None:
        self.away: set[str] = set()
        self.stalled: dict[str, asyncio.Event] = {}
        self.tries: list[str] = []
        self.made: list[Connection] = []

    async def connect(self, host: str, port: int, domain: Domain) -> Connection:
        self.tries.append(host)
        if host in self.stalled:
            await self.stalled[host].wait()
        if host in self.away:
            raise RelayFailure(replies.PEER_UNREACHABLE)
        self.made.append(Connection())
        return self.made[-1]

    def check_entitled(self, connection: Connection, domain: Domain) -> None:
        """Everybody is."""


class Hops:
    """A Resolver: each domain's hosts, `mx` by default."""

    def __init__(self) -> None:
        self.of: dict[Domain, tuple[str, ...]] = {}

    async def next_hops(self, domain: Domain) -> list[tuple[str, int]]:
        return [(host, 25) for host in self.of.get(domain, ("mx",))]


class Post:
    """A relay agent with everything around it."""

    def __init__(self, **settings: Any) -> None:
        self.clock, self.client, self.hops, self.blobs = FakeClock(), Client(), Hops(), CountedBlobs()
        self.agent = RelayAgent(
            client=self.client,  # type: ignore[arg-type]  # a double of the few words that are used
            resolver=self.hops,
            clock=self.clock,
            settings=RelaySettings(**settings),
        )

    async def letter(self, octets: bytes = LETTER, domain: Domain = CABINET) -> LetterInHand:
        path = ForwardPath(Mailbox("paul.test-dune", domain))
        item = SpoolItem(
            spool_id="s1",
            envelope=Envelope(reverse_path=ANNE, forward_paths=(path,)),
            octets=await self.blobs.seal(octets),
            message_id="",
            accepted_at=0,
            origin=INTERNAL_ORIGIN,
        )
        return LetterInHand(item, self.blobs)

    async def prepare(self, letter: LetterInHand) -> Attempt:
        [path] = letter.item.envelope.forward_paths
        return await self.agent.prepare(letter, [PlannedRecipient(0, path, RelayTo(path.mailbox.domain))])


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Only reference counts free what is not needed any more."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
async def test_a_peer_that_is_away_pins_no_letter_in_memory() -> None:
    post = Post()
    post.client.away = {"mx"}
    letters = []
    for _ in range(3):
        letter = await post.letter()
        letters.append(weakref.ref(letter))
        assert (await post.prepare(letter)).outcomes == {0: Deferred(replies.PEER_UNREACHABLE)}
        del letter
    assert post.client.tries == ["mx"]
    assert [letter() for letter in letters] == [None] * 3


async def test_an_operator_s_retry_is_not_answered_from_memory() -> None:
    post = Post()
    post.client.away = {"mx"}
    await post.prepare(await post.letter())
    post.client.away.clear()
    post.clock.advance(5)
    assert (await post.prepare(await post.letter())).outcomes == {0: Delivered(replies.RELAYED)}


def domains(number: int) -> list[Domain]:
    return [Domain(f"cabinet{place}.mssante.example") for place in range(number)]


async def test_an_operator_that_stalls_takes_the_connections_of_nobody_else() -> None:
    post = Post(parallel_connections=8, connections_per_hop=2)
    stalled = post.client.stalled["slow"] = asyncio.Event()
    tasks = []
    for domain in domains(20):
        post.hops.of[domain] = ("slow",)
        tasks.append(asyncio.ensure_future(post.prepare(await post.letter(domain=domain))))
    await asyncio.sleep(0)
    assert (await post.prepare(await post.letter())).outcomes == {0: Delivered(replies.RELAYED)}
    assert post.client.tries.count("slow") == 2
    stalled.set()
    attempts = await asyncio.gather(*tasks)
    assert all(attempt.outcomes == {0: Delivered(replies.RELAYED)} for attempt in attempts)
    assert len(post.agent._slots) == 0  # nothing is kept of a hop that nobody uses


async def test_no_more_connections_than_allowed_to_all_hops_together() -> None:
    post = Post(parallel_connections=3, connections_per_hop=2)
    tasks = []
    for place, domain in enumerate(domains(4)):
        post.hops.of[domain] = (f"mx{place}",)
        post.client.stalled[f"mx{place}"] = asyncio.Event()
        tasks.append(asyncio.ensure_future(post.prepare(await post.letter(domain=domain))))
    await asyncio.sleep(0)
    assert len(post.client.tries) == 3
    for gate in post.client.stalled.values():
        gate.set()
    await asyncio.gather(*tasks)
    assert len(post.client.tries) == 4


async def test_a_letter_is_read_when_its_turn_has_come() -> None:
    post = Post(connections_per_hop=1)
    gate = post.client.stalled["mx"] = asyncio.Event()
    letters = [await post.letter(b"x" * 40_000) for _ in range(3)]
    tasks = [asyncio.ensure_future(post.prepare(letter)) for letter in letters]
    await asyncio.sleep(0)
    assert post.blobs.reads == 0
    gate.set()
    await asyncio.gather(*tasks)
    assert post.blobs.reads == 3


async def test_only_small_letters_stay_in_hand_with_their_octets() -> None:
    post = Post()
    small, large = await post.letter(b"x" * 32_768), await post.letter(b"x" * 32_769)
    for letter in (small, small, large, large):
        await letter.octets()
    assert post.blobs.reads == 1 + 2


async def test_a_letter_that_cannot_be_read_leaves_no_connection_behind() -> None:
    post = Post()
    post.blobs.failure = PermanentError("altered at rest")
    with pytest.raises(PermanentError):
        await post.prepare(await post.letter())
    assert [connection.is_open for connection in post.client.made] == [False]
