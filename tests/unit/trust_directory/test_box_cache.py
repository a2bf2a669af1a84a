"""What is held is never older than a change that was seen, and never more than its bound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

import trust_directory.box_cache as module
from core.address import Domain, Mailbox
from core.bal import Account, Bal, BalKind, BalState
from core.testing.clock import FakeClock
from trust_directory.box_cache import BoxCache
from trust_directory.sealed_boxes import KnownBox
from trust_directory.settings import AccountSettings

SETTINGS = AccountSettings(
    domains=frozenset({Domain.parse("cabinet.mssante.example")}), cached_boxes=3, change_poll_seconds=1.0
)


def mailbox(number: int) -> Mailbox:
    return Mailbox.parse(f"box{number}@cabinet.mssante.example")


def box(number: int, state: BalState = BalState.OPEN) -> KnownBox:
    bal = Bal(
        bal_id=number,
        mailbox=mailbox(number),
        kind=BalKind.CABINET,
        state=state,
        display_name="",
        quota_octets=1,
    )
    return KnownBox(account=Account(bal=bal), credentials=(), created_at=0, changed_at=0)


class FakeStore:
    """SealedBoxes and BoxReader in one: boxes, the number of the last change, and what happens during a read."""

    def __init__(self) -> None:
        self.reader = self
        self.boxes = {number: box(number) for number in range(1, 6)}
        self.number = 1
        self.changed: dict[int, int] = {}
        self.reads = 0
        self.meanwhile: Callable[[], None] = lambda: None

    def change(self, number: int, state: BalState) -> None:
        self.number += 1
        self.boxes[number] = box(number, state)
        self.changed[number] = self.number

    async def generation(self) -> int:
        return self.number

    async def changed_since(self, generation: int) -> list[int]:
        return [number for number, at in self.changed.items() if at > generation]

    async def find(self, wanted: Mailbox) -> KnownBox | None:
        return await self.get(next((n for n in self.boxes if mailbox(n) == wanted), 0))

    async def get(self, bal_id: int) -> KnownBox | None:
        self.reads += 1
        found = self.boxes.get(bal_id)
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        return found


class Desk:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = FakeStore()
        self.cache = BoxCache(self.store, self.clock, SETTINGS)  # type: ignore[arg-type]

    async def state(self, number: int) -> BalState:
        self.clock.advance(1.0)
        found = await self.cache.find(mailbox(number))
        assert found is not None
        return found.bal.state


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_the_least_used_box_goes_when_there_is_no_room(desk: Desk) -> None:
    for number in (1, 2, 3):
        await desk.cache.find(mailbox(number))
    await desk.cache.find(mailbox(1))
    await desk.cache.get(4)
    reads = desk.store.reads
    for number in (1, 3, 4):
        await desk.cache.get(number)
        await desk.cache.find(mailbox(number))
    assert desk.store.reads == reads
    await desk.cache.get(2)
    assert desk.store.reads == reads + 1


async def test_unknown_addresses_are_held_up_to_a_bound(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_UNKNOWN", 2)
    for number in (10, 11, 10, 11):
        assert await desk.cache.find(mailbox(number)) is None
    assert desk.store.reads == 2
    assert await desk.cache.find(mailbox(12)) is None
    assert len(desk.cache._unknown) == 1


async def test_a_box_that_changed_while_it_was_read_is_not_held_as_it_was(desk: Desk) -> None:
    """The read began before the change, and another question saw the change before the read ended."""
    await desk.cache.look()

    def change_and_see() -> None:
        desk.store.change(1, BalState.SUSPENDED)
        desk.cache._generation = desk.store.number

    desk.store.meanwhile = change_and_see
    found = await desk.cache.find(mailbox(1))
    assert found is not None
    assert found.bal.state is BalState.SUSPENDED
    assert await desk.state(1) is BalState.SUSPENDED


async def test_an_address_created_while_it_was_looked_for_is_not_held_as_unknown(desk: Desk) -> None:
    await desk.cache.look()

    def create_and_see() -> None:
        desk.store.change(7, BalState.OPEN)
        desk.cache._generation = desk.store.number

    desk.store.meanwhile = create_and_see
    await desk.cache.find(mailbox(7))
    assert await desk.state(7) is BalState.OPEN


async def test_a_restored_backup_drops_everything_held(desk: Desk) -> None:
    desk.store.change(1, BalState.SUSPENDED)
    assert await desk.state(1) is BalState.SUSPENDED
    assert await desk.state(2) is BalState.OPEN
    desk.store.boxes[1], desk.store.number = box(1), 1
    desk.store.changed.clear()
    assert await desk.state(1) is BalState.OPEN


async def test_a_change_of_this_process_is_seen_at_once(desk: Desk) -> None:
    await desk.cache.find(mailbox(1))
    desk.store.change(1, BalState.CLOSED)
    desk.cache.expire()
    found = await desk.cache.get(1)
    assert found is not None
    assert found.bal.state is BalState.CLOSED


async def test_a_poll_of_nothing_asks_each_time() -> None:
    desk = Desk()
    desk.cache = BoxCache(desk.store, desk.clock, replace(SETTINGS, change_poll_seconds=0.0))  # type: ignore[arg-type]
    await desk.cache.find(mailbox(1))
    desk.store.change(1, BalState.CLOSED)
    found = await desk.cache.find(mailbox(1))
    assert found is not None
    assert found.bal.state is BalState.CLOSED
