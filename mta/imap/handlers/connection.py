"""CAPABILITY, NOOP, LOGOUT, ID, STARTTLS, LOGIN, AUTHENTICATE, ENABLE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core import reply
from core.audit import AuditEvent, AuditKind
from core.errors import GatewayError, ReplyError
from mta.imap.commands import connection
from mta.imap.handlers.declined import Declined
from mta.imap.responses import status_text
from mta.imap.session import MAX_LOGIN_FAILURES
from mta.refusal_ledger import Refused
from mta.smtp.sasl import CANCEL, MAX_CREDENTIAL, MECHANISMS, Challenge, Credentials

if TYPE_CHECKING:
    from mta.imap.conversation import Conversation


async def capability(conversation: Conversation, command: connection.Capability) -> bytes:
    """RFC 3501 §6.1.1."""
    conversation.tell(f"* CAPABILITY {conversation.session.capabilities}\r\n".encode("ascii"))
    return b"OK CAPABILITY completed"


async def noop(conversation: Conversation, command: connection.Noop) -> bytes:
    """RFC 3501 §6.1.2: the way to poll, so the store is asked whatever the feed said."""
    await conversation.look()
    return b"OK NOOP completed"


async def logout(conversation: Conversation, command: connection.Logout) -> bytes:
    """RFC 3501 §6.1.3."""
    await conversation.leave_folder()
    conversation.session.logged_out()
    conversation.tell(b"* %b\r\n" % status_text.BYE_LOGOUT.wire)
    return b"OK LOGOUT completed"


async def identify(conversation: Conversation, command: connection.Identify) -> bytes:
    """RFC 2971 §3.1. What the client says of itself is not kept."""
    conversation.tell(b'* ID ("name" "Vaguemestre")\r\n')
    return b"OK ID completed"


async def start_tls(conversation: Conversation, command: connection.StartTls) -> bytes:
    """RFC 3501 §6.2.1: the answer goes out in clear, TLS begins behind it."""
    conversation.begin_tls_after_answer()
    return b"OK Begin TLS now"


async def enable(conversation: Conversation, command: connection.Enable) -> bytes:
    """RFC 5161 §3.1: names that are not known are ignored; mutt asks for UTF8=ACCEPT unseen."""
    manner = conversation.session.manner
    enabled = [name for name in dict.fromkeys(command.names) if manner.enable(name)]
    conversation.tell(b" ".join((b"* ENABLED", *enabled)) + b"\r\n")
    return b"OK ENABLE completed"


async def compress(conversation: Conversation, command: connection.Compress) -> bytes:
    """RFC 4978 §3: the answer goes out as before, DEFLATE begins behind it."""
    if command.mechanism != b"DEFLATE":
        raise Declined(status_text.UNKNOWN_MECHANISM)
    if conversation.is_compressing:
        raise Declined(status_text.COMPRESSION_ACTIVE)
    conversation.begin_deflate_after_answer()
    return b"OK DEFLATE active"


# --- logging in ---------------------------------------------------------------------------------------------
async def login(conversation: Conversation, command: connection.Login) -> bytes:
    """RFC 3501 §6.2.3."""
    within = len(command.login) <= MAX_CREDENTIAL and len(command.password) <= MAX_CREDENTIAL
    try:
        name = command.login.decode("utf-8") if within else ""
    except UnicodeDecodeError:
        name = ""
    return await _log_in(conversation, name, command.password if within else b"")


async def authenticate(conversation: Conversation, command: connection.Authenticate) -> bytes:
    """RFC 3501 §6.2.2, RFC 4959 §3 (initial response)."""
    mechanism = MECHANISMS.get(command.mechanism.decode("ascii"))
    if mechanism is None:
        raise Declined(status_text.UNKNOWN_MECHANISM)
    exchange = mechanism()
    try:
        step: Challenge | Credentials = exchange.begin(command.initial)
        while isinstance(step, Challenge):
            conversation.tell(b"+ %b\r\n" % step.base64)
            line = await conversation.next_line()
            if line == CANCEL:
                raise Declined(status_text.CANCELLED)
            step = exchange.answer(line)
    except ReplyError as error:
        if error.reply is reply.AUTHENTICATION_FAILED:
            return await _log_in(conversation, "", b"")
        raise Declined(status_text.BAD_BASE64) from error
    return await _log_in(conversation, step.login, step.password)


async def _log_in(conversation: Conversation, login: str, password: bytes) -> bytes:
    """Known and unknown logins take the same way: the port sees to equal time and text."""
    session = conversation.session
    facts = {"listener": session.listener, "session_id": session.session_id}
    try:
        account = await conversation.ports.accounts.authenticate(login, password, session.network)
    except ReplyError as error:
        conversation.ports.refusals.note(
            Refused(
                kind=AuditKind.LOGIN_REFUSED, network=session.network, listener=session.listener,
                reply=error.reply.name, login=login[:MAX_CREDENTIAL],
            )
        )  # fmt: skip
        session.login_failures += 1
        if session.login_failures >= MAX_LOGIN_FAILURES:
            raise conversation.end(status_text.BYE_ERRORS) from error
        raise
    if not conversation.count_account(account.bal.bal_id):
        raise Declined(status_text.TOO_MANY_SESSIONS)
    # The trail is durable before the box is open: no reading without its trace.
    persons = {"login": str(account.bal.mailbox)}
    try:
        await conversation.ports.audit.append(AuditEvent(kind=AuditKind.LOGIN, facts=facts, persons=persons))
    except GatewayError:
        conversation.uncount_account()
        raise
    session.logged_in(account)
    conversation.reader.authenticated = True
    conversation.on_login()
    return f"OK [CAPABILITY {session.capabilities}] Logged in".encode("ascii")
