"""Real sockets and real TLS: three listeners, smtplib in a thread, the loop of the product (uvloop) and asyncio's."""

from __future__ import annotations

import asyncio
import errno
import smtplib
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import trustme
import uvloop
from structlog.testing import capture_logs

from core.clock import SystemClock
from core.testing.rooms import ScriptedRooms
from mta.rooms import Listener
from mta.smtp import server
from mta.smtp.door import Door
from mta.smtp.server import Running, listen
from mta.smtp.settings import SmtpSettings

ANNE = "anne.test-rivage@ch-rivage.mssante.example"
PAUL = "paul.test-dune@cabinet.mssante.example"
HOSTNAME = "mss.ch-rivage.mssante.example"
LETTER = b"Subject: Lettre\r\n\r\n.Bonjour\r\n"
AUTHORITY = trustme.CA(key_type=trustme.KeyType.ECDSA)
STRANGER = trustme.CA(key_type=trustme.KeyType.ECDSA)
PEER = AUTHORITY.issue_cert("mss.cabinet.mssante.example")


class Contexts:
    """Implements `core.ports.TlsContexts`; `renew` takes a new certificate, as a reload does."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        certificate = AUTHORITY.issue_cert(HOSTNAME, "127.0.0.1")
        self._submission, self._relay = (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for _ in range(2))
        for context in (self._submission, self._relay):
            certificate.configure_cert(context)
        AUTHORITY.configure_trust(self._relay)
        self._relay.verify_mode = ssl.CERT_OPTIONAL

    def submission_server(self) -> ssl.SSLContext:
        return self._submission

    def relay_server(self) -> ssl.SSLContext:
        return self._relay

    def relay_client(self) -> ssl.SSLContext:
        return client_context(PEER)

    def twisted_server(self) -> Any:
        raise AssertionError("not asked for by SMTP")


def client_context(certificate: trustme.LeafCert | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    if certificate is not None:
        certificate.configure_cert(context)
    return context


async def listening(listener: Listener, rooms: ScriptedRooms, contexts: Contexts, **changes: Any) -> Running:
    settings = SmtpSettings(hostname=HOSTNAME, **{"linger": 0.0, **changes})
    door = Door(listener=listener, rooms=rooms, tls=contexts, clock=SystemClock(), settings=settings)
    return await listen(door, "127.0.0.1", 0)


def with_client(
    listener: Listener,
    talk: Callable[[int, ScriptedRooms], None],
    loop_factory: Callable[[], Any],
    **changes: Any,
) -> ScriptedRooms:
    """Run a listener on a loop of its own and a blocking client in a thread beside it."""
    rooms = ScriptedRooms(passwords={ANNE: b"secret"})

    async def both() -> None:
        running = await listening(listener, rooms, Contexts(), **changes)
        try:
            await asyncio.wait_for(asyncio.to_thread(talk, running.port, rooms), 20)
        finally:
            await running.close(grace=2)
            assert running.connections == 0

    def run() -> None:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(both())

    with ThreadPoolExecutor(1) as pool:  # the main thread has the loop of the other tests
        pool.submit(run).result(30)
    return rooms


LOOPS = pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])


@LOOPS
def test_a_mail_client_on_465(loop_factory: Callable[[], Any]) -> None:
    def talk(port: int, rooms: ScriptedRooms) -> None:
        with smtplib.SMTP_SSL("127.0.0.1", port, context=client_context(), timeout=10) as client:
            client.login(ANNE, "secret")
            for _ in range(2):
                assert client.sendmail(ANNE, [PAUL], LETTER, mail_options=["BODY=8BITMIME"]) == {}

    rooms = with_client(Listener.SUBMISSIONS, talk, loop_factory)
    assert [letter.octets for letter in rooms.letters] == [LETTER, LETTER]
    session = rooms.sessions[0]
    assert session.tls_version == "TLSv1.3"
    assert session.peer_certificate is None
    assert session.account is not None


@LOOPS
def test_a_mail_client_on_587(loop_factory: Callable[[], Any]) -> None:
    def talk(port: int, rooms: ScriptedRooms) -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
            client.ehlo()
            assert not client.has_extn("auth")
            client.starttls(context=client_context())
            client.ehlo()
            assert not client.has_extn("starttls")
            with pytest.raises(smtplib.SMTPAuthenticationError):
                client.login(ANNE, "wrong")
            client.login(ANNE, "secret")
            large = LETTER + (b"x" * 76 + b"\r\n") * 20_000
            client.sendmail(ANNE, [PAUL], large)

    rooms = with_client(Listener.SUBMISSION, talk, loop_factory)
    assert rooms.letters[0].octets == LETTER + (b"x" * 76 + b"\r\n") * 20_000


@LOOPS
def test_another_operator_on_25(loop_factory: Callable[[], Any]) -> None:
    def talk(port: int, rooms: ScriptedRooms) -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
            client.starttls(context=client_context())
            assert client.docmd(f"MAIL FROM:<{PAUL}>")[0] == 503  # EHLO again first
            client.ehlo()
            assert client.mail(PAUL)[0] == 530
        with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
            client.starttls(context=client_context(PEER))
            client.sendmail(PAUL, [ANNE], LETTER)

    rooms = with_client(Listener.RELAY, talk, loop_factory)
    certificate = rooms.sessions[-1].peer_certificate
    assert certificate == ssl.PEM_cert_to_DER_cert(PEER.cert_chain_pems[0].bytes().decode())
    assert rooms.letters[0].octets == LETTER


@LOOPS
def test_a_certificate_of_a_strange_authority_gets_no_conversation(loop_factory: Callable[[], Any]) -> None:
    def talk(port: int, rooms: ScriptedRooms) -> None:
        stranger = STRANGER.issue_cert("mss.cabinet.mssante.example")
        with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
            client.ehlo()
            with pytest.raises((OSError, smtplib.SMTPServerDisconnected)):
                say_hello_under_tls(client, client_context(stranger))

    with capture_logs() as logs:
        assert with_client(Listener.RELAY, talk, loop_factory).sessions == []
    reasons = [entry["reason"] for entry in logs if entry["event"] == "smtp_tls_failed"]
    assert reasons == ["unable to get local issuer certificate"]


def say_hello_under_tls(client: smtplib.SMTP, context: ssl.SSLContext) -> None:
    client.starttls(context=context)  # in TLS 1.3 the client learns of its refusal with its next read
    client.ehlo()


@LOOPS
def test_a_command_behind_starttls_is_never_heard(loop_factory: Callable[[], Any]) -> None:
    def talk(port: int, rooms: ScriptedRooms) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
            heard = plain.makefile("rb")
            heard.readline()
            plain.sendall(b"EHLO poste.example\r\n")
            while heard.readline()[3:4] == b"-":
                pass
            plain.sendall(b"STARTTLS\r\nEHLO poste.example\r\nMAIL FROM:<>\r\nRSET\r\n")
            assert heard.readline().startswith(b"220")
            with client_context(PEER).wrap_socket(plain, server_hostname="127.0.0.1") as secure:
                secure.sendall(b"NOOP\r\nMAIL FROM:<>\r\nQUIT\r\n")
                answers = secure.makefile("rb").read().split(b"\r\n")
        assert [answer[:3] for answer in answers] == [b"250", b"503", b"221", b""]

    assert with_client(Listener.RELAY, talk, loop_factory).sessions == []


@LOOPS
def test_plain_words_on_a_tls_port_are_cut(loop_factory: Callable[[], Any]) -> None:
    def talk(port: int, rooms: ScriptedRooms) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
            plain.sendall(b"EHLO poste.example\r\n")
            assert b"250" not in read_all(plain)

    with_client(Listener.SUBMISSIONS, talk, loop_factory)


def read_all(plain: socket.socket) -> bytes:
    heard = b""
    try:
        while more := plain.recv(4096):
            heard += more
    except ConnectionResetError:
        pass
    return heard


@LOOPS
@pytest.mark.parametrize("listener", [Listener.SUBMISSIONS, Listener.SUBMISSION])
def test_a_handshake_has_a_time(listener: Listener, loop_factory: Callable[[], Any]) -> None:
    def talk(port: int, rooms: ScriptedRooms) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
            if listener is Listener.SUBMISSION:
                plain.recv(4096)
                plain.sendall(b"EHLO poste.example\r\n")
                plain.recv(4096)
                plain.sendall(b"STARTTLS\r\n")
                plain.recv(4096)
            assert read_all(plain) == b""

    with_client(listener, talk, loop_factory, handshake_timeout=0.05)


@LOOPS
def test_too_many_connections_cost_no_handshake(loop_factory: Callable[[], Any]) -> None:
    def talk(port: int, rooms: ScriptedRooms) -> None:
        with (
            smtplib.SMTP_SSL("127.0.0.1", port, context=client_context(), timeout=10),
            socket.create_connection(("127.0.0.1", port), timeout=10) as second,
        ):
            assert read_all(second) == b""
        with smtplib.SMTP_SSL("127.0.0.1", port, context=client_context(), timeout=10) as third:
            assert third.noop()[0] == 250

    with_client(Listener.SUBMISSIONS, talk, loop_factory, max_connections_per_network=1)


async def test_a_renewed_certificate_is_shown_to_the_next_connection() -> None:
    contexts = Contexts()
    shown = []
    for listener in (Listener.SUBMISSIONS,):
        running = await listening(listener, ScriptedRooms(), contexts)
        for _ in range(2):
            reader, writer = await secure_connection(running.port)
            shown.append(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
            assert (await reader.readline()).startswith(b"220")
            writer.close()
            contexts.renew()
        await running.close(grace=2)
    assert shown[0] != shown[1]


async def test_closing_waits_for_the_letter_under_way_and_cuts_the_rest() -> None:
    gate = asyncio.Event()
    rooms = ScriptedRooms(passwords={ANNE: b"secret"}, gate=gate)
    running = await listening(Listener.SUBMISSIONS, rooms, Contexts())
    reader, writer = await secure_connection(running.port)
    lines = f"EHLO a|AUTH LOGIN|{b64(ANNE)}|{b64('secret')}|MAIL FROM:<{ANNE}>|RCPT TO:<{PAUL}>|DATA".split(
        "|"
    )
    await answer_of(reader)
    for line in lines:
        writer.write(line.encode() + b"\r\n")
        last = await answer_of(reader)
    assert last.startswith(b"354")
    writer.write(LETTER + b".\r\n")
    closing = asyncio.ensure_future(running.close(grace=5))
    await asyncio.sleep(0)
    gate.set()
    assert (await answer_of(reader)).startswith(b"250 2.0.0")
    assert (await answer_of(reader)).startswith(b"421 4.3.2")
    assert await reader.read() == b""
    writer.close()
    await asyncio.wait_for(closing, 5)
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", running.port)


async def test_closing_does_not_wait_for_ever() -> None:
    rooms = ScriptedRooms(gate=asyncio.Event())
    running = await listening(Listener.RELAY, rooms, Contexts())
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    await answer_of(reader)
    writer.write(b"EHLO a\r\nSTART")  # half a command: it waits for us, we do not wait for it
    await asyncio.wait_for(running.close(grace=0.2), 5)
    assert running.connections == 0
    writer.close()


async def heard_in_clear(port: int, said: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(said)
    try:
        return await asyncio.wait_for(reader.read(), 5)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def test_a_tls_port_gives_its_place_back_after_a_failed_handshake() -> None:
    running = await listening(
        Listener.SUBMISSIONS, ScriptedRooms(), Contexts(), max_connections_per_network=1
    )
    with capture_logs() as logs:
        for _ in range(3):
            assert b"220" not in await heard_in_clear(running.port, b"EHLO poste.example\r\n")
    assert [entry["event"] for entry in logs] == ["smtp_tls_failed"] * 3
    assert all(set(entry) == {"event", "listener", "reason", "log_level"} for entry in logs)
    reader, writer = await secure_connection(running.port)
    assert (await answer_of(reader)).startswith(b"220")
    assert await heard_in_clear(running.port, b"") == b""  # no place left: not even a handshake
    assert len(logs) == 3
    writer.close()
    await running.close(grace=2)


async def test_closing_ends_a_handshake_that_is_under_way() -> None:
    running = await listening(Listener.SUBMISSIONS, ScriptedRooms(), Contexts())
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    reached = asyncio.ensure_future(reader.read())
    await asyncio.sleep(0)
    await running.close(grace=2)
    await asyncio.wait({reached}, timeout=5)
    assert reached.done()
    assert reached.exception() is not None or reached.result() == b""
    writer.close()


async def test_no_descriptor_left_is_a_pause_and_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "ACCEPT_PAUSE", 0)
    loop, failures = asyncio.get_running_loop(), [OSError(errno.EMFILE, "too many open files")]
    accept = loop.sock_accept

    async def accept_or_fail(listening_socket: socket.socket) -> Any:
        if failures:
            raise failures.pop()
        return await accept(listening_socket)

    monkeypatch.setattr(loop, "sock_accept", accept_or_fail)
    with capture_logs() as logs:
        running = await listening(Listener.RELAY, ScriptedRooms(), Contexts())
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        assert (await answer_of(reader)).startswith(b"220")
    assert [(entry["event"], entry["error"]) for entry in logs] == [("smtp_accept_failed", str(errno.EMFILE))]
    writer.close()
    await running.close(grace=2)


async def test_the_sweep_goes_on_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "SWEEP_SECONDS", 0.005)
    running = await listening(Listener.RELAY, ScriptedRooms(), Contexts(), command_timeout=0.01)
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    assert (await answer_of(reader)).startswith(b"220")
    assert (await answer_of(reader)).startswith(b"421 4.4.2")
    writer.close()
    await running.close(grace=2)


async def secure_connection(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port, ssl=client_context(), server_hostname="127.0.0.1")


async def answer_of(reader: asyncio.StreamReader) -> bytes:
    line = await asyncio.wait_for(reader.readline(), 5)
    while line[3:4] == b"-":
        line = await reader.readline()
    return line


def b64(text: str) -> str:
    import base64

    return base64.b64encode(text.encode()).decode()
