"""Rooms that answer as a test says: who may log in, who may write to whom, and what becomes of a letter.

What it is: `ScriptedRooms`, an implementation of `mta.rooms.Rooms` that keeps what it is given. What it is
not: a policy; unless scripted, it admits everyone.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from core import reply
from core.address import Domain, Mailbox
from core.bal import Account, Bal, BalKind, BalState
from core.envelope import Envelope, ForwardPath, ReversePath
from core.errors import ReplyError
from core.plan import Admission, Admit, Reason, Refuse
from mta.rooms import Accepted, Listener, Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One letter that came through."""

    session_id: str
    envelope: Envelope
    octets: bytes


@dataclass(slots=True)
class ScriptedRooms:
    """Fill `passwords`, `refused`, `acceptance`; read `letters`, `attempts`, `asked`."""

    passwords: dict[str, bytes] = field(default_factory=dict)
    """Login → password; others fail."""
    refused: dict[str, reply.Reply | Exception] = field(default_factory=dict)
    """Address, as canonical text ("" for the null path) or "accept" → the refusal, or what is raised."""
    gate: asyncio.Event | None = None
    """When set, `accept` waits for it."""
    letters: list[Received] = field(default_factory=list)
    attempts: list[str] = field(default_factory=list)
    """The logins that were tried."""
    sessions: list[Session] = field(default_factory=list)
    """The session of each MAIL that was asked."""

    async def authenticate(self, session: Session, login: str, password: bytes) -> None:
        """See `Rooms.authenticate`."""
        self.attempts.append(login)
        self._raise_for(login)
        if self.passwords.get(login) != password:
            raise ReplyError(reply.AUTHENTICATION_FAILED)
        session.account = account_of(login)

    async def admit_originator(
        self, session: Session, reverse_path: ReversePath, declared_size: int
    ) -> Admission:
        """See `Rooms.admit_originator`."""
        self.sessions.append(session)
        if session.listener is Listener.RELAY and session.peer_certificate is None:
            return Refuse(reply.CERTIFICATE_REQUIRED, Reason.PEER_WITHOUT_CERTIFICATE)
        address = reverse_path.canonical if isinstance(reverse_path, Mailbox) else ""
        return self._admission(address, Reason.ORIGINATOR_NOT_OWNER)

    async def admit_recipient(
        self, session: Session, reverse_path: ReversePath, earlier: tuple[ForwardPath, ...], path: ForwardPath
    ) -> Admission:
        """See `Rooms.admit_recipient`."""
        return self._admission(path.mailbox.canonical, Reason.NOT_ON_TRUSTED_LIST)

    async def accept(self, session: Session, envelope: Envelope, octets: bytes) -> Accepted:
        """See `Rooms.accept`."""
        if self.gate is not None:
            await self.gate.wait()
        self._raise_for("accept")
        self.letters.append(Received(session_id=session.session_id, envelope=envelope, octets=octets))
        return Accepted(reply.QUEUED, f"spool-{len(self.letters)}")

    def _admission(self, address: str, reason: Reason) -> Admission:
        answer = self.refused.get(address)
        if isinstance(answer, Exception):
            raise answer
        return Refuse(answer, reason) if answer is not None else Admit(Reason.OWN_BOX_OPEN)

    def _raise_for(self, key: str) -> None:
        answer = self.refused.get(key)
        if answer is not None:
            raise answer if isinstance(answer, Exception) else ReplyError(answer)


def account_of(login: str) -> Account:
    """An open box whose address is the login, or a box of the cast when the login is no address."""
    local_part, _, domain = login.partition("@")
    mailbox = Mailbox(local_part, Domain.parse(domain or "ch-rivage.mssante.example"))
    bal = Bal(
        bal_id=1,
        mailbox=mailbox,
        kind=BalKind.PERSONNELLE,
        state=BalState.OPEN,
        display_name="",
        quota_octets=1 << 30,
    )
    return Account(bal=bal)
