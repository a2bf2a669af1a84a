"""Boxes on both engines: each act is durable, audited, seen by other processes, and nothing personal is in clear."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import text

from core.address import Domain, Mailbox
from core.audit import AuditKind
from core.bal import BalKind, BalState, Right
from core.errors import PermanentError, StoreError
from core.testing.audit import MemoryAuditTrail
from core.testing.clock import FakeClock
from core.testing.vault import MemoryVault
from trust_directory.box_cache import BoxCache
from trust_directory.boxes import MAX_DEVICES, Actor, Boxes, BoxRefused
from trust_directory.changes import AddressTaken, BoxChangedMeanwhile
from trust_directory.passwords import CHOSEN, PasswordHashes, PasswordRefused
from trust_directory.sealed_boxes import SealedBoxes
from trust_directory.settings import AccountSettings
from trust_directory.storage import BoxApplier, BoxReader
from vaguemestre.committer import GroupCommitter
from vaguemestre.database import Database

PIERRE = Actor("pierre")
SETTINGS = AccountSettings(
    domains=frozenset({Domain.parse("ch-rivage.mssante.example"), Domain.parse("cabinet.mssante.example")})
)
ANNE = Mailbox.parse("Anne.TEST-RIVAGE@ch-rivage.mssante.example")
WARD = Mailbox.parse("medecine@ch-rivage.mssante.example")
PAUL = Mailbox.parse("paul.test-dune@cabinet.mssante.example")
LOUISE = Mailbox.parse("258042A00400078@ch-rivage.mssante.example")


@dataclass
class Process:
    """One process on the database: its own writer, memory and audit."""

    database: Database
    clock: FakeClock
    hashes: PasswordHashes
    vault: MemoryVault = field(default_factory=MemoryVault)
    audit: MemoryAuditTrail = field(default_factory=MemoryAuditTrail)
    made: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.committer = GroupCommitter(self.database, [BoxApplier()])
        self.sealed = SealedBoxes(BoxReader(self.database), self.vault, self.committer)
        self.cache = BoxCache(self.sealed, self.clock, SETTINGS)
        self.boxes = Boxes(
            self.sealed,
            hashes=self.hashes,
            audit=self.audit,
            clock=self.clock,
            settings=SETTINGS,
            create_box=self.create_box,
        )
        self.boxes.watch(self.cache.expire)

    async def create_box(self, bal_id: int, quota_octets: int) -> None:
        self.made.append((bal_id, quota_octets))

    async def open(self, mailbox: Mailbox, kind: BalKind = BalKind.PERSONNELLE) -> int:
        return (await self.boxes.create(mailbox, kind, name="Une boîte", by=PIERRE)).bal_id


@pytest.fixture(scope="module")
def hashes() -> Iterator[PasswordHashes]:
    made = PasswordHashes()
    yield made
    made.close()


@pytest.fixture
def process(database: Database, clock: FakeClock, hashes: PasswordHashes) -> Process:
    return Process(database, clock, hashes)


@pytest.fixture
def other(database: Database, clock: FakeClock, hashes: PasswordHashes) -> Process:
    """A second process on the same database."""
    return Process(database, clock, hashes)


async def test_a_created_box_is_found_with_its_folders_made_and_its_event_written(process: Process) -> None:
    bal = await process.boxes.create(
        ANNE, BalKind.PERSONNELLE, name=" Dr  Anne TEST-RIVAGE ", by=PIERRE, quota_octets=5_000_000
    )
    known = await process.cache.find(Mailbox.parse("anne.test-rivage@CH-rivage.mssante.example"))
    assert known is not None
    assert known.bal == bal
    assert (bal.state, bal.display_name, bal.quota_octets) == (
        BalState.OPEN,
        "Dr Anne TEST-RIVAGE",
        5_000_000,
    )
    assert str(known.bal.mailbox) == "Anne.TEST-RIVAGE@ch-rivage.mssante.example"
    assert process.made == [(bal.bal_id, 5_000_000)]
    (event,) = process.audit.of(AuditKind.BAL_CHANGED)
    assert event.facts["act"] == "create"
    assert event.persons == {"login": str(ANNE), "operator": "pierre"}
    assert not any("anne" in value.lower() for value in event.facts.values())


async def test_nothing_personal_rests_in_clear(process: Process, database: Database) -> None:
    await process.boxes.create(LOUISE, BalKind.CITOYENNE, name="Louise TEST-GOELAND", by=PIERRE)
    await process.open(ANNE)
    await process.open(WARD, BalKind.ORGANISATIONNELLE)
    await process.boxes.delegate(WARD, ANNE, Right.SEND, by=PIERRE)
    password = await process.boxes.generate_password(ANNE, label="Téléphone d'Anne", by=PIERRE)
    async with database.read() as connection:
        rows = [
            repr(tuple(row)).lower()
            for table in ("bal", "credential", "delegation")
            for row in await connection.execute(text(f"SELECT * FROM {table}"))
        ]
    assert len(rows) == 5
    everything = "\n".join(rows)
    for word in ("258042", "goeland", "anne", "rivage@", "pierre", "argon2", password.text[5:9]):
        assert word not in everything


@pytest.mark.parametrize(
    ("address", "kind", "name", "quota", "word"),
    [
        ("a@ailleurs.mssante.example", BalKind.PERSONNELLE, "A", None, "cabinet.mssante.example"),
        ("a@cabinet.mssante.example", BalKind.PERSONNELLE, "  ", None, "name"),
        ("a@cabinet.mssante.example", BalKind.PERSONNELLE, "A\u202eB", None, "control"),
        ("a@cabinet.mssante.example", BalKind.PERSONNELLE, "A" * 121, None, "120"),
        ("a@cabinet.mssante.example", BalKind.PERSONNELLE, "A", 10, "octets"),
        ("a@cabinet.mssante.example", BalKind.CITOYENNE, "A", None, "INS"),
        ("258042a00400078@cabinet.mssante.example", BalKind.PERSONNELLE, "A", None, "CIT"),
    ],
)
async def test_what_cannot_be_a_box_is_refused_with_a_sentence(
    process: Process, address: str, kind: BalKind, name: str, quota: int | None, word: str
) -> None:
    with pytest.raises(BoxRefused, match=word):
        await process.boxes.create(Mailbox.parse(address), kind, name=name, by=PIERRE, quota_octets=quota)
    assert process.made == []
    assert process.audit.events == []


async def test_an_address_is_given_once_whatever_its_case(process: Process) -> None:
    await process.open(ANNE)
    with pytest.raises(BoxRefused, match="exists already"):
        await process.open(Mailbox.parse("ANNE.test-rivage@ch-rivage.mssante.example"))


async def test_two_processes_that_create_at_once_never_share_a_number_or_an_address(
    process: Process, other: Process
) -> None:
    results = await asyncio.gather(
        process.open(ANNE), other.open(ANNE), process.open(PAUL), other.open(WARD), return_exceptions=True
    )
    refused = [result for result in results if isinstance(result, BaseException)]
    numbers = [result for result in results if isinstance(result, int)]
    assert len(numbers) == len(set(numbers)) == 3
    assert len(refused) == 1
    assert isinstance(refused[0], AddressTaken | BoxRefused)


async def test_a_box_lives_through_its_states(process: Process) -> None:
    await process.open(ANNE)
    assert (await process.boxes.suspend(ANNE, by=PIERRE)).state is BalState.SUSPENDED
    with pytest.raises(BoxRefused, match="suspended"):
        await process.boxes.suspend(ANNE, by=PIERRE)
    assert (await process.boxes.reopen(ANNE, by=PIERRE)).state is BalState.OPEN
    with pytest.raises(BoxRefused, match="open already"):
        await process.boxes.reopen(ANNE, by=PIERRE)
    assert (await process.boxes.close(ANNE, by=PIERRE)).state is BalState.CLOSED
    with pytest.raises(BoxRefused, match="closed already"):
        await process.boxes.close(ANNE, by=PIERRE)
    acts = [event.facts["act"] for event in process.audit.of(AuditKind.BAL_CHANGED)]
    assert acts == ["create", "suspend", "reopen", "close"]


async def test_a_closed_address_is_never_given_to_somebody_else(process: Process) -> None:
    bal_id = await process.open(ANNE)
    await process.boxes.set_password(ANNE, "la marée monte".encode(), by=PIERRE)
    await process.boxes.close(ANNE, by=PIERRE)
    with pytest.raises(BoxRefused, match="never given"):
        await process.open(ANNE)
    with pytest.raises(BoxRefused, match="same-holder"):
        await process.boxes.reopen(ANNE, by=PIERRE)
    with pytest.raises(BoxRefused, match="closed"):
        await process.boxes.set_password(ANNE, "la marée descend".encode(), by=PIERRE)
    assert (await process.boxes.reopen(ANNE, by=PIERRE, same_holder=True)).bal_id == bal_id
    known = await process.cache.find(ANNE)
    assert known is not None
    assert not any(credential.holds(0) for credential in known.credentials)


async def test_a_change_of_another_process_is_seen_within_two_seconds(
    process: Process, other: Process, clock: FakeClock
) -> None:
    assert await process.cache.find(ANNE) is None
    await other.open(ANNE)
    assert await process.cache.find(ANNE) is None
    clock.advance(1.0)
    known = await process.cache.find(ANNE)
    assert known is not None
    await other.boxes.suspend(ANNE, by=PIERRE)
    clock.advance(1.0)
    seen = await process.cache.get(known.bal.bal_id)
    assert seen is not None
    assert seen.bal.state is BalState.SUSPENDED


async def test_the_steady_state_costs_one_short_query_a_second(process: Process, clock: FakeClock) -> None:
    bal_id = await process.open(ANNE)
    await process.cache.find(ANNE)
    opened, reads = process.vault.opened, 0
    read = process.database.read

    def counted(**options: Any) -> Any:
        nonlocal reads
        reads += 1
        return read(**options)

    process.database.read = counted  # type: ignore[method-assign]
    clock.advance(1.0)
    for _ in range(100):
        await process.cache.find(ANNE)
        await process.cache.get(bal_id)
    assert reads == 1
    assert process.vault.opened == opened


async def test_a_change_drops_the_changed_box_only(
    process: Process, other: Process, clock: FakeClock
) -> None:
    for mailbox in (ANNE, PAUL):
        await process.open(mailbox)
        await process.cache.find(mailbox)
    changed: list[tuple[int, Mailbox | None]] = []
    process.cache.watch(lambda bal_id, mailbox: changed.append((bal_id, mailbox)))
    await other.boxes.suspend(PAUL, by=PIERRE)
    clock.advance(1.0)
    await process.cache.find(ANNE)
    assert [mailbox for _, mailbox in changed] == [PAUL]


async def test_a_database_that_does_not_answer_is_an_error_and_not_an_old_answer(
    process: Process, clock: FakeClock
) -> None:
    await process.open(ANNE)
    await process.cache.find(ANNE)

    def away(**options: Any) -> Any:
        raise StoreError("away")

    read, process.database.read = process.database.read, away  # type: ignore[method-assign]
    clock.advance(1.0)
    with pytest.raises(StoreError):
        await process.cache.find(ANNE)
    process.database.read = read  # type: ignore[method-assign]
    assert await process.cache.find(ANNE) is not None


async def test_delegations_are_seen_by_the_delegate_and_rest_on_the_owner_being_open(
    process: Process,
) -> None:
    ward_id = await process.open(WARD, BalKind.ORGANISATIONNELLE)
    await process.open(ANNE)

    async def rights() -> set[tuple[int, Mailbox, Right]]:
        known = await process.cache.find(ANNE)
        assert known is not None
        return set(known.account.delegations)

    assert await rights() == set()
    await process.boxes.delegate(WARD, ANNE, Right.SEND, by=PIERRE)
    await process.boxes.delegate(WARD, ANNE, Right.READ, by=PIERRE)
    await process.boxes.delegate(WARD, ANNE, Right.READ, by=PIERRE)
    assert await rights() == {(ward_id, WARD, Right.SEND), (ward_id, WARD, Right.READ)}
    assert [(bal.mailbox, right) for bal, right, _ in await process.boxes.delegates(WARD)] == [
        (ANNE, Right.READ),
        (ANNE, Right.SEND),
    ]
    await process.boxes.suspend(WARD, by=PIERRE)
    assert await rights() == set()
    await process.boxes.reopen(WARD, by=PIERRE)
    await process.boxes.revoke(WARD, ANNE, Right.SEND, by=PIERRE)
    assert await rights() == {(ward_id, WARD, Right.READ)}
    with pytest.raises(BoxRefused, match="no such delegation"):
        await process.boxes.revoke(WARD, ANNE, Right.SEND, by=PIERRE)
    await process.boxes.revoke(WARD, ANNE, by=PIERRE)
    assert await rights() == set()
    event = process.audit.of(AuditKind.BAL_CHANGED)[-1]
    assert event.persons == {"login": str(WARD), "delegate": str(ANNE), "operator": "pierre"}


async def test_closing_ends_delegations_in_both_directions(process: Process) -> None:
    for mailbox in (WARD, ANNE, PAUL):
        await process.open(mailbox)
    await process.boxes.delegate(WARD, ANNE, Right.READ, by=PIERRE)
    await process.boxes.delegate(ANNE, PAUL, Right.READ, by=PIERRE)
    await process.boxes.close(ANNE, by=PIERRE)
    await process.boxes.reopen(ANNE, by=PIERRE, same_holder=True)
    paul = await process.cache.find(PAUL)
    assert paul is not None
    assert paul.account.delegations == frozenset()
    assert await process.boxes.delegates(WARD) == []


async def test_what_cannot_be_delegated_is_refused(process: Process) -> None:
    for mailbox in (WARD, ANNE):
        await process.open(mailbox)
    await process.boxes.create(LOUISE, BalKind.CITOYENNE, name="Louise", by=PIERRE)
    with pytest.raises(BoxRefused, match="itself"):
        await process.boxes.delegate(WARD, WARD, Right.READ, by=PIERRE)
    for owner, delegate in ((LOUISE, ANNE), (WARD, LOUISE)):
        with pytest.raises(BoxRefused, match="citizen"):
            await process.boxes.delegate(owner, delegate, Right.READ, by=PIERRE)
    await process.boxes.suspend(ANNE, by=PIERRE)
    with pytest.raises(BoxRefused, match="open"):
        await process.boxes.delegate(WARD, ANNE, Right.READ, by=PIERRE)
    with pytest.raises(BoxRefused, match="no box"):
        await process.boxes.delegate(WARD, PAUL, Right.READ, by=PIERRE)


async def test_passwords_are_set_replaced_listed_and_revoked(process: Process, clock: FakeClock) -> None:
    await process.open(ANNE)
    with pytest.raises(PasswordRefused):
        await process.boxes.set_password(ANNE, b"court", by=PIERRE)
    for words in ("la marée monte", "la marée descend"):
        await process.boxes.set_password(ANNE, words.encode(), by=PIERRE)
    made = await process.boxes.generate_password(ANNE, label="téléphone", by=PIERRE)
    box = await process.boxes.look(ANNE, by=PIERRE)
    assert {credential.credential_id: credential.label for credential in box.credentials} == {
        CHOSEN: "chosen",
        made.credential_id: "téléphone",
    }
    await process.boxes.revoke_password(ANNE, made.credential_id, by=PIERRE)
    with pytest.raises(BoxRefused, match="no such password"):
        await process.boxes.revoke_password(ANNE, made.credential_id, by=PIERRE)
    box = await process.boxes.look(ANNE, by=PIERRE)
    holding = [credential.credential_id for credential in box.credentials if credential.holds(0)]
    assert holding == [CHOSEN]
    assert "argon2" not in repr(box)
    assert len(process.audit.of(AuditKind.BAL_LISTED)) == 2


async def test_a_box_has_a_bounded_number_of_passwords(process: Process, hashes: PasswordHashes) -> None:
    await process.open(ANNE)

    class Quick:
        async def make(self, normalised: bytes) -> str:
            return "hash"

    process.boxes._hashes = Quick()  # type: ignore[assignment]
    for number in range(MAX_DEVICES):
        await process.boxes.generate_password(ANNE, label=f"appareil {number}", by=PIERRE)
    with pytest.raises(BoxRefused, match="revoke one"):
        await process.boxes.generate_password(ANNE, label="un de trop", by=PIERRE)


async def test_a_hash_moved_to_another_box_opens_nothing(process: Process, database: Database) -> None:
    first, second = await process.open(ANNE), await process.open(PAUL)
    await process.boxes.set_password(ANNE, "la marée monte".encode(), by=PIERRE)
    await process.boxes.set_password(PAUL, "la marée descend".encode(), by=PIERRE)
    swap = text(
        "UPDATE credential SET hash_sealed = (SELECT hash_sealed FROM credential WHERE bal_id = :a) WHERE bal_id = :b"
    )
    async with database.write() as connection:
        await connection.execute(swap, {"a": first, "b": second})
    with pytest.raises(PermanentError):
        await process.sealed.get(second)


async def test_listing_is_told(process: Process) -> None:
    await process.open(ANNE)
    await process.open(PAUL)
    listed = await process.boxes.list_boxes(by=PIERRE)
    assert [line.bal.mailbox for line in listed] == [ANNE, PAUL]
    only = await process.boxes.list_boxes(by=PIERRE, domain="cabinet.mssante.example")
    assert [line.bal.mailbox for line in only] == [PAUL]
    assert [event.facts["count"] for event in process.audit.of(AuditKind.BAL_LISTED)] == ["2", "1"]


async def test_a_change_that_began_from_another_state_is_not_made(process: Process, other: Process) -> None:
    await process.open(ANNE)
    known = await process.sealed.find(ANNE)
    assert known is not None
    await other.boxes.close(ANNE, by=PIERRE)
    with pytest.raises(BoxChangedMeanwhile):
        await process.boxes._to_state(known, BalState.SUSPENDED, "suspend", PIERRE)
    assert process.audit.of(AuditKind.BAL_CHANGED)[-1].facts["act"] == "create"
    after = await process.sealed.find(ANNE)
    assert after is not None
    assert after.bal.state is BalState.CLOSED
