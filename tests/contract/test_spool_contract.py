"""The spool on both engines: nothing is lost, nothing is done twice, nobody's name lies in clear."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from core import reply as replies
from core.address import Domain, Mailbox
from core.envelope import Envelope, ForwardPath
from core.errors import LocalProtocolError, NotStored
from core.folder import StoredOctets
from core.outcome import RemoteAnswer
from core.unit_of_work import UnitOfWork
from mailstore.keys import FileKek
from mta.spool.item import Claim, Origin, OriginKind, RecipientState, SpoolItem, State
from mta.spool.seen import SEEN_FOR
from mta.spool.storage import AlreadyReceived, SpoolStorage, StaleLease
from mta.spool.store import SpoolSettings, SpoolStore

CABINET = Domain("cabinet.mssante.example")
PHARMACY = Domain("pharmacie.mssante.example")
AUTHOR = Mailbox("anne.test-rivage", Domain("ch-rivage.mssante.example"))
PAUL = Mailbox("paul.test-dune", CABINET)
PAULE = Mailbox("paule.test-dune", CABINET)
PORT = Mailbox("pharmacie.du.port", PHARMACY)
PEER = Origin(OriginKind.PEER, "CN=mss.ch-rivage.mssante.example,C=FR")
HOME = Origin(OriginKind.ACCOUNT, "7")
LETTER = b"Subject: Louise TEST-GOELAND\r\n\r\nle diagnostic\r\n"
DIGEST = b"\7" * 32


class Office:
    """A spool on a mail room, as one life of a process sees it."""

    def __init__(self, room: Any, slot: str = "rivage/0", started: str = "1") -> None:
        self.room = room
        self.storage = SpoolStorage(room.database)
        room.committer.register(self.storage)
        self.spool = SpoolStore(
            storage=self.storage,
            committer=room.committer,
            vault=room.vault,
            blobs=room.blobs,
            clock=room.clock,
            settings=SpoolSettings(slot=slot, started=started),
        )

    async def accept(
        self, spool_id: str, *to: Mailbox, origin: Origin = HOME, leased: bool = True, digest: bytes = b""
    ) -> Claim:
        stored = await self.room.blobs.seal(LETTER)
        item = SpoolItem(
            spool_id=spool_id,
            envelope=Envelope(reverse_path=AUTHOR, forward_paths=tuple(map(ForwardPath, to))),
            octets=stored,
            message_id="<1@ch-rivage.mssante.example>",
            accepted_at=self.spool.now(),
            origin=origin,
        )
        unit = UnitOfWork()
        self.room.blobs.keep(unit, stored)
        claim = self.spool.put(unit, item, received_sha256=digest, leased=leased)
        await self.room.committer.commit(unit)
        return claim

    async def write(self, item: SpoolItem, before: RecipientState, **changes: Any) -> None:
        unit = UnitOfWork()
        values = {"owner": "", "next_due": None, "attempts": before.attempts + 1, **changes}
        self.spool.change(unit, item, before, dataclasses.replace(before, **values))
        await self.room.committer.commit(unit)

    async def count(self, table: str) -> int:
        rows = await self.room.sql(f"SELECT count(*) FROM {table}")
        return int(rows[0][0])


def plain(item: SpoolItem) -> SpoolItem:
    """Without the sealed octets that a fresh item still carries."""
    octets = item.octets
    stored = StoredOctets(octets.blob_id, octets.data_key, octets.size, octets.sha256)
    return dataclasses.replace(item, octets=stored)


async def opened(room: Any, slot: str = "rivage/0", started: str = "1") -> Office:
    office = Office(room, slot, started)
    await office.spool.open()
    return office


async def test_a_letter_comes_back_as_it_was_put(mail: Any) -> None:
    office = await opened(mail)
    claim = await office.accept("s1", PAUL, PORT, leased=False)
    assert claim.recipients == ()
    [taken] = await office.spool.take([(CABINET.ascii, 10)])
    assert taken.item == plain(claim.item)
    assert [state.index for state in taken.recipients] == [0]
    assert taken.recipients[0].state is State.LEASED
    assert taken.recipients[0].fence == 1
    assert await mail.blobs.read(taken.item.octets) == LETTER
    item, states = await office.spool.load("s1")
    assert item == plain(claim.item)
    assert [(state.domain, state.state) for state in states] == [
        (CABINET.ascii, State.LEASED),
        (PHARMACY.ascii, State.WAITING),
    ]


async def test_what_was_handed_over_is_not_found_due(mail: Any) -> None:
    office = await opened(mail)
    claim = await office.accept("s1", PAUL)
    assert claim.recipients[0].fence == 1
    assert await office.spool.take([(CABINET.ascii, 10)]) == []
    mail.clock.advance(121)
    [taken] = await office.spool.take([(CABINET.ascii, 10)])
    assert taken.recipients[0].fence == 2


async def test_a_stale_fence_writes_nothing_at_all(mail: Any) -> None:
    office = await opened(mail)
    claim = await office.accept("s1", PAUL)
    mail.clock.advance(121)
    [taken] = await office.spool.take([(CABINET.ascii, 10)])
    with pytest.raises(StaleLease):
        await office.write(claim.item, claim.recipients[0], state=State.DELIVERED)
    assert await office.count("spool_item") == 1
    assert await office.count("blob") == 1
    await office.write(taken.item, taken.recipients[0], state=State.DELIVERED)
    with pytest.raises(StaleLease):
        await office.write(taken.item, taken.recipients[0], state=State.DELIVERED)


async def test_two_outcomes_in_one_batch_are_one(mail: Any) -> None:
    office = await opened(mail)
    claim = await office.accept("s1", PAUL, PORT)
    unit = UnitOfWork()
    done = dataclasses.replace(claim.recipients[0], state=State.DELIVERED, next_due=None, owner="")
    office.spool.change(unit, claim.item, claim.recipients[0], done)
    office.spool.change(unit, claim.item, claim.recipients[0], done)
    with pytest.raises(StaleLease):
        await mail.committer.commit(unit)
    _, states = await office.spool.load("s1")
    assert states[0].state is State.LEASED


async def test_the_item_goes_with_its_last_recipient_and_the_octets_too(mail: Any) -> None:
    office = await opened(mail)
    claim = await office.accept("s1", PAUL, PAULE, PORT)
    await office.write(claim.item, claim.recipients[0], state=State.DELIVERED)
    await office.write(claim.item, claim.recipients[1], state=State.FAILED, reply="UNKNOWN_MAILBOX")
    assert (await office.count("spool_recipient"), await office.count("blob")) == (3, 1)
    await office.write(claim.item, claim.recipients[2], state=State.EXPIRED)
    for table in ("spool_item", "spool_recipient", "blob", "blob_octets"):
        assert await office.count(table) == 0
    with pytest.raises(NotStored):
        await office.spool.load("s1")


async def test_a_deferral_waits_and_keeps_the_answer(mail: Any) -> None:
    office = await opened(mail)
    claim = await office.accept("s1", PAUL)
    answer = RemoteAnswer(451, "4.3.0", "paul.test-dune is busy", "mx.cabinet.mssante.example")
    due = office.spool.now() + 60
    await office.write(
        claim.item,
        claim.recipients[0],
        state=State.WAITING,
        next_due=due,
        action="relay",
        reply=replies.PEER_DEFERRED.name,
        answer=answer,
        delay_reported=True,
    )
    assert await office.spool.lanes() == [(CABINET.ascii, due)]
    assert await office.spool.take([(CABINET.ascii, 10)]) == []
    mail.clock.advance(60)
    [taken] = await office.spool.take([(CABINET.ascii, 10)])
    state = taken.recipients[0]
    assert (state.attempts, state.answer, state.action, state.delay_reported) == (1, answer, "relay", True)


async def test_so_many_of_each_domain_and_no_more(mail: Any) -> None:
    office = await opened(mail)
    for number in range(5):
        await office.accept(f"c{number}", PAUL, leased=False)
    await office.accept("p0", PORT, leased=False)
    taken = await office.spool.take([(CABINET.ascii, 2), (PHARMACY.ascii, 2)])
    assert sorted(claim.item.spool_id for claim in taken) == ["c0", "c1", "p0"]
    rest = await office.spool.take([(CABINET.ascii, 10)])
    assert sorted(claim.item.spool_id for claim in rest) == ["c2", "c3", "c4"]


async def test_a_clock_that_was_set_back_postpones_nothing(mail: Any) -> None:
    office = await opened(mail)
    waits = await office.accept("s1", PAUL)
    due = office.spool.now() + 3600
    await office.write(waits.item, waits.recipients[0], state=State.WAITING, next_due=due)
    await office.accept("s2", PORT)  # in hand: its lease is renewed, whatever the clock says
    mail.clock.advance(-86_400)
    now = office.spool.now()
    assert dict(await office.spool.lanes(now + 90_001)) == {CABINET.ascii: due, PHARMACY.ascii: due - 3480}
    assert dict(await office.spool.lanes(now + 7200))[CABINET.ascii] == now
    wants = [(CABINET.ascii, 10), (PHARMACY.ascii, 10)]
    assert await office.spool.take(wants, now + 90_001) == []
    assert await office.spool.take([(CABINET.ascii, 0)], now + 7200) == []
    [taken] = await office.spool.take(wants, now + 7200)
    assert taken.item.spool_id == "s1"
    assert taken.recipients[0].next_due == now + 120


async def test_renewed_leases_do_not_end_and_lost_ones_stay_lost(mail: Any) -> None:
    office = await opened(mail)
    claim = await office.accept("s1", PAUL)
    mail.clock.advance(100)
    await office.spool.renew([claim])
    mail.clock.advance(100)
    assert await office.spool.take([(CABINET.ascii, 10)]) == []
    mail.clock.advance(30)
    [taken] = await office.spool.take([(CABINET.ascii, 10)])
    await office.spool.renew([claim])
    mail.clock.advance(121)
    assert len(await office.spool.take([(CABINET.ascii, 10)])) == 1
    assert taken.recipients[0].fence == 2


async def test_the_next_life_takes_over_at_once_but_not_what_another_node_does(
    mail: Any, another_room: Callable[..., Any], kek: FileKek
) -> None:
    office = await opened(mail)
    await office.accept("s1", PAUL)
    command = Office(another_room(kek), started="2")
    await command.room.vault.open()
    await command.spool.open(recover=False)
    assert await command.spool.take([(CABINET.ascii, 10)]) == []
    other = Office(another_room(kek), slot="rivage/1", started="3")
    await other.room.vault.open()
    await other.spool.open()
    assert await other.spool.take([(CABINET.ascii, 10)]) == []
    again = Office(another_room(kek), started="4")
    await again.room.vault.open()
    await again.spool.open()
    [taken] = await again.spool.take([(CABINET.ascii, 10)])
    assert taken.item.spool_id == "s1"


async def test_two_nodes_never_hold_the_same(
    mail: Any, another_room: Callable[..., Any], kek: FileKek
) -> None:
    import asyncio

    office = await opened(mail)
    other = Office(another_room(kek), slot="ville/0")
    await other.room.vault.open()
    await other.spool.open()
    for number in range(20):
        await office.accept(f"s{number}", PAUL, leased=False)
    held: list[str] = []
    for _ in range(10):
        for claims in await asyncio.gather(
            office.spool.take([(CABINET.ascii, 3)]), other.spool.take([(CABINET.ascii, 3)])
        ):
            held.extend(claim.item.spool_id for claim in claims)
    assert len(held) == 20
    assert len(set(held)) == 20


async def test_the_same_letter_from_a_peer_is_taken_once(mail: Any) -> None:
    office = await opened(mail)
    envelope = Envelope(reverse_path=AUTHOR, forward_paths=(ForwardPath(PAUL), ForwardPath(PAULE)))
    assert await office.spool.not_yet_seen(PEER.name, envelope, DIGEST) == envelope
    await office.accept("s1", PAUL, origin=PEER, digest=DIGEST)
    fresh = await office.spool.not_yet_seen(PEER.name, envelope, DIGEST)
    assert [path.mailbox for path in fresh.forward_paths] == [PAULE]
    with pytest.raises(AlreadyReceived):
        await office.accept("s2", PAUL, origin=PEER, digest=DIGEST)
    assert await office.count("spool_item") == 1
    assert await office.count("blob") == 1
    await office.accept("s3", PAUL, origin=Origin(OriginKind.PEER, "CN=other"), digest=DIGEST)
    await office.accept("s4", PAUL, origin=HOME, digest=DIGEST)
    assert await office.count("relay_seen") == 2


async def test_twice_in_one_batch_is_kept_once_and_harms_no_neighbour(mail: Any) -> None:
    import asyncio

    office = await opened(mail)
    results = await asyncio.gather(
        office.accept("s1", PAUL, origin=PEER, digest=DIGEST),
        office.accept("s2", PAUL, origin=PEER, digest=DIGEST),
        office.accept("s3", PORT),
        return_exceptions=True,
    )
    assert sum(isinstance(result, AlreadyReceived) for result in results) == 1
    assert sum(isinstance(result, Claim) for result in results) == 2
    assert await office.count("spool_item") == 2


async def test_keys_of_letters_seen_are_forgotten_after_seven_days(mail: Any) -> None:
    office = await opened(mail)
    await office.accept("s1", PAUL, origin=PEER, digest=DIGEST)
    mail.clock.advance(SEEN_FOR - 1)
    await office.spool.forget_seen()
    assert await office.count("relay_seen") == 1
    mail.clock.advance(2)
    await office.spool.forget_seen()
    assert await office.count("relay_seen") == 0


async def test_totals(mail: Any) -> None:
    office = await opened(mail)
    assert await office.spool.totals() == (0, None)
    accepted = office.spool.now()
    await office.accept("s1", PAUL)
    mail.clock.advance(10)
    await office.accept("s2", PAUL, PORT)
    assert await office.spool.totals() == (2, accepted)


async def test_nobody_s_name_lies_in_clear(mail: Any) -> None:
    office = await opened(mail)
    claim = await office.accept("s1", PAUL, origin=PEER, digest=DIGEST)
    answer = RemoteAnswer(450, "4.2.0", "paul.test-dune waits", "mx")
    await office.write(claim.item, claim.recipients[0], state=State.HELD, answer=answer)
    everything = b""
    for table in ("spool_item", "spool_recipient", "relay_seen", "blob", "blob_octets", "vault_key"):
        for row in await mail.sql(f"SELECT * FROM {table}"):
            everything += b"|".join(
                bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
                for value in row
            )
    assert CABINET.ascii.encode() in everything  # the only thing of an address that may be read
    for canary in (b"paul", b"anne", b"Louise", b"GOELAND", b"diagnostic", b"waits", b"<1@", b"CN=mss"):
        assert canary.lower() not in everything.lower()


async def test_an_altered_item_is_held_and_stops_nobody_else_s_letter(mail: Any) -> None:
    office = await opened(mail)
    for number in range(3):
        await office.accept(f"s{number}", PAUL, leased=False)
    async with mail.database.write() as connection:
        other = "(SELECT sealed FROM spool_item WHERE spool_id = 's0')"
        await connection.exec_driver_sql(f"UPDATE spool_item SET sealed = {other} WHERE spool_id = 's1'")
    taken = await office.spool.take([(CABINET.ascii, 10)])
    assert sorted(claim.item.spool_id for claim in taken) == ["s0", "s2"]
    rows = await mail.sql("SELECT state, reply FROM spool_recipient WHERE spool_id = 's1'")
    assert [tuple(row) for row in rows] == [("held", "HELD_FOR_OPERATOR")]


async def test_a_spool_that_is_not_open_takes_nothing(mail: Any) -> None:
    with pytest.raises(LocalProtocolError):
        await Office(mail).accept("s1", PAUL)
