"""The spool as the rooms see it: put a letter in, take what is due, write what became of it.

What it is: `SpoolStore`, which seals what is personal under the vault's key `spool`, bound to its place, and
stages changes in the caller's unit. What it is not: SQL (`mta.spool.storage`), patience (`mta.spool.retry`), or
delivery (`mta.delivery.engine`). Start at `put`.

Each recipient holds one reference on the letter's octets; it goes in the unit that writes the recipient's end,
and with the last one the item itself goes. Its history stays in the audit trail.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from core import reply as replies
from core.clock import Clock
from core.envelope import Envelope
from core.errors import LocalProtocolError, NotStored, PermanentError
from core.outcome import RemoteAnswer
from core.ports import BlobStore, Vault
from core.unit_of_work import Committer, UnitOfWork
from mta.spool import sealing
from mta.spool.changes import (
    ChangeRecipient,
    ForgetSeen,
    MarkSeen,
    PutItem,
    RecoverLeases,
    RenewLeases,
    TakeDue,
)
from mta.spool.item import Claim, ListedRecipient, OriginKind, RecipientState, SpoolItem, State
from mta.spool.seen import SEEN_FOR, seen_key
from mta.spool.storage import SpoolStorage

_log = structlog.get_logger()

VAULT_KEY = "spool"
LEASE_SECONDS = 120.0  # ours: how long a letter rests when a whole node is lost; renewed three times as often


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolSettings:
    """Who works here, and for how long an item may be taken."""

    slot: str
    """This process's place, the same after a restart: node and worker number, `rivage/0`."""
    started: str
    """What tells this life of the process from the one before: its start time."""
    lease_seconds: float = LEASE_SECONDS

    @property
    def owner(self) -> str:
        """The name under which leases are taken."""
        return f"{self.slot}/{self.started}"


class SpoolStore:
    """The one spool of the process. `open` must have returned before anything else is called."""

    def __init__(
        self,
        *,
        storage: SpoolStorage,
        committer: Committer,
        vault: Vault,
        blobs: BlobStore,
        clock: Clock,
        settings: SpoolSettings,
    ) -> None:
        self._storage = storage
        self._committer = committer
        self._vault = vault
        self._blobs = blobs
        self._clock = clock
        self.settings = settings
        self._key = b""
        self._seen_secret = b""

    async def open(self, *, recover: bool = True) -> None:
        """Fetch the key; with `recover`, make due again what an earlier life of this process had taken.

        A command beside a serving process opens without `recover`: the leases are that process's.
        """
        self._key = await self._vault.key(VAULT_KEY)
        self._seen_secret = hmac.new(self._key, b"relay-seen", hashlib.sha256).digest()
        if not recover:
            return
        unit = UnitOfWork()
        unit.add(RecoverLeases(f"{self.settings.slot}/", self.settings.owner, self.now()))
        await self._committer.commit(unit)

    def now(self) -> float:
        """Seconds since 1970."""
        return self._clock.now().timestamp()

    # --- in -------------------------------------------------------------------------------------------------
    def put(
        self, unit: UnitOfWork, item: SpoolItem, *, received_sha256: bytes = b"", leased: bool = True
    ) -> Claim:
        """Stage an item, its recipients and their references. The caller has staged `BlobStore.keep`.

        With `leased`, the item is this process's from the first moment, so that it is worked on without being
        read back; the claim is good once the unit is committed. `received_sha256` is of what a peer sent: the
        commit then raises AlreadyReceived when it came before.
        """
        if not self._key:
            raise LocalProtocolError("the spool is not open")
        now = self.now()
        owner, due = (self.settings.owner, now + self.settings.lease_seconds) if leased else ("", now)
        recipients = tuple(
            RecipientState(
                index=index,
                state=State.LEASED if leased else State.WAITING,
                domain=path.mailbox.domain.ascii,
                next_due=due,
                fence=1 if leased else 0,
                owner=owner,
            )
            for index, path in enumerate(item.envelope.forward_paths)
        )
        sealed = self._vault.wrap(self._key, sealing.item_to_octets(item), _item_place(item.spool_id))
        unit.add(
            PutItem(
                {
                    "spool_id": item.spool_id,
                    "accepted_at": item.accepted_at,
                    "size": item.size,
                    "sealed": sealed,
                },
                [self._row(item.spool_id, recipient, first=True) for recipient in recipients],
            )
        )
        self._blobs.refer(unit, item.octets.blob_id, len(recipients))
        if item.origin.kind is OriginKind.PEER and received_sha256:
            unit.add(MarkSeen(self._seen_keys(item.origin.name, item.envelope, received_sha256), now))
        return Claim(item, recipients if leased else ())

    async def not_yet_seen(self, peer_name: str, envelope: Envelope, received_sha256: bytes) -> Envelope:
        """The envelope without the recipients for whom this peer handed over the same letter before."""
        keys = self._seen_keys(peer_name, envelope, received_sha256)
        seen = await self._storage.seen(keys)
        if not seen:
            return envelope
        fresh = [path for path, key in zip(envelope.forward_paths, keys, strict=True) if key not in seen]
        return dataclasses.replace(envelope, forward_paths=tuple(fresh))

    def _seen_keys(self, peer_name: str, envelope: Envelope, received_sha256: bytes) -> list[bytes]:
        return [
            seen_key(
                self._seen_secret,
                peer_name=peer_name,
                envelope_id=envelope.envelope_id,
                octets_sha256=received_sha256,
                recipient=path.mailbox,
            )
            for path in envelope.forward_paths
        ]

    # --- out ------------------------------------------------------------------------------------------------
    async def lanes(self, horizon: float = math.inf) -> list[tuple[str, float]]:
        """Each domain with something to do, and when its first letter is due.

        No wait that is ever given reaches beyond `horizon` (seconds since 1970): what waits until after it was
        given its time before the clock was set back, and is due now.
        """
        lanes, now = await self._storage.lanes(), self.now()
        return [(domain, first if last <= horizon else min(first, now)) for domain, first, last in lanes]

    async def take(self, wants: Sequence[tuple[str, int]], horizon: float = math.inf) -> list[Claim]:
        """Lease what is due now: at most so many recipients for each of these domains. `horizon`: as for `lanes`."""
        now = self.now()
        change = TakeDue(self.settings.owner, now, now + self.settings.lease_seconds, wants, horizon)
        unit = UnitOfWork()
        unit.add(change)
        await self._committer.commit(unit)
        rows: dict[str, list[dict[str, Any]]] = {}
        for row in change.taken:
            rows.setdefault(row["spool_id"], []).append(row)
        items = await self._storage.items(rows)
        claims = []
        for spool_id, of in rows.items():
            try:
                claims.append(
                    Claim(self._open_item(items[spool_id]), tuple(self._open_recipient(row) for row in of))
                )
            except (PermanentError, KeyError) as error:
                await self._hold_unreadable(spool_id, of, error)
        return claims

    async def _hold_unreadable(self, spool_id: str, rows: list[dict[str, Any]], error: Exception) -> None:
        """An item that does not open any more is kept for a person and stops nobody else's letter."""
        _log.error("spool-item-unreadable", spool_id=spool_id, error=type(error).__name__, component="spool")
        unit = UnitOfWork()
        for row in rows:
            held = {
                **row,
                "state": State.HELD.value,
                "next_due": None,
                "owner": "",
                "reply": replies.HELD_FOR_OPERATOR.name,
            }
            unit.add(ChangeRecipient(spool_id, row["position"], row["fence"], held))
        await self._committer.commit(unit)

    def change(
        self, unit: UnitOfWork, item: SpoolItem, before: RecipientState, after: RecipientState
    ) -> None:
        """Stage what became of a recipient under the lease of `before`. The commit raises StaleLease when it ended.

        An end gives back the recipient's reference on the octets.
        """
        unit.add(ChangeRecipient(item.spool_id, before.index, before.fence, self._row(item.spool_id, after)))
        if after.state.is_end:
            self._blobs.refer(unit, item.octets.blob_id, -1)

    async def renew(self, claims: Iterable[Claim]) -> None:
        """Keep these leases for another while; those that ended are left alone."""
        leases = [
            (claim.item.spool_id, recipient.index, recipient.fence)
            for claim in claims
            for recipient in claim.recipients
        ]
        unit = UnitOfWork()
        unit.add(RenewLeases(leases, self.now() + self.settings.lease_seconds))
        await self._committer.commit(unit)

    async def forget_seen(self) -> None:
        """Remove the keys of letters received longer ago than any sender repeats them."""
        unit = UnitOfWork()
        unit.add(ForgetSeen(self.now() - SEEN_FOR))
        await self._committer.commit(unit)

    # --- looking --------------------------------------------------------------------------------------------
    async def load(self, spool_id: str) -> tuple[SpoolItem, tuple[RecipientState, ...]]:
        """An item with all its recipients. Raises NotStored."""
        rows = await self._storage.items([spool_id])
        if spool_id not in rows:
            raise NotStored("no letter with this id is in the spool")
        recipients = await self._storage.recipients(spool_id)
        return self._open_item(rows[spool_id]), tuple(self._open_recipient(row) for row in recipients)

    async def listing(
        self,
        *,
        domain: str = "",
        state: State | None = None,
        accepted_before: float | None = None,
        limit: int = 1000,
    ) -> list[ListedRecipient]:
        """What is here, oldest letter first; a filter that is not given takes all."""
        rows = await self._storage.listing(
            domain=domain, state=state.value if state else "", accepted_before=accepted_before, limit=limit
        )
        return [
            ListedRecipient(
                spool_id=row["spool_id"],
                accepted_at=row["accepted_at"],
                size=row["size"],
                recipient=self._open_recipient(row),
            )
            for row in rows
        ]

    async def totals(self) -> tuple[int, float | None]:
        """How many letters are here, and when the oldest was accepted."""
        return await self._storage.totals()

    # --- rows -----------------------------------------------------------------------------------------------
    def _open_item(self, row: dict[str, Any]) -> SpoolItem:
        octets = self._vault.unwrap(self._key, bytes(row["sealed"]), _item_place(row["spool_id"]))
        return sealing.item_from_octets(octets, spool_id=row["spool_id"], accepted_at=row["accepted_at"])

    def _row(self, spool_id: str, recipient: RecipientState, *, first: bool = False) -> dict[str, Any]:
        answer = recipient.answer
        row: dict[str, Any] = {
            "state": recipient.state.value,
            "action": recipient.action,
            "attempts": recipient.attempts,
            "next_due": recipient.next_due,
            "owner": recipient.owner,
            "reply": recipient.reply,
            "code": answer.code if answer else 0,
            "answer": answer and self._seal_answer(spool_id, recipient.index, answer),
            "delay_reported": recipient.delay_reported,
        }
        if first:
            row.update(
                spool_id=spool_id, position=recipient.index, domain=recipient.domain, fence=recipient.fence
            )
        return row

    def _seal_answer(self, spool_id: str, index: int, answer: RemoteAnswer) -> bytes:
        return self._vault.wrap(self._key, sealing.answer_to_octets(answer), _answer_place(spool_id, index))

    def _open_recipient(self, row: dict[str, Any]) -> RecipientState:
        answer = None
        if row["answer"] is not None:
            place = _answer_place(row["spool_id"], row["position"])
            answer = sealing.answer_from_octets(self._vault.unwrap(self._key, bytes(row["answer"]), place))
        return RecipientState(
            index=row["position"],
            state=State(row["state"]),
            domain=row["domain"],
            action=row["action"],
            attempts=row["attempts"],
            next_due=row["next_due"],
            fence=row["fence"],
            owner=row["owner"],
            reply=row["reply"],
            answer=answer,
            delay_reported=bool(row["delay_reported"]),
        )


def _item_place(spool_id: str) -> bytes:
    return f"spool:{spool_id}".encode()


def _answer_place(spool_id: str, index: int) -> bytes:
    return f"spool:{spool_id}:{index}".encode()
