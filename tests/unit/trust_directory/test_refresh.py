"""A better list takes its place, a bad one changes nothing and is told once, an old one becomes stale."""

from __future__ import annotations

import asyncio
import hashlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.address import Domain
from core.audit import AuditKind
from core.errors import GatewayError, StoreError, TemporaryError
from core.identity import DistinguishedName
from core.testing.audit import MemoryAuditTrail
from core.testing.clock import FakeClock
from trust_directory.directory import ListedDirectory
from trust_directory.kept_list import KeptList, ListStatus, instant
from trust_directory.refresh import ListRefresher
from trust_directory.sources import Fetched, SourceAway
from trust_directory.trusted_domains.parse import Entry, TrustList
from trust_directory.trusted_domains.reasons import Reason, TrustListRefused
from trust_directory.trusted_domains.snapshot import Freshness, TrustedDomains

RIVAGE = DistinguishedName.parse("CN=mss.ch-rivage.mssante.example,C=FR")
SIGNER = DistinguishedName.parse("CN=alb,C=FR")
MADE = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)


def a_list(domains: int, *, day: int = 0) -> bytes:
    """A list in the tests' own format: its date and how many domains it names."""
    return f"{(MADE + timedelta(days=day)).isoformat()} {domains}".encode()


class LineVerifier:
    """Opens the lists of `a_list`; refuses what it is told to."""

    def __init__(self) -> None:
        self.failure: GatewayError | None = None

    def open_list(self, octets: bytes, *, at: datetime) -> TrustedDomains:
        if self.failure is not None:
            raise self.failure
        try:
            made, _, count = octets.decode().partition(" ")
            generated_at = datetime.fromisoformat(made)
        except ValueError as error:
            raise TrustListRefused(Reason.UNREADABLE) from error
        entries = tuple(
            Entry(domain=Domain.parse(f"d{n}.mssante.example"), name=RIVAGE) for n in range(int(count))
        )
        digest = hashlib.sha256(octets).hexdigest()
        made_list = TrustList(generated_at=generated_at, entries=entries)
        return TrustedDomains.of(made_list, digest=digest, signer=SIGNER, confirmed_at=at)


class MemorySource:
    """Serves `octets`; its state's name is their digest."""

    def __init__(self) -> None:
        self.octets = a_list(9)
        self.away = False
        self.marks: list[str] = []

    async def fetch(self, mark: str) -> Fetched | None:
        self.marks.append(mark)
        if self.away:
            raise SourceAway("away")
        here = hashlib.sha256(self.octets).hexdigest()
        return None if mark == here else Fetched(self.octets, here)


class Desk:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.source = MemorySource()
        self.verifier = LineVerifier()
        self.kept = KeptList(folder / "list.xml")
        self.audit = MemoryAuditTrail()
        self.alarms: list[Freshness] = []
        self.start()

    def start(self) -> None:
        """Start the process (again)."""
        self.directory = ListedDirectory(self.clock)
        self.refresher = ListRefresher(
            self.directory,
            self.source,
            self.verifier,  # type: ignore[arg-type]
            kept=self.kept,
            audit=self.audit,
            clock=self.clock,
        )
        self.refresher.watch(self.alarms.append)

    def entries(self) -> int:
        return self.directory.state().entries

    def told(self) -> list[str]:
        return [event.facts["reason"] for event in self.audit.of(AuditKind.TRUST_LIST_REFUSED)]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_without_a_list_nothing_is_trusted_and_the_state_is_stale(desk: Desk) -> None:
    state = desk.directory.state()
    assert (state.is_stale, state.generated_at, state.entries) == (True, None, 0)
    domain = Domain.parse("d1.mssante.example")
    assert not desk.directory.is_on_trusted_list(domain)
    assert desk.directory.names_of(domain) == frozenset()
    assert not desk.directory.may_speak_for(RIVAGE, domain)
    assert not desk.directory.is_listed(RIVAGE)


async def test_the_first_look_puts_the_list_in_force_keeps_it_and_tells(desk: Desk) -> None:
    assert await desk.refresher.look() == "changed"
    domain = Domain.parse("d1.mssante.example")
    assert desk.directory.is_on_trusted_list(domain)
    assert desk.directory.names_of(domain) == {RIVAGE}
    assert desk.directory.may_speak_for(RIVAGE, domain)
    assert not desk.directory.may_speak_for(SIGNER, domain)
    assert desk.directory.is_listed(RIVAGE)
    assert not desk.directory.is_listed(SIGNER)
    assert (desk.directory.state().is_stale, desk.directory.state().generated_at) == (False, MADE)
    assert desk.kept.octets() == a_list(9)
    (event,) = desk.audit.of(AuditKind.TRUST_LIST_CHANGED)
    assert (event.facts["count"], event.facts["added"], event.facts["removed"]) == ("9", "9", "0")
    status = desk.kept.status()
    assert (status.entries, status.outcome, status.signer) == (9, "changed", "CN=alb,C=FR")
    assert desk.alarms == [Freshness.FRESH]


async def test_an_unchanged_source_confirms_the_list(desk: Desk) -> None:
    await desk.refresher.look()
    desk.clock.advance(3600)
    assert await desk.refresher.look() == "unchanged"
    assert desk.source.marks == ["", hashlib.sha256(a_list(9)).hexdigest()]
    assert desk.directory.current is not None
    assert desk.directory.current.confirmed_at == desk.clock.now()
    assert instant(desk.kept.status().confirmed_at) == desk.clock.now()
    assert len(desk.audit.events) == 1


async def test_the_same_octets_under_another_mark_confirm_too(desk: Desk) -> None:
    await desk.refresher.look()
    desk.refresher._mark = "another"
    assert await desk.refresher.look() == "unchanged"
    assert len(desk.audit.events) == 1


async def test_a_newer_list_takes_its_place(desk: Desk) -> None:
    await desk.refresher.look()
    desk.source.octets = a_list(10, day=1)
    assert await desk.refresher.look() == "changed"
    assert desk.entries() == 10
    assert desk.kept.octets() == a_list(10, day=1)


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"cut sho", "unreadable"),
        (a_list(9, day=-1), "older-than-current"),
        (a_list(9, day=30), "from-the-future"),
        (a_list(0, day=1), "empty"),
        (a_list(6, day=1), "lost-too-many"),
    ],
)
async def test_a_bad_list_changes_nothing_and_is_told_once(desk: Desk, octets: bytes, reason: str) -> None:
    await desk.refresher.look()
    desk.source.octets = octets
    for _ in range(3):
        assert await desk.refresher.look() == reason
    assert desk.entries() == 9
    assert desk.kept.octets() == a_list(9)
    assert desk.told() == [reason]
    assert desk.kept.status().outcome == reason
    desk.source.octets = a_list(10, day=1)
    assert await desk.refresher.look() == "changed"


async def test_a_refusal_whose_audit_failed_is_told_at_the_next_look(desk: Desk) -> None:
    await desk.refresher.look()
    desk.source.octets = b"bad"
    desk.audit.failure = StoreError("full")
    assert await desk.refresher.look() == "unreadable"
    desk.audit.failure = None
    await desk.refresher.look()
    assert desk.told() == ["unreadable"]


async def test_a_list_whose_change_cannot_be_audited_waits(desk: Desk) -> None:
    await desk.refresher.look()
    desk.source.octets = a_list(10, day=1)
    desk.audit.failure = StoreError("full")
    assert await desk.refresher.look() == "not-now"
    assert desk.entries() == 9
    desk.audit.failure = None
    assert await desk.refresher.look() == "changed"


async def test_a_bulk_loss_waits_for_an_operator_and_only_that_list_is_confirmed(desk: Desk) -> None:
    await desk.refresher.look()
    assert desk.refresher.waiting is None
    desk.source.octets = a_list(6, day=1)
    await desk.refresher.look()
    waiting = desk.refresher.waiting
    assert waiting is not None
    assert waiting == desk.kept.status().waiting
    assert (waiting.lost, waiting.before) == (3, 9)
    desk.source.octets = a_list(5, day=1)  # another list came meanwhile
    assert await desk.refresher.look(confirmed_digest=waiting.digest) == "lost-too-many"
    assert desk.entries() == 9
    waiting = desk.refresher.waiting
    assert waiting is not None
    assert await desk.refresher.look(confirmed_digest=waiting.digest) == "changed"
    assert desk.entries() == 5
    assert desk.kept.status().waiting is None
    assert desk.audit.of(AuditKind.TRUST_LIST_CHANGED)[-1].facts["confirmed"] == "yes"


async def test_what_another_process_accepted_is_followed(desk: Desk) -> None:
    await desk.refresher.look()
    beside = Desk(desk.folder)
    offered = MemorySource()
    offered.octets = a_list(5, day=1)
    assert await beside.refresher.load_kept()
    elsewhere = beside.refresher.with_source(offered)
    assert await elsewhere.look() == "lost-too-many"
    assert elsewhere.waiting is not None
    assert await elsewhere.look(confirmed_digest=elsewhere.waiting.digest) == "changed"
    await one_turn(desk, turns=2)
    assert desk.entries() == 5
    assert len(desk.audit.of(AuditKind.TRUST_LIST_CHANGED)) == 1  # who accepted it told it
    # Our own source still serves the former list: it does not come back, and does not confirm the new one.
    assert await desk.refresher.look() == "older-than-current"
    assert desk.entries() == 5


async def test_an_older_or_altered_kept_file_is_not_followed(desk: Desk) -> None:
    await desk.refresher.look()
    desk.kept.keep(a_list(9, day=-1))
    await desk.refresher.follow_kept()
    assert desk.directory.state().generated_at == MADE
    desk.kept.keep(b"altered")
    await desk.refresher.follow_kept()
    await desk.refresher.follow_kept()
    assert desk.told() == ["unreadable"]
    desk.kept.keep(a_list(10, day=1))
    desk.verifier.failure = TemporaryError("no CRL now")
    await desk.refresher.follow_kept()
    assert desk.entries() == 9
    desk.verifier.failure = None
    await desk.refresher.follow_kept()
    assert desk.entries() == 10


async def one_turn(desk: Desk, turns: int = 1) -> None:
    """Let `run` go round this many times."""
    left = turns

    async def sleep(seconds: float) -> None:
        nonlocal left
        left -= 1
        desk.clock.advance(seconds)
        if left <= 0:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await desk.refresher.run(timedelta(minutes=15), sleep=sleep)


async def test_the_loop_looks_at_once_then_each_quarter_of_an_hour(desk: Desk) -> None:
    await one_turn(desk, turns=901)  # 900 seconds at a second a turn
    assert len(desk.source.marks) == 2


async def test_a_source_that_is_away_is_an_alarm_after_a_day_and_stale_after_a_week(desk: Desk) -> None:
    await desk.refresher.look()
    desk.source.away = True
    desk.clock.advance(23 * 3600)
    assert await desk.refresher.look() == "source-away"
    assert desk.directory.freshness() is Freshness.FRESH
    desk.clock.advance(25 * 3600)  # 48 h: the letters still go
    await desk.refresher.look()
    assert not desk.directory.state().is_stale
    desk.clock.advance(5 * 86400)
    await desk.refresher.look()
    assert desk.directory.state().is_stale
    assert desk.alarms == [Freshness.FRESH, Freshness.AGEING, Freshness.STALE]
    desk.source.away = False
    await desk.refresher.look()
    assert not desk.directory.state().is_stale


async def test_a_restart_needs_no_source_and_the_age_goes_on(desk: Desk) -> None:
    await desk.refresher.look()
    confirmed = desk.clock.now()
    desk.source.away = True
    desk.clock.advance(2 * 86400)
    desk.start()
    assert await desk.refresher.load_kept()
    assert await desk.refresher.load_kept()
    assert desk.entries() == 9
    assert desk.directory.current is not None
    assert desk.directory.current.confirmed_at == confirmed
    assert desk.directory.freshness() is Freshness.AGEING


async def test_a_kept_list_without_its_status_is_as_old_as_it_says(desk: Desk) -> None:
    desk.kept.keep(a_list(9))
    assert await desk.refresher.load_kept()
    assert desk.directory.current is not None
    assert desk.directory.current.confirmed_at == MADE


async def test_a_restart_does_not_go_back_to_an_older_list(desk: Desk) -> None:
    await desk.refresher.look()
    desk.source.octets = a_list(9, day=-1)
    desk.start()
    assert await desk.refresher.look() == "older-than-current"
    assert desk.entries() == 9


async def test_even_a_lost_kept_list_does_not_let_an_older_one_in(desk: Desk) -> None:
    await desk.refresher.look()
    (desk.folder / "list.xml").unlink()
    desk.source.octets = a_list(9, day=-1)
    desk.start()
    assert await desk.refresher.look() == "older-than-current"
    assert desk.directory.state().is_stale
    desk.source.octets = a_list(9)
    assert await desk.refresher.look() == "changed"


async def test_a_kept_list_that_was_altered_is_refused_and_the_source_is_asked(desk: Desk) -> None:
    await desk.refresher.look()
    desk.kept.keep(b"altered")
    desk.start()
    assert not await desk.refresher.load_kept()
    assert desk.told() == ["unreadable"]
    assert await desk.refresher.look() == "changed"


async def test_while_revocation_is_unknown_the_kept_list_is_tried_again(desk: Desk) -> None:
    await desk.refresher.look()
    desk.start()
    desk.verifier.failure = TemporaryError("no CRL yet")
    assert await desk.refresher.look() == "not-now"
    assert desk.directory.state().is_stale
    desk.verifier.failure = None
    assert await desk.refresher.look() == "unchanged"
    assert desk.entries() == 9
    desk.source.octets = a_list(10, day=1)
    desk.verifier.failure = TemporaryError("no CRL now")
    assert await desk.refresher.look() == "not-now"
    assert desk.entries() == 9


async def test_a_folder_that_cannot_be_written_does_not_stop_a_change(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(octets: object) -> None:
        raise StoreError("full")

    monkeypatch.setattr(desk.kept, "keep", full)
    monkeypatch.setattr(desk.kept, "put_status", full)
    assert await desk.refresher.look() == "changed"
    assert desk.entries() == 9


class TestFiles:
    def test_what_is_written_is_whole_and_private(self, desk: Desk) -> None:
        desk.kept.keep(b"x")
        desk.kept.put_status(ListStatus(entries=3))
        assert desk.kept.status() == ListStatus(entries=3)
        found = sorted(path.name for path in desk.folder.iterdir())
        assert found == ["list.xml", "list.xml.status"]
        assert all(os.stat(path).st_mode & 0o007 == 0 for path in desk.folder.iterdir())

    @pytest.mark.parametrize("octets", [b"", b"[]", b"{", b'{"unknown": 1}', b'{"waiting": 3}'])
    def test_a_status_that_cannot_be_read_is_empty(self, desk: Desk, octets: bytes) -> None:
        (desk.folder / "list.xml.status").write_bytes(octets)
        assert desk.kept.status() == ListStatus()

    def test_a_folder_that_is_not_there_is_a_store_error(self, tmp_path: Path) -> None:
        kept = KeptList(tmp_path / "nowhere" / "list.xml")
        assert kept.octets() is None
        with pytest.raises(StoreError):
            kept.keep(b"x")
        (tmp_path / "folder").mkdir()
        with pytest.raises(StoreError):
            KeptList(tmp_path / "folder").octets()
