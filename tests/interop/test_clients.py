"""Mail clients of other hands: swaks writes, imaplib and aioimaplib read, file, search and wait."""

from __future__ import annotations

import asyncio
import imaplib
import re
import ssl
import subprocess
import time
from collections.abc import Iterator

import aioimaplib
import pytest

from vaguemestre.demo.cast import ANNE, EHPAD, LABORATORY, WARD
from vaguemestre.demo.first_letter import mailbox_of, session_of, until
from vaguemestre.demo.mail_clients import letter, trusting
from vaguemestre.demo.space import OperatorProcess, Space


def _swaks(space: Space, *options: str, password: str = "") -> str:
    command = [
        "swaks", "--server", "127.0.0.1", "--auth", "PLAIN", "--auth-user", ANNE.address,
        "--auth-password", password or space.password_of(ANNE), "--from", ANNE.address, "--ehlo",
        "poste.ch-rivage.mssante.example", "--tls-ca-path", str(space.ca), "--timeout", "30", *options,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize(("door", "how"), [("submission", "--tls"), ("submissions", "--tls-on-connect")])
def test_swaks_submits(space: Space, hospital: OperatorProcess, door: str, how: str) -> None:
    message_id = f"<swaks.{door}@demo.example>"
    said = _swaks(
        space, "--port", str(hospital.ports[door]), how, "--to", WARD.address,
        "--header", f"Message-Id: {message_id}", "--body", ".\n..fin",
    )  # fmt: skip
    assert re.search(r"<~\s+250 2\.0\.0 .*Queued as", said), said
    inbox = mailbox_of(space, WARD)
    stored = until(lambda: inbox.with_id(message_id))
    inbox.close()
    assert stored is not None
    assert b"\r\n.\r\n..fin" in stored


def test_swaks_is_refused_without_tls_and_with_a_wrong_password(
    space: Space, hospital: OperatorProcess
) -> None:
    port = str(hospital.ports["submission"])
    said = _swaks(space, "--port", port, "--to", WARD.address)
    assert "*** Host did not advertise authentication" in said, said
    said = _swaks(space, "--port", port, "--tls", "--to", WARD.address, password="faux")
    assert "535 5.7.8" in said, said


@pytest.fixture
def imap(space: Space, hospital: OperatorProcess) -> Iterator[imaplib.IMAP4_SSL]:
    """imaplib, logged in as the EHPAD, whose INBOX the test has for itself."""
    client = imaplib.IMAP4_SSL(
        "127.0.0.1", hospital.ports["imaps"], ssl_context=trusting(space.ca), timeout=30
    )
    client.login(EHPAD.address, space.password_of(EHPAD))
    yield client
    client.logout()


def _octets(name: str) -> bytes:
    return letter(
        EHPAD.address, [EHPAD.address], subject=f"classé {name}", message_id=f"<{name}@demo.example>"
    )


def test_imaplib_files_letters(imap: imaplib.IMAP4_SSL) -> None:
    folder = f"Dossier-{time.monotonic_ns()}"
    assert imap.create(folder)[0] == "OK"
    for name in ("un", "deux", "trois"):
        status, said = imap.append(folder, r"(\Seen)" if name == "un" else None, None, _octets(name))
        assert status == "OK"
        assert b"APPENDUID" in said[0]
    assert imap.select(folder)[1] == [b"3"]
    assert imap.search(None, "UNSEEN")[1] == [b"2 3"]
    assert imap.uid("SEARCH", "HEADER", "Message-ID", "<deux@demo.example>")[1] == [b"2"]
    assert imap.store("2", "+FLAGS", r"(\Flagged $Urgent)")[0] == "OK"
    assert imap.search(None, "FLAGGED", "KEYWORD", "$Urgent")[1] == [b"2"]
    assert imap.fetch("2", "(BODY.PEEK[])")[1][0][1] == _octets("deux")
    partial = imap.fetch("2", "(BODY.PEEK[]<5.20>)")[1][0]
    assert partial[1] == _octets("deux")[5:25]
    assert imap.copy("1:2", "INBOX")[0] == "OK"
    assert imap.uid("MOVE", "3", "Trash")[0] in ("OK", "NO")
    assert imap.store("1", "+FLAGS", r"\Deleted")[0] == "OK"
    assert imap.expunge()[1][-1] == b"1"  # imaplib still holds the answer to MOVE before it
    status, listed = imap.status(folder, "(MESSAGES UIDNEXT)")
    assert status == "OK"
    assert b"UIDNEXT 4" in listed[0]
    assert imap.close()[0] == "OK"
    assert imap.rename(folder, folder + "-b")[0] == "OK"
    assert imap.delete(folder + "-b")[0] == "OK"


def test_a_wrong_command_does_not_end_the_session(imap: imaplib.IMAP4_SSL) -> None:
    imap.select("INBOX")
    with pytest.raises(imaplib.IMAP4.error):
        imap.fetch("1", "(NOTHING)")
    with pytest.raises(imaplib.IMAP4.error):
        imap.search(None, "SINCE", "nonsense")
    assert imap.select("absent")[0] == "NO"
    assert imap.noop()[0] == "OK"


async def test_aioimaplib_waits_in_idle(space: Space, hospital: OperatorProcess) -> None:
    context = ssl.create_default_context(cafile=str(space.ca))
    context.check_hostname = False
    client = aioimaplib.IMAP4_SSL(
        host="127.0.0.1", port=hospital.ports["imaps"], ssl_context=context, timeout=20
    )
    await client.wait_hello_from_server()
    assert (await client.login(LABORATORY.address, space.password_of(LABORATORY))).result == "OK"
    assert (await client.select("INBOX")).result == "OK"
    idle = await client.idle_start(timeout=20)
    octets = letter(ANNE.address, [LABORATORY.address], subject="x", message_id="<idle@demo.example>")
    await asyncio.to_thread(_send, space, octets)
    pushed = await asyncio.wait_for(client.wait_server_push(), 20)
    assert any(b"EXISTS" in line for line in pushed), pushed
    client.idle_done()
    await asyncio.wait_for(idle, 10)
    found = await client.uid_search("ALL")
    last = found.lines[0].split()[-1].decode()
    fetched = await client.uid("fetch", last, "(BODY.PEEK[] ENVELOPE BODYSTRUCTURE FLAGS)")
    assert fetched.result == "OK"
    assert any(b"idle@demo.example" in bytes(line) for line in fetched.lines)
    assert (await client.uid("store", last, r"+FLAGS (\Deleted)")).result == "OK"
    assert (await client.expunge()).result == "OK"
    assert (await client.logout()).result == "OK"


def _send(space: Space, octets: bytes) -> None:
    session = session_of(space, ANNE)
    assert session.send(ANNE.address, [LABORATORY.address], octets).code == 250
    session.close()
