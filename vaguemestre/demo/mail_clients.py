"""What a stranger's client would do: smtplib, imaplib and raw SMTP lines over TLS, on loopback.

What it is: thin wrappers that give back exact codes and texts. What it is not: checks.
"""

from __future__ import annotations

import imaplib
import re
import smtplib
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage
from pathlib import Path

HOST = "127.0.0.1"
PATIENCE = 30.0  # seconds a client of the demo waits for an answer
PDF = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """An SMTP answer: code, enhanced code, text."""

    code: int
    text: str

    @property
    def enhanced(self) -> str:
        """`5.7.1`, or empty."""
        found = re.match(r"\d\.\d{1,3}\.\d{1,3}", self.text)
        return found.group() if found else ""

    def __str__(self) -> str:
        return f"{self.code} {self.text}"

    @classmethod
    def of(cls, answer: tuple[int, bytes]) -> Answer:
        """From smtplib's pair."""
        return cls(answer[0], answer[1].decode("ascii", "replace"))


def trusting(ca: Path) -> ssl.SSLContext:
    """A client that trusts the demo's authority; names are not compared, everything is on loopback."""
    context = ssl.create_default_context(cafile=str(ca))
    context.check_hostname = False
    return context


def operator_client(ca: Path, certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    """Another operator's relay, with or without its certificate."""
    context = trusting(ca)
    if certificate is not None:
        context.load_cert_chain(str(certificate), str(key))
    return context


def letter(
    author: str, recipients: Sequence[str], *, subject: str, message_id: str, pdf_name: str = ""
) -> bytes:
    """A letter with accents, as a mail client writes it; CRLF line ends."""
    message = EmailMessage(policy=policy.SMTP)
    message["From"] = author
    message["To"] = ", ".join(recipients)
    message["Subject"] = subject
    message["Message-ID"] = message_id
    message["Date"] = "Sat, 21 Nov 2026 10:00:00 +0100"
    message.set_content(
        "Chère consœur, cher confrère,\n\nVoici le compte rendu de l'été à Brest.\n\nBien à vous\n"
    )
    if pdf_name:
        message.add_attachment(PDF, maintype="application", subtype="pdf", filename=pdf_name)
    return message.as_bytes()


class Submission:
    """A logged-in submission session."""

    def __init__(self, port: int, ca: Path, login: str, password: str, *, starttls: bool = False) -> None:
        context = trusting(ca)
        self.smtp: smtplib.SMTP
        if starttls:
            self.smtp = smtplib.SMTP(HOST, port, timeout=PATIENCE)
            self.smtp.starttls(context=context)
        else:
            self.smtp = smtplib.SMTP_SSL(HOST, port, context=context, timeout=PATIENCE)
        self.smtp.login(login, password)

    def send(
        self, author: str, recipients: Sequence[str], octets: bytes, options: Sequence[str] = ()
    ) -> Answer:
        """MAIL, RCPT, DATA; the first refusal or the last answer."""
        answer = Answer.of(self.smtp.mail(author, options))
        if answer.code != 250:
            return answer
        for recipient in recipients:
            answer = Answer.of(self.smtp.rcpt(recipient))
            if answer.code != 250:
                self.smtp.rset()
                return answer
        return Answer.of(self.smtp.data(octets))

    def close(self) -> None:
        """QUIT, or simply leave."""
        try:
            self.smtp.quit()
        except (smtplib.SMTPException, OSError):
            self.smtp.close()


class Conversation:
    """Raw lines over TLS after STARTTLS: what smtplib would never send."""

    def __init__(self, port: int, context: ssl.SSLContext, *, starttls: bool = True) -> None:
        self._socket = socket.create_connection((HOST, port), timeout=PATIENCE)
        if starttls:
            self._file = self._socket.makefile("rb")
            self.answer()
            self.command(b"EHLO mss.autre.mssante.example")
            self.command(b"STARTTLS")
            self._file.close()
            self._socket = context.wrap_socket(self._socket, server_hostname="localhost")
            self._file = self._socket.makefile("rb")
        else:
            self._socket = context.wrap_socket(self._socket, server_hostname="localhost")
            self._file = self._socket.makefile("rb")
            self.answer()
        self.command(b"EHLO mss.autre.mssante.example")

    def write(self, octets: bytes) -> None:
        """These octets, exactly."""
        self._socket.sendall(octets)

    def answer(self) -> Answer:
        """One answer, all its lines."""
        lines = []
        while True:
            line = self._file.readline(2048)
            if not line:
                return Answer(0, "the connection was closed")
            lines.append(line[4:].decode("ascii", "replace").strip())
            if line[3:4] != b"-":
                return Answer(int(line[:3]), " ".join(lines))

    def command(self, line: bytes) -> Answer:
        """One line, one answer."""
        self.write(line + b"\r\n")
        return self.answer()

    def close(self) -> None:
        """Leave without a word."""
        self._file.close()
        self._socket.close()


class Mailbox:
    """An IMAP session on 993."""

    def __init__(self, port: int, ca: Path, login: str, password: str) -> None:
        self.imap = imaplib.IMAP4_SSL(HOST, port, ssl_context=trusting(ca), timeout=PATIENCE)
        self.imap.login(login, password)
        self.imap.select("INBOX")

    def all(self) -> dict[int, bytes]:
        """UID → whole message."""
        self.imap.noop()
        _, found = self.imap.uid("SEARCH", "ALL")
        uids = (found[0] or b"").split()
        if not uids:
            return {}
        _, data = self.imap.uid("FETCH", b",".join(uids).decode(), "(UID BODY.PEEK[])")
        messages: dict[int, bytes] = {}
        for item in data:
            if isinstance(item, tuple):
                uid = re.search(rb"UID (\d+)", item[0])
                if uid:
                    messages[int(uid.group(1))] = item[1]
        return messages

    def message_ids(self) -> list[str]:
        """The Message-ID of every message, in the order of UIDs, repeats included."""
        self.imap.noop()
        _, data = self.imap.uid("FETCH", "1:*", "(UID BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")
        found = []
        for item in data:
            if isinstance(item, tuple):
                match = re.search(rb"<[^>]+>", item[1])
                found.append(match.group().decode() if match else "")
        return found

    def with_id(self, message_id: str) -> bytes | None:
        """The message of that id."""
        for octets in self.all().values():
            if message_id.encode() in octets.split(b"\r\n\r\n", 1)[0]:
                return octets
        return None

    def close(self) -> None:
        """LOGOUT."""
        try:
            self.imap.logout()
        except (imaplib.IMAP4.error, OSError):
            self.imap.shutdown()
