"""The bytes of IMAP: a Twisted protocol that holds no rule, and the factory that wiring builds.

What it is: TLS (at once on 993, after STARTTLS on 143; RFC 8314 §3), connection limits, back-pressure. What it
is not: IMAP; every octet goes to `conversation`. Start at `build_imap_factory`.

    factory = build_imap_factory(settings=..., ports=..., tls=..., implicit_tls=True, shared=shared)
    reactor.listenTCP(993, factory)     # always listenTCP: TLS begins inside, with the context of the moment
    ...
    await factory.drain()               # says BYE to everybody and returns when all are gone
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import structlog
from OpenSSL import SSL
from twisted.internet import interfaces
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from core.errors import GatewayError
from core.ports import TlsContexts
from mta.imap.channel import ImapMetrics, Ports, Shared
from mta.imap.conversation import Conversation
from mta.imap.limits import ConnectionLimits, network_of
from mta.imap.responses import status_text
from mta.imap.session import Session
from mta.imap.settings import Settings

_log = structlog.get_logger()


@implementer(interfaces.IPushProducer)
class ImapProtocol(Protocol):
    """One connection; implements `channel.Channel`."""

    transport: Any  # Twisted's TCP transport, which also knows startTLS

    def __init__(self, factory: ImapFactory) -> None:
        self._factory = factory
        self._network = ""
        self._is_stranger = False
        self._is_counted = False
        self._conversation: Conversation | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_lost = False
        self._cut: asyncio.TimerHandle | None = None
        self._may_write = asyncio.Event()
        self._may_write.set()

    # --- what Twisted tells ---------------------------------------------------------------------------------
    def connectionMade(self) -> None:
        """A client connected: TLS first where it is implicit, then the conversation."""
        self.transport.setTcpNoDelay(True)
        self.transport.setTcpKeepAlive(True)
        peer = self.transport.getPeer()
        self._network = network_of(peer.host) if isinstance(peer, IPv4Address | IPv6Address) else "local"
        if not self._factory.limits.enter(self._network):
            self._refuse()
            return
        self._is_stranger = self._is_counted = True
        self._factory.entered(self)
        if self._factory.implicit_tls:
            try:
                self.start_tls()
            except ConnectionError:
                self.transport.abortConnection()
                return
        self._begin()

    def _refuse(self) -> None:
        if not self._factory.implicit_tls:
            self.transport.write(b"* %b\r\n" % status_text.BYE_CONNECTIONS.wire)
        self.transport.loseConnection()

    def _begin(self) -> None:
        self.transport.registerProducer(self, True)
        session = Session(
            session_id=secrets.token_hex(8),
            network=self._network,
            listener=self._factory.listener,
            is_tls=self._factory.implicit_tls,
            max_message_octets=self._factory.shared.settings.max_message_octets,
        )
        self._conversation = Conversation(self, self._factory.shared, session, self._note_login)
        self._task = asyncio.ensure_future(self._conversation.run())

    def dataReceived(self, data: bytes) -> None:
        """Octets, in clear or out of TLS."""
        if self._conversation is not None:
            self._conversation.receive(data)

    def _note_login(self) -> None:
        if self._is_stranger:
            self._is_stranger = False
            self._factory.limits.known(self._network)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The end, whoever wished it."""
        self._is_lost = True
        self._may_write.set()
        if self._cut is not None:
            self._cut.cancel()
        if self._conversation is not None:
            self._conversation.lost()
        self._note_login()
        if self._is_counted:
            self._is_counted = False
            self._factory.limits.leave()
        self._factory.left(self, self._task)

    # --- back-pressure (IPushProducer: Twisted tells when its buffer is full) ----------------------------
    def pauseProducing(self) -> None:
        """The client does not keep up."""
        self._may_write.clear()

    def resumeProducing(self) -> None:
        """It does again."""
        self._may_write.set()

    def stopProducing(self) -> None:
        """The connection ends."""
        self._may_write.set()

    # --- Channel --------------------------------------------------------------------------------------------
    def write(self, octets: bytes) -> None:
        """See `Channel`."""
        if not self._is_lost:
            self.transport.write(octets)

    async def drain(self) -> None:
        """See `Channel`."""
        if not self._may_write.is_set():
            try:
                async with asyncio.timeout(self._factory.shared.settings.write_seconds):
                    await self._may_write.wait()
            except TimeoutError:
                self.transport.abortConnection()
                raise ConnectionError("the client reads nothing") from None
        if self._is_lost:
            raise ConnectionError("the connection is gone")

    def hold(self, *, held: bool) -> None:
        """See `Channel`."""
        if self._is_lost:
            return
        if held:
            self.transport.pauseProducing()
        else:
            self.transport.resumeProducing()

    def start_tls(self) -> None:
        """See `Channel`: with the context of this moment, so that a renewed certificate is used at once."""
        try:
            context = self._factory.tls.twisted_server()
        except (GatewayError, OSError, SSL.Error) as error:
            _log.error("imap-tls-unavailable", listener=self._factory.listener, error=type(error).__name__)
            raise ConnectionError("TLS is not to be had") from error
        was_producing = self._conversation is not None
        if was_producing:
            self.transport.unregisterProducer()
        self.transport.startTLS(context)
        if was_producing:
            self.transport.registerProducer(self, True)

    def close(self) -> None:
        """See `Channel`."""
        if not self._is_lost:
            self.transport.unregisterProducer()
            self.transport.loseConnection()
            # What was written goes out first; a client that never reads it is not waited for.
            patience = self._factory.shared.settings.write_seconds
            self._cut = asyncio.get_running_loop().call_later(patience, self.transport.abortConnection)

    def end(self) -> None:
        """The server stops: say BYE between two commands."""
        if self._conversation is not None:
            self._conversation.end_for(status_text.BYE_SHUTDOWN)


class ImapFactory(Factory):
    """One listener. Build it with `build_imap_factory`."""

    noisy = False

    def __init__(self, shared: Shared, tls: TlsContexts, *, implicit_tls: bool) -> None:
        self.shared = shared
        self.tls = tls
        self.implicit_tls = implicit_tls
        self.listener = "imaps" if implicit_tls else "imap"
        self.limits = ConnectionLimits(shared.settings)
        self._open: set[ImapProtocol] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._gone = asyncio.Event()
        self._gone.set()

    def buildProtocol(self, addr: Any) -> ImapProtocol:
        """One protocol for each connection."""
        return ImapProtocol(self)

    def entered(self, protocol: ImapProtocol) -> None:
        """A connection was counted in."""
        self._open.add(protocol)
        self._gone.clear()
        self.shared.metrics.connected(self.listener, self.limits.open)

    def left(self, protocol: ImapProtocol, task: asyncio.Task[None] | None) -> None:
        """A connection ended; its conversation may still be putting things in order."""
        self._open.discard(protocol)
        self.shared.metrics.connected(self.listener, self.limits.open)
        if task is not None and not task.done():
            self._tasks.add(task)
            task.add_done_callback(self._settled)
        elif not (self._open or self._tasks):
            self._gone.set()

    def _settled(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not (self._open or self._tasks):
            self._gone.set()

    async def drain(self, seconds: float = 10.0) -> None:
        """Say BYE to everybody and wait until they are gone, at most so long; then cut. Stop listening first."""
        for protocol in list(self._open):
            protocol.end()
        try:
            async with asyncio.timeout(seconds):
                await self._gone.wait()
        except TimeoutError:
            for protocol in list(self._open):
                protocol.transport.abortConnection()
            for task in list(self._tasks):
                task.cancel()


def build_imap_factory(
    *,
    settings: Settings,
    ports: Ports,
    tls: TlsContexts,
    implicit_tls: bool,
    shared: Shared | None = None,
    metrics: ImapMetrics | None = None,
) -> ImapFactory:
    """The factory of one listener: `implicit_tls` for 993, STARTTLS for 143.

    Give both listeners the same `shared` (`Shared.of(settings, ports, metrics)`), so that they share the cache
    of records, the budget of literals and the count of sessions.
    """
    return ImapFactory(shared or Shared.of(settings, ports, metrics), tls, implicit_tls=implicit_tls)
