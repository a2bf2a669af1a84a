"""The MTA: a letter to the operator of another domain, under mutual TLS.

What it is: `RelayAgent`: next hops, reuse of verified connections, and never more than a few at the same time to
one place. What it is not: the conversation (`mta.smtp.client`) or retries. Start at `prepare`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakValueDictionary

from core import reply as replies
from core.address import Domain
from core.clock import Clock
from core.errors import LocalProtocolError, PermanentError, TemporaryError
from core.outcome import Deferred, Failed, Outcome, RemoteAnswer
from core.plan import RelayTo
from core.ports import Resolver
from core.reply import Reply
from mta.checkpoints import Checkpoint
from mta.delivery.agent import Attempt, LetterInHand, PlannedRecipient
from mta.smtp.client import RelayClient, RelayConnection
from mta.smtp.letter import OutgoingLetter, OutgoingRecipient, RelayFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaySettings:
    """How connections are shared."""

    idle_seconds: float = 30.0
    """A connection without a letter for so long is closed."""
    letters_per_connection: int = 100
    """Then it is made anew: certificates and lists change."""
    parallel_connections: int = 64
    """Letters on their way at the same time, to all next hops together."""
    connections_per_hop: int = 4
    """Letters on their way at the same time to one next hop, whatever the number of its domains."""
    avoid_seconds: float = 5.0
    """A next hop that could not be reached is not tried again for so long.

    Short: it spares the letters of the same moment a timeout each, and it must not answer in the peer's place when
    an operator says `queue retry`.
    """


@dataclass(slots=True)
class _Idle:
    connection: RelayConnection
    since: float


@dataclass(frozen=True, slots=True)
class _Away:
    """Until when (monotonic seconds) a hop is left alone, and why.

    Never the exception itself: its traceback holds frames, and these hold letters.
    """

    until: float
    reply: Reply
    answer: RemoteAnswer | None


class RelayAgent:
    """Implements `DeliveryAgent` for `RelayTo`."""

    prepared = None
    committed = Checkpoint.RELAY_COMMITTED

    def __init__(
        self, *, client: RelayClient, resolver: Resolver, clock: Clock, settings: RelaySettings
    ) -> None:
        self._client = client
        self._resolver = resolver
        self._clock = clock
        self._settings = settings
        self._idle: dict[tuple[str, int], list[_Idle]] = {}
        self._away: dict[tuple[str, int], _Away] = {}
        self._open = asyncio.Semaphore(settings.parallel_connections)
        self._slots: WeakValueDictionary[tuple[str, int], asyncio.Semaphore] = WeakValueDictionary()
        """Of each hop that somebody uses or waits for."""

    def lane_of(self, recipient: PlannedRecipient) -> str:
        """One lane for each domain: a slow one delays nobody else."""
        if not isinstance(recipient.action, RelayTo):
            raise LocalProtocolError("only RelayTo is for this agent")
        return recipient.action.domain.ascii

    async def prepare(self, letter: LetterInHand, recipients: Sequence[PlannedRecipient]) -> Attempt:
        """See `DeliveryAgent`. All recipients are of one lane."""
        domain = Domain(self.lane_of(recipients[0]))
        try:
            hops = await self._resolver.next_hops(domain)
        except TemporaryError:
            return _same(recipients, Deferred(replies.NO_ROUTE))
        except PermanentError:
            return _same(recipients, Failed(replies.DOMAIN_TAKES_NO_MAIL))  # RFC 7505 §4.1
        outcome: Outcome = Deferred(replies.NO_ROUTE)
        for hop in hops:
            try:
                return await self._by(hop, domain, letter, recipients)
            except RelayFailure as failure:
                outcome = Deferred(failure.reply, failure.answer)
        return _same(recipients, outcome)

    async def _by(
        self,
        hop: tuple[str, int],
        domain: Domain,
        letter: LetterInHand,
        recipients: Sequence[PlannedRecipient],
    ) -> Attempt:
        # The hop's own first: who waits for a slow operator must hold nothing that others need.
        async with self._slots_of(hop), self._open:
            reused = self._reuse(hop, domain)
            if reused is not None:
                attempt = await self._send(hop, reused, letter, recipients)
                if reused.data_begun or not _nothing_was_said(attempt):
                    return attempt
                # RFC 5321 §3.8: a peer may close a connection that rests; a fresh one is tried at once.
            connection = await self._connect(hop, domain)
            return await self._send(hop, connection, letter, recipients)

    def _slots_of(self, hop: tuple[str, int]) -> asyncio.Semaphore:
        slots = self._slots.get(hop)
        if slots is None:
            slots = self._slots[hop] = asyncio.Semaphore(self._settings.connections_per_hop)
        return slots

    async def _connect(self, hop: tuple[str, int], domain: Domain) -> RelayConnection:
        away = self._away.get(hop)
        if away is not None and away.until > self._clock.monotonic():
            raise RelayFailure(away.reply, away.answer)
        try:
            connection = await self._client.connect(*hop, domain)
        except RelayFailure as error:
            if error.reply is replies.PEER_UNREACHABLE:
                until = self._clock.monotonic() + self._settings.avoid_seconds
                self._away[hop] = _Away(until, error.reply, error.answer)
            raise
        self._away.pop(hop, None)
        return connection

    async def _send(
        self,
        hop: tuple[str, int],
        connection: RelayConnection,
        letter: LetterInHand,
        recipients: Sequence[PlannedRecipient],
    ) -> Attempt:
        offers_dsn = connection.offers_dsn
        try:
            # Only now: letters that wait for a connection wait outside memory.
            outgoing = _outgoing(letter, recipients, await letter.octets())
        except BaseException:
            connection.close()
            raise
        outcomes = await connection.send(outgoing)
        if connection.is_open and connection.letters < self._settings.letters_per_connection:
            self._idle.setdefault(hop, []).append(_Idle(connection, self._clock.monotonic()))
        elif connection.is_open:
            await connection.quit()
        facts = {
            "next-hop": connection.host,
            "peer": str(connection.peer.subject),
            "certificate": connection.peer.fingerprint,
            "tls": f"{connection.tls_version} {connection.tls_cipher}",
        }
        return Attempt(outcomes=outcomes, facts=facts, success_is_told_elsewhere=offers_dsn)

    def _reuse(self, hop: tuple[str, int], domain: Domain) -> RelayConnection | None:
        oldest = self._clock.monotonic() - self._settings.idle_seconds
        resting = self._idle.get(hop, [])
        while resting:
            idle = resting.pop()
            if not idle.connection.is_open:
                continue
            if idle.since < oldest:
                idle.connection.close()
                continue
            try:
                self._client.check_entitled(idle.connection, domain)
            except RelayFailure:
                # It may be entitled for its other domains; for this one a new connection is judged anew.
                idle.connection.close()
                continue
            return idle.connection
        return None

    async def close_idle(self, *, everything: bool = False) -> None:
        """Say goodbye to connections that rested too long, or to all of them."""
        oldest = self._clock.monotonic() - self._settings.idle_seconds
        for hop, resting in list(self._idle.items()):
            keep = [
                idle
                for idle in resting
                if not everything and idle.since >= oldest and idle.connection.is_open
            ]
            gone = [idle.connection for idle in resting if idle not in keep]
            if keep:
                self._idle[hop] = keep
            else:
                del self._idle[hop]
            await asyncio.gather(*(connection.quit() for connection in gone))


def _outgoing(letter: LetterInHand, recipients: Sequence[PlannedRecipient], octets: bytes) -> OutgoingLetter:
    return OutgoingLetter(
        envelope=letter.item.envelope,
        recipients=tuple(OutgoingRecipient(recipient.index, recipient.path) for recipient in recipients),
        envelope_id=letter.item.envelope_id,
        octets=octets,
    )


def _nothing_was_said(attempt: Attempt) -> bool:
    return all(
        isinstance(outcome, Deferred) and outcome.reply is replies.PEER_UNREACHABLE and outcome.answer is None
        for outcome in attempt.outcomes.values()
    )


def _same(recipients: Sequence[PlannedRecipient], outcome: Outcome) -> Attempt:
    return Attempt(outcomes={recipient.index: outcome for recipient in recipients})
