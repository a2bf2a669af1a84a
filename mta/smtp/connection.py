"""One SMTP conversation: each command of the peer, what it asks of the rooms, and the reply.

What it is: `SmtpConnection`, which overrides the loop and every `smtp_*` command of aiosmtpd, so that each
reply comes from the one table. What it is not: rules; grammar, order, end of data, limits and rights are asked
of `commands`, `session`, `data`, `limits` and `Rooms`. Start at `_converse`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable
from typing import TypeVar

from core import reply
from core.errors import ReplyError
from core.plan import Admission, Refuse
from mta.rooms import Accepted
from mta.smtp import commands, data, extensions, sasl
from mta.smtp.door import Door
from mta.smtp.limits import DataPace
from mta.smtp.reader import BLOCK, StrayLineEnd
from mta.smtp.session import Conversation
from mta.smtp.wire import Ended, SmtpWire

_Answer = TypeVar("_Answer")


class SmtpConnection(SmtpWire):
    """One conversation with one peer."""

    def __init__(self, door: Door, loop: asyncio.AbstractEventLoop, *, is_admitted: bool = True) -> None:
        super().__init__(door, loop, is_admitted=is_admitted)
        self._authentication_failures = 0
        self._octets_taken = 0  # of the memory for large letters, until the letter is accepted or refused
        self.conversation = Conversation(
            listener=door.listener,
            max_message_octets=door.settings.max_message_octets,
            max_recipients=door.settings.max_recipients,
        )

    async def _handle_client(self) -> None:
        """The room's door: whatever happens, one connection ends and no other one learns of it."""
        if self._is_admitted:
            self.door.metrics.connected(self.door.listener)
        try:
            await self._talk()
            await self._close()
        except (OSError, asyncio.CancelledError):
            self.transport.abort()
        finally:
            self.door.connections.discard(self)
            if self._is_admitted:
                self.door.limits.leave(self.session.network)
                self.door.metrics.disconnected(self.door.listener)

    async def _talk(self) -> None:
        try:
            await self._open()
            await self._converse()
        except (Ended, ReplyError, EOFError, OSError):
            pass  # said already, or nobody is there to hear it
        except StrayLineEnd:
            with contextlib.suppress(Ended):
                await self._refuse(reply.BARE_LINE_END)
        except Exception as error:  # noqa: BLE001  # the room's door
            self._log_unexpected(error)
            self._put(reply.LOCAL_ERROR)

    async def _open(self) -> None:
        if not self._is_admitted or self._is_stopping:
            self._put(reply.SHUTTING_DOWN if self._is_stopping else reply.TOO_MANY_CONNECTIONS)
            raise Ended
        self.conversation.is_encrypted = bool(self.session.tls_version)
        await self._must_be_silent()  # RFC 5321 §3.1: the greeting comes first
        self._out.append(extensions.greeting(self._settings.hostname))

    async def _converse(self) -> None:
        while True:
            line = await self._next_line()
            command = commands.parse(line, postmaster=self._settings.postmaster)
            if isinstance(command, reply.Reply):
                self.door.metrics.commanded(self.door.listener, "OTHER")
                await self._refuse(command)
                continue
            self.door.metrics.commanded(self.door.listener, command.VERB)
            await self._be_patient(self._errors.said(command.VERB))
            try:
                refusal = self.conversation.refusal(command)
                if refusal is not None:
                    raise ReplyError(refusal)
                await self._smtp_methods[command.VERB](command)
            except ReplyError as error:
                if isinstance(command, commands.Rcpt):
                    self.conversation.refused_paths += 1
                await self._refuse(error.reply, self._detail_of(error.reply))

    def _detail_of(self, answer: reply.Reply) -> str:
        return str(self._settings.max_message_octets) if answer is reply.TOO_BIG else ""

    async def _asked(self, answer: Awaitable[_Answer]) -> _Answer:
        """What a room says. Raises ReplyError; the unknown is LOCAL_ERROR, its cause goes to the log."""
        try:
            return await answer
        except ReplyError:
            raise
        except Exception as error:
            self._log_unexpected(error)
            raise ReplyError(reply.LOCAL_ERROR) from error

    async def _admitted(self, answer: Awaitable[Admission]) -> None:
        admission = await self._asked(answer)
        if isinstance(admission, Refuse):
            raise ReplyError(admission.reply)

    # --- commands ------------------------------------------------------------------------------------------
    async def smtp_EHLO(self, command: commands.Ehlo) -> None:
        """EHLO: the keywords of this listener at this moment."""
        await self._must_be_silent()  # RFC 2920 §3.1: EHLO is the last of a group
        self.conversation.follow(command)
        self.session.client_name = command.client_name
        offered = extensions.keywords(
            self.door.listener,
            is_encrypted=self.conversation.is_encrypted,
            max_message_octets=self._settings.max_message_octets,
        )
        self._out.append(extensions.extended_hello(self._settings.hostname, offered))

    async def smtp_HELO(self, command: commands.Helo) -> None:
        """HELO: no pipelining was offered, so nothing may follow."""
        await self._must_be_silent()
        self.conversation.follow(command)
        self.session.client_name = command.client_name
        self._out.append(extensions.hello(self._settings.hostname))

    async def smtp_NOOP(self, command: commands.Noop) -> None:
        """NOOP."""
        self._put(reply.OK)

    async def smtp_HELP(self, command: commands.Help) -> None:
        """HELP."""
        self._put(reply.HELP)

    async def smtp_VRFY(self, command: commands.Vrfy) -> None:
        """VRFY: the same answer for everyone (RFC 5321 §7.3)."""
        self._put(reply.VERIFY_NOTHING)

    async def smtp_EXPN(self, command: commands.Expn) -> None:
        """EXPN is not offered: who reads a shared box is nobody's business (RFC 5321 §7.3)."""
        raise ReplyError(reply.NOT_IMPLEMENTED)

    async def smtp_RSET(self, command: commands.Rset) -> None:
        """RSET."""
        self.conversation.follow(command)
        self._put(reply.OK)

    async def smtp_QUIT(self, command: commands.Quit) -> None:
        """QUIT."""
        self._put(reply.CLOSING)
        raise Ended

    async def smtp_STARTTLS(self, command: commands.StartTls) -> None:
        """STARTTLS (RFC 3207): what came in the same segment is forgotten, and so is all that was said."""
        context = self._context()
        await self._flush()
        self._put(reply.START_TLS)
        self._write()
        # Nothing is waited for between here and the moment at which TLS takes the transport, so that no octet
        # in clear can come after this and be read as a command under TLS.
        self._input.discard()  # RFC 3207 §4.2: knowledge from before TLS is discarded
        await self._begin_tls(context)
        self.conversation.follow(command)
        self.session.client_name, self.session.account, self.session.peer = "", None, None

    def _context(self) -> ssl.SSLContext:
        try:
            return self.door.context()
        except Exception as error:
            self._log_unexpected(error)
            raise ReplyError(reply.TLS_NOT_AVAILABLE) from error

    async def smtp_AUTH(self, command: commands.Auth) -> None:
        """AUTH (RFC 4954): all failures go one way and read the same."""
        try:
            credentials = await self._credentials(command)
            await self._asked(
                self.door.rooms.authenticate(self.session, credentials.login, credentials.password)
            )
        except ReplyError as error:
            if error.reply is not reply.LOCAL_ERROR:
                self._authentication_failures += 1
            if self._authentication_failures >= self._settings.max_authentication_failures:
                self._put(error.reply)
                await self._refuse(reply.TOO_MANY_ERRORS)
            raise
        self.conversation.is_authenticated = True
        self._put(reply.AUTHENTICATED)

    async def _credentials(self, command: commands.Auth) -> sasl.Credentials:
        exchange = sasl.MECHANISMS[command.mechanism]()
        step = exchange.begin(command.initial_response)
        while isinstance(step, sasl.Challenge):
            self._out.append(step.wire())
            step = exchange.answer(sasl.response_of(await self._next_line()))
        return step

    async def smtp_MAIL(self, command: commands.Mail) -> None:
        """MAIL FROM: asked of admission."""
        rooms = self.door.rooms
        await self._admitted(
            rooms.admit_originator(self.session, command.reverse_path, command.declared_size)
        )
        self.conversation.follow(command)
        self._put(reply.SENDER_OK)

    async def smtp_RCPT(self, command: commands.Rcpt) -> None:
        """RCPT TO: asked of admission, for each recipient alone."""
        mail, earlier = self.conversation.mail, tuple(self.conversation.paths)
        assert mail is not None
        rooms = self.door.rooms
        await self._admitted(rooms.admit_recipient(self.session, mail.reverse_path, earlier, command.path))
        self.conversation.follow(command)
        self._put(reply.RECIPIENT_OK)

    # --- the letter ----------------------------------------------------------------------------------------
    async def smtp_DATA(self, command: commands.Data) -> None:
        """DATA: the letter whole, then one answer, after it is durable."""
        await self._must_be_silent()  # RFC 2920 §3.1: DATA is the last of a group
        if self._input.at_eof():
            raise Ended
        clock, conversation = self.door.clock, self.conversation
        try:
            assembly = await self._read_letter()
            whole_at = clock.monotonic()
            accepted = await self._accept(assembly)
        finally:
            conversation.follow(command)  # RFC 5321 §4.1.1.4: accepted or not, the transaction is over
            self.door.octets.give_back(self._octets_taken)
            self._octets_taken = 0
        self._errors.letter_accepted()
        self._put(accepted.reply, accepted.spool_id)
        self.door.metrics.received(self.door.listener, assembly.size, clock.monotonic() - whole_at)

    async def _accept(self, assembly: data.LetterAssembly) -> Accepted:
        if assembly.has_long_line:
            raise ReplyError(reply.LINE_TOO_LONG)
        envelope = self.conversation.envelope(is_8bit=assembly.is_8bit)
        return await self._asked(self.door.rooms.accept(self.session, envelope, assembly.letter()))

    async def _read_letter(self) -> data.LetterAssembly:
        """Read to the end of data. Raises ReplyError (too big, no room) once it was seen, or Ended."""
        self._put(reply.START_MAIL_INPUT)
        self._input.begin_letter()
        now = self.door.clock.monotonic()
        self._pace = DataPace(self._settings, started=now, progressed=now)
        assembly = data.LetterAssembly()
        refusal: reply.Reply | None = None
        try:
            await self._flush()
            is_whole = False
            while not is_whole:
                octets, is_whole = await self._input.read_letter_part()
                assembly.add(octets)
                self._end_when_beyond_reason(assembly.size)
                refusal = refusal or self._refusal_of(assembly)
                if refusal is not None:
                    assembly.forget()  # it is read to its end, so that the peer hears why, but not kept
                elif not is_whole:  # small letters are not worth counting
                    refusal = self._take(len(octets))
        finally:
            self._pace = None
        if refusal is not None:
            raise ReplyError(refusal)
        return assembly

    def _take(self, octets: int) -> reply.Reply | None:
        if not self.door.octets.take(octets):
            return reply.STORAGE_FULL
        self._octets_taken += octets
        return None

    def _refusal_of(self, assembly: data.LetterAssembly) -> reply.Reply | None:
        limit = self._settings.max_message_octets
        return reply.TOO_BIG if assembly.size > limit else None  # RFC 1870 §6.2

    def _end_when_beyond_reason(self, size: int) -> None:
        limit = self._settings.max_message_octets
        if size > 2 * limit + BLOCK:  # ours: nobody is that wrong about SIZE by accident
            self._put(reply.TOO_BIG, str(limit))
            self._input.go_deaf()
            raise Ended
