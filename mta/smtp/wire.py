"""The wire under one SMTP conversation: octets, TLS, replies, patience and the end of a connection.

What it is: `SmtpWire`, aiosmtpd's protocol class with our reader, our writer and our clock under it. What it
is not: commands (`mta.smtp.connection` is built on it) or rules. Nothing here decides what to answer, but
that a peer was too slow, spoke too early, or has used up our patience.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
import traceback
from collections.abc import Iterable
from typing import Any, ClassVar

import structlog
from aiosmtpd.smtp import SMTP

from core import reply
from core.errors import LocalProtocolError
from mta.rooms import Session
from mta.smtp.door import Door, tls_failure
from mta.smtp.limits import DataPace, ErrorBudget, Patience
from mta.smtp.reader import BLOCK, SmtpReader

log = structlog.get_logger()
SESSION_ID_OCTETS = 8  # ours
FAIR_SHARE = 50  # ours: pipelined commands of one peer before others have their turn
# After these the peer has lost the right to be read.
_ENDS = frozenset({reply.BARE_LINE_END.name, reply.OUT_OF_STEP.name, reply.TOO_MANY_ERRORS.name})


class Ended(Exception):
    """The conversation is over; what had to be said was said."""


class SmtpWire(SMTP):  # type: ignore[misc]  # aiosmtpd carries no types
    """One connection, without its commands."""

    line_length_limit = BLOCK
    _commands: ClassVar[tuple[str, ...]] = ()

    def __init__(self, door: Door, loop: asyncio.AbstractEventLoop, *, is_admitted: bool) -> None:
        super().__init__(None, hostname=door.settings.hostname, loop=loop)
        self._input = SmtpReader(loop)
        # aiosmtpd makes a plain StreamReader; the stream protocol under it is begun again with ours.
        asyncio.StreamReaderProtocol.__init__(
            self, self._input, client_connected_cb=self._cb_client_connected, loop=loop
        )
        self.door = door
        self._is_admitted = is_admitted  # counted in by `ConnectionLimits`, to be counted out by us
        self._settings = door.settings
        self._errors = ErrorBudget(door.settings)
        self._out: list[bytes] = []
        self._waiting_since: float | None = None  # for the peer; None while a room works
        self._in_a_row = 0  # commands of one group
        self._pace: DataPace | None = None  # while a letter is read
        self._is_closing = self._is_lost = self._is_stopping = False
        self.session: Session = Session(
            session_id=secrets.token_hex(SESSION_ID_OCTETS), listener=door.listener, network=""
        )

    def __init_subclass__(cls) -> None:
        cls._commands = tuple(name for name in dir(cls) if name.startswith("smtp_"))

    def __dir__(self) -> Iterable[str]:
        """The commands only: aiosmtpd looks for them with dir(), at each connection, for 0.2 ms otherwise."""
        return self._commands

    # --- the stream protocol -------------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        asyncio.StreamReaderProtocol.connection_made(self, transport)
        self.transport: Any = transport  # asyncio's and uvloop's transports have no common class
        peer = transport.get_extra_info("peername")
        self.session.network = peer[0] if isinstance(peer, tuple) else ""
        self._note_tls()
        self._handler_coroutine = self.loop.create_task(self._handle_client())
        self.door.connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        """See `asyncio.Protocol`. The conversation learns it from its next read; a room at work is not cut."""
        asyncio.StreamReaderProtocol.connection_lost(self, error)
        self._is_closing = self._is_lost = True

    def eof_received(self) -> bool | None:
        """See `asyncio.Protocol`. What was said before the end is still answered, where the transport can."""
        if self._input.is_deaf:
            return False
        answer: bool | None = asyncio.StreamReaderProtocol.eof_received(self)
        return answer

    def _reset_timeout(self, duration: float | None = None) -> None:
        """No timer for each connection: the listener's sweep looks at all of them, see `expire`."""

    async def push(self, status: object) -> None:
        """aiosmtpd writes through this; nothing of it may reach the peer."""
        raise LocalProtocolError("a reply that is not of the table")

    # --- reading and answering -----------------------------------------------------------------------------
    async def _next_line(self) -> bytes:
        """One line with its line end; replies are written when no more commands are waiting (RFC 2920 §3.2)."""
        if not self._input.has_line():
            if self._is_stopping:
                self._put(reply.SHUTTING_DOWN)
                raise Ended
            await self._flush()
            self._waiting_since = self.door.clock.monotonic()
            self._in_a_row = 0
        else:
            self._in_a_row += 1
            if self._in_a_row % FAIR_SHARE == 0:
                await asyncio.sleep(0)  # others have something to say, too
        try:
            line = await self._input.read_line()
        except asyncio.LimitOverrunError as error:
            self._put(reply.LINE_TOO_LONG)
            self._input.go_deaf()
            raise Ended from error
        self._waiting_since = None
        return line

    def _put(self, answer: reply.Reply, detail: str = "") -> None:
        self._out.append(answer.wire(detail))
        self.door.metrics.replied(self.door.listener, answer.name)

    def _write(self) -> None:
        if self._out:
            self._writer.write(b"".join(self._out))
            self._out.clear()

    async def _flush(self) -> None:
        """Write what was put. A peer that does not read is waited for no longer than one that does not write."""
        self._write()
        self._waiting_since = self.door.clock.monotonic()
        await self._writer.drain()
        self._waiting_since = None

    async def _refuse(self, answer: reply.Reply, detail: str = "") -> None:
        """Say no, count it, and end the conversation where the reply says so."""
        self._put(answer, detail)
        self._log("smtp_refused", reply=answer.name, code=answer.code)
        if answer.name in _ENDS:
            self._input.go_deaf()
            raise Ended
        await self._be_patient(self._errors.refused(answer))

    async def _be_patient(self, patience: Patience) -> None:
        if patience is Patience.CLOSE:
            await self._refuse(reply.TOO_MANY_ERRORS)
        if patience is Patience.SLOW_DOWN:
            await self._flush()
            await asyncio.sleep(self._settings.error_delay)

    async def _must_be_silent(self) -> None:
        """Refuse and end when the peer speaks before it may (RFC 2920 §3.1, RFC 5321 §3.1)."""
        if self._input.has_octets():
            await self._refuse(reply.OUT_OF_STEP)

    def _log(self, event: str, **fields: object) -> None:
        log.info(event, session_id=self.session.session_id, listener=self.door.listener.value, **fields)

    def _log_unexpected(self, error: Exception) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
        # The message of a foreign exception may hold an address or a letter: its type and place are enough.
        self._log("smtp_unexpected", error=f"{type(error).__qualname__} {place}")

    # --- TLS -----------------------------------------------------------------------------------------------
    async def _begin_tls(self, context: ssl.SSLContext) -> None:
        """Shake hands. What was written before is sent before; what was read before must be gone already."""
        try:
            await self._writer.start_tls(context, ssl_handshake_timeout=self._settings.handshake_timeout)
        except OSError as error:
            self._log("smtp_tls_failed", reason=tls_failure(error))
            self._is_lost = True
            self.transport.abort()
            raise Ended from error
        self.transport = self._writer.transport
        self._input.change_transport(self.transport)
        self._note_tls()

    def _note_tls(self) -> None:
        # On implicit TLS aiosmtpd knows nothing of it: the transport is asked, then and after STARTTLS.
        tls = self.transport.get_extra_info("ssl_object")
        if tls is None:
            return
        self.session.tls_version = tls.version() or ""
        self.session.tls_cipher = (tls.cipher() or ("",))[0]
        self.session.peer_certificate = tls.getpeercert(binary_form=True) or None

    # --- the end -------------------------------------------------------------------------------------------
    def stop(self) -> None:
        """See `Connection.stop`."""
        self._is_stopping = True
        if self._waiting_since is not None and not self._is_closing:
            self._say_last(reply.SHUTTING_DOWN)

    def expire(self, now: float) -> None:
        """See `Connection.expire` (RFC 5321 §4.5.3.2)."""
        if self._pace is not None:
            if self._pace.is_too_slow(now, self._input.received):
                self._say_last(reply.TIMEOUT)
        elif self._waiting_since is not None and now - self._waiting_since >= self._patience_seconds():
            if self._is_closing:
                self.abort()
            else:
                self._say_last(reply.TIMEOUT)

    def _patience_seconds(self) -> float:
        settings = self._settings
        if self._is_closing:
            return settings.linger if self._input.is_deaf else settings.closing_timeout
        stress = self.door.limits.is_under_stress
        return settings.stress_timeout if stress else settings.command_timeout

    def _say_last(self, answer: reply.Reply) -> None:
        """Say this and close, whatever the conversation is waiting for."""
        self._put(answer)
        self._begin_closing()
        self._write()
        self._writer.close()

    def _begin_closing(self) -> None:
        self._is_closing, self._pace = True, None
        self._waiting_since = self.door.clock.monotonic()

    def abort(self) -> None:
        """See `Connection.abort`."""
        self.transport.abort()
        self._handler_coroutine.cancel()

    async def ended(self) -> None:
        """See `Connection.ended`."""
        await asyncio.wait({self._handler_coroutine})

    async def _close(self) -> None:
        """Give the peer our last words, for a bounded time."""
        if not self._is_closing and not self._is_lost:
            self._begin_closing()
            self._write()
            # A peer in the middle of a sentence is left open for a while, so that it reads the refusal and
            # not a reset; nothing of what it says is kept, and the sweep ends it.
            if not self._input.is_deaf or self._settings.linger <= 0:
                self._writer.close()
        if not self._is_lost:
            await self._writer.wait_closed()
