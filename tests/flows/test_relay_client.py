"""The relay against a peer with faults, over real sockets: what is sent, to whom, and what it means."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime
from typing import Any

import pytest
import trustme

from core import reply as replies
from core.address import Domain, Mailbox
from core.envelope import Envelope, ForwardPath, Notify, Return
from core.errors import PermanentError, TemporaryError
from core.identity import DistinguishedName
from core.outcome import Deferred, Delivered, Failed, Outcome
from core.plan import RelayTo
from core.ports import VerifiedPeer
from core.testing.clock import FakeClock
from core.testing.mail_store import MemoryBlobStore
from core.testing.relay_peer import RelayPeer
from core.testing.static_directory import StaticDirectory
from mta.checkpoints import Checkpoint
from mta.delivery.agent import Attempt, LetterInHand, PlannedRecipient
from mta.delivery.relay import RelayAgent, RelaySettings
from mta.smtp.client import ClientSettings, RelayClient
from mta.spool.item import Origin, OriginKind, SpoolItem

CABINET = Domain("cabinet.mssante.example")
PHARMACY = Domain("pharmacie.mssante.example")
ANNE = Mailbox("anne.test-rivage", Domain("ch-rivage.mssante.example"))
PAUL = Mailbox("paul.test-dune", CABINET)
PAULE = Mailbox("paule.test-dune", CABINET)
NAME = DistinguishedName.parse("CN=mss.cabinet.mssante.example,O=CABINET DES DUNES TEST,C=FR")
LETTER = b"Subject: bilan\r\n\r\n.un point\r\n..deux\r\nfin\r\n"
AUTHORITY = trustme.CA()
SERVER = AUTHORITY.issue_cert("mx.cabinet.mssante.example")
CLIENT = AUTHORITY.issue_cert("mss.ch-rivage.mssante.example")


def server_context(certificate: trustme.LeafCert = SERVER) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    AUTHORITY.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


class Tls:
    """Our side: our certificate, their chain required; the host's name decides nothing."""

    def relay_client(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        AUTHORITY.configure_trust(context)
        CLIENT.configure_cert(context)
        return context


class Verifier:
    """Says who the peer is, or why not."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.certificates: list[bytes] = []

    async def verify(self, certificate: bytes, at: datetime) -> VerifiedPeer:
        self.certificates.append(certificate)
        if self.error is not None:
            raise self.error
        return VerifiedPeer(subject=NAME, fingerprint="ab" * 32, not_after=datetime(2030, 1, 1, tzinfo=UTC))


class Hops:
    """A Resolver."""

    def __init__(self, *ports: int) -> None:
        self.ports = list(ports)
        self.error: Exception | None = None

    async def next_hops(self, domain: Domain) -> list[tuple[str, int]]:
        if self.error is not None:
            raise self.error
        return [("127.0.0.1", port) for port in self.ports]


class Post:
    """A relay agent with everything around it."""

    def __init__(self, *peers: RelayPeer, **settings: Any) -> None:
        self.clock, self.verifier, self.hops = FakeClock(), Verifier(), Hops(*(peer.port for peer in peers))
        self.directory = StaticDirectory({CABINET: frozenset({NAME}), PHARMACY: frozenset({NAME})})
        self.passed: list[Checkpoint] = []
        self.blobs = MemoryBlobStore()
        client = RelayClient(
            tls=Tls(),  # type: ignore[arg-type]
            verifier=self.verifier,
            directory=self.directory,
            clock=self.clock,
            settings=ClientSettings(
                host_name="mss.ch-rivage.mssante.example",
                connect_timeout=2,
                greeting_timeout=settings.pop("patience", 2),
                command_timeout=settings.pop("command_timeout", 2),
                end_of_data_timeout=2,
            ),
            checkpoints=self.passed.append,
        )
        self.agent = RelayAgent(
            client=client, resolver=self.hops, clock=self.clock, settings=RelaySettings(**settings)
        )

    async def attempt(self, *to: Mailbox, octets: bytes = LETTER, **envelope: Any) -> Attempt:
        paths = envelope.pop("paths", tuple(map(ForwardPath, to)))
        whole = Envelope(reverse_path=ANNE, forward_paths=paths, **envelope)
        item = SpoolItem(
            spool_id="s1",
            envelope=whole,
            octets=await self.blobs.seal(octets),
            message_id="",
            accepted_at=0,
            origin=Origin(OriginKind.ACCOUNT, "1"),
        )
        planned = [
            PlannedRecipient(index, path, RelayTo(path.mailbox.domain)) for index, path in enumerate(paths)
        ]
        return await self.agent.prepare(LetterInHand(item, self.blobs), planned)

    async def outcome(self, *to: Mailbox, **values: Any) -> Outcome:
        outcomes = (await self.attempt(*(to or (PAUL,)), **values)).outcomes
        assert len(set(map(repr, outcomes.values()))) == 1
        return outcomes[0]


class played:  # noqa: N801 - reads as a word in `async with`
    """A peer for the length of a test."""

    def __init__(self, **values: Any) -> None:
        self.peer = RelayPeer(**{"context": server_context(), **values})

    async def __aenter__(self) -> RelayPeer:
        return await self.peer.start()

    async def __aexit__(self, *_: object) -> None:
        await self.peer.stop()


async def test_a_letter_is_relayed_as_it_is_and_the_trace_names_the_peer() -> None:
    async with played() as peer:
        post = Post(peer)
        paths = (ForwardPath(PAUL, Notify.FAILURE, "rfc822;paul@cabinet.mssante.example"),)
        attempt = await post.attempt(paths=paths, ret=Return.HEADERS)
        outcome = attempt.outcomes[0]
        assert isinstance(outcome, Delivered)
        assert outcome.reply is replies.RELAYED
        assert outcome.answer is not None
        assert (outcome.answer.code, outcome.answer.status) == (250, "2.0.0")
        [letter] = peer.letters
        assert letter.octets == LETTER
        assert letter.mail == (
            f"MAIL FROM:<{ANNE}> SIZE={len(LETTER)} BODY=7BIT ENVID=vaguemestre-s1 RET=HDRS"
        )
        assert letter.rcpt == [f"RCPT TO:<{PAUL}> NOTIFY=FAILURE ORCPT=rfc822;paul@cabinet.mssante.example"]
        assert peer.clear == b"EHLO mss.ch-rivage.mssante.example\r\nSTARTTLS\r\n"
        assert attempt.facts["peer"] == str(NAME)
        assert attempt.facts["tls"].startswith("TLSv1.")
        assert attempt.success_is_told_elsewhere
        assert post.passed == [
            Checkpoint.RELAY_CONNECTED,
            Checkpoint.RELAY_DATA_SENT,
            Checkpoint.RELAY_ANSWERED,
        ]
        await post.agent.close_idle(everything=True)


@pytest.mark.parametrize(
    "faults",
    [
        {"context": None},
        {"answers": {"STARTTLS": "454 4.7.0 not now"}},
        {"answers": {"EHLO": "502 no"}},
        {"inject_after_starttls": b"250 2.0.0 injected\r\n250 injected\r\n"},
        {"answers": {"STARTTLS": "250 not the right word"}},
    ],
)
async def test_nothing_of_a_letter_is_ever_written_in_clear(faults: dict[str, Any]) -> None:
    async with played(**faults) as peer:
        post = Post(peer)
        await post.outcome()
        for word in (b"MAIL", b"RCPT", b"DATA", b"HELO", b"bilan", b"paul"):
            assert word not in peer.clear.replace(b"EHLO", b"")
        assert all(letter.octets == LETTER for letter in peer.letters)


async def test_a_peer_without_tls_is_deferred_by_name() -> None:
    async with played(context=None) as peer:
        outcome = await Post(peer).outcome()
        assert outcome == Deferred(replies.PEER_WITHOUT_TLS)


async def test_answers_injected_before_tls_are_forgotten() -> None:
    injected = b"250-mx\r\n250 SIZE 1\r\n550 5.1.1 injected\r\n"
    async with played(inject_after_starttls=injected) as peer:
        assert isinstance(await Post(peer).outcome(), Delivered)
        assert [letter.octets for letter in peer.letters] == [LETTER]


async def test_a_chain_of_another_authority_is_deferred() -> None:
    stranger = trustme.CA().issue_cert("mx.cabinet.mssante.example")
    async with played(context=server_context(stranger)) as peer:
        post = Post(peer)
        assert await post.outcome() == Deferred(replies.PEER_NOT_VERIFIED)
        assert post.verifier.certificates == []
        assert peer.letters == []


@pytest.mark.parametrize("error", [PermanentError("revoked"), TemporaryError("revocation unknown")])
async def test_a_certificate_that_is_not_accepted_is_deferred(error: Exception) -> None:
    async with played() as peer:
        post = Post(peer)
        post.verifier.error = error
        assert await post.outcome() == Deferred(replies.PEER_NOT_VERIFIED)
        assert peer.letters == []


async def test_a_valid_certificate_that_the_list_does_not_give_is_deferred() -> None:
    async with played() as peer:
        post = Post(peer)
        post.directory.entries[CABINET] = frozenset({DistinguishedName.parse("CN=other")})
        assert await post.outcome() == Deferred(replies.PEER_NOT_VERIFIED)
        assert peer.letters == []
        assert b"MAIL" not in peer.clear


async def test_a_connection_is_not_reused_for_a_domain_that_its_peer_lost() -> None:
    async with played() as peer:
        post = Post(peer)
        assert isinstance(await post.outcome(), Delivered)
        post.directory.entries[CABINET] = frozenset()
        assert await post.outcome() == Deferred(replies.PEER_NOT_VERIFIED)
        assert len(peer.letters) == 1


async def test_recipients_have_their_own_answers() -> None:
    answers = {
        f"RCPT TO:<{PAULE}>": "550 5.1.1 unknown",
        f"RCPT TO:<{ANNE}": "450 4.2.1 later",
    }
    async with played(answers=answers) as peer:
        attempt = await Post(peer).attempt(PAUL, PAULE, Mailbox(ANNE.local_part, ANNE.domain))
        first, second, third = (attempt.outcomes[index] for index in range(3))
        assert isinstance(first, Delivered)
        assert isinstance(second, Failed)
        assert second.reply is replies.PEER_REFUSED
        assert second.answer is not None
        assert second.answer.status == "5.1.1"
        assert isinstance(third, Deferred)
        assert len(peer.letters) == 1


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ({"MAIL": "451 4.3.0 later"}, Deferred),
        ({"MAIL": "550 5.7.1 no"}, Failed),
        ({"RCPT": "550 5.1.1 unknown"}, Failed),
        ({"DATA": "451 4.3.0 later"}, Deferred),
        ({"DATA": "250 what"}, Deferred),
        ({".": "552 5.3.4 big"}, Failed),
        ({".": "451 4.3.0 later"}, Deferred),
        ({".": "421 4.3.2 closing"}, Deferred),
        ({".": "not an answer"}, Deferred),
        ({"greeting": "554 5.7.1 go away"}, Deferred),
    ],
)
async def test_answers_to_the_whole_letter(answers: dict[str, str], kind: type) -> None:
    async with played(answers=answers) as peer:
        post = Post(peer)
        assert type(await post.outcome()) is kind
        assert peer.letters == []
        peer.answers.clear()
        post.clock.advance(60)
        assert isinstance(await post.outcome(), Delivered)


@pytest.mark.parametrize("where", ["greeting", "EHLO", "STARTTLS", "MAIL", "RCPT", "DATA", "."])
@pytest.mark.parametrize("fault", ["close", "stall"])
async def test_a_peer_that_goes_silent_is_deferred(where: str, fault: str) -> None:
    async with played(faults={where: fault}) as peer:
        post = Post(peer, patience=0.05, command_timeout=0.05)
        post.agent._client._settings = ClientSettings(
            host_name="mss.ch-rivage.mssante.example",
            connect_timeout=0.05,
            tls_timeout=0.05,
            greeting_timeout=0.05,
            command_timeout=0.05,
            end_of_data_timeout=0.05,
        )
        outcome = await post.outcome()
        assert isinstance(outcome, Deferred)
        assert outcome.reply is replies.PEER_UNREACHABLE


async def test_connections_are_reused_but_not_for_ever() -> None:
    async with played() as peer:
        post = Post(peer, letters_per_connection=3)
        for _ in range(4):
            assert isinstance(await post.outcome(), Delivered)
        assert (peer.connections, len(peer.letters)) == (2, 4)
        post.clock.advance(31)
        assert isinstance(await post.outcome(), Delivered)
        assert peer.connections == 3
        post.clock.advance(31)
        await post.agent.close_idle()
        await asyncio.sleep(0.05)
        assert peer.open_now == 0


async def test_a_resting_connection_that_the_peer_left_is_made_anew() -> None:
    async with played() as peer:
        post = Post(peer)
        assert isinstance(await post.outcome(), Delivered)
        await peer.drop()
        assert isinstance(await post.outcome(), Delivered)
        peer.faults["MAIL"] = "close-once"
        assert isinstance(await post.outcome(), Delivered)
        assert (peer.connections, len(peer.letters)) == (3, 3)


async def test_after_the_octets_were_begun_a_silence_is_not_answered_by_a_second_offer() -> None:
    async with played() as peer:
        post = Post(peer)
        assert isinstance(await post.outcome(), Delivered)
        peer.faults["."] = "close-once"
        outcome = await post.outcome()
        assert isinstance(outcome, Deferred)
        assert peer.connections == 1
        assert len(peer.letters) == 2  # it has it: the retry carries the same ENVID and the same octets
        assert peer.letters[0] == peer.letters[1]


async def test_the_next_hop_is_tried_when_the_first_is_away() -> None:
    async with played() as peer:
        post = Post(peer)
        post.hops.ports = [1, peer.port]
        assert isinstance(await post.outcome(), Delivered)


async def test_a_next_hop_that_is_away_is_left_alone_for_a_while() -> None:
    post = Post()
    post.hops.ports = [1]
    assert isinstance(await post.outcome(), Deferred)
    async with played() as peer:
        post.agent._away = {("127.0.0.1", peer.port): post.agent._away[("127.0.0.1", 1)]}
        post.hops.ports = [peer.port]
        assert isinstance(await post.outcome(), Deferred)
        assert peer.connections == 0
        post.clock.advance(31)
        assert isinstance(await post.outcome(), Delivered)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (TemporaryError("dns"), Deferred(replies.NO_ROUTE)),
        (PermanentError("null mx"), Failed(replies.DOMAIN_TAKES_NO_MAIL)),
    ],
)
async def test_no_way_there(error: Exception, outcome: Outcome) -> None:
    post = Post()
    post.hops.error = error
    assert await post.outcome() == outcome


async def test_what_a_peer_cannot_take_is_not_offered() -> None:
    async with played(extensions=("SIZE 10",)) as peer:
        post = Post(peer)
        assert await post.outcome() == Failed(replies.TOO_BIG_FOR_PEER)
        assert await post.outcome(octets=b"\xe9\r\n") == Failed(replies.NEEDS_8BITMIME)
        assert await post.outcome(smtputf8=True) == Failed(replies.NEEDS_SMTPUTF8)
        assert peer.letters == []
        assert peer.connections == 1


async def test_a_large_letter_goes_in_slices_and_arrives_whole() -> None:
    async with played(extensions=("8BITMIME",)) as peer:
        octets = b"Subject: image\r\n\r\n" + b".0123456789\r\n" * 120_000
        assert isinstance(await Post(peer).outcome(octets=octets), Delivered)
        assert peer.letters[0].octets == octets
