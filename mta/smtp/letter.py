"""The client's words: a letter that goes out, its commands, and what an answer means. Pure.

What it is: `OutgoingLetter`, the MAIL and RCPT commands with their parameters, and the one mapping from a reply
to an outcome. What it is not: sockets (`mta.smtp.client`). Start at `outcome_of`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from core import reply as replies
from core.envelope import Envelope, ForwardPath, Notify, Return
from core.errors import GatewayError
from core.outcome import Deferred, Failed, Outcome, RemoteAnswer
from core.reply import Reply

Extensions = Mapping[str, str]
"""EHLO keyword in lower case → its parameters."""

MAX_ANSWER_TEXT = 512  # ours: what is kept of a peer's sentence; one reply line of RFC 5321 §4.5.3.1.5


@dataclass(frozen=True, slots=True)
class OutgoingRecipient:
    """One forward-path with its place in the item's envelope."""

    index: int
    path: ForwardPath


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingLetter:
    """What is offered to a next hop: the same octets and the same ENVID at every attempt."""

    envelope: Envelope
    recipients: tuple[OutgoingRecipient, ...]
    envelope_id: str
    octets: bytes


class RelayFailure(GatewayError):
    """A next hop could not be used; the reply says why, the answer what it said."""

    def __init__(self, reply: Reply, answer: RemoteAnswer | None = None) -> None:
        super().__init__(reply.name)
        self.reply = reply
        self.answer = answer


def all_of(letter: OutgoingLetter, outcome: Outcome) -> dict[int, Outcome]:
    """The same outcome for each recipient."""
    return {recipient.index: outcome for recipient in letter.recipients}


def unable_to_send(letter: OutgoingLetter, extensions: Extensions) -> Failed | None:
    """Why this peer can never take this letter as it is, or None. Its octets are never converted."""
    if not line_ends_hold(letter.octets):
        return Failed(replies.MALFORMED)
    if needs_smtputf8(letter) and "smtputf8" not in extensions:
        return Failed(replies.NEEDS_SMTPUTF8)  # RFC 6531 §3.2, RFC 3463: 5.6.7
    if not letter.octets.isascii() and "8bitmime" not in extensions:
        return Failed(replies.NEEDS_8BITMIME)  # RFC 6152 §3
    largest = extensions.get("size", "")
    if largest.isdigit() and 0 < int(largest) < len(letter.octets):
        return Failed(replies.TOO_BIG_FOR_PEER)  # RFC 1870 §6.1
    return None


def line_ends_hold(octets: bytes) -> bool:
    """Whether every line ends with CRLF, the last one too, and no CR or LF stands alone."""
    # RFC 5321 §2.3.8; a bare one that left us would end the letter early at a careless peer.
    pairs = octets.count(b"\r\n")
    return octets.endswith(b"\r\n") and pairs == octets.count(b"\n") == octets.count(b"\r")


def needs_smtputf8(letter: OutgoingLetter) -> bool:
    """Whether the envelope asks for RFC 6531."""
    reverse = letter.envelope.reverse_path
    paths = [recipient.path.mailbox for recipient in letter.recipients]
    return letter.envelope.smtputf8 or not all(str(path).isascii() for path in (reverse, *paths))


def stuffed(octets: bytes, slice_octets: int) -> Iterator[bytes]:
    """The octets with leading dots doubled and the final dot (RFC 5321 §4.5.2). They end with CRLF already.

    In slices of whole lines, some `slice_octets` long, so that a large letter is never there twice.
    """
    place = 0
    while place < len(octets):
        end = octets.find(b"\r\n", max(place, min(place + slice_octets, len(octets)) - 2)) + 2
        lines = octets[place:end].replace(b"\r\n.", b"\r\n..")
        yield b"." + lines if lines.startswith(b".") else lines
        place = end
    yield b".\r\n"


def mail_command(letter: OutgoingLetter, extensions: Extensions) -> tuple[bytes, ...]:
    """MAIL with what the peer understands of SIZE, BODY, SMTPUTF8, ENVID and RET."""
    envelope = letter.envelope
    words = [b"MAIL", b"FROM:<" + str(envelope.reverse_path).encode("utf-8") + b">"]
    if "size" in extensions:
        words.append(b"SIZE=%d" % len(letter.octets))  # RFC 1870 §3
    if "8bitmime" in extensions:
        body = b"BODY=7BIT" if letter.octets.isascii() else b"BODY=8BITMIME"  # RFC 6152 §3
        words.append(body)
    if needs_smtputf8(letter):
        words.append(b"SMTPUTF8")  # RFC 6531 §3.4
    if "dsn" in extensions:
        words.append(b"ENVID=" + xtext(letter.envelope_id))  # RFC 3461 §4.4
        if envelope.ret is not Return.UNSPECIFIED:
            words.append(b"RET=" + envelope.ret.value.encode("ascii"))  # RFC 3461 §4.3
    return tuple(words)


def rcpt_command(path: ForwardPath, extensions: Extensions) -> tuple[bytes, ...]:
    """RCPT with NOTIFY and ORCPT as they came (RFC 3461 §4.1, §4.2)."""
    words = [b"RCPT", b"TO:<" + str(path.mailbox).encode("utf-8") + b">"]
    if "dsn" in extensions:
        if path.notify is not Notify.ABSENT:
            words.append(b"NOTIFY=" + notify_value(path.notify))
        kind, sign, address = path.original_recipient.partition(";")
        if sign and address.isascii():
            words.append(b"ORCPT=" + kind.encode("ascii") + b";" + xtext(address))
    return tuple(words)


def notify_value(notify: Notify) -> bytes:
    """NEVER, or the others joined by commas."""
    if Notify.NEVER in notify:
        return b"NEVER"
    order = (Notify.SUCCESS, Notify.FAILURE, Notify.DELAY)
    return b",".join(str(flag.name).encode("ascii") for flag in order if flag in notify)


def xtext(text: str) -> bytes:
    """RFC 3461 §4: xchar as it is, everything else as +HH."""
    return b"".join(
        bytes((octet,)) if 0x21 <= octet <= 0x7E and octet not in b"+=" else b"+%02X" % octet
        for octet in text.encode("utf-8", "surrogateescape")
    )


_STATUS = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?:[ \t\n]|\Z)")


def enhanced_status(text: str) -> str:
    """The RFC 2034 status at the head of an answer's text, or nothing."""
    match = _STATUS.match(text)
    return match.group(1) if match else ""


def answer_of(answer: tuple[int, str], host: str) -> RemoteAnswer:
    """What a peer said, as it is kept for the trace."""
    code, text = answer
    return RemoteAnswer(code, enhanced_status(text), text[:MAX_ANSWER_TEXT], host)


def outcome_of(answer: tuple[int, str], host: str, *, at_rcpt: bool = False) -> Outcome:
    """What an answer that is not a success means. Unknown is temporary."""
    said = answer_of(answer, host)
    code, status = said.code, said.status
    if not 500 <= code <= 599 or status.startswith("4."):
        return Deferred(replies.PEER_DEFERRED, said)
    if at_rcpt and code == 552 and status in ("", "5.5.3"):
        # RFC 5321 §4.5.3.1.10: a 552 to RCPT for too many recipients is to be read as 452.
        return Deferred(replies.PEER_DEFERRED, said)
    return Failed(replies.PEER_REFUSED, said)


def remote_answer(error: BaseException, host: str) -> RemoteAnswer | None:
    """What a peer said before it failed, when it said something."""
    code = getattr(error, "code", None)
    if not isinstance(code, int) or code < 0:
        return None
    return answer_of((code, str(getattr(error, "message", ""))), host)
