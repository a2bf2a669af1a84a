"""The MDA: a letter into boxes of ours.

What it is: `LocalAgent`, which computes once what IMAP will be asked (the summary) and stages one row per box with
the same sealed octets. What it is not: the store (`core.ports.MailStore`). The row, the outcome and the trace are
written in one unit, so a box has the letter exactly when the spool says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from core import reply as replies
from core.clock import Clock
from core.envelope import ReversePath
from core.errors import LocalProtocolError
from core.folder import INBOX, NewMessage, Summary
from core.outcome import Deferred, Delivered
from core.plan import DeliverToMailbox
from core.ports import MailStore
from core.unit_of_work import UnitOfWork
from mta.checkpoints import Checkpoint
from mta.delivery.agent import Attempt, LetterInHand, PlannedRecipient

LARGE_LETTER = 1024 * 1024  # ours: larger ones are summarised in a thread, for the loop's sake
MAX_FOLDERS_KNOWN = 100_000  # ours: INBOX numbers kept in memory (some 10 MB)

Summarise = Callable[[bytes, int], Summary]
"""(whole message, internal date) → what FETCH needs; `mta.imap.summary.summarise`."""
PrefixFor = Callable[[ReversePath], bytes]
"""The fields that stand before the letter in a box; `mta.trace.return_path_field` (RFC 5321 §4.4)."""


class LocalAgent:
    """Implements `DeliveryAgent` for `DeliverToMailbox`."""

    prepared = Checkpoint.LOCAL_PREPARED
    committed = Checkpoint.LOCAL_COMMITTED

    def __init__(
        self, *, store: MailStore, summarise: Summarise, prefix_for: PrefixFor, clock: Clock
    ) -> None:
        self._store = store
        self._summarise = summarise
        self._prefix_for = prefix_for
        self._clock = clock
        self._inboxes: dict[int, int] = {}

    def lane_of(self, recipient: PlannedRecipient) -> str:
        """One lane for all boxes: they share one writer."""
        return "local"

    async def prepare(self, letter: LetterInHand, recipients: Sequence[PlannedRecipient]) -> Attempt:
        """See `DeliveryAgent`. A box that is named twice gets the letter once."""
        prefix = self._prefix_for(letter.item.envelope.reverse_path)
        internal_date = int(self._clock.now().timestamp())
        summary = await self._summary(prefix + await letter.octets(), internal_date)
        boxes: dict[int, list[int]] = {}
        for recipient in recipients:
            if not isinstance(recipient.action, DeliverToMailbox):
                raise LocalProtocolError("only DeliverToMailbox is for this agent")
            boxes.setdefault(recipient.action.bal_id, []).append(recipient.index)
        pieces = []
        for bal_id, places in boxes.items():
            folder_id = await self._inbox(bal_id)
            if folder_id is None:
                pieces.append(Attempt(outcomes=dict.fromkeys(places, Deferred(replies.MAILBOX_BUSY))))
                continue
            message = NewMessage(
                bal_id=bal_id,
                folder_id=folder_id,
                octets=letter.item.octets,
                prefix=prefix,
                summary=summary,
                internal_date=internal_date,
            )
            pieces.append(
                Attempt(
                    outcomes=dict.fromkeys(places, Delivered(replies.DELIVERED)),
                    stage=partial(self._stage, message=message),
                )
            )
        return _whole(pieces)

    def _stage(self, unit: UnitOfWork, *, message: NewMessage) -> None:
        self._store.add(unit, message)

    async def _summary(self, whole: bytes, internal_date: int) -> Summary:
        if len(whole) > LARGE_LETTER:
            return await asyncio.to_thread(self._summarise, whole, internal_date)
        return self._summarise(whole, internal_date)

    async def _inbox(self, bal_id: int) -> int | None:
        known = self._inboxes.get(bal_id)
        if known is not None:
            return known
        folder = await self._store.folder(bal_id, INBOX)
        if folder is None:
            return None  # the box is being made or removed: the next plan knows more
        if len(self._inboxes) >= MAX_FOLDERS_KNOWN:
            self._inboxes.clear()
        self._inboxes[bal_id] = folder.folder_id
        return folder.folder_id


def _whole(pieces: Sequence[Attempt]) -> Attempt:
    """All boxes in one unit; one by one when a box refuses, so that a full one delays nobody else's copy."""

    def stage(unit: UnitOfWork) -> None:
        for piece in pieces:
            piece.stage(unit)

    outcomes = {index: outcome for piece in pieces for index, outcome in piece.outcomes.items()}
    return Attempt(outcomes=outcomes, stage=stage, pieces=pieces)
