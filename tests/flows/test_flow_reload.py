"""What is replaced on disk while the doors are open: certificates, CRLs, the trust list (threats F19, F20)."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vaguemestre.demo.cast import ANNE, CITY, CITY_DOMAIN, HOSPITAL, PAUL, PAULE, WARD
from vaguemestre.demo.first_letter import mailbox_of, session_of, until
from vaguemestre.demo.mail_clients import Answer, Conversation, letter, operator_client, trusting
from vaguemestre.demo.space import OperatorProcess, Space

Command = Callable[..., str]
WATCH_SECONDS = 12.0  # twice the five seconds of the watch, on a busy machine


def _fingerprint(space: Space, operator: OperatorProcess, door: str) -> str:
    with (
        socket.create_connection(("127.0.0.1", operator.ports[door]), timeout=10) as plain,
        trusting(space.ca).wrap_socket(plain, server_hostname="localhost") as tls,
    ):
        return hashlib.sha256(tls.getpeercert(binary_form=True) or b"").hexdigest()


def _hang_up(operator: OperatorProcess) -> None:
    assert operator.pid is not None
    os.kill(operator.pid, signal.SIGHUP)


def _new_certificate(space: Space, command: Command, out: Path, name: str, subject: str, *hosts: str) -> Path:
    names = [item for host in hosts for item in ("--dns", host)]
    command(
        "simulate", "certificate", "--dir", str(space.folder / "igc"), "--out", str(out), "--name", name,
        "--subject", subject, "--profile", "SSL_SERV", *names,
    )  # fmt: skip
    return out / f"{name}.pem"


@pytest.mark.parametrize("by_signal", [True, False])
def test_a_new_certificate_while_sessions_stay_open(space: Space, command: Command, by_signal: bool) -> None:
    hospital = space.operators["hospital"]
    session, reader = session_of(space, ANNE), mailbox_of(space, WARD)
    reader.imap.send(b"i1 IDLE\r\n")
    assert reader.imap.readline().startswith(b"+")
    before = {door: _fingerprint(space, hospital, door) for door in ("imaps", "submissions")}
    assert len(set(before.values())) == 1
    keys = hospital.folder / "keys"
    _new_certificate(space, command, keys, "operator", HOSPITAL.subject, HOSPITAL.hostname, "localhost")
    if by_signal:
        _hang_up(hospital)
    for door in ("imaps", "submissions"):
        changed = until(lambda d=door: _fingerprint(space, hospital, d) != before[d] or None, WATCH_SECONDS)
        assert changed, f"{door} still shows the old certificate"
    # The sessions of before live on: one sends, the other is told.
    octets = letter(
        ANNE.address, [WARD.address, PAUL.address], subject="x", message_id=f"<c{by_signal}@demo.example>"
    )
    assert session.send(ANNE.address, [WARD.address, PAUL.address], octets).code == 250
    assert b"EXISTS" in reader.imap.readline()
    reader.imap.send(b"DONE\r\n")
    while not (line := reader.imap.readline()).startswith(b"i1 "):
        assert line.startswith(b"* ")
    assert line.startswith(b"i1 OK")
    session.close()
    reader.close()
    inbox = mailbox_of(space, PAUL)  # relayed: the city's door took the new certificate too
    assert until(lambda: inbox.with_id(f"<c{by_signal}@demo.example>"))
    inbox.close()


@pytest.mark.parametrize("by_signal", [True, False])
def test_a_revoked_peer_is_refused_at_the_next_mail(space: Space, command: Command, by_signal: bool) -> None:
    hospital = space.operators["hospital"]
    stolen = _new_certificate(space, command, space.others, f"stolen-{by_signal}", CITY.subject)
    context = operator_client(space.ca, stolen, stolen.with_suffix(".key"))
    talk = Conversation(hospital.ports["relay"], context)

    def mail() -> Answer:
        answer = talk.command(b"MAIL FROM:<%s>" % PAULE.address.encode())
        talk.command(b"RSET")
        return answer

    assert mail().code == 250
    command("simulate", "revoke", "--dir", str(space.folder / "igc"), str(stolen))
    if by_signal:
        _hang_up(hospital)
    refused = until(lambda: ((answer := mail()).code != 250 and answer) or None, WATCH_SECONDS)
    assert refused is not None, "the revoked certificate is still taken"
    assert (refused.code, refused.enhanced) == (550, "5.7.1")
    talk.close()
    good = space.folder / "city" / "keys" / "operator.pem"
    honest = Conversation(hospital.ports["relay"], operator_client(space.ca, good, good.with_suffix(".key")))
    assert honest.command(b"MAIL FROM:<%s>" % PAULE.address.encode()).code == 250
    honest.close()


def _publish(space: Space, *domains_gone: str) -> None:
    """A newer list; its date has whole seconds."""
    from vaguemestre.demo.cast import STRUCTURES

    previous = space.trust_list.stat().st_mtime
    while time.time() < previous + 1.1:
        time.sleep(0.05)
    structures = [
        s for s in (*STRUCTURES, space.operators["other"].structure) if s.domain not in domains_gone
    ]
    space.publish_list(space.trust_list, structures=structures)


def test_a_domain_that_left_the_trust_space(space: Space, command: Command) -> None:
    hospital, city = space.operators["hospital"], space.operators["city"]
    config = str(hospital.config_file)
    city.stop()
    session = session_of(space, ANNE)
    octets = letter(ANNE.address, [PAULE.address], subject="attend", message_id="<parti@demo.example>")
    assert session.send(ANNE.address, [PAULE.address], octets).code == 250

    def at_rcpt() -> Answer:
        session.smtp.mail(ANNE.address)
        answer = Answer.of(session.smtp.rcpt(PAULE.address))
        session.smtp.rset()
        return answer

    try:
        assert at_rcpt().code == 250
        _publish(space, CITY_DOMAIN)
        _hang_up(hospital)
        refused = until(lambda: ((answer := at_rcpt()).code != 250 and answer) or None, WATCH_SECONDS)
        assert refused is not None, "the domain is still taken"
        assert (refused.code, refused.enhanced) == (550, "5.7.1")
        inbox = mailbox_of(space, ANNE)

        def failed() -> bytes | None:
            reports = [octets for octets in inbox.all().values() if b"<parti@demo.example>" in octets]
            return next((octets for octets in reports if b"Action: failed" in octets), None)

        report = until(failed)
        inbox.close()
        assert report is not None, "the author was not told"
        assert b"Status: 5.7.1" in report
        traced = command("trace", "<parti@demo.example>", "--config", config)
        assert "DOMAIN_LEFT_TRUST" in traced, traced
    finally:
        session.close()
        _publish(space)
        _hang_up(hospital)
    assert until(lambda: _taken(space) or None, WATCH_SECONDS), "the domain came back and is still refused"


def _taken(space: Space) -> bool:
    session = session_of(space, ANNE)
    session.smtp.mail(ANNE.address)
    answer = Answer.of(session.smtp.rcpt(PAUL.address))
    session.close()
    return answer.code == 250


def test_a_certificate_without_its_key_changes_nothing(space: Space, command: Command) -> None:
    hospital = space.operators["hospital"]
    keys = hospital.folder / "keys"
    good = (keys / "operator.pem").read_bytes()
    before = _fingerprint(space, hospital, "imaps")
    foreign = _new_certificate(space, command, space.others, "foreign", HOSPITAL.subject, HOSPITAL.hostname)
    try:
        (keys / "operator.pem").write_bytes(foreign.read_bytes())
        offset = (hospital.folder / "log.jsonl").stat().st_size
        _hang_up(hospital)
        log = hospital.folder / "log.jsonl"
        assert until(lambda: b"reload-refused" in log.read_bytes()[offset:] or None, WATCH_SECONDS)
        assert _fingerprint(space, hospital, "imaps") == before
    finally:
        (keys / "operator.pem").write_bytes(good)


def test_the_profile_of_new_connections_stays_after_a_reload(space: Space) -> None:
    hospital = space.operators["hospital"]
    _hang_up(hospital)
    context = trusting(space.ca)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-RSA-CHACHA20-POLY1305")  # good, but not of the profile
    with (
        socket.create_connection(("127.0.0.1", hospital.ports["imaps"]), timeout=10) as plain,
        pytest.raises(ssl.SSLError),
    ):
        context.wrap_socket(plain, server_hostname="localhost")
