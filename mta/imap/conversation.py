"""One conversation: octets in, commands one after the other, answers out.

What it is: the loop between the pure core (`literals`, `commands`, `session`) and the handlers, with its
deadlines, and the door at which every foreign error becomes an answer. What it is not: a transport (`server`)
or the doing of a command (`handlers`). Start at `run`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import assert_never

import structlog

from core.errors import GatewayError, NotStored, PermanentError, ReplyError
from mta.imap.channel import Channel, Ports, Shared
from mta.imap.commands.search import CharsetUnknown
from mta.imap.commands.table import Command, CommandUnknown, parse
from mta.imap.deflate import Deflater, InflateFailed, Inflater
from mta.imap.grammar import SyntaxInvalid
from mta.imap.handlers.declined import Declined, Ended
from mta.imap.handlers.table import HANDLERS
from mta.imap.literals import CommandReader, Event, LiteralWanted, Received, Refusal, Refused
from mta.imap.names import NameInvalid
from mta.imap.responses import status_text
from mta.imap.responses.status_text import StatusText
from mta.imap.session import Session, State
from mta.imap.view import FolderView

FLUSH_AT = 256 * 1024  # octets; measured: larger TLS writes gain nothing more, smaller ones cost
MAX_PIPELINED = 256 * 1024  # octets that wait behind the command under way before reading stops
_log = structlog.get_logger()

_REFUSALS = {
    Refusal.GARBAGE: status_text.SYNTAX,
    Refusal.LINE_TOO_LONG: status_text.LINE_TOO_LONG,
    Refusal.LITERAL_TOO_LARGE: status_text.TOO_BIG,
    Refusal.TOO_MANY_LITERALS: status_text.TOO_MANY_LITERALS,
    Refusal.NO_ROOM: status_text.BUSY,
}


class Conversation:
    """Made by the server for each connection; `run` ends when the connection does."""

    def __init__(
        self,
        channel: Channel,
        shared: Shared,
        session: Session,
        on_login: Callable[[], None] = lambda: None,
    ) -> None:
        self.session = session
        self.on_login = on_login
        self.shared = shared
        self.reader = CommandReader(shared.budget, shared.settings.max_message_octets)
        self.tag = b""
        """The tag of the command under way (RFC 4466 §2.6.2: ESEARCH tells it)."""
        self._channel = channel
        self._out: list[bytes] = []
        self._pending = 0
        self._arrived = asyncio.Event()
        self._is_lost = False
        self._is_woken = False
        self._is_held = False
        self._is_tls_due = False
        self._is_deflate_due = False
        self._inflater: Inflater | None = None
        self._deflater: Deflater | None = None
        self._ends_for: StatusText | None = None
        self._unsubscribe: Callable[[], None] | None = None
        self._counted_account = 0
        now = self.ports.clock.monotonic()
        self._active_at = now
        self._login_deadline = now + shared.settings.login_seconds
        self._command_began: float | None = None

    @property
    def ports(self) -> Ports:
        """Everything outside."""
        return self.shared.ports

    @property
    def view(self) -> FolderView:
        """The selected folder; only for commands of the selected state."""
        assert self.session.view is not None
        return self.session.view

    # --- what the server tells ------------------------------------------------------------------------------
    def receive(self, octets: bytes) -> None:
        """Octets came."""
        if self._inflater is None:
            self.reader.feed(octets)
            waiting = self.reader.buffered
        else:
            self._inflater.feed(octets)
            waiting = self._inflater.waiting
        if not self._is_held and waiting > MAX_PIPELINED:
            self._is_held = True
            self._channel.hold(held=True)
        self._arrived.set()

    def lost(self) -> None:
        """The connection is gone."""
        self._is_lost = True
        self._arrived.set()

    def end_for(self, text: StatusText) -> None:
        """Say BYE with these words at the next pause between two commands (the server shuts down)."""
        self._ends_for = text
        self._arrived.set()

    # --- writing --------------------------------------------------------------------------------------------
    def tell(self, octets: bytes) -> None:
        """Send soon."""
        self._out.append(octets)
        self._pending += len(octets)

    def flush(self) -> None:
        """Send now, in one write."""
        if self._out and not self._is_lost:
            octets = b"".join(self._out)
            self._channel.write(self._deflater.deflated(octets) if self._deflater else octets)
        self._out.clear()
        self._pending = 0

    async def pour(self, octets: bytes) -> None:
        """Send a part of a large answer: waits for a slow client and lets others have the loop."""
        self.tell(octets)
        if self._pending >= FLUSH_AT:
            await self.drain()
        else:
            await asyncio.sleep(0)

    async def drain(self) -> None:
        """Send now and wait until the client keeps up. Raises `Ended`."""
        self.flush()
        try:
            await self._channel.drain()
        except ConnectionError as error:
            raise Ended from error
        if self._is_lost:
            raise Ended
        await asyncio.sleep(0)

    # --- the loop -------------------------------------------------------------------------------------------
    async def run(self) -> None:
        """Greet, answer commands until the end, leave nothing behind."""
        settings = self.shared.settings
        self.tell(
            f"* OK [CAPABILITY {self.session.capabilities}] {settings.server_name} Vaguemestre\r\n".encode()
        )
        try:
            while self.session.state is not State.LOGOUT:
                await self._event(await self._next_event())
        except Ended:
            pass
        except Exception as error:  # noqa: BLE001 - a room's door: the unknown ends this connection only
            _log.error(
                "imap-conversation-broken", session_id=self.session.session_id, error=type(error).__name__
            )
            self.tell(b"* %b\r\n" % status_text.BYE_BROKEN.wire)
        finally:
            self.flush()
            self._channel.close()
            self.reader.drop()
            await self._leave()

    async def _leave(self) -> None:
        try:
            await self.leave_folder()
        except GatewayError as error:
            _log.warning("imap-leave-failed", session_id=self.session.session_id, error=type(error).__name__)
        self.uncount_account()

    async def _next_event(self) -> Event:
        """The reader's next event as soon as enough octets are here, within the deadlines."""
        while True:
            event = self.reader.next_command()
            if event is not None:
                self._command_began = None
                self._active_at = self.ports.clock.monotonic()
                return event
            if self._inflate():
                await asyncio.sleep(0)  # a long letter comes in many pieces
            else:
                await self.wait()

    async def next_line(self) -> bytes:
        """A bare line of the client (AUTHENTICATE, IDLE). Raises `Ended` when it is too long."""
        while True:
            line = self.line_if_here()
            if line is not None:
                return line
            await self.wait()

    def line_if_here(self) -> bytes | None:
        """As `next_line`, but None when no line is whole yet."""
        line = self.reader.next_line()
        while line is None and self._inflate():
            line = self.reader.next_line()
        if isinstance(line, Refused):
            raise self.end(status_text.BYE_ERRORS)
        if line is not None:
            self._command_began = None
            self._active_at = self.ports.clock.monotonic()
        return line

    async def wait(self) -> None:
        """Until something happens: octets, a change of the folder, the end. Raises `Ended` at a deadline."""
        self.flush()
        if self._is_held:
            self._is_held = False
            self._channel.hold(held=False)
        seconds, text = self._patience()
        try:
            async with asyncio.timeout(max(seconds, 0)):
                await self._arrived.wait()
        except TimeoutError:
            raise self.end(text) from None
        self._arrived.clear()
        if self._is_lost:
            raise Ended
        if self._ends_for is not None:
            raise self.end(self._ends_for)

    def _patience(self) -> tuple[float, StatusText]:
        """How long to wait now, and what to say then."""
        settings, now = self.shared.settings, self.ports.clock.monotonic()
        if self.session.state is State.NOT_AUTHENTICATED:
            return self._login_deadline - now, status_text.BYE_SLOW
        if self.reader.is_within_command:
            if self._command_began is None:
                self._command_began = now
            allowed = settings.command_seconds + self.reader.declared_octets / settings.min_octets_per_second
            return self._command_began + allowed - now, status_text.BYE_SLOW
        # RFC 3501 §5.4: autologout after at least 30 minutes without a command
        return self._active_at + settings.autologout_seconds - now, status_text.BYE_IDLE

    def end(self, text: StatusText) -> Ended:
        """Say BYE (RFC 3501 §7.1.5); raise what this returns."""
        self.tell(b"* %b\r\n" % text.wire)
        return Ended()

    # --- commands -------------------------------------------------------------------------------------------
    async def _event(self, event: Event) -> None:
        match event:
            case LiteralWanted():
                self.tell(b"+ OK\r\n")  # RFC 3501 §7.5
            case Refused(tag=tag, why=why, close=close):
                self._tagged(tag, _REFUSALS[why].wire)
                if close or self.session.counts_as_broken():
                    raise self.end(status_text.BYE_ERRORS)
            case Received():
                await self._command(event)
            case _:
                assert_never(event)

    def _tagged(self, tag: bytes, text: bytes) -> None:
        self.tell(b"%b %b\r\n" % (tag, text))

    async def _command(self, received: Received) -> None:
        clock = self.ports.clock
        self.tag = received.tag
        began, name = clock.monotonic(), received.name.decode("ascii")
        try:
            command = parse(received)
        except CharsetUnknown:
            answer = status_text.BAD_CHARSET.wire
        except CommandUnknown:
            name, answer = "OTHER", status_text.UNKNOWN.wire
        except SyntaxInvalid:
            answer = status_text.SYNTAX.wire
        else:
            answer = await self._carried_out(command)
            self.tell(await self._news(command))
        self._tagged(received.tag, answer)
        condition = answer.partition(b" ")[0].decode("ascii")
        self.shared.metrics.commanded(name, condition, clock.monotonic() - began)
        if self._is_tls_due:
            self._start_tls()
        if self._is_deflate_due:
            self._start_deflate()
        if condition == "BAD" and self.session.counts_as_broken():
            raise self.end(status_text.BYE_ERRORS)

    async def _carried_out(self, command: Command) -> bytes:
        """The tagged answer. This is the door: every error of the ports becomes one of our texts here."""
        objection = self.session.objection(command)
        if objection is not None:
            return objection.wire
        try:
            return await HANDLERS[type(command)](self, command)
        except Ended:
            raise
        except Declined as declined:
            return declined.text.wire
        except NameInvalid:
            return status_text.BAD_NAME.wire
        except ReplyError as error:
            return status_text.BY_REPLY.get(error.reply.name, status_text.UNAVAILABLE).wire
        except NotStored:
            return status_text.NONEXISTENT.wire
        except PermanentError as error:
            self._log_failure(command, error)
            return status_text.CANNOT.wire
        except Exception as error:  # noqa: BLE001 - a room's door: unknown is UNAVAILABLE, the cause goes to the log
            self._log_failure(command, error)
            return status_text.UNAVAILABLE.wire

    def _log_failure(self, command: Command, error: Exception) -> None:
        # The command's name and the error's kind only: texts of foreign errors may hold what people wrote.
        _log.warning(
            "imap-command-failed",
            session_id=self.session.session_id,
            reason=type(command).__name__.lower(),
            error=type(error).__name__,
        )

    # --- the selected folder --------------------------------------------------------------------------------
    async def enter_folder(self, view: FolderView) -> None:
        """Follow this folder's changes from now on, and take in what is there."""
        await self.leave_folder()
        self._is_woken = False
        self._unsubscribe = self.ports.feed.subscribe(view.folder.folder_id, self._wake)
        view.absorb(await self.ports.store.changes(view.folder.folder_id, 0))
        self.session.selected(view)

    async def leave_folder(self) -> None:
        """Follow nothing; what arrived while it was open is no longer \\Recent for the next session."""
        view = self.session.view
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        self.session.unselected()
        if view is not None and view.saw_arrivals and not view.read_only:
            await self.ports.store.claim_recent(view.folder.folder_id)

    def _wake(self) -> None:
        self._is_woken = True
        self._arrived.set()

    @property
    def is_woken(self) -> bool:
        """Whether the folder changed since it was last looked at."""
        return self._is_woken

    async def look(self) -> None:
        """Take in what changed in the selected folder. Raises `Ended` when the folder itself is gone."""
        view = self.session.view
        if view is None:
            return
        self._is_woken = False
        try:
            view.absorb(await self.ports.store.changes(view.folder.folder_id, view.modseq))
        except NotStored:
            raise self.end(status_text.BYE_DELETED) from None
        except GatewayError:
            self._is_woken = True  # look again after the next command
            raise

    async def _news(self, command: Command) -> bytes:
        """What else happened in the folder, as far as it may be told before the answer to this command."""
        view = self.session.view
        if view is None:
            return b""
        if self._is_woken:
            try:
                await self.look()
            except GatewayError as error:
                self._log_failure(command, error)
        return view.announce(may_expunge=self.session.may_announce_expunges(command))

    # --- accounts -------------------------------------------------------------------------------------------
    def count_account(self, bal_id: int) -> bool:
        """Count this session for its account; False when the account has too many."""
        if not self.shared.enter_account(bal_id, self.end_for):
            return False
        self._counted_account = bal_id
        return True

    def uncount_account(self) -> None:
        """Undo `count_account`."""
        if self._counted_account:
            self.shared.leave_account(self._counted_account, self.end_for)
            self._counted_account = 0

    # --- compression ----------------------------------------------------------------------------------------
    @property
    def is_compressing(self) -> bool:
        """Whether DEFLATE is active, or begins behind the answer under way."""
        return self._deflater is not None or self._is_deflate_due

    def begin_deflate_after_answer(self) -> None:
        """DEFLATE begins behind the tagged answer to the command under way, in both directions."""
        self._is_deflate_due = True

    def _start_deflate(self) -> None:
        """RFC 4978 §3. What came behind the command is compressed already."""
        self._is_deflate_due = False
        self.flush()
        self._inflater, self._deflater = Inflater(), Deflater()
        self._inflater.feed(self.reader.take_buffered())

    def _inflate(self) -> bool:
        """Give the reader a little more of what is here; whether there was something. Raises `Ended`."""
        if self._inflater is None:
            return False
        try:
            octets = self._inflater.take()
        except InflateFailed as error:
            raise self.end(status_text.BYE_ERRORS) from error
        self.reader.feed(octets)
        return bool(octets)

    # --- TLS ------------------------------------------------------------------------------------------------
    def begin_tls_after_answer(self) -> None:
        """TLS begins behind the tagged answer to the command under way."""
        self._is_tls_due = True

    def _start_tls(self) -> None:
        """RFC 3501 §6.2.1; threats A4: whatever came in clear behind STARTTLS is thrown away."""
        self._is_tls_due = False
        self.flush()
        self.reader.drop()
        try:
            self._channel.start_tls()
        except ConnectionError as error:
            raise Ended from error
        self.reader.drop()
        self.session.tls_started()
