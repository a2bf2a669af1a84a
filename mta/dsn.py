"""Delivery reports: what the author reads when a letter did not arrive, or arrived as asked.

What it is: `should_report` (when) and `compose` (what), pure (RFC 3461, 3464, 6522, 6533). What it is not: the
decision that a letter failed, or its sending. A report carries the header of the letter and, only when RET=FULL
asked for it, the letter itself: the author has it already, and it may tell a diagnosis. Start at `compose`.
"""

from __future__ import annotations

import binascii
import enum
import hashlib
import re
from dataclasses import dataclass
from datetime import datetime

from core.address import Domain, Mailbox
from core.envelope import Envelope, ForwardPath, Notify, NullReversePath, Return, ReversePath
from core.errors import LocalProtocolError
from core.message import Message, message_id_of
from core.outcome import RemoteAnswer
from core.reply import EnhancedStatus, Reply
from mta import dsn_text
from mta.trace import date_text, field

MAX_RETURNED = 50_000  # octets of the letter that go back; Postfix bounce_size_limit
MAX_DIAGNOSTIC = 400  # octets of a peer's free text that are repeated; ours
MAX_ADDRESS = (
    900  # octets of an address or ENVID that is given back, so that a line holds it; RFC 5322 §2.1.1
)


class DsnAction(enum.Enum):
    """RFC 3464 §2.3.3."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"


@dataclass(frozen=True, slots=True, kw_only=True)
class DsnRecipient:
    """What became of one forward-path."""

    path: ForwardPath
    action: DsnAction
    reply: Reply
    answer: RemoteAnswer | None = None
    last_attempt: datetime | None = None
    will_retry_until: datetime | None = None  # for DELAYED


@dataclass(frozen=True, slots=True, kw_only=True)
class DsnRequest:
    """One report to be written. `original` is the letter as it was kept; times are timezone-aware."""

    envelope: Envelope
    recipients: tuple[DsnRecipient, ...]
    original: bytes
    arrival: datetime
    now: datetime
    reporting_mta: Domain
    postmaster: Mailbox
    message_id: str  # of the report: `<…@…>`, unique


def should_report(
    *, notify: Notify, action: DsnAction, reverse_path: ReversePath, auto_submitted: str = ""
) -> bool:
    """Whether this end of a letter is told to its author.

    Never to the null reverse-path (RFC 5321 §4.5.5), never about an automatic answer (`auto_submitted` is the
    Auto-Submitted field; RFC 3834 §5: "auto-replied"), else as NOTIFY asks (RFC 3461 §4.1).
    """
    if isinstance(reverse_path, NullReversePath):
        return False
    if auto_submitted.partition(";")[0].strip().lower() == "auto-replied":
        return False
    if Notify.NEVER in notify:
        return False
    # RFC 3461 §4.1: absent means FAILURE, and DELAY where the server has that custom; ours does.
    asked = notify or Notify.FAILURE | Notify.DELAY
    return _WANTED[action] in asked


_WANTED = {
    DsnAction.FAILED: Notify.FAILURE,
    DsnAction.DELAYED: Notify.DELAY,
    DsnAction.DELIVERED: Notify.SUCCESS,
    DsnAction.RELAYED: Notify.SUCCESS,
}


def compose(request: DsnRequest) -> bytes:
    """The octets of a multipart/report (RFC 6522). Raises LocalProtocolError for a null reverse-path or no recipient.

    ASCII unless an address or the header that goes back is not (`needs_8bit`, `core.address.needs_smtputf8`).
    """
    reverse_path = request.envelope.reverse_path
    if isinstance(reverse_path, NullReversePath) or not request.recipients:
        raise LocalProtocolError("a report needs somebody to read it, and something to tell")
    parts = (
        _human_part(request),
        _status_part(request),
        _returned_part(request),
    )
    boundary = _boundary(request.message_id, parts)
    is_8bit = any(not part.isascii() for part in parts)
    header = (
        field("Date", [date_text(request.now)])
        + field("From", ["Vaguemestre", f"<{_ascii(request.postmaster)}>"])
        + b"To: <" + str(reverse_path).encode("utf-8") + b">\r\n"
        + field("Subject", dsn_text.subject(_worst(request)).split(" "))
        + field("Message-ID", [request.message_id])
        + _thread(request.original)
        + b"Auto-Submitted: auto-replied\r\n"  # RFC 3834 §5, RFC 3464 §2
        + b"MIME-Version: 1.0\r\n"
        + field("Content-Type", ["multipart/report;", "report-type=delivery-status;", f'boundary="{boundary}"'])
        + (b"Content-Transfer-Encoding: 8bit\r\n" if is_8bit else b"")
    )  # fmt: skip
    mark = boundary.encode("ascii")
    body = b"".join(b"--" + mark + b"\r\n" + part + b"\r\n" for part in parts)
    return header + b"\r\n" + body + b"--" + mark + b"--\r\n"


def _ascii(mailbox: Mailbox) -> str:
    text = str(mailbox)
    if not text.isascii():
        raise LocalProtocolError("the postmaster's address is ASCII")
    return text


def _worst(request: DsnRequest) -> str:
    actions = {recipient.action for recipient in request.recipients}
    return next(action for action in DsnAction if action in actions).value


def _thread(original: bytes) -> bytes:
    message_id = message_id_of(Message(original))
    if not message_id or len(message_id) > MAX_DIAGNOSTIC:
        return b""
    # RFC 3834 §3.1.5
    return field("In-Reply-To", [message_id]) + field("References", [message_id])


def _boundary(message_id: str, parts: tuple[bytes, ...]) -> str:
    """A delimiter that stands in no part (RFC 2046 §5.1.1), the same each time for the same report."""
    number = 0
    while True:
        digest = hashlib.sha256(f"{number}{message_id}".encode()).hexdigest()
        boundary = f"=_report_{digest[:32]}"
        if not any(boundary.encode("ascii") in part for part in parts):
            return boundary
        number += 1


# --- for people ---------------------------------------------------------------------------------------------
def _human_part(request: DsnRequest) -> bytes:
    facts = [
        dsn_text.RecipientFacts(
            address=str(recipient.path.mailbox),
            action=recipient.action.value,
            french=recipient.reply.french or recipient.reply.english,
            english=recipient.reply.english,
            peer_said=_peer_said(recipient.answer),
            host=_clean(recipient.answer.host) if recipient.answer else "",
            is_unknown_mailbox=_status(recipient).startswith("5.1."),
            until=recipient.will_retry_until,
        )
        for recipient in request.recipients
    ]
    text = dsn_text.letter(request.reporting_mta.ascii, request.arrival, facts)
    encoded = binascii.b2a_qp(text.replace("\n", "\r\n").encode("utf-8"), istext=True)
    return (
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Language: fr, en\r\n"
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + encoded
    )


def _peer_said(answer: RemoteAnswer | None) -> str:
    if answer is None:
        return ""
    return " ".join(word for word in (str(answer.code), _clean(answer.status), _clean(answer.text)) if word)


def _clean(text: str, limit: int = MAX_DIAGNOSTIC) -> str:
    """A stranger's text as one short line of printable ASCII: nothing in it can end a line or a field."""
    printable = "".join(character if " " <= character <= "~" else " " for character in text)
    return " ".join(printable.split())[:limit].rstrip()


# --- for software (RFC 3464 §2) -----------------------------------------------------------------------------
def _status_part(request: DsnRequest) -> bytes:
    lines = [field("Reporting-MTA", ["dns;", request.reporting_mta.ascii])]
    if envelope_id := _words(request.envelope.envelope_id):
        lines.append(field("Original-Envelope-Id", envelope_id))  # RFC 3464 §2.2.1: xtext decoded
    lines.append(field("Arrival-Date", [date_text(request.arrival)]))
    blocks = [b"".join(lines), *(_recipient_block(recipient) for recipient in request.recipients)]
    return b"Content-Type: message/delivery-status\r\n\r\n" + b"\r\n".join(blocks)


def _recipient_block(recipient: DsnRecipient) -> bytes:
    lines: list[bytes] = []
    original = _original(recipient.path.original_recipient)
    if len(original) > 1:
        lines.append(field("Original-Recipient", original))
    lines.append(field("Final-Recipient", _address(str(recipient.path.mailbox))))
    lines.append(field("Action", [recipient.action.value]))
    lines.append(field("Status", [_status(recipient)]))
    answer = recipient.answer
    if answer is not None:
        host = _clean(answer.host)
        if host:
            lines.append(field("Remote-MTA", ["dns;", *host.split()]))
        lines.append(field("Diagnostic-Code", ["smtp;", *_peer_said(answer).split()]))
    else:
        # RFC 3464 §2.3.6: our own name of the reason; the sentence is the one the table has for everybody
        words = f"{recipient.reply.name} {recipient.reply.english}".split(" ")
        lines.append(field("Diagnostic-Code", ["x-vaguemestre;", *words]))
    if recipient.last_attempt is not None:
        lines.append(field("Last-Attempt-Date", [date_text(recipient.last_attempt)]))
    if recipient.action is DsnAction.DELAYED and recipient.will_retry_until is not None:
        lines.append(field("Will-Retry-Until", [date_text(recipient.will_retry_until)]))
    return b"".join(lines)


_CLASS = {DsnAction.FAILED: 5, DsnAction.DELAYED: 4, DsnAction.DELIVERED: 2, DsnAction.RELAYED: 2}


def _status(recipient: DsnRecipient) -> str:
    """The enhanced status (RFC 3463): the peer's if it has the class of the action, else that of our reply."""
    klass = _CLASS[recipient.action]
    for status in (recipient.answer.status if recipient.answer else "", str(recipient.reply.status or "")):
        try:
            parsed = EnhancedStatus.parse(status)
        except ValueError:
            continue
        if parsed.klass == klass and 0 <= parsed.subject <= 999 and 0 <= parsed.detail <= 999:
            return str(parsed)
    # RFC 3464 §2.3.4: the class must agree with the action, whatever the cause was when we gave up
    return f"{klass}.0.0"


_ORIGINAL = re.compile(r"([A-Za-z0-9-]{1,40});(.*)\Z", re.DOTALL)


def _original(text: str) -> list[str]:
    match = _ORIGINAL.match(text)
    if match is None:
        return _address(text)
    kind, address = match.groups()
    return _address(address) if kind.lower() in ("rfc822", "utf-8") else [f"{kind};", *_words(address)]


def _address(address: str) -> list[str]:
    if address.isascii():
        return ["rfc822;", *_words(address)]
    # RFC 6533 §3: utf-8-addr-xtext, which is ASCII
    escaped = "".join(
        character if "!" <= character <= "~" and character not in "\\+=" else f"\\x{{{ord(character):02X}}}"
        for character in address
    )
    return ["utf-8;", *_words(escaped)]


def _words(text: str) -> list[str]:
    return _clean(text, MAX_ADDRESS).split()


# --- the letter ---------------------------------------------------------------------------------------------
def needs_8bit(report: bytes) -> bool:
    """Whether the report must be sent with BODY=8BITMIME."""
    return not report.isascii()


def _returned_part(request: DsnRequest) -> bytes:
    original = request.original
    has_failed = any(recipient.action is DsnAction.FAILED for recipient in request.recipients)
    # RFC 3461 §4.3: RET governs reports of failure only; others give back the header.
    if request.envelope.ret is Return.FULL and has_failed and len(original) <= MAX_RETURNED:
        return b"Content-Type: message/rfc822\r\n" + _encoding(original) + b"\r\n" + original
    header = _short_header(original)
    if header.isascii():
        return b"Content-Type: text/rfc822-headers\r\n\r\n" + header  # RFC 6522 §4
    # RFC 6533 §5
    return b"Content-Type: message/global-headers\r\n" + _encoding(header) + b"\r\n" + header


def _encoding(octets: bytes) -> bytes:
    return b"" if octets.isascii() else b"Content-Transfer-Encoding: 8bit\r\n"


def _short_header(original: bytes) -> bytes:
    """Whole fields of the header, from the first, as many as may go back."""
    message = Message(original)
    end = 0
    for found in message.fields:
        if found.end > MAX_RETURNED:
            break
        end = found.end
    return original[:end]
