"""Known, unknown and suspended logins cost the same and read the same; the right password opens, once a hash."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from core import reply
from core.address import Domain, Mailbox
from core.bal import Account, Bal, BalKind, BalState
from core.errors import GatewayError, ReplyError, StoreError
from core.testing.clock import FakeClock
from core.unit_of_work import UnitOfWork
from trust_directory.accounts import LocalAccounts
from trust_directory.changes import CredentialUsed
from trust_directory.logins import MAX_VERIFIED_PER_BOX, Logins
from trust_directory.passwords import CHOSEN, DevicePassword, TooManyLogins
from trust_directory.sealed_boxes import Credential, KnownBox
from trust_directory.settings import AccountSettings
from trust_directory.throttle import Throttle

ANNE = Mailbox.parse("anne.test-rivage@ch-rivage.mssante.example")
PASSWORD = "la marée monte".encode()
DEVICE = DevicePassword("abcd-efgh-jkmn-pqrs-tuvw-xyz2-3456-789a")
HOME, STREET = "192.0.2.1", "198.51.100.9"
SETTINGS = AccountSettings(domains=frozenset({Domain.parse("ch-rivage.mssante.example")}))


def digest(octets: bytes) -> str:
    return hashlib.sha256(octets).hexdigest()


class CountingHashes:
    """Hashes that cost nothing; `checked` holds what each call was asked against (None: nobody)."""

    def __init__(self) -> None:
        self.checked: list[str | None] = []
        self.failure: GatewayError | None = None
        self.meanwhile: Callable[[], None] = lambda: None

    async def verify(self, encoded: str | None, normalised: bytes) -> bool:
        self.checked.append(encoded)
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        self.meanwhile()
        return encoded == digest(normalised)


class FakeBoxes:
    """The part of BoxCache and SealedBoxes that Logins asks."""

    def __init__(self) -> None:
        self.known: dict[str, KnownBox] = {}
        self.units: list[UnitOfWork] = []
        self.failure: GatewayError | None = None
        self.commit_failure: GatewayError | None = None
        self.watcher: Callable[[int, Mailbox | None], None] = lambda bal_id, mailbox: None
        self.sealed = self

    def pseudonym(self, text: str) -> str:
        return digest(text.encode())

    async def find(self, mailbox: Mailbox) -> KnownBox | None:
        if self.failure is not None:
            raise self.failure
        return self.known.get(mailbox.canonical)

    async def get(self, bal_id: int) -> KnownBox | None:
        return next((box for box in self.known.values() if box.bal.bal_id == bal_id), None)

    async def commit(self, unit: UnitOfWork) -> None:
        if self.commit_failure is not None:
            raise self.commit_failure
        self.units.append(unit)

    def watch(self, changed: Callable[[int, Mailbox | None], None]) -> None:
        self.watcher = changed

    def put(self, mailbox: Mailbox, state: BalState = BalState.OPEN, **changes: Any) -> KnownBox:
        bal = Bal(
            bal_id=7, mailbox=mailbox, kind=BalKind.PERSONNELLE, state=state, display_name="", quota_octets=1
        )
        credentials = (
            credential(CHOSEN, PASSWORD, **changes),
            credential(DEVICE.credential_id, DEVICE.canonical, **changes),
        )
        box = KnownBox(account=Account(bal=bal), credentials=credentials, created_at=0, changed_at=0)
        self.known[mailbox.canonical] = box
        return box


def credential(credential_id: str, password: bytes, **changes: Any) -> Credential:
    made = Credential(
        credential_id=credential_id,
        label="",
        encoded=digest(password),
        created_at=0,
        last_used_day=0,
        expires_at=None,
        revoked_at=None,
    )
    return replace(made, **changes)


class Desk:
    """Everything a test moves."""

    def __init__(self, settings: AccountSettings = SETTINGS) -> None:
        self.clock = FakeClock()
        self.boxes = FakeBoxes()
        self.hashes = CountingHashes()
        self.throttle = Throttle()
        self.slept: list[float] = []
        logins = Logins(
            self.boxes,  # type: ignore[arg-type]
            hashes=self.hashes,  # type: ignore[arg-type]
            throttle=self.throttle,
            clock=self.clock,
            settings=settings,
        )
        self.accounts = LocalAccounts(
            self.boxes,  # type: ignore[arg-type]
            logins,
            clock=self.clock,
            settings=settings,
            sleep=self.sleep,
        )

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def login(self, password: bytes = PASSWORD, *, login: str = str(ANNE), network: str = HOME) -> str:
        """`open`, or the name of the reply."""
        try:
            account = await self.accounts.authenticate(login, password, network)
        except ReplyError as refusal:
            return refusal.reply.name
        assert account.bal.mailbox == ANNE
        return "open"


@pytest.fixture
def desk() -> Desk:
    made = Desk()
    made.boxes.put(ANNE)
    return made


async def test_the_right_password_opens_whatever_the_case_of_the_login(desk: Desk) -> None:
    assert await desk.login() == "open"
    assert await desk.login(login="ANNE.Test-Rivage@CH-RIVAGE.mssante.example") == "open"
    assert await desk.login("la marée monte".encode()) == "open"


async def test_a_device_password_opens_as_people_type_it(desk: Desk) -> None:
    assert await desk.login(DEVICE.text.encode()) == "open"
    assert await desk.login(DEVICE.text.upper().replace("-", " ").encode()) == "open"
    assert await desk.login(DEVICE.text.replace("789a", "789b").encode()) == "AUTHENTICATION_FAILED"


@pytest.mark.parametrize(
    "password",
    [b"wrong", b"", b"\xff\xfe", b"x" * 5000, DEVICE.text.encode(), b"zzzz" + DEVICE.text.encode()[4:]],
    ids=["wrong", "empty", "no-text", "long", "device", "unknown-device"],
)
async def test_every_refusal_costs_one_hash_and_says_the_same(password: bytes) -> None:
    outcomes = []
    for state in (None, BalState.OPEN, BalState.SUSPENDED, BalState.CLOSED):
        desk = Desk()
        if state is not None:
            desk.boxes.put(ANNE, state)
        outcomes.append((await desk.login(password), len(desk.hashes.checked)))
    if password == DEVICE.text.encode():
        assert outcomes.pop(1) == ("open", 1)
    assert set(outcomes) == {("AUTHENTICATION_FAILED", 1)}


@pytest.mark.parametrize("state", [BalState.SUSPENDED, BalState.CLOSED])
async def test_the_right_password_of_a_box_that_is_not_open_is_a_wrong_one(state: BalState) -> None:
    desk = Desk()
    desk.boxes.put(ANNE, state)
    assert await desk.login() == "AUTHENTICATION_FAILED"
    assert desk.hashes.checked == [None]


@pytest.mark.parametrize("changes", [{"revoked_at": 1}, {"expires_at": 1}])
async def test_a_revoked_or_expired_password_is_a_wrong_one(changes: dict[str, int]) -> None:
    desk = Desk()
    desk.boxes.put(ANNE, **changes)
    assert await desk.login() == "AUTHENTICATION_FAILED"
    assert len(desk.hashes.checked) == 1


@pytest.mark.parametrize("login", ["nobody", "", "a@b@c", "x" * 300])
async def test_a_login_that_is_no_address_costs_and_reads_the_same(desk: Desk, login: str) -> None:
    assert await desk.login(login=login) == "AUTHENTICATION_FAILED"
    assert desk.hashes.checked == [None]


async def test_refusals_leave_at_multiples_of_one_pace(desk: Desk) -> None:
    desk.hashes.meanwhile = lambda: desk.clock.advance(0.137)
    await desk.login(b"wrong")
    assert desk.slept == [pytest.approx(0.063)]
    desk.hashes.meanwhile = lambda: None
    assert await desk.login() == "open"
    assert len(desk.slept) == 1


async def test_a_right_password_is_not_hashed_again_for_five_minutes(desk: Desk) -> None:
    await desk.login()
    desk.clock.advance(299)
    await desk.login()
    assert len(desk.hashes.checked) == 1
    desk.clock.advance(2)
    await desk.login()
    assert len(desk.hashes.checked) == 2


async def test_with_no_time_set_every_login_is_hashed() -> None:
    desk = Desk(replace(SETTINGS, verified_login_seconds=0.0))
    desk.boxes.put(ANNE)
    await desk.login()
    await desk.login()
    assert len(desk.hashes.checked) == 2


@pytest.mark.parametrize("state", [BalState.SUSPENDED, BalState.CLOSED])
async def test_a_remembered_password_ends_with_the_box(desk: Desk, state: BalState) -> None:
    await desk.login()
    desk.boxes.put(ANNE, state)
    assert await desk.login() == "AUTHENTICATION_FAILED"


async def test_a_changed_password_drops_the_remembered_one(desk: Desk) -> None:
    await desk.login()
    box = desk.boxes.put(ANNE)
    new = (credential(CHOSEN, "la marée descend".encode()),)
    desk.boxes.known[ANNE.canonical] = replace(box, credentials=new)
    desk.boxes.watcher(7, ANNE)
    assert await desk.login() == "AUTHENTICATION_FAILED"
    assert await desk.login("la marée descend".encode()) == "open"


async def test_a_box_suspended_while_the_hash_runs_does_not_open(desk: Desk) -> None:
    desk.hashes.meanwhile = lambda: desk.boxes.put(ANNE, BalState.SUSPENDED) and None
    assert await desk.login() == "AUTHENTICATION_FAILED"


async def test_a_password_changed_while_the_hash_runs_does_not_open(desk: Desk) -> None:
    def change() -> None:
        box = desk.boxes.known[ANNE.canonical]
        new = (credential(CHOSEN, b"another"),)
        desk.boxes.known[ANNE.canonical] = replace(box, credentials=new)

    desk.hashes.meanwhile = change
    assert await desk.login() == "AUTHENTICATION_FAILED"


async def test_ten_guesses_then_a_lock_for_unknown_logins_too(desk: Desk) -> None:
    for login in (str(ANNE), "nobody@ch-rivage.mssante.example"):
        replies = [await desk.login(b"guess %d" % n, login=login) for n in range(12)]
        assert replies == ["AUTHENTICATION_FAILED"] * 10 + ["AUTHENTICATION_LOCKED"] * 2
    assert len(desk.hashes.checked) == 20


async def test_parallel_guesses_are_ten_too(desk: Desk) -> None:
    replies = await asyncio.gather(*(desk.login(b"guess %d" % n) for n in range(1000)))
    assert replies.count("AUTHENTICATION_FAILED") == len(desk.hashes.checked) == 10


async def test_the_guesser_does_not_get_in_by_the_remembered_password(desk: Desk) -> None:
    await desk.login()
    for n in range(10):
        await desk.login(b"guess %d" % n, network=STREET)
    assert await desk.login(PASSWORD, network=STREET) == "AUTHENTICATION_LOCKED"


async def test_the_holder_is_not_locked_out_by_a_guesser_elsewhere(desk: Desk) -> None:
    await desk.login()
    for n in range(300):
        await desk.login(b"guess %d" % n, network=f"203.0.113.{n % 250}")
    assert await desk.login() == "open"
    desk.clock.advance(301)
    assert await desk.login() == "open"


async def test_a_device_with_its_own_password_is_not_locked_out_even_where_it_is_new(desk: Desk) -> None:
    for n in range(300):
        await desk.login(b"guess %d" % n, network=f"203.0.113.{n % 250}")
    assert await desk.login() == "AUTHENTICATION_LOCKED"
    assert await desk.login(DEVICE.text.encode()) == "open"


async def test_guessing_generated_passwords_is_slowed_too(desk: Desk) -> None:
    guesses = [DEVICE.text[:-3].encode() + b"%03d" % n for n in range(222, 322)]
    replies = [await desk.login(guess.replace(b"0", b"a").replace(b"1", b"b")) for guess in guesses]
    assert replies.count("AUTHENTICATION_FAILED") == 10


async def test_ten_connections_of_one_client_at_once_are_one_attempt(desk: Desk) -> None:
    assert set(await asyncio.gather(*(desk.login() for _ in range(15)))) == {"open"}
    assert len(desk.hashes.checked) == 1


async def test_a_client_that_hangs_up_does_not_end_the_others_attempt(desk: Desk) -> None:
    first, second = asyncio.ensure_future(desk.login()), asyncio.ensure_future(desk.login())
    await asyncio.sleep(0)
    first.cancel()
    assert await second == "open"
    with pytest.raises(asyncio.CancelledError):
        await first


@pytest.mark.parametrize("failure", [TooManyLogins("busy"), StoreError("away")])
async def test_what_nobody_could_evaluate_is_temporary_and_counts_for_nothing(
    desk: Desk, failure: GatewayError
) -> None:
    if isinstance(failure, StoreError):
        desk.boxes.failure = failure
    else:
        desk.hashes.failure = failure
    for n in range(50):
        assert await desk.login(b"guess %d" % n) == reply.LOCAL_ERROR.name
    desk.boxes.failure = desk.hashes.failure = None
    assert await desk.login() == "open"


async def test_the_day_of_a_login_is_noted_once_a_day(desk: Desk) -> None:
    for _ in range(3):
        await desk.login()
        await desk.login(DEVICE.text.encode())
    used = [change for unit in desk.boxes.units for change in unit.changes]
    day = int(desk.clock.now().timestamp()) // 86400
    assert used == [
        CredentialUsed(bal_id=7, credential_id=CHOSEN, day=day),
        CredentialUsed(bal_id=7, credential_id=DEVICE.credential_id, day=day),
    ]
    desk.clock.advance(86400)
    await desk.login()
    assert len(desk.boxes.units) == 3


async def test_a_use_that_cannot_be_noted_does_not_refuse_the_login(desk: Desk) -> None:
    desk.boxes.commit_failure = StoreError("full")
    assert await desk.login() == "open"
    desk.boxes.commit_failure = None
    assert await desk.login() == "open"
    assert len(desk.boxes.units) == 1


async def test_a_changed_password_forgives_earlier_failures(desk: Desk) -> None:
    for n in range(11):
        await desk.login(b"guess %d" % n)
    desk.boxes.watcher(7, ANNE)
    assert await desk.login() == "open"


async def test_memory_of_one_box_is_bounded(desk: Desk) -> None:
    box = desk.boxes.known[ANNE.canonical]
    words = [b"password number %d" % n for n in range(MAX_VERIFIED_PER_BOX + 5)]
    for word in words:
        new = (credential(CHOSEN, word),)
        desk.boxes.known[ANNE.canonical] = replace(box, credentials=new)
        assert await desk.login(word) == "open"
    logins = desk.accounts._logins
    assert len(logins._verified[7]) == MAX_VERIFIED_PER_BOX


async def test_the_box_and_the_account_carry_the_use_of_the_store(desk: Desk) -> None:
    async def usage(bal_id: int) -> int:
        return bal_id * 100

    desk.accounts._usage = usage
    bal = await desk.accounts.bal(ANNE)
    account = await desk.accounts.account(7)
    assert bal is not None
    assert account is not None
    logged_in = await desk.accounts.authenticate(str(ANNE), PASSWORD, HOME)
    assert bal.used_octets == account.bal.used_octets == logged_in.bal.used_octets == 700


async def test_addresses_of_other_domains_are_nobodys(desk: Desk) -> None:
    elsewhere = Mailbox.parse("anne@cabinet.mssante.example")
    desk.boxes.put(elsewhere)
    assert await desk.accounts.bal(elsewhere) is None
    assert await desk.accounts.account(99) is None
    assert await desk.accounts.bal(Mailbox.parse("x@ch-rivage.mssante.example")) is None
    assert desk.accounts.serves(ANNE.domain)
    assert not desk.accounts.serves(elsewhere.domain)
