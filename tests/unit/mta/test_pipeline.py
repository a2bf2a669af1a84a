"""Rooms 3 and 4: what a door is told, what is durable before it is told, and what the trail says."""

from __future__ import annotations

import dataclasses
import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from core import reply
from core.address import Domain, Mailbox
from core.audit import AuditKind
from core.bal import Account, Bal, BalKind, BalState, Right
from core.envelope import NULL_REVERSE_PATH, Envelope, ForwardPath
from core.errors import PermanentError, ReplyError, StoreError, TemporaryError
from core.identity import DistinguishedName
from core.plan import Admit, Refuse
from core.ports import TrustState, VerifiedPeer
from core.testing.accounts import StaticAccounts
from core.testing.audit import MemoryAuditTrail
from core.testing.clock import FakeClock
from core.testing.mail_store import MemoryBlobStore, MemoryCommitter
from core.unit_of_work import Change, UnitOfWork
from mta.checkpoints import Checkpoint
from mta.courtesy import Courtesy
from mta.letter import LetterReader
from mta.pipeline import LARGE, Keeping, Limits, MailRooms
from mta.planning import FactFinder
from mta.refusal_ledger import RefusalLedger
from mta.rooms import Listener, Session
from mta.spool.item import Claim, SpoolItem
from mta.spool.storage import AlreadyReceived

ANNE = Mailbox.parse("anne.test-rivage@ch-rivage.mssante.example")
PAUL = Mailbox.parse("paul.test-dune@cabinet.mssante.example")
PEER = DistinguishedName.parse("CN=mss.cabinet.mssante.example,OU=1990000044,C=FR")
LETTER = (
    b"From: Anne <anne.test-rivage@ch-rivage.mssante.example>\r\nTo: <paul.test-dune@cabinet.mssante.example>\r\n"
    b"Date: Sat, 21 Nov 2026 10:00:00 +0100\r\nMessage-ID: <1@ch-rivage.mssante.example>\r\n\r\nBonjour\r\n"
)
FROM_PAUL = LETTER.replace(
    b"Anne <anne.test-rivage@ch-rivage.mssante.example>", b"<paul.test-dune@cabinet.mssante.example>"
)


class Trust:
    """The trust list: the cabinet's domain, spoken for by PEER."""

    def __init__(self) -> None:
        self.is_stale = False

    def state(self) -> TrustState:
        return TrustState(is_stale=self.is_stale, generated_at=None, entries=1)

    def is_on_trusted_list(self, domain: Domain) -> bool:
        return domain == PAUL.domain

    def names_of(self, domain: Domain) -> frozenset[DistinguishedName]:
        return frozenset({PEER}) if domain == PAUL.domain else frozenset()

    def is_listed(self, name: DistinguishedName) -> bool:
        return name == PEER

    def may_speak_for(self, name: DistinguishedName, domain: Domain) -> bool:
        return name in self.names_of(domain)


class Refusal(PermanentError):
    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.reason = type("Reason", (), {"value": word})()


class Verifier:
    def __init__(self) -> None:
        self.error: Exception | None = None

    async def verify(self, certificate: bytes, at: datetime) -> VerifiedPeer:
        if self.error:
            raise self.error
        return VerifiedPeer(subject=PEER, fingerprint="ab", not_after=datetime(2030, 1, 1, tzinfo=UTC))


class Put(Change):
    applier = "spool"
    __slots__ = ("item",)

    def __init__(self, item: SpoolItem) -> None:
        self.item = item


class Spool:
    """Remembers what was committed; knows letters it has seen."""

    name = "spool"

    def __init__(self) -> None:
        self.items: list[SpoolItem] = []
        self.seen: set[tuple[str, bytes]] = set()
        self.error: Exception | None = None

    async def not_yet_seen(self, peer_name: str, envelope: Envelope, received_sha256: bytes) -> Envelope:
        fresh = tuple(p for p in envelope.forward_paths if (str(p.mailbox), received_sha256) not in self.seen)
        return dataclasses.replace(envelope, forward_paths=fresh)

    def put(
        self, unit: UnitOfWork, item: SpoolItem, *, received_sha256: bytes = b"", leased: bool = True
    ) -> Claim:
        unit.add(Put(item))
        self.seen |= {
            (str(p.mailbox), received_sha256) for p in item.envelope.forward_paths if received_sha256
        }
        return Claim(item, ())

    async def apply(self, connection: Any, changes: Any) -> None:
        if self.error:
            raise self.error
        self.items += [change.item for change in changes]


class Engine:
    has_room = True

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self.given: list[tuple[Claim, bytes | None]] = []

    def submitted(self, claim: Claim, octets: bytes | None = None) -> None:
        assert claim.item in self.spool.items, "handed on before it was durable"
        self.given.append((claim, octets))


class House:
    def __init__(self) -> None:
        self.trust, self.verifier, self.spool, self.audit = Trust(), Verifier(), Spool(), MemoryAuditTrail()
        self.accounts = StaticAccounts()
        self.account = Account(
            bal=Bal(
                bal_id=1,
                mailbox=ANNE,
                kind=BalKind.PERSONNELLE,
                state=BalState.OPEN,
                display_name="",
                quota_octets=0,
            )
        )
        self.accounts.put(self.account)
        self.points: list[Checkpoint] = []
        self.engine = Engine(self.spool)
        clock: Any = FakeClock()
        self.refusals = RefusalLedger(clock, lambda login: f"p-{login}")
        trust: Any = self.trust
        facts = FactFinder(trust, self.accounts, self.verifier, clock)
        reader = LetterReader(Domain.parse("mss.ch-rivage.mssante.example"), ANNE.domain, clock)
        self.reader = reader
        fake: Any = self
        keeping = Keeping(
            blobs=MemoryBlobStore(),
            spool=fake.spool,
            committer=MemoryCommitter(fake.spool),
            audit=self.audit,
            engine=fake.engine,
            courtesy=Courtesy(clock),
            checkpoints=self.points.append,
            refusals=self.refusals,
        )
        self.rooms = MailRooms(facts, reader, keeping, clock, Limits(), lambda: "s1")

    def submission(self) -> Session:
        return Session(
            session_id="c1",
            listener=Listener.SUBMISSIONS,
            network="192.0.2.1",
            tls_version="TLSv1.3",
            account=self.account,
        )

    def relay(self) -> Session:
        return Session(
            session_id="c2",
            listener=Listener.RELAY,
            network="192.0.2.2",
            client_name="mss.cabinet.mssante.example",
            tls_version="TLSv1.3",
            peer_certificate=b"der",
        )


def envelope(author: Mailbox | Any, *recipients: Mailbox) -> Envelope:
    return Envelope(reverse_path=author, forward_paths=tuple(ForwardPath(r) for r in recipients))


async def test_a_letter_is_durable_before_the_door_hears_of_it() -> None:
    house = House()
    accepted = await house.rooms.accept(house.submission(), envelope(ANNE, PAUL), LETTER)
    assert (accepted.reply, accepted.spool_id) == (reply.QUEUED, "s1")
    assert house.points == [Checkpoint.DATA_RECEIVED, Checkpoint.SPOOL_COMMITTED]
    ((_, octets),) = house.engine.given
    assert octets is not None
    assert octets.endswith(LETTER)
    assert octets.startswith(b"X-Vaguemestre-Security: submitted")
    (event,) = house.audit.of(AuditKind.SPOOLED)
    assert event.message_id == "<1@ch-rivage.mssante.example>"
    assert event.persons["forward-path-0"] == str(PAUL)


async def test_a_relayed_letter_says_transport_only_and_who_brought_it() -> None:
    house, session = House(), House().relay()
    assert isinstance(await house.rooms.admit_originator(session, PAUL, 0), Admit)
    await house.rooms.accept(session, envelope(PAUL, ANNE), FROM_PAUL)
    ((_, octets),) = house.engine.given
    assert octets is not None
    head = octets[: -len(FROM_PAUL)]
    assert head.startswith(b"X-Vaguemestre-Security: transport-only;")
    assert b"mss.cabinet.mssante.example" in head
    assert head.count(b"Received: ") == 1


async def test_marks_of_trust_that_a_stranger_wrote_are_removed() -> None:
    house, session = House(), House().relay()
    await house.rooms.admit_originator(session, PAUL, 0)
    forged = b"X-Vaguemestre-Security: sealed\r\n" + FROM_PAUL
    await house.rooms.accept(session, envelope(PAUL, ANNE), forged)
    ((_, octets),) = house.engine.given
    assert octets is not None
    assert b"sealed" not in octets


async def test_a_peer_may_not_name_a_sender_of_another_domain() -> None:
    house, session = House(), House().relay()
    await house.rooms.admit_originator(session, PAUL, 0)
    foreign = b"Sender: <anne.test-rivage@ch-rivage.mssante.example>\r\n" + FROM_PAUL
    with pytest.raises(ReplyError) as refused:
        await house.rooms.accept(session, envelope(PAUL, ANNE), foreign)
    assert refused.value.reply is reply.FROM_NOT_ENTITLED
    own = b"Sender: <pharmacie-du-port@cabinet.mssante.example>\r\n" + FROM_PAUL
    assert (await house.rooms.accept(session, envelope(PAUL, ANNE), own)).reply is reply.QUEUED


async def test_a_letter_that_comes_again_is_answered_250_and_dropped() -> None:
    house, session = House(), House().relay()
    await house.rooms.admit_originator(session, PAUL, 0)
    await house.rooms.accept(session, envelope(PAUL, ANNE), FROM_PAUL)
    again = await house.rooms.accept(session, envelope(PAUL, ANNE), FROM_PAUL)
    assert again.reply is reply.ALREADY_RECEIVED
    assert len(house.spool.items) == 1
    assert len(house.audit.of(AuditKind.DUPLICATE_DROPPED)) == 1


async def test_two_copies_at_the_same_moment_keep_one() -> None:
    house, session = House(), House().relay()
    await house.rooms.admit_originator(session, PAUL, 0)
    house.spool.error = AlreadyReceived("the other connection was first")
    accepted = await house.rooms.accept(session, envelope(PAUL, ANNE), FROM_PAUL)
    assert accepted.reply is reply.ALREADY_RECEIVED
    assert house.engine.given == []


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (LETTER.replace(b"From: Anne <anne.", b"From: <x."), reply.FROM_NOT_YOURS),
        (LETTER.replace(b"From:", b"From :"), reply.MALFORMED),
        (LETTER.replace(b"Date:", b"From: <x@ch-rivage.mssante.example>\r\nDate:"), reply.MALFORMED),
        (b"Received: by x; y\r\n" * 51 + LETTER, reply.LOOP),
        (b"\r\n", reply.MALFORMED),
    ],
)
async def test_a_letter_with_a_defect_is_refused_and_nothing_is_kept(
    octets: bytes, expected: reply.Reply
) -> None:
    house = House()
    with pytest.raises(ReplyError) as refused:
        await house.rooms.accept(house.submission(), envelope(ANNE, PAUL), octets)
    assert refused.value.reply is expected
    assert house.spool.items == []
    assert house.audit.of(AuditKind.REFUSED)[0].facts["reply"] in (expected.name, reply.MALFORMED.name)


@pytest.mark.parametrize(("more", "on_loop"), [(0, True), (LARGE, False)])
async def test_a_large_letter_is_read_beside_the_loop(
    monkeypatch: pytest.MonkeyPatch, more: int, on_loop: bool
) -> None:
    house, session = House(), House().relay()
    await house.rooms.admit_originator(session, PAUL, 0)
    threads: list[bool] = []
    read = house.reader.read

    def watched(*arguments: Any) -> Any:
        threads.append(threading.current_thread() is threading.main_thread())
        return read(*arguments)

    monkeypatch.setattr(house.reader, "read", watched)
    body = b"Bonjour\r\n" * (more // 9 + 1)
    accepted = await house.rooms.accept(session, envelope(PAUL, ANNE), FROM_PAUL + body)
    assert (accepted.reply, threads) == (reply.QUEUED, [on_loop])
    ((_, octets),) = house.engine.given
    assert octets is not None
    assert octets.endswith(FROM_PAUL + body)


async def test_a_delegation_counts_in_the_from_field_as_it_is_now() -> None:
    house = House()
    session = house.submission()
    of_ward = LETTER.replace(b"anne.test-rivage@", b"medecine@", 1)
    ward = Mailbox("medecine", ANNE.domain)
    house.accounts.put(dataclasses.replace(house.account, delegations=frozenset({(2, ward, Right.SEND)})))
    await house.rooms.accept(session, envelope(ANNE, PAUL), of_ward)
    house.accounts.put(house.account)
    with pytest.raises(ReplyError) as refused:
        await house.rooms.accept(session, envelope(ANNE, PAUL), of_ward)
    assert refused.value.reply is reply.FROM_NOT_YOURS


async def test_what_cannot_be_kept_is_451_and_is_not_handed_on() -> None:
    house = House()
    house.spool.error = StoreError("disk")
    with pytest.raises(ReplyError) as refused:
        await house.rooms.accept(house.submission(), envelope(ANNE, PAUL), LETTER)
    assert refused.value.reply is reply.LOCAL_ERROR
    assert house.engine.given == []


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Refusal("revoked"), reply.CERTIFICATE_REVOKED),
        (Refusal("expired"), reply.CERTIFICATE_REFUSED),
        (TemporaryError("no CRL"), reply.REVOCATION_UNKNOWN),
    ],
)
async def test_a_certificate_that_does_not_hold(error: Exception, expected: reply.Reply) -> None:
    house, session = House(), House().relay()
    house.verifier.error = error
    decision = await house.rooms.admit_originator(session, PAUL, 0)
    assert isinstance(decision, Refuse)
    assert decision.reply is expected
    assert session.peer is None


async def test_a_peer_without_certificate_and_one_that_is_listed() -> None:
    house, session = House(), House().relay()
    session.peer_certificate = None
    decision = await house.rooms.admit_originator(session, PAUL, 0)
    assert isinstance(decision, Refuse)
    assert decision.reply is reply.CERTIFICATE_REQUIRED
    session.peer_certificate = b"der"
    assert isinstance(await house.rooms.admit_originator(session, NULL_REVERSE_PATH, 0), Admit)


async def test_a_stale_list_answers_later_at_mail_and_at_rcpt() -> None:
    house, session = House(), House().relay()
    house.trust.is_stale = True
    at_mail = await house.rooms.admit_originator(session, PAUL, 0)
    at_rcpt = await house.rooms.admit_recipient(house.submission(), ANNE, (), ForwardPath(PAUL))
    assert isinstance(at_mail, Refuse)
    assert isinstance(at_rcpt, Refuse)
    assert at_mail.reply is at_rcpt.reply is reply.TRUST_LIST_STALE


async def test_an_unexpected_error_is_451_at_every_question() -> None:
    house = House()

    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    house.accounts.bal = broken  # type: ignore[method-assign, assignment]
    with pytest.raises(ReplyError) as refused:
        await house.rooms.admit_recipient(house.submission(), ANNE, (), ForwardPath(ANNE))
    assert refused.value.reply is reply.LOCAL_ERROR


async def test_logins_are_traced_whether_they_succeed_or_not() -> None:
    house, session = House(), House().submission()
    session.account = None
    with pytest.raises(ReplyError):
        await house.rooms.authenticate(session, str(ANNE), b"wrong")
    logged_in = house.relay()
    await house.rooms.authenticate(logged_in, str(ANNE), b"secret")
    assert session.account is None
    assert logged_in.account is house.account
    await house.refusals.tell(house.audit, everything=True)
    assert len(house.audit.of(AuditKind.LOGIN)) == len(house.audit.of(AuditKind.LOGIN_REFUSED)) == 1


async def test_strangers_at_the_relay_door_are_counted_and_not_named() -> None:
    house, session = House(), House().relay()
    session.peer_certificate = None
    for number in range(50):
        author = Mailbox(f"fresh{number}", PAUL.domain)
        assert isinstance(await house.rooms.admit_originator(session, author, 0), Refuse)
    house.verifier.error = Refusal("expired")
    session.peer_certificate = b"der"
    await house.rooms.admit_originator(session, PAUL, 0)
    assert house.audit.events == []
    await house.refusals.tell(house.audit, everything=True)
    assert [(event.facts["count"], event.facts["reply"]) for event in house.audit.events] == [
        ("50", "CERTIFICATE_REQUIRED"),
        ("1", "CERTIFICATE_REFUSED"),
    ]
    assert all(event.persons == {} for event in house.audit.events)


async def test_a_valid_peer_that_is_not_listed_is_a_stranger_whose_certificate_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house, session = House(), House().relay()
    monkeypatch.setattr(house.trust, "is_listed", lambda name: False)
    monkeypatch.setattr(house.trust, "may_speak_for", lambda name, domain: False)
    assert isinstance(await house.rooms.admit_originator(session, PAUL, 0), Refuse)
    assert house.audit.events == []
    await house.refusals.tell(house.audit, everything=True)
    (event,) = house.audit.events
    assert (event.facts["peer"], event.facts["certificate"], event.persons) == (str(PEER), "ab", {})


async def test_refusals_of_a_listed_peer_and_of_an_account_are_written_one_by_one() -> None:
    house, session = House(), House().relay()
    assert isinstance(await house.rooms.admit_originator(session, ANNE, 0), Refuse)
    assert isinstance(await house.rooms.admit_originator(house.submission(), PAUL, 0), Refuse)
    assert [event.persons["reverse-path"] for event in house.audit.of(AuditKind.REFUSED)] == [
        str(ANNE),
        str(PAUL),
    ]
