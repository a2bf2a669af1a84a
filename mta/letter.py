"""A letter as it was received, read once: what admission asks of its header, and the form that is kept.

What it is: the step between the octets that a door received and the octets that are spooled: foreign trust
marks removed, missing fields added at submission, our trace fields put before. What it is not: admission. The
received octets are never changed otherwise; fields are cut out or put before on octets.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.address import Domain, Mailbox
from core.clock import Clock
from core.envelope import Envelope
from core.message import HeaderMalformed, Message, check_header, message_id_of
from core.mime import parse_value
from core.reply import Reply
from mta import submission, trace
from mta.rooms import Listener, Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What was read, and both forms of the octets."""

    spool_id: str
    received: bytes
    octets: bytes
    """With our fields: what is sealed, spooled, delivered and relayed."""
    message_id: str
    malformed: Reply | None
    """What to answer when the header has no reading, or two."""
    from_mailboxes: tuple[Mailbox, ...]
    sender_field: Mailbox | None
    is_report: bool
    hops: int

    @property
    def received_size(self) -> int:
        """Octets as the peer sent them."""
        return len(self.received)


class LetterReader:
    """Makes a `Letter`; knows the names that our own trace fields carry."""

    def __init__(self, hostname: Domain, message_id_domain: Domain, clock: Clock) -> None:
        self._hostname = hostname
        self._message_id_domain = message_id_domain
        self._clock = clock

    def read(self, session: Session, envelope: Envelope, octets: bytes, spool_id: str) -> Letter:
        """Read and prepare; never raises for a bad letter, it says so in `malformed`."""
        now = self._clock.now()
        kept = trace.strip_foreign(octets, frozenset({self._hostname.ascii}))
        if session.listener.is_submission:
            kept = submission.complete(
                kept, now=now, message_id_domain=self._message_id_domain, spool_id=spool_id
            )
        message = Message(kept)
        try:
            originators = check_header(message)
        except HeaderMalformed as error:
            return _unreadable(spool_id, octets, error.reply)
        return Letter(
            spool_id=spool_id,
            received=octets,
            octets=self._fields(session, envelope, spool_id) + kept,
            message_id=message_id_of(message),
            malformed=None,
            from_mailboxes=originators.from_mailboxes,
            sender_field=originators.sender_field,
            is_report=_is_report(message),
            hops=trace.count_hops(message),
        )

    def _fields(self, session: Session, envelope: Envelope, spool_id: str) -> bytes:
        received = trace.received_field(
            trace.Hop(
                by=self._hostname,
                # RFC 6409 §8: what a person's client calls itself or where it sits is nobody's business.
                client_name="" if session.listener.is_submission else session.client_name,
                network="" if session.listener.is_submission else session.network,
                is_submission=session.listener.is_submission,
                tls_version=session.tls_version,
                tls_cipher=session.tls_cipher,
                smtputf8=envelope.smtputf8,
                spool_id=spool_id,
            ),
            self._clock.now(),
        )
        return trace.security_fields(self._hostname, _verdict(session)) + received


def _verdict(session: Session) -> trace.Verdict:
    if session.listener is Listener.RELAY and session.peer is not None:
        return trace.Verdict(
            kind="transport-only", peer=str(session.peer.subject), tls_version=session.tls_version
        )
    return trace.Verdict(kind="submitted", peer="", tls_version=session.tls_version)


def _is_report(message: Message) -> bool:
    field = message.first(b"content-type")
    value = parse_value(field.unfolded) if field else None
    return value is not None and value.value == b"multipart/report"  # RFC 6522 §3


def _unreadable(spool_id: str, octets: bytes, answer: Reply) -> Letter:
    return Letter(
        spool_id=spool_id,
        received=octets,
        octets=octets,
        message_id="",
        malformed=answer,
        from_mailboxes=(),
        sender_field=None,
        is_report=False,
        hops=0,
    )
