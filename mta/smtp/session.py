"""The order of SMTP as a table: which command may follow which, and what a conversation holds so far.

What it is: `Conversation`, sans I/O: ask `refusal` before a command is carried out, tell it what was accepted.
What it is not: admission (`Rooms`) or sockets (`mta.smtp.connection`). Start at TRANSITIONS.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from core import reply
from core.envelope import Envelope, ForwardPath
from mta.rooms import Listener
from mta.smtp import extensions
from mta.smtp.commands import (
    Auth,
    Command,
    Data,
    Ehlo,
    Expn,
    Helo,
    Help,
    Mail,
    Noop,
    Quit,
    Rcpt,
    Rset,
    StartTls,
    Vrfy,
)


class State(enum.Enum):
    """Where a conversation stands."""

    FRESH = "fresh"  # connected, or TLS has just begun: nothing that was said counts
    GREETED = "greeted"
    MAIL = "mail"  # an originator, no recipient yet
    RCPT = "rcpt"  # at least one recipient


_ANYWHERE: dict[type[Command], State | None] = {Noop: None, Quit: None, Help: None, Vrfy: None, Expn: None}
# RFC 5321 §4.1.4: a command that is not in its state's row is out of order. None: the state stays.
TRANSITIONS: dict[State, dict[type[Command], State | None]] = {
    State.FRESH: {
        **_ANYWHERE,
        Ehlo: State.GREETED,
        Helo: State.GREETED,
        Rset: None,
        StartTls: State.FRESH,
    },
    State.GREETED: {
        **_ANYWHERE,
        Ehlo: State.GREETED,
        Helo: State.GREETED,
        Rset: State.GREETED,
        StartTls: State.FRESH,
        Auth: None,  # RFC 4954 §4: not during a transaction
        Mail: State.MAIL,
    },
    State.MAIL: {
        **_ANYWHERE,
        Ehlo: State.GREETED,  # RFC 5321 §4.1.4: EHLO clears the transaction, as RSET does
        Helo: State.GREETED,
        Rset: State.GREETED,
        StartTls: State.FRESH,
        Rcpt: State.RCPT,
    },
    State.RCPT: {
        **_ANYWHERE,
        Ehlo: State.GREETED,
        Helo: State.GREETED,
        Rset: State.GREETED,
        StartTls: State.FRESH,
        Rcpt: State.RCPT,
        Data: State.GREETED,
    },
}
# RFC 3207 §4: what may be said before TLS; RSET and HELP do nothing and are let through.
_IN_CLEAR = (Ehlo, Helo, StartTls, Noop, Quit, Rset, Help)


@dataclass(slots=True, kw_only=True)
class Conversation:
    """The state of one conversation; every rule of order and limit that needs no one else's answer."""

    listener: Listener
    max_message_octets: int
    max_recipients: int
    state: State = State.FRESH
    is_encrypted: bool = False
    is_extended: bool = False  # EHLO, not HELO
    is_authenticated: bool = False
    mail: Mail | None = None
    paths: list[ForwardPath] = field(default_factory=list)
    refused_paths: int = 0

    def refusal(self, command: Command) -> reply.Reply | None:
        """The reply that refuses the command here and now, or None."""
        if not self.is_encrypted and not isinstance(command, _IN_CLEAR):
            if not isinstance(command, Auth):
                return reply.TLS_REQUIRED
            # RFC 4954 §6
            return (
                reply.ENCRYPTION_REQUIRED_FOR_AUTH if self.listener.is_submission else reply.NOT_IMPLEMENTED
            )
        if type(command) not in TRANSITIONS[self.state]:
            return self._out_of_order(command)
        match command:
            case StartTls() if self.is_encrypted:
                return reply.BAD_SEQUENCE  # RFC 3207 §4.2
            case Auth():
                return self._auth_refusal(command)
            case Mail():
                return self._mail_refusal(command)
            case Rcpt():
                return self._rcpt_refusal(command)
            case _:
                return None

    def _out_of_order(self, command: Command) -> reply.Reply:
        if isinstance(command, Auth) and not self.listener.is_submission:
            return reply.NOT_IMPLEMENTED
        if isinstance(command, Data) and self.state is State.MAIL and self.refused_paths:
            return reply.NO_VALID_RECIPIENTS  # RFC 2920 §3.1: the pipelined DATA after refused recipients
        return reply.BAD_SEQUENCE

    def _auth_refusal(self, command: Auth) -> reply.Reply | None:
        if not self.listener.is_submission:
            return reply.NOT_IMPLEMENTED
        if self.is_authenticated or not self.is_extended:
            return reply.BAD_SEQUENCE  # RFC 4954 §4: once in a conversation, and only after EHLO
        if command.mechanism not in extensions.mechanisms(self.listener, is_encrypted=self.is_encrypted):
            return reply.UNKNOWN_MECHANISM
        return None

    def _mail_refusal(self, command: Mail) -> reply.Reply | None:
        if self.listener.is_submission and not self.is_authenticated:
            return reply.AUTHENTICATION_REQUIRED  # RFC 6409 §4.3
        if command.has_parameters and not self.is_extended:
            return reply.UNKNOWN_PARAMETER
        if command.has_authorised_originator and not self.listener.is_submission:
            return reply.UNKNOWN_PARAMETER
        if command.declared_size > self.max_message_octets:
            return reply.TOO_BIG  # RFC 1870 §6.1
        return None

    def _rcpt_refusal(self, command: Rcpt) -> reply.Reply | None:
        assert self.mail is not None
        if command.has_parameters and not self.is_extended:
            return reply.UNKNOWN_PARAMETER
        if command.needs_smtputf8 and not self.mail.smtputf8:
            return reply.NEEDS_SMTPUTF8  # RFC 6531 §3.5
        if len(self.paths) >= self.max_recipients:
            return reply.TOO_MANY_RECIPIENTS  # RFC 5321 §4.5.3.1.10
        return None

    def follow(self, command: Command) -> None:
        """The command was carried out: take its transition and keep what it said."""
        following = TRANSITIONS[self.state][type(command)]
        match command:
            case Ehlo() | Helo():
                self.is_extended = isinstance(command, Ehlo)
                self.clear()
            case Mail():
                self.mail, self.paths, self.refused_paths = command, [], 0
            case Rcpt():
                # The same recipient twice gets one copy, with what was asked the first time.
                if all(path.mailbox != command.path.mailbox for path in self.paths):
                    self.paths.append(command.path)
            case Rset() | Data():
                self.clear()
            case StartTls():
                # RFC 3207 §4.2: everything learnt before TLS is forgotten.
                self.clear()
                self.is_encrypted, self.is_extended, self.is_authenticated = True, False, False
            case _:
                pass
        if following is not None:
            self.state = following

    def clear(self) -> None:
        """Forget the transaction, keep the conversation."""
        self.mail, self.paths, self.refused_paths = None, [], 0

    def envelope(self, *, is_8bit: bool) -> Envelope:
        """The envelope of the transaction; `is_8bit`: the letter has octets outside ASCII."""
        assert self.mail is not None
        return Envelope(
            reverse_path=self.mail.reverse_path,
            forward_paths=tuple(self.paths),
            envelope_id=self.mail.envelope_id,
            ret=self.mail.ret,
            smtputf8=self.mail.smtputf8,
            # A letter may hold 8-bit octets without having said so; the next hop must be told the truth.
            body_8bit=self.mail.body_8bit or is_8bit,
            declared_size=self.mail.declared_size,
        )
