"""The letters of the benchmark: 10 kB of French clinical prose, quoted-printable, ready to be sent.

What it is: pure construction of octets; every letter differs in its Message-ID and Subject, so nothing can be
answered from a cache of identical letters. What it is not: a MIME library; the letters are written as a mail
client writes them. Nobody in them exists.
"""

from __future__ import annotations

import quopri
from base64 import b64encode
from dataclasses import dataclass

LETTER_SIZE = 10_240  # octets, the "10 kB" of every row
TOKEN_WIDTH = 16  # hexadecimal digits that make each letter unique

_PARAGRAPH = (
    "Cher confrère, je vous remercie de m'avoir adressé ce patient pour un avis spécialisé. L'examen clinique "
    "est rassurant : tension artérielle à 128/74 mmHg, fréquence cardiaque régulière à 68 battements par "
    "minute, auscultation pulmonaire claire, absence d'œdème des membres inférieurs. Le bilan biologique "
    "montre une créatininémie à 82 µmol/l, une kaliémie à 4,1 mmol/l et une hémoglobine glyquée à 6,3 %. "
    "L'échographie retrouve une fraction d'éjection conservée, évaluée à 62 %. Je propose de poursuivre le "
    "traitement à l'identique et de revoir le patient à trois mois, plus tôt en cas de symptôme nouveau.\n\n"
)


@dataclass(frozen=True, slots=True)
class LetterForm:
    """A letter but for its token: `before + token + middle + token + after`, end-of-data included."""

    before: bytes
    middle: bytes
    after: bytes

    def letter(self, token: int) -> bytes:
        """The octets of DATA for one letter: dot-stuffed, with the final CRLF "." CRLF."""
        digits = b"%016x" % token
        return b"".join((self.before, digits, self.middle, digits, self.after))


def letter_form(address: str, *, size: int = LETTER_SIZE) -> LetterForm:
    """The form of the letters that the box `address` writes to itself; each is `size` octets before the dot."""
    domain = address.partition("@")[2]
    subject = b64encode("Compte rendu n°".encode()).decode()
    before = (
        f"Date: Fri, 14 Nov 2025 09:12:00 +0100\r\nFrom: {address}\r\nTo: {address}\r\n"
        f"Subject: =?UTF-8?B?{subject}?= "
    ).encode()
    middle = b"\r\nMessage-ID: <"
    head = (
        f"@{domain}>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=UTF-8; format=flowed\r\n"
        "Content-Transfer-Encoding: quoted-printable\r\nContent-Language: fr\r\n"
        "User-Agent: Mozilla Thunderbird\r\n\r\n"
    ).encode()
    room = size - len(before) - len(middle) - len(head) - 2 * TOKEN_WIDTH
    return LetterForm(before, middle, head + _body(room) + b".\r\n")


def _body(room: int) -> bytes:
    """Whole quoted-printable lines, then one line that fills `room` octets exactly; no line starts with a dot."""
    lines: list[bytes] = []
    length = 0
    source = quopri.encodestring((_PARAGRAPH * (room // len(_PARAGRAPH) + 2)).encode()).splitlines()
    for line in source:
        sent = (b" " + line if line.startswith(b".") else line) + b"\r\n"
        if length + len(sent) + 80 > room:
            break
        lines.append(sent)
        length += len(sent)
    rest = room - length
    while rest > 78:
        lines.append(b"-" * 58 + b"\r\n")
        rest -= 60
    lines.append(b"-" * (rest - 2) + b"\r\n")
    return b"".join(lines)


def mailbox_letter(address: str, number: int) -> bytes:
    """One message of a large mailbox, without dot-stuffing; every second one carries a small document."""
    form = letter_form(address, size=2_048)
    plain = form.letter(number)[:-3]
    if number % 2:
        return plain
    head, _, body = plain.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith((b"Content-", b"MIME-"))]
    document = b"\r\n".join(b64encode(bytes(range(45)) + b"%015d" % number) for _ in range(12))
    lines.append(b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="limite"\r\n')
    return b"\r\n".join(
        (
            *lines,
            b"--limite\r\nContent-Type: text/plain; charset=UTF-8; format=flowed\r\n"
            b"Content-Transfer-Encoding: quoted-printable\r\n",
            body,
            b"--limite\r\nContent-Type: application/pdf; name*=UTF-8''r%C3%A9sultats.pdf\r\n"
            b"Content-Transfer-Encoding: base64\r\n"
            b"Content-Disposition: attachment; filename*=UTF-8''r%C3%A9sultats.pdf\r\n",
            document,
            b"--limite--\r\n",
        )
    )
