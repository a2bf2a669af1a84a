"""Postfix as the other operator, both ways: mutual TLS, octets, DSN parameters, 8 bit, UTF-8, many recipients."""

from __future__ import annotations

import re
import smtplib
import ssl
from email import policy
from email.message import EmailMessage
from typing import Any

import pytest

from vaguemestre.demo.cast import ANNE, CITY_DOMAIN, EHPAD, HOSPITAL_DOMAIN, LABORATORY, PAUL, WARD
from vaguemestre.demo.first_letter import mailbox_of, session_of, until
from vaguemestre.demo.mail_clients import Answer, letter
from vaguemestre.demo.space import OperatorProcess, Space

OUT = f"<{{}}@sortie.{HOSPITAL_DOMAIN}>"
IN = f"<{{}}@entree.{CITY_DOMAIN}>"


def _eight_bit(author: str, recipient: str, message_id: str) -> bytes:
    """8-bit body, odd spacing, a long line, dots: whatever a relay might be tempted to tidy."""
    return (
        f"From: <{author}>\r\nTo:   <{recipient}>\r\nSubject:\t8BITMIME\r\nMessage-ID: {message_id}\r\n"
        "Date: Sat, 21 Nov 2026 10:00:00 +0100\r\nMIME-Version: 1.0\r\n"
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
        "X-Folded: a\r\n  b\r\n\tc\r\n\r\n"
        ".\r\n..\r\n. point\r\nété à l'hôpital \r\n" + "x" * 900 + "\r\n\r\n\r\n-- \r\nfin\r\n"
    ).encode()


def _large(author: str, recipient: str, message_id: str) -> bytes:
    message = EmailMessage(policy=policy.SMTP)
    message["From"], message["To"], message["Subject"] = author, recipient, "image"
    message["Message-ID"], message["Date"] = message_id, "Sat, 21 Nov 2026 10:00:00 +0100"
    message.set_content("voir la pièce jointe\n")
    data = bytes(range(256)) * (14_000)
    message.add_attachment(data, maintype="application", subtype="dicom", filename="image.dcm")
    octets = message.as_bytes()
    assert len(octets) > 4_800_000
    return octets


def _simple(author: str, recipient: str, message_id: str) -> bytes:
    return letter(author, [recipient], subject="été", message_id=message_id, pdf_name="résumé.pdf")


FORMS = {"simple": _simple, "eight-bit": _eight_bit, "large": _large}


def _tail(octets: bytes) -> bytes:
    """A stored letter without the trace fields before its own first field."""
    return octets[re.search(rb"(?m)^From: ", octets).start() :]


# --- ours → Postfix -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("form", FORMS)
def test_postfix_stores_what_our_author_wrote(space: Space, postfix: Any, form: str) -> None:
    message_id = OUT.format(form)
    octets = FORMS[form](ANNE.address, PAUL.address, message_id)
    session = session_of(space, ANNE)
    options = ["BODY=8BITMIME"] if form == "eight-bit" else []
    assert session.send(ANNE.address, [PAUL.address], octets, options).code == 250
    session.close()
    stored = postfix.with_id(message_id)
    assert stored is not None, postfix.log
    # A Maildir has Unix line ends; nothing else may differ.
    assert _tail(stored).replace(b"\n", b"\r\n") == octets


def test_postfix_saw_our_certificate(space: Space, postfix: Any) -> None:
    message_id = OUT.format("certificate")
    session = session_of(space, ANNE)
    octets = _simple(ANNE.address, PAUL.address, message_id)
    assert session.send(ANNE.address, [PAUL.address], octets).code == 250
    session.close()
    assert postfix.with_id(message_id)
    log = postfix.log
    assert re.search(r"Trusted TLS connection established from .*: TLSv1\.[23] with cipher", log), log


def test_what_our_author_asked_reaches_postfix(space: Space, postfix: Any) -> None:
    """Postfix logs ORCPT; its own report of success shows that NOTIFY and ENVID came through."""
    session = session_of(space, ANNE)
    message_id = OUT.format("dsn")
    session.smtp.mail(ANNE.address, ["ENVID=QQ314159+2Bx", "RET=HDRS"])
    session.smtp.rcpt(
        PAUL.address, ["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;dr+2Btest@cabinet.mssante.example"]
    )
    assert session.smtp.data(_simple(ANNE.address, PAUL.address, message_id))[0] == 250
    session.close()
    assert postfix.with_id(message_id)
    inbox = mailbox_of(space, ANNE)

    def report() -> bytes | None:
        found = [octets for octets in inbox.all().values() if b"QQ314159+x" in octets]
        return found[0] if found else None

    told = until(report)
    inbox.close()
    assert told is not None, postfix.log
    assert b"Postfix" in told
    assert b"dr+test@cabinet.mssante.example" in told
    assert b"Action: delivered" in told
    assert b"text/rfc822-headers" in told


def test_our_letter_to_a_hundred_of_their_boxes(space: Space, postfix: Any) -> None:
    message_id = OUT.format("hundred")
    recipients = [f"poste-{number}@{CITY_DOMAIN}" for number in range(100)]
    octets = _simple(ANNE.address, "undisclosed-recipients:;", message_id)
    before = len(postfix.stored())
    session = session_of(space, ANNE)
    assert session.send(ANNE.address, recipients, octets).code == 250
    session.close()

    def all_there() -> bool | None:
        copies = [one for one in postfix.stored() if message_id.encode() in one]
        return True if len(copies) == 100 else None

    assert until(all_there), postfix.log[-3000:]
    assert len(postfix.stored()) >= before + 100


def test_our_smtputf8_letter(space: Space, postfix: Any) -> None:
    message_id = OUT.format("utf8")
    octets = _eight_bit(ANNE.address, f"zoé@{CITY_DOMAIN}", message_id)
    session = session_of(space, ANNE)
    session.smtp.command_encoding = "utf-8"
    session.smtp.ehlo_or_helo_if_needed()
    assert session.smtp.mail(ANNE.address, ["SMTPUTF8", "BODY=8BITMIME"])[0] == 250
    assert session.smtp.docmd(f"RCPT TO:<zoé@{CITY_DOMAIN}>")[0] == 250
    assert session.smtp.data(octets)[0] == 250
    session.close()
    stored = postfix.with_id(message_id)
    assert stored is not None, postfix.log
    assert _tail(stored).replace(b"\n", b"\r\n") == octets
    assert f"zoé@{CITY_DOMAIN}".encode() in stored[: stored.index(b"Subject:")]


# --- Postfix → ours -----------------------------------------------------------------------------------------
def _hand_to_postfix(
    postfix: Any, author: str, recipients: list[str], octets: bytes, **words: list[str]
) -> None:
    with smtplib.SMTP("127.0.0.1", postfix.port, timeout=30) as smtp:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        smtp.starttls(context=context)
        smtp.ehlo("poste.cabinet.mssante.example")
        assert smtp.mail(author, words.get("mail", []))[0] == 250
        for recipient in recipients:
            answer = smtp.rcpt(recipient, words.get("rcpt", []))
            assert answer[0] == 250, answer
        assert smtp.data(octets)[0] == 250


@pytest.mark.parametrize("form", FORMS)
def test_our_box_holds_what_postfix_brought(space: Space, postfix: Any, form: str) -> None:
    message_id = IN.format(form)
    octets = FORMS[form](PAUL.address, WARD.address, message_id)
    words = {"mail": ["BODY=8BITMIME"]} if form == "eight-bit" else {}
    _hand_to_postfix(postfix, PAUL.address, [WARD.address], octets, **words)
    inbox = mailbox_of(space, WARD)
    stored = until(lambda: inbox.with_id(message_id))
    inbox.close()
    assert stored is not None, postfix.log[-3000:]
    assert stored.endswith(octets)
    header = stored[: -len(octets)]
    assert header.startswith(b"Return-Path: <" + PAUL.address.encode() + b">")
    assert b"X-Vaguemestre-Security: transport-only" in header
    log = postfix.log
    assert re.search(r"(Trusted|Verified) TLS connection established to", log), log[-3000:]


def test_a_letter_of_postfix_to_boxes_that_are_and_are_not(space: Space, postfix: Any) -> None:
    """Unknown boxes are refused at RCPT one by one, the others have their letter; Postfix tells its author.

    Nine refusals: after ten the door slows down and after twenty it hangs up, as Postfix's own does.
    """
    message_id = IN.format("mixed")
    real = [ANNE.address, WARD.address, EHPAD.address]
    unknown = [f"inconnu-{number}@{HOSPITAL_DOMAIN}" for number in range(9)]
    octets = _simple(PAUL.address, WARD.address, message_id)
    _hand_to_postfix(postfix, PAUL.address, [*unknown[:5], *real, *unknown[5:]], octets)
    for player in (ANNE, WARD, EHPAD):
        inbox = mailbox_of(space, player)
        assert until(lambda box=inbox: box.message_ids().count(message_id) or None) == 1, postfix.log[-3000:]
        inbox.close()

    def report() -> bytes | None:
        found = [one for one in postfix.stored() if b"Undelivered Mail" in one]
        return next((one for one in found if message_id.encode() in one), None)

    told = until(report)
    assert told is not None
    assert told.count(b"Status: 5.1.1") == 9


def test_what_their_author_asked_is_kept(space: Space, postfix: Any) -> None:
    """ENVID, NOTIFY, ORCPT and RET arrive at our door: our report of success says them."""
    message_id = IN.format("dsn")
    octets = _simple(PAUL.address, LABORATORY.address, message_id)
    _hand_to_postfix(
        postfix, PAUL.address, [LABORATORY.address], octets,
        mail=["ENVID=QQ271828+2By", "RET=HDRS"],
        rcpt=["NOTIFY=SUCCESS", f"ORCPT=rfc822;labo+2Bx@{HOSPITAL_DOMAIN}"],
    )  # fmt: skip

    def report() -> bytes | None:
        found = [one for one in postfix.stored() if b"QQ271828+y" in one]
        return next((one for one in found if b"Vaguemestre" in one), None)

    told = until(report)
    assert told is not None, postfix.log[-3000:]
    assert b"Action: delivered" in told
    assert f"labo+x@{HOSPITAL_DOMAIN}".encode() in told
    assert b"Return-Path: <>" in told
    assert b"text/rfc822-headers" in told


def test_their_smtputf8_letter(space: Space, postfix: Any) -> None:
    message_id = IN.format("utf8")
    octets = _eight_bit(f"zoé@{CITY_DOMAIN}", WARD.address, message_id)
    with smtplib.SMTP("127.0.0.1", postfix.port, timeout=30) as smtp:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        smtp.starttls(context=context)
        smtp.ehlo("poste.cabinet.mssante.example")
        smtp.command_encoding = "utf-8"
        assert smtp.mail(f"zoé@{CITY_DOMAIN}", ["SMTPUTF8", "BODY=8BITMIME"])[0] == 250
        assert smtp.rcpt(WARD.address)[0] == 250
        assert smtp.data(octets)[0] == 250
    inbox = mailbox_of(space, WARD)
    stored = until(lambda: inbox.with_id(message_id))
    inbox.close()
    assert stored is not None, postfix.log[-3000:]
    assert stored.endswith(octets)


def test_postfix_without_the_listed_name_is_refused(
    space: Space, hospital: OperatorProcess, postfix: Any
) -> None:
    """The same Postfix writes as somebody of a domain that is not its own."""
    message_id = IN.format("foreign")
    octets = _simple("x@autre.mssante.example", WARD.address, message_id)
    _hand_to_postfix(postfix, "x@autre.mssante.example", [WARD.address], octets)

    def said() -> Answer | None:
        log = postfix.log
        found = re.search(r"status=bounced \(host 127\.0\.0\.1\S* said: (\d{3}) (5\.7\.1 [^)]*)", log)
        return Answer(int(found[1]), found[2]) if found else None

    refused = until(said)
    assert refused is not None, postfix.log[-3000:]
    assert refused.code == 550
