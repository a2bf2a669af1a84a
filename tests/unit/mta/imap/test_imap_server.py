"""Real sockets, real TLS: imaplib, as every script of a hospital uses it, against the Twisted server."""

from __future__ import annotations

import asyncio
import imaplib
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aioimaplib
import pytest
import trustme
from twisted.internet import ssl as twisted_ssl

from mta.imap.server import ImapFactory, build_imap_factory

ADDRESS, PASSWORD = "paul.test-dune@cabinet.mssante.example", "dunes"
PATIENCE = 5.0


class StaticTls:
    """The `twisted_server` of core.ports.TlsContexts, and the client's context that trusts it."""

    def __init__(self) -> None:
        authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
        certificate = authority.issue_cert("localhost", key_type=trustme.KeyType.ECDSA)
        pem = certificate.private_key_pem.bytes() + certificate.cert_chain_pems[0].bytes()
        self._options = twisted_ssl.PrivateCertificate.loadPEM(pem).options()
        self.client = ssl.create_default_context()
        authority.configure_trust(self.client)
        self.fails = False
        self.asked = 0

    def twisted_server(self) -> Any:
        self.asked += 1
        if self.fails:
            raise OSError("the key cannot be read")
        return self._options


@pytest.fixture(scope="module")
def tls() -> StaticTls:
    return StaticTls()


@asynccontextmanager
async def listening(space: Any, tls: StaticTls, *, implicit: bool) -> AsyncIterator[tuple[ImapFactory, int]]:
    from twisted.internet import reactor

    factory = build_imap_factory(
        settings=space.settings, ports=space.ports, tls=tls, implicit_tls=implicit, shared=space.shared
    )
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    try:
        yield factory, port.getHost().port
    finally:
        await port.stopListening().asFuture(asyncio.get_running_loop())
        await factory.drain(1.0)


def connected(tls: StaticTls, port: int) -> imaplib.IMAP4:
    client = imaplib.IMAP4_SSL("localhost", port, ssl_context=tls.client, timeout=PATIENCE)
    client.login(ADDRESS, PASSWORD)
    return client


async def in_thread(work: Callable[[], Any]) -> Any:
    return await asyncio.to_thread(work)


async def test_imaplib_reads_a_letter_octet_for_octet_on_993(space: Any, tls: StaticTls) -> None:
    letter = b"From: a@cabinet.mssante.example\r\n\r\n" + bytes(range(1, 256)) * 4000
    await space.deliver(letter, prefix=b"Return-Path: <>\r\n")

    def work(port: int) -> Any:
        client = connected(tls, port)
        assert client.select("INBOX") == ("OK", [b"1"])
        assert client.search(None, "UNSEEN") == ("OK", [b"1"])
        read = client.fetch("1", "(BODY[])")[1][0][1]
        assert client.search(None, "SEEN") == ("OK", [b"1"])
        assert client.logout()[0] == "BYE"
        return read

    async with listening(space, tls, implicit=True) as (_, port):
        assert await in_thread(lambda: work(port)) == b"Return-Path: <>\r\n" + letter


async def test_starttls_on_143_then_everything_a_client_does(space: Any, tls: StaticTls) -> None:
    def work(port: int) -> None:
        client = imaplib.IMAP4("localhost", port, timeout=PATIENCE)
        assert "LOGINDISABLED" in client.capabilities
        with pytest.raises(imaplib.IMAP4.error, match="PRIVACYREQUIRED"):
            client.login(ADDRESS, PASSWORD)
        client.starttls(tls.client)
        assert "AUTH=PLAIN" in client.capabilities
        client.authenticate("PLAIN", lambda _: f"\0{ADDRESS}\0{PASSWORD}".encode())
        assert client.create("Sent")[0] == "OK"
        assert client.append("Sent", "(\\Seen)", None, b"Subject: x\r\n\r\nbody\r\n")[0] == "OK"
        assert client.select("Sent") == ("OK", [b"1"])
        assert client.store("1", "+FLAGS", "\\Flagged")[0] == "OK"
        assert client.uid("COPY", "1", "INBOX")[0] == "OK"
        assert client.store("1", "+FLAGS", "\\Deleted")[0] == "OK"
        assert client.expunge() == ("OK", [b"1"])
        assert client.status("INBOX", "(MESSAGES)") == ("OK", [b'"INBOX" (MESSAGES 1)'])
        assert client.close()[0] == "OK"
        assert client.list()[0] == "OK"
        client.logout()

    async with listening(space, tls, implicit=False) as (factory, port):
        await in_thread(lambda: work(port))
        await factory.drain(1.0)
        assert factory.limits.open == 0


async def test_commands_in_clear_behind_starttls_are_never_answered(space: Any, tls: StaticTls) -> None:
    # Threats A4, CVE-2011-0411 and its many children.
    def work(port: int) -> bytes:
        raw = socket.create_connection(("localhost", port), timeout=PATIENCE)
        raw.recv(4096)
        raw.sendall(f"a STARTTLS\r\nb LOGIN {ADDRESS} {PASSWORD}\r\nc NOOP\r\n".encode())
        assert raw.recv(4096) == b"a OK Begin TLS now\r\n"
        secure = tls.client.wrap_socket(raw, server_hostname="localhost")
        secure.sendall(b"d NOOP\r\n")
        with secure:
            return secure.recv(4096)

    async with listening(space, tls, implicit=False) as (_, port):
        # The octets in clear break the handshake, or are dropped; they are never carried out.
        with suppress(ssl.SSLError, ConnectionError):
            assert await in_thread(lambda: work(port)) == b"d OK NOOP completed\r\n"
        assert space.accounts.attempts == []


async def test_a_delivery_wakes_an_idle_client(space: Any, tls: StaticTls) -> None:
    loop = asyncio.get_running_loop()
    idling = asyncio.Event()

    def work(port: int) -> bytes:
        client = connected(tls, port)
        client.select("INBOX")
        client.send(b"i IDLE\r\n")
        assert client.readline() == b"+ idling\r\n"
        loop.call_soon_threadsafe(idling.set)
        told: bytes = client.readline()
        client.send(b"DONE\r\n")
        client.shutdown()
        return told

    async with listening(space, tls, implicit=True) as (_, port):
        reading = asyncio.ensure_future(in_thread(lambda: work(port)))
        await asyncio.wait_for(idling.wait(), PATIENCE)
        await space.deliver()
        assert await reading == b"* 1 EXISTS\r\n"


async def test_too_many_strangers_of_one_network_are_turned_away(make_space: Any, tls: StaticTls) -> None:
    space = make_space(max_unauthenticated_per_network=2)

    def work(port: int) -> list[bytes]:
        clients = [socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) for _ in range(3)]
        said = [client.recv(300) for client in clients]
        for client in clients:
            client.close()
        return said

    async with listening(space, tls, implicit=False) as (factory, port):
        said = await in_thread(lambda: work(port))
        assert [line[:5] for line in said] == [b"* OK ", b"* OK ", b"* BYE"]
        await factory.drain(1.0)
        assert factory.limits.open == 0
        assert factory.limits.enter("127.0.0.1")


async def test_who_logged_in_is_no_stranger_any_more(make_space: Any, tls: StaticTls) -> None:
    space = make_space(max_unauthenticated_per_network=1)

    def work(port: int) -> None:
        clients = [connected(tls, port) for _ in range(3)]
        for client in clients:
            assert client.noop()[0] == "OK"
        for client in clients:
            client.logout()

    async with listening(space, tls, implicit=True) as (_, port):
        await in_thread(lambda: work(port))


async def test_draining_says_goodbye_to_an_idle_client(space: Any, tls: StaticTls) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()

    def work(port: int) -> bytes:
        client = connected(tls, port)
        client.select("INBOX")
        loop.call_soon_threadsafe(ready.set)
        said: bytes = client.readline()
        return said

    async with listening(space, tls, implicit=True) as (factory, port):
        reading = asyncio.ensure_future(in_thread(lambda: work(port)))
        await asyncio.wait_for(ready.wait(), PATIENCE)
        await factory.drain(PATIENCE)
        assert (await reading).startswith(b"* BYE [UNAVAILABLE]")
        assert space.feed.subscribers == 0


async def test_each_connection_asks_for_the_context_of_the_moment(space: Any, tls: StaticTls) -> None:
    def work(port: int) -> None:
        connected(tls, port).logout()

    async with listening(space, tls, implicit=True) as (_, port):
        before = tls.asked
        await in_thread(lambda: work(port))
        await in_thread(lambda: work(port))
        assert tls.asked == before + 2


@pytest.fixture
def broken(tls: StaticTls) -> Iterator[StaticTls]:
    tls.fails = True
    yield tls
    tls.fails = False


async def test_without_a_key_the_connection_ends_and_nothing_is_said_in_clear(
    space: Any, broken: StaticTls
) -> None:
    def work(port: int) -> bytes:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as raw:
                return raw.recv(100)
        except ConnectionError:
            return b""

    async with listening(space, broken, implicit=True) as (_, port):
        assert await in_thread(lambda: work(port)) == b""


async def test_a_client_that_reads_slowly_gets_everything(space: Any, tls: StaticTls) -> None:
    letter = b"Subject: big\r\n\r\n" + b"x" * (6 << 20)
    await space.deliver(letter)

    def work(port: int) -> int:
        client = connected(tls, port)
        client.select("INBOX", readonly=True)
        client.send(b"x FETCH 1 BODY[]\r\n")
        count = 0
        while True:
            piece = client.sock.recv(1 << 16)
            count += len(piece)
            if b"x OK" in piece[-64:]:
                return count

    async with listening(space, tls, implicit=True) as (_, port):
        assert await in_thread(lambda: work(port)) > len(letter)


async def test_a_client_that_reads_nothing_is_cut(make_space: Any, tls: StaticTls) -> None:
    space = make_space(write_seconds=0.05)
    await space.deliver(b"Subject: big\r\n\r\n" + b"x" * (12 << 20))
    loop, gone = asyncio.get_running_loop(), asyncio.Event()

    def work(port: int) -> socket.socket:
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.settimeout(PATIENCE)
        raw.connect(("127.0.0.1", port))
        client = tls.client.wrap_socket(raw, server_hostname="localhost")
        client.recv(300)
        client.sendall(f"a LOGIN {ADDRESS} {PASSWORD}\r\nb EXAMINE INBOX\r\nc FETCH 1 BODY[]\r\n".encode())
        loop.call_soon_threadsafe(gone.set)
        return client

    async with listening(space, tls, implicit=True) as (factory, port):
        client = await in_thread(lambda: work(port))
        async with asyncio.timeout(PATIENCE):
            await factory._gone.wait()
        assert factory.limits.open == 0
        client.close()


async def test_aioimaplib_on_the_same_loop_searches_and_idles(space: Any, tls: StaticTls) -> None:
    await space.deliver_document()
    async with listening(space, tls, implicit=True) as (_, port):
        client = aioimaplib.IMAP4_SSL("localhost", port, timeout=PATIENCE, ssl_context=tls.client)
        await client.wait_hello_from_server()
        assert (await client.login(ADDRESS, PASSWORD)).result == "OK"
        assert (await client.select("INBOX")).lines[0].startswith(b"FLAGS")
        assert (await client.uid_search("SUBJECT short OR SEEN UNSEEN")).lines[0] == b""
        assert (await client.uid_search("FROM rivage")).lines[0] == b"1"
        idle = await client.idle_start(timeout=PATIENCE)
        await space.deliver()
        assert await client.wait_server_push() == [b"2 EXISTS", b"2 RECENT"]
        client.idle_done()
        await asyncio.wait_for(idle, PATIENCE)
        await client.logout()


async def test_a_flood_of_commands_is_answered_whole_and_in_order(space: Any, tls: StaticTls) -> None:
    count = 60_000

    def work(port: int) -> bytes:
        client = connected(tls, port)
        writer = threading.Thread(
            target=lambda: client.send(b"".join(b"%d NOOP\r\n" % n for n in range(count)))
        )
        writer.start()
        said = bytearray()
        while not said.endswith(b"%d OK NOOP completed\r\n" % (count - 1)):
            said += client.sock.recv(1 << 16)
        writer.join()
        return bytes(said)

    async with listening(space, tls, implicit=True) as (_, port):
        said = await in_thread(lambda: work(port))
        assert said == b"".join(b"%d OK NOOP completed\r\n" % n for n in range(count))


async def test_a_drain_cuts_who_does_not_leave(space: Any, tls: StaticTls) -> None:
    await space.deliver(b"Subject: big\r\n\r\n" + b"x" * (12 << 20))

    def work(port: int) -> socket.socket:
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.settimeout(PATIENCE)
        raw.connect(("127.0.0.1", port))
        client = tls.client.wrap_socket(raw, server_hostname="localhost")
        client.recv(300)
        client.sendall(f"a LOGIN {ADDRESS} {PASSWORD}\r\nb EXAMINE INBOX\r\nc FETCH 1 BODY[]\r\n".encode())
        client.recv(10)
        return client

    async with listening(space, tls, implicit=True) as (factory, port):
        client = await in_thread(lambda: work(port))
        await factory.drain(0.05)
        async with asyncio.timeout(PATIENCE):
            await factory._gone.wait()
        assert factory.limits.open == 0
        client.close()
