"""The relay client: one way to another operator, and it is mutual TLS to a certificate that the trust list gives.

What it is: `RelayClient.connect` (connect, STARTTLS, judge the peer) and `RelayConnection.send` (one letter, an
outcome for each recipient). What it is not: where to connect (`mta.delivery.resolver`), when to try again
(`mta.spool.retry`), how many at once (`mta.delivery.relay`). There is no branch here that speaks of a letter
outside TLS: MAIL, RCPT and DATA are written only by `RelayConnection`, which is made only from a verified peer.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiosmtplib
from aiosmtplib.protocol import SMTPProtocol

from core import reply as replies
from core.address import Domain
from core.clock import Clock
from core.errors import PermanentError, TemporaryError
from core.outcome import Deferred, Delivered, Outcome
from core.ports import PeerVerifier, TlsContexts, TrustDirectory, VerifiedPeer
from mta.checkpoints import Checkpoint, Checkpoints, pass_by
from mta.smtp.letter import (
    OutgoingLetter,
    RelayFailure,
    all_of,
    answer_of,
    mail_command,
    outcome_of,
    rcpt_command,
    remote_answer,
    stuffed,
    unable_to_send,
)

CONNECT_TIMEOUT = 30.0  # ours: a next hop that does not take TCP in half a minute is away
TLS_TIMEOUT = 60.0  # ours
GREETING_TIMEOUT = 300.0  # RFC 5321 §4.5.3.2.1
MAIL_TIMEOUT = 300.0  # RFC 5321 §4.5.3.2.2
RCPT_TIMEOUT = 300.0  # RFC 5321 §4.5.3.2.3
DATA_TIMEOUT = 120.0  # RFC 5321 §4.5.3.2.4
END_OF_DATA_TIMEOUT = 600.0  # RFC 5321 §4.5.3.2.6; it runs from the first octet, so it bounds §4.5.3.2.5 too
QUIT_TIMEOUT = 5.0  # ours: politeness has an end
MAX_SLICE = 256 * 1024  # ours: octets written before the loop may turn

Answer = asyncio.Future[aiosmtplib.SMTPResponse]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """How we present ourselves, and how long we wait."""

    host_name: str
    """What EHLO says: the name of this relay."""
    connect_timeout: float = CONNECT_TIMEOUT
    tls_timeout: float = TLS_TIMEOUT
    greeting_timeout: float = GREETING_TIMEOUT
    command_timeout: float = MAIL_TIMEOUT
    end_of_data_timeout: float = END_OF_DATA_TIMEOUT


class RelayClient:
    """Opens verified connections to next hops."""

    def __init__(
        self,
        *,
        tls: TlsContexts,
        verifier: PeerVerifier,
        directory: TrustDirectory,
        clock: Clock,
        settings: ClientSettings,
        checkpoints: Checkpoints = pass_by,
    ) -> None:
        self._tls = tls
        self._verifier = verifier
        self._directory = directory
        self._clock = clock
        self._settings = settings
        self._checkpoints = checkpoints

    async def connect(self, host: str, port: int, domain: Domain) -> RelayConnection:
        """A connection whose peer may receive for this domain. Raises `RelayFailure` with the reply to note."""
        smtp = aiosmtplib.SMTP(
            hostname=host,
            port=port,
            local_hostname=self._settings.host_name,
            start_tls=False,  # STARTTLS is given below, by hand, so that its absence is ours to judge
            timeout=self._settings.greeting_timeout,
        )
        connection = None
        try:
            await smtp.connect(timeout=self._settings.connect_timeout)
            await smtp.ehlo()
            await self._start_tls(smtp, host)
            peer = await self._verify(smtp)
            verified = RelayConnection(smtp, peer, host, self._settings, self._checkpoints)
            self.check_entitled(verified, domain)
            await smtp.ehlo()  # RFC 3207 §4.2: what was said before TLS is forgotten
            connection = verified
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise RelayFailure(replies.PEER_UNREACHABLE, remote_answer(error, host)) from error
        finally:
            if connection is None:
                smtp.close()
        self._checkpoints(Checkpoint.RELAY_CONNECTED)
        return connection

    async def _start_tls(self, smtp: aiosmtplib.SMTP, host: str) -> None:
        # ANS MSSanté: never in clear between operators; RFC 3207 lets a client demand it (§4.1).
        if not smtp.supports_extension("starttls"):
            raise RelayFailure(replies.PEER_WITHOUT_TLS)
        try:
            await smtp.starttls(
                tls_context=self._tls.relay_client(), server_hostname=host, timeout=self._settings.tls_timeout
            )
        except ssl.SSLError as error:
            raise RelayFailure(replies.PEER_NOT_VERIFIED) from error
        except aiosmtplib.SMTPResponseException as error:
            raise RelayFailure(replies.PEER_WITHOUT_TLS, remote_answer(error, host)) from error

    async def _verify(self, smtp: aiosmtplib.SMTP) -> VerifiedPeer:
        session = smtp.get_transport_info("ssl_object")
        certificate = session.getpeercert(binary_form=True) if session is not None else None
        if not certificate:
            raise RelayFailure(replies.PEER_NOT_VERIFIED)
        try:
            return await self._verifier.verify(certificate, self._clock.now())
        except (PermanentError, TemporaryError) as error:
            # Doubt about a peer is never a reason to give up: its certificate may be mended in an hour.
            raise RelayFailure(replies.PEER_NOT_VERIFIED) from error

    def check_entitled(self, connection: RelayConnection, domain: Domain) -> None:
        """Raise `RelayFailure` unless the list in force gives this domain to the connection's peer."""
        # ANS liste blanche, DNCertificatOperateur: the name in the list decides, not the host's name.
        if connection.peer.subject not in self._directory.names_of(domain):
            raise RelayFailure(replies.PEER_NOT_VERIFIED)


class RelayConnection:
    """A verified conversation with a next hop. Not to be shared by two letters at the same time."""

    def __init__(
        self,
        smtp: aiosmtplib.SMTP,
        peer: VerifiedPeer,
        host: str,
        settings: ClientSettings,
        checkpoints: Checkpoints,
    ) -> None:
        self._smtp = smtp
        self.peer = peer
        self.host = host
        self.letters = 0
        """Letters offered so far on this connection."""
        self.data_begun = False
        """Whether the last letter's octets were begun: then the peer may have it, whatever it answered."""
        self._settings = settings
        self._checkpoints = checkpoints
        session = smtp.get_transport_info("ssl_object")
        self.tls_version: str = session.version() or ""
        self.tls_cipher: str = session.cipher()[0]

    @property
    def is_open(self) -> bool:
        """Whether another letter may be offered."""
        return self._smtp.is_connected

    @property
    def offers_dsn(self) -> bool:
        """Whether the peer takes RFC 3461 over."""
        return self._smtp.supports_extension("dsn")

    async def send(self, letter: OutgoingLetter) -> dict[int, Outcome]:
        """Offer one letter; an outcome for each of its recipients. Never raises but for cancellation and bugs."""
        self.letters += 1
        self.data_begun = False
        unable = unable_to_send(letter, self._smtp.esmtp_extensions)
        if unable is not None:
            return all_of(letter, unable)
        outcomes: dict[int, Outcome] = {}
        is_over = False
        try:
            await self._converse(letter, outcomes)
            is_over = True
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            # Nothing is known of those without an answer: they wait (RFC 5321 §4.5.4.1).
            lost = Deferred(replies.PEER_UNREACHABLE, remote_answer(error, self.host))
            return {path.index: outcomes.get(path.index, lost) for path in letter.recipients}
        finally:
            if not is_over:
                self.close()
        return outcomes

    async def _converse(self, letter: OutgoingLetter, outcomes: dict[int, Outcome]) -> None:
        extensions = self._smtp.esmtp_extensions
        mail = await self._command(mail_command(letter, extensions), MAIL_TIMEOUT)
        if not _is_success(mail):
            outcomes.update(all_of(letter, outcome_of(mail, self.host)))
            return await self._reset()
        accepted = []
        for recipient in letter.recipients:
            answer = await self._command(rcpt_command(recipient.path, extensions), RCPT_TIMEOUT)
            if _is_success(answer):
                accepted.append(recipient.index)
            else:
                outcomes[recipient.index] = outcome_of(answer, self.host, at_rcpt=True)
        if not accepted:
            return await self._reset()
        final = await self._data(letter.octets)
        if _is_success(final):
            self._checkpoints(Checkpoint.RELAY_ANSWERED)
            outcome: Outcome = Delivered(replies.RELAYED, answer_of(final, self.host))
        else:
            outcome = outcome_of(final, self.host)
        outcomes.update(dict.fromkeys(accepted, outcome))
        return None

    async def _command(self, words: Sequence[bytes], timeout: float) -> tuple[int, str]:
        limit = min(timeout, self._settings.command_timeout)
        response = await self._smtp.execute_command(*words, timeout=limit)
        return response.code, response.message

    async def _data(self, octets: bytes) -> tuple[int, str]:
        """DATA, the octets as they are (dot-stuffed), and the answer to their end."""
        start = await self._command((b"DATA",), DATA_TIMEOUT)
        if start[0] != 354:
            return start if start[0] >= 400 else (451, "")  # RFC 5321 §4.2: any other answer is none
        protocol = self._smtp.protocol
        if protocol is None:
            raise aiosmtplib.SMTPServerDisconnected("Connection lost")
        self.data_begun = True
        answer = asyncio.ensure_future(protocol.read_response(timeout=self._settings.end_of_data_timeout))
        try:
            is_whole = await self._write(protocol, octets, answer)
            response = await answer
        finally:
            answer.cancel()
            del answer  # its error's traceback holds this frame; both would stay, and the letter with them
        if is_whole:
            return response.code, response.message
        # An answer before the end: the letter is not taken, and what is said next would be read as its rest.
        self.close()
        return (response.code, response.message) if response.code >= 400 else (451, "")

    async def _write(self, protocol: SMTPProtocol, octets: bytes, answer: Answer) -> bool:
        """The octets and their end, no faster than the peer takes them. Whether all of it was written."""
        for lines in stuffed(octets, MAX_SLICE):
            await asyncio.sleep(0)  # lets the reader be ready, and other letters go on
            if answer.done():
                return False
            protocol.write(lines)
            await _taken(protocol, answer)
        self._checkpoints(Checkpoint.RELAY_DATA_SENT)
        return True

    async def _reset(self) -> None:
        if self.is_open:
            await self._command((b"RSET",), MAIL_TIMEOUT)

    async def quit(self) -> None:
        """Say goodbye and close; a peer that does not answer is left."""
        try:
            await self._smtp.quit(timeout=QUIT_TIMEOUT)
        except (aiosmtplib.SMTPException, OSError):
            pass
        finally:
            self.close()

    def close(self) -> None:
        """Close without a word."""
        self._smtp.close()


async def _taken(protocol: SMTPProtocol, answer: Answer) -> None:
    """Return when the transport wants more, or when there is an answer already."""
    # What StreamWriter.drain() awaits; a StreamWriter of our own would close the connection when it goes.
    wants_more = asyncio.ensure_future(protocol._drain_helper())
    either: set[asyncio.Future[Any]] = {wants_more, answer}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    wants_more.cancel()
    await asyncio.gather(wants_more, return_exceptions=True)  # a broken connection is what `answer` tells


def _is_success(answer: tuple[int, str]) -> bool:
    return 200 <= answer[0] <= 299  # RFC 5321 §4.2.1: the first digit decides
