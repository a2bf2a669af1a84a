"""The rooms of a letter's way, in one screen. Read this first.

    1 DOOR       mta.smtp.server        bytes, TLS, limits
    2 GRAMMAR    mta.smtp.grammar       bytes → commands
    3 ADMISSION  `admit_originator`, `admit_recipient`, `accept` → routing.admission
    4 SPOOL      `accept`               durable; only now does the door say 250
    5 PLAN       mta.planning           facts → RoutingPlan
    6 PROTECT    mta.delivery.engine    (part 2: seals)
    7 DELIVER    mta.delivery.engine    prepare → commit, per forward-path; reports

What it is: rooms 3 and 4 as `mta.rooms.Rooms`, for every SMTP door. What it is not: rules (`routing`) or
sockets. Any error but ReplyError becomes `451 4.3.0` here, at the rooms' door.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import structlog

from core import reply
from core.audit import AuditEvent, AuditKind
from core.bal import Account
from core.clock import Clock
from core.envelope import Envelope, ForwardPath, ReversePath
from core.errors import ReplyError
from core.plan import Admission, Admit, Refuse
from core.ports import AuditTrail, BlobStore
from core.unit_of_work import Committer, UnitOfWork
from mta.checkpoints import Checkpoint, Checkpoints
from mta.courtesy import Courtesy
from mta.delivery.engine import Engine
from mta.letter import Letter, LetterReader
from mta.planning import FactFinder, door_of
from mta.refusal_ledger import RefusalLedger, Refused
from mta.rooms import Accepted, Listener, Session
from mta.spool.item import Origin, OriginKind, SpoolItem
from mta.spool.storage import AlreadyReceived
from mta.spool.store import SpoolStore
from routing import admission
from routing.facts import LetterFacts, RecipientContext

T = TypeVar("T")
LARGE = (
    1_048_576  # ours, octets: a larger letter is read in a thread, for the loop would be held 20 ms and more
)

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a letter may be. Sources stand beside each."""

    recipients: int = 1000
    """Most recipients of one letter; Postfix's default, RFC 5321 §4.5.3.1.8 asks for at least 100."""
    submission_octets: int = 26_214_400
    """Largest letter taken from our own people: 25 MiB."""
    relay_octets: int = 27_262_976
    """Largest letter taken from another operator: 26 MiB, because each operator's trace makes it grow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """Room 4: everything that makes a letter durable and hands it on."""

    blobs: BlobStore
    spool: SpoolStore
    committer: Committer
    audit: AuditTrail
    engine: Engine
    courtesy: Courtesy
    checkpoints: Checkpoints
    refusals: RefusalLedger


class MailRooms:
    """Implements `mta.rooms.Rooms`."""

    def __init__(
        self, facts: FactFinder, reader: LetterReader, keeping: Keeping, clock: Clock, limits: Limits,
        new_spool_id: Callable[[], str],
    ) -> None:  # fmt: skip
        self._facts = facts
        self._reader = reader
        self._keep = keeping
        self._clock = clock
        self._limits = limits
        self._new_spool_id = new_spool_id

    # --- room 3 ---------------------------------------------------------------------------------------------
    async def authenticate(self, session: Session, login: str, password: bytes) -> None:
        """See `Rooms.authenticate`."""
        try:
            session.account = await self._facts.accounts.authenticate(login, password, session.network)
        except ReplyError as refused:
            await self._refused(session, AuditKind.LOGIN_REFUSED, refused.reply.name, login=login)
            raise
        except Exception as error:  # the rooms' door
            raise self._unknown(session, error) from error
        await self._keep.audit.append(
            AuditEvent(kind=AuditKind.LOGIN, facts=_facts_of(session), persons={"login": login})
        )

    async def admit_originator(
        self, session: Session, reverse_path: ReversePath, declared_size: int
    ) -> Admission:
        """See `Rooms.admit_originator`."""
        try:
            facts = await self._facts.originator(session, reverse_path)
            decision = admission.admit_originator(facts)
            if isinstance(decision, Refuse):
                await self._refused(
                    session, AuditKind.REFUSED, decision.reply.name, decision, reverse_path=str(reverse_path)
                )
        except Exception as error:  # the rooms' door
            raise self._unknown(session, error) from error
        return decision

    async def admit_recipient(
        self, session: Session, reverse_path: ReversePath, earlier: tuple[ForwardPath, ...], path: ForwardPath
    ) -> Admission:
        """See `Rooms.admit_recipient`."""
        try:
            context = RecipientContext(
                door=door_of(session.listener), reverse_path=reverse_path, earlier=len(earlier),
                limit=self._limits.recipients,
            )  # fmt: skip
            decision = admission.admit_recipient(await self._facts.recipient(path.mailbox), context)
            if isinstance(decision, Refuse):
                await self._refused(
                    session, AuditKind.REFUSED, decision.reply.name, decision,
                    reverse_path=str(reverse_path), forward_path=str(path.mailbox),
                )  # fmt: skip
        except Exception as error:  # the rooms' door
            raise self._unknown(session, error) from error
        return decision

    # --- rooms 3 and 4 --------------------------------------------------------------------------------------
    async def accept(self, session: Session, envelope: Envelope, octets: bytes) -> Accepted:
        """See `Rooms.accept`."""
        with self._keep.courtesy.letter_at_the_door():
            return await self._accept(session, envelope, octets)

    async def _accept(self, session: Session, envelope: Envelope, octets: bytes) -> Accepted:
        try:
            self._keep.checkpoints(Checkpoint.DATA_RECEIVED)
            spool_id = self._new_spool_id()
            letter = await _beside(octets, partial(self._reader.read, session, envelope, octets, spool_id))
            # Asked again: a delegation may have come or gone since this session logged in.
            account = session.account and await self._facts.accounts.account(session.account.bal.bal_id)
            decision = admission.admit_letter(self._letter_facts(session, account, envelope, letter))
            if isinstance(decision, Refuse):
                await self._refused(
                    session, AuditKind.REFUSED, decision.reply.name, decision, letter.message_id,
                    reverse_path=str(envelope.reverse_path),
                )  # fmt: skip
                raise ReplyError(letter.malformed or decision.reply)
            return await self._keep_letter(session, envelope, letter, decision)
        except ReplyError:
            raise
        except Exception as error:  # the rooms' door
            raise self._unknown(session, error) from error

    def _letter_facts(
        self, session: Session, account: Account | None, envelope: Envelope, letter: Letter
    ) -> LetterFacts:
        peer = session.peer.subject if session.peer else None
        authors = letter.from_mailboxes
        claimed = (*authors, letter.sender_field) if letter.sender_field else authors
        return LetterFacts(
            door=door_of(session.listener),
            reverse_path=envelope.reverse_path,
            account=account,
            header_is_sound=letter.malformed is None,
            from_mailboxes=authors,
            sender_field=letter.sender_field,
            peer_may_speak_for_from=bool(
                peer
                and authors
                and all(self._facts.trust.may_speak_for(peer, mailbox.domain) for mailbox in claimed)
            ),
            is_report=letter.is_report,
            recipients=len(envelope.forward_paths),
            hops=letter.hops,
            size=letter.received_size,
            size_limit=(
                self._limits.submission_octets
                if session.listener.is_submission
                else self._limits.relay_octets
            ),
        )

    async def _keep_letter(
        self, session: Session, envelope: Envelope, letter: Letter, admitted: Admit
    ) -> Accepted:
        keep = self._keep
        origin = _origin_of(session)
        if origin.kind is OriginKind.PEER:
            digest = await _beside(letter.received, lambda: hashlib.sha256(letter.received).digest())
            fresh = await keep.spool.not_yet_seen(origin.name, envelope, digest)
            if not fresh.forward_paths:
                return await self._already_received(session, envelope, letter)
            envelope = fresh
        else:
            digest = b""
        stored = await keep.blobs.seal(letter.octets)
        item = SpoolItem(
            spool_id=letter.spool_id, envelope=envelope, octets=stored, message_id=letter.message_id,
            accepted_at=self._clock.now().timestamp(), origin=origin,
        )  # fmt: skip
        unit = UnitOfWork()
        keep.blobs.keep(unit, stored)
        claim = keep.spool.put(unit, item, received_sha256=digest, leased=keep.engine.has_room)
        keep.audit.record(unit, _spooled(session, item, admitted))
        try:
            await keep.committer.commit(unit)
        except AlreadyReceived:
            # The same letter came twice at the same moment, by two connections: one of them is kept.
            return await self._already_received(session, envelope, letter)
        keep.checkpoints(Checkpoint.SPOOL_COMMITTED)
        keep.engine.submitted(claim, letter.octets)
        return Accepted(reply.QUEUED, item.spool_id)

    async def _already_received(self, session: Session, envelope: Envelope, letter: Letter) -> Accepted:
        await self._keep.audit.append(
            AuditEvent(
                kind=AuditKind.DUPLICATE_DROPPED,
                message_id=letter.message_id,
                facts=_facts_of(session),
                persons={"reverse-path": str(envelope.reverse_path)},
            )
        )
        return Accepted(reply.ALREADY_RECEIVED, "")

    async def _refused(
        self, session: Session, kind: AuditKind, reply_name: str, decision: Refuse | None = None,
        message_id: str = "", **persons: str,
    ) -> None:  # fmt: skip
        reason = decision.reason.value if decision is not None else ""
        if not self._is_known(session):
            peer = {key: value for key, value in _facts_of(session).items() if key in ("peer", "certificate")}
            self._keep.refusals.note(
                Refused(
                    kind=kind, network=session.network, listener=session.listener.value, reply=reply_name,
                    reason=reason, login=persons.get("login", ""), facts=peer,
                )
            )  # fmt: skip
            return
        facts = {**_facts_of(session), "reply": reply_name}
        if reason:
            facts["reason"] = reason
        named = {role.replace("_", "-"): who for role, who in persons.items() if who}
        await self._keep.audit.append(
            AuditEvent(kind=kind, message_id=message_id, facts=facts, persons=named)
        )

    def _is_known(self, session: Session) -> bool:
        """Whether someone answers for this session: an account of ours, or an operator of the list."""
        if session.account is not None or session.listener is Listener.INTERNAL:
            return True
        return session.peer is not None and self._facts.trust.is_listed(session.peer.subject)

    def _unknown(self, session: Session, error: Exception) -> ReplyError:
        if isinstance(error, ReplyError):
            return error
        _log.error(
            "room-failed", session_id=session.session_id, listener=session.listener.value, exc_info=error
        )
        return ReplyError(reply.LOCAL_ERROR)


async def _beside(octets: bytes, work: Callable[[], T]) -> T:
    """Work on these octets: here when they are few, else in a thread."""
    return work() if len(octets) <= LARGE else await asyncio.to_thread(work)


def _origin_of(session: Session) -> Origin:
    if session.account is not None:
        return Origin(OriginKind.ACCOUNT, str(session.account.bal.bal_id))
    if session.peer is not None:
        return Origin(OriginKind.PEER, str(session.peer.subject))
    return Origin(OriginKind.INTERNAL)


def _facts_of(session: Session) -> dict[str, str]:
    facts = {"listener": session.listener.value, "session": session.session_id}
    if session.tls_version:
        facts["tls"] = f"{session.tls_version} {session.tls_cipher}".strip()
    if session.peer is not None:
        facts["peer"] = str(session.peer.subject)
        facts["certificate"] = session.peer.fingerprint
    return facts


def _spooled(session: Session, item: SpoolItem, admitted: Admit) -> AuditEvent:
    persons = {"reverse-path": str(item.envelope.reverse_path)} if str(item.envelope.reverse_path) else {}
    if session.account is not None:
        persons["login"] = str(session.account.bal.mailbox)
    persons |= {f"forward-path-{i}": str(path.mailbox) for i, path in enumerate(item.envelope.forward_paths)}
    facts = _facts_of(session) | {"reason": admitted.reason.value, "size": str(item.size)}
    return AuditEvent(
        kind=AuditKind.SPOOLED,
        spool_id=item.spool_id,
        message_id=item.message_id,
        facts=facts,
        persons=persons,
    )
