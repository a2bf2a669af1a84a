"""Room REPORT: asks `mta.dsn` when and what, and makes the report ready to be spooled like any other letter.

What it is: `DsnReporter`, the `Reporter` of operation. What it is not: the report's form (`mta.dsn`) or its commit:
the engine stages it in the unit of the outcome that it tells. Nobody is told of a letter that has the null
reverse-path, so reports never answer each other (RFC 5321 §4.5.5).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import structlog

from core.address import Domain, Mailbox
from core.clock import Clock
from core.envelope import NULL_REVERSE_PATH, Envelope, ForwardPath, Notify, NullReversePath
from core.errors import GatewayError
from core.message import Message
from core.ports import BlobStore
from core.unit_of_work import UnitOfWork
from mta.delivery.agent import LetterInHand
from mta.delivery.reports import ReportedRecipient, SpooledReport
from mta.dsn import DsnAction, DsnRecipient, DsnRequest, compose, needs_8bit, should_report
from mta.spool.item import INTERNAL_ORIGIN, SpoolItem
from mta.spool.retry import DAY

GIVE_UP_AFTER = 5 * DAY  # RFC 5321 §4.5.4.1

_log = structlog.get_logger()


class DsnReporter:
    """Implements `Reporter` with RFC 3464 reports."""

    def __init__(
        self,
        *,
        blobs: BlobStore,
        clock: Clock,
        reporting_mta: Domain,
        postmaster: Mailbox,
        new_spool_id: Callable[[], str],
        retries_for: float = GIVE_UP_AFTER,
    ) -> None:
        """`retries_for`: seconds for which letters are tried, told in reports of delay."""
        self._blobs = blobs
        self._clock = clock
        self._reporting_mta = reporting_mta
        self._postmaster = postmaster
        self._new_spool_id = new_spool_id
        self._retries_for = retries_for

    async def prepare(
        self, letter: LetterInHand, recipients: Sequence[ReportedRecipient]
    ) -> SpooledReport | None:
        """See `Reporter`."""
        reverse_path = letter.item.envelope.reverse_path
        paths = letter.item.envelope.forward_paths
        if isinstance(reverse_path, NullReversePath) or not any(
            self._is_asked(letter.item, recipient, "") for recipient in recipients
        ):
            return None
        original = await self._original(letter)
        automatic = _auto_submitted(original)
        told = [
            self._recipient(letter.item, paths[recipient.state.index], recipient)
            for recipient in recipients
            if self._is_asked(letter.item, recipient, automatic)
        ]
        if not told:
            return None
        return await self._report(letter.item, reverse_path, tuple(told), original)

    def stage(self, unit: UnitOfWork, report: SpooledReport) -> None:
        """See `Reporter`."""
        self._blobs.keep(unit, report.item.octets)

    def _is_asked(self, item: SpoolItem, recipient: ReportedRecipient, automatic: str) -> bool:
        return should_report(
            notify=item.envelope.forward_paths[recipient.state.index].notify,
            action=recipient.action,
            reverse_path=item.envelope.reverse_path,
            auto_submitted=automatic,
        )

    async def _original(self, letter: LetterInHand) -> bytes:
        try:
            return await letter.octets()
        except GatewayError as error:
            # The author must hear that it failed, even when the letter itself cannot be read any more.
            _log.error("original-unreadable", spool_id=letter.item.spool_id, error=type(error).__name__)
            return b"\r\n"

    def _recipient(self, item: SpoolItem, path: ForwardPath, recipient: ReportedRecipient) -> DsnRecipient:
        until = None
        if recipient.action is DsnAction.DELAYED:
            until = datetime.fromtimestamp(item.accepted_at + self._retries_for, UTC)
        return DsnRecipient(
            path=path,
            action=recipient.action,
            reply=recipient.outcome.reply,
            answer=recipient.outcome.answer,
            last_attempt=self._clock.now(),
            will_retry_until=until,
        )

    async def _report(
        self, about: SpoolItem, author: Mailbox, recipients: tuple[DsnRecipient, ...], original: bytes
    ) -> SpooledReport:
        spool_id, now = self._new_spool_id(), self._clock.now()
        message_id = f"<{spool_id}@{self._reporting_mta.ascii}>"
        octets = compose(
            DsnRequest(
                envelope=about.envelope,
                recipients=recipients,
                original=original,
                arrival=datetime.fromtimestamp(about.accepted_at, UTC),
                now=now,
                reporting_mta=self._reporting_mta,
                postmaster=self._postmaster,
                message_id=message_id,
            )
        )
        envelope = Envelope(
            reverse_path=NULL_REVERSE_PATH,  # RFC 3464 §2: a report is never answered by a report
            forward_paths=(ForwardPath(author, Notify.NEVER),),  # RFC 3461 §6.2 allows NEVER only
            smtputf8=author.needs_smtputf8,
            body_8bit=needs_8bit(octets),
        )
        item = SpoolItem(
            spool_id=spool_id,
            envelope=envelope,
            octets=await self._blobs.seal(octets),
            message_id=message_id,
            accepted_at=now.timestamp(),
            origin=INTERNAL_ORIGIN,
        )
        return SpooledReport(item, octets)


def _auto_submitted(original: bytes) -> str:
    found = Message(original).first(b"auto-submitted")
    return found.unfolded.decode("ascii", "replace") if found else ""
