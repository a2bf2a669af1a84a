"""The spool's tables and every statement on them.

What it is: `SpoolStorage`, the applier that writes many letters' changes at a time, and the few readings. What it
is not: the meaning of a state (`mta.spool.store`) or a cipher: what is personal arrives here sealed. In clear
stand only domains, states, times and the names of replies. Start at `SpoolStorage.apply`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from core.errors import PermanentError
from core.unit_of_work import Change
from mta.spool.changes import (
    ChangeRecipient,
    ForgetSeen,
    MarkSeen,
    PutItem,
    RecoverLeases,
    RenewLeases,
    TakeDue,
)
from mta.spool.item import ENDS, State

METADATA = sa.MetaData()

SPOOL_ITEM = sa.Table(
    "spool_item",
    METADATA,
    sa.Column("spool_id", sa.Text, primary_key=True),
    sa.Column("accepted_at", sa.Double, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
)
SPOOL_RECIPIENT = sa.Table(
    "spool_recipient",
    METADATA,
    sa.Column("spool_id", sa.Text, primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("domain", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_due", sa.Double),
    sa.Column("fence", sa.Integer, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("reply", sa.Text, nullable=False),
    sa.Column("code", sa.Integer, nullable=False),
    sa.Column("answer", sa.LargeBinary),
    sa.Column("delay_reported", sa.Boolean, nullable=False),
    sa.Index("spool_recipient_due", "domain", "next_due"),
)
RELAY_SEEN = sa.Table(
    "relay_seen",
    METADATA,
    sa.Column("key", sa.LargeBinary, primary_key=True),
    sa.Column("seen_at", sa.Double, nullable=False),
    sa.Index("relay_seen_age", "seen_at"),
)
CHUNK = 400  # ours: names in one IN list, far below what either engine takes
_ENDED = frozenset(state.value for state in ENDS)


class AlreadyReceived(PermanentError):
    """A key of this unit is in `relay_seen`: the letter was taken before. Nothing of the unit was written."""


class StaleLease(PermanentError):
    """The lease under which this was done is not the one in force. Nothing of the unit was written."""


class ReadableDatabase(Protocol):
    """What the storage needs of the database for reading."""

    def read(self, *, snapshot: bool = False) -> AbstractAsyncContextManager[Any]:
        """A connection that only reads."""
        ...


_UPDATED = ("state", "action", "attempts", "next_due", "owner", "reply", "code", "answer", "delay_reported")
_INSERT_SEEN = sa.insert(RELAY_SEEN)
_UPDATE_RECIPIENT = (
    sa.update(SPOOL_RECIPIENT)
    .where(
        SPOOL_RECIPIENT.c.spool_id == sa.bindparam("b_spool_id"),
        SPOOL_RECIPIENT.c.position == sa.bindparam("b_position"),
    )
    .values({name: sa.bindparam(f"v_{name}") for name in (*_UPDATED, "fence")})
)
_LEASE = (
    sa.update(SPOOL_RECIPIENT)
    .where(
        SPOOL_RECIPIENT.c.spool_id == sa.bindparam("b_spool_id"),
        SPOOL_RECIPIENT.c.position == sa.bindparam("b_position"),
    )
    .values(
        state=State.LEASED.value,
        fence=SPOOL_RECIPIENT.c.fence + 1,
        owner=sa.bindparam("v_owner"),
        next_due=sa.bindparam("v_until"),
    )
)
_RENEW = (
    sa.update(SPOOL_RECIPIENT)
    .where(
        SPOOL_RECIPIENT.c.spool_id == sa.bindparam("b_spool_id"),
        SPOOL_RECIPIENT.c.position == sa.bindparam("b_position"),
        SPOOL_RECIPIENT.c.fence == sa.bindparam("b_fence"),
        SPOOL_RECIPIENT.c.state == State.LEASED.value,
    )
    .values(next_due=sa.bindparam("v_until"))
)
# PostgreSQL: rows that another node is taking are passed over. SQLite has one writer, which holds the
# database since BEGIN IMMEDIATE; there the clause is not written.
_DUE = (
    sa.select(SPOOL_RECIPIENT)
    .where(
        SPOOL_RECIPIENT.c.domain == sa.bindparam("b_domain"),
        SPOOL_RECIPIENT.c.next_due <= sa.bindparam("b_now"),
    )
    .order_by(SPOOL_RECIPIENT.c.next_due)
    .limit(sa.bindparam("b_limit"))
    .with_for_update(skip_locked=True)
)
# Those whose time is further away than any wait: the clock was set back since. Not those in hand: a lease is renewed.
_FAR = (
    sa.select(SPOOL_RECIPIENT)
    .where(
        SPOOL_RECIPIENT.c.domain == sa.bindparam("b_domain"),
        SPOOL_RECIPIENT.c.next_due > sa.bindparam("b_horizon"),
        SPOOL_RECIPIENT.c.state == State.WAITING.value,
    )
    .order_by(SPOOL_RECIPIENT.c.next_due)
    .limit(sa.bindparam("b_limit"))
    .with_for_update(skip_locked=True)
)
_OF_ITEMS = (
    sa.select(
        SPOOL_RECIPIENT.c.spool_id,
        SPOOL_RECIPIENT.c.position,
        SPOOL_RECIPIENT.c.state,
        SPOOL_RECIPIENT.c.fence,
    )
    .where(SPOOL_RECIPIENT.c.spool_id.in_(sa.bindparam("b_ids", expanding=True)))
    .order_by(SPOOL_RECIPIENT.c.spool_id, SPOOL_RECIPIENT.c.position)  # one order: no deadlock between nodes
    .with_for_update()
)


def _delete_of(table: sa.Table) -> sa.Delete:
    return sa.delete(table).where(table.c.spool_id.in_(sa.bindparam("b_ids", expanding=True)))


_DELETE_ITEMS = _delete_of(SPOOL_ITEM)
_DELETE_RECIPIENTS = _delete_of(SPOOL_RECIPIENT)


class SpoolStorage:
    """Applier `spool`, and the spool's readings."""

    name = "spool"

    def __init__(self, database: ReadableDatabase) -> None:
        self._database = database

    # --- writing --------------------------------------------------------------------------------------------
    async def apply(self, connection: Any, changes: Sequence[Change]) -> None:
        """See `core.unit_of_work.Applier`. Raises AlreadyReceived or StaleLease."""
        puts = [change for change in changes if isinstance(change, PutItem)]
        if puts:
            await connection.execute(sa.insert(SPOOL_ITEM), [put.item for put in puts])
            rows = [row for put in puts for row in put.recipients]
            await connection.execute(sa.insert(SPOOL_RECIPIENT), rows)
        await self._mark_seen(connection, [change for change in changes if isinstance(change, MarkSeen)])
        await self._change(connection, [change for change in changes if isinstance(change, ChangeRecipient)])
        for change in changes:
            match change:
                case TakeDue():
                    await self._take(connection, change)
                case RenewLeases():
                    await self._renew(connection, change)
                case RecoverLeases():
                    await self._recover(connection, change)
                case ForgetSeen():
                    await connection.execute(
                        sa.delete(RELAY_SEEN).where(RELAY_SEEN.c.seen_at < change.before)
                    )
                case _:
                    pass

    async def _mark_seen(self, connection: Any, marks: list[MarkSeen]) -> None:
        rows = [{"key": key, "seen_at": mark.at} for mark in marks for key in mark.keys]
        if not rows:
            return
        try:
            await connection.execute(_INSERT_SEEN, rows)
        except IntegrityError as error:
            raise AlreadyReceived("this letter was received before") from error

    async def _change(self, connection: Any, changes: list[ChangeRecipient]) -> None:
        if not changes:
            return
        states: dict[str, dict[int, str]] = {}
        fences: dict[tuple[str, int], int] = {}
        for ids in _chunks(sorted({change.spool_id for change in changes})):
            for spool_id, position, state, fence in await connection.execute(_OF_ITEMS, {"b_ids": ids}):
                states.setdefault(spool_id, {})[position] = state
                fences[(spool_id, position)] = fence
        for change in changes:
            place = (change.spool_id, change.position)
            ended = states.get(change.spool_id, {}).get(change.position, "") in _ENDED
            if ended or fences.get(place) != change.fence:
                raise StaleLease("another hand has worked on this recipient since")
            fences[place] = change.fence + 1
            states[change.spool_id][change.position] = change.row["state"]
        done = {spool_id for spool_id, of in states.items() if _ENDED.issuperset(of.values())}
        updates = [_update_row(change) for change in changes if change.spool_id not in done]
        if updates:
            await connection.execute(_UPDATE_RECIPIENT, updates)
        for ids in _chunks(sorted(done)):
            await connection.execute(_DELETE_RECIPIENTS, {"b_ids": ids})
            await connection.execute(_DELETE_ITEMS, {"b_ids": ids})

    async def _take(self, connection: Any, change: TakeDue) -> None:
        change.taken = []
        for domain, limit in sorted(change.wants):
            wanted = {"b_domain": domain, "b_now": change.now, "b_limit": limit}
            rows = (await connection.execute(_DUE, wanted)).all()
            if len(rows) < limit:
                wanted = {"b_domain": domain, "b_horizon": change.horizon, "b_limit": limit - len(rows)}
                rows.extend((await connection.execute(_FAR, wanted)).all())
            change.taken.extend(dict(row._mapping) for row in rows)
        if not change.taken:
            return
        await connection.execute(
            _LEASE,
            [
                {
                    "b_spool_id": row["spool_id"],
                    "b_position": row["position"],
                    "v_owner": change.owner,
                    "v_until": change.until,
                }
                for row in change.taken
            ],
        )
        for row in change.taken:
            row.update(
                state=State.LEASED.value, fence=row["fence"] + 1, owner=change.owner, next_due=change.until
            )

    async def _renew(self, connection: Any, change: RenewLeases) -> None:
        rows = [
            {"b_spool_id": spool_id, "b_position": position, "b_fence": fence, "v_until": change.until}
            for spool_id, position, fence in sorted(change.leases)
        ]
        if rows:
            await connection.execute(_RENEW, rows)

    async def _recover(self, connection: Any, change: RecoverLeases) -> None:
        column = SPOOL_RECIPIENT.c
        await connection.execute(
            sa.update(SPOOL_RECIPIENT)
            .where(
                column.state == State.LEASED.value,
                column.owner.startswith(change.slot, autoescape=True),
                column.owner != change.owner,
            )
            .values(next_due=change.now)
        )

    # --- reading --------------------------------------------------------------------------------------------
    async def lanes(self) -> list[tuple[str, float, float]]:
        """Each domain for which something waits or is leased, and when the first and the last of it are due."""
        column = SPOOL_RECIPIENT.c
        query = (
            sa.select(column.domain, sa.func.min(column.next_due), sa.func.max(column.next_due))
            .where(column.next_due.is_not(None))
            .group_by(column.domain)
        )
        async with self._database.read() as connection:
            return [(domain, first, last) for domain, first, last in await connection.execute(query)]

    async def items(self, spool_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The item rows of those that exist."""
        found: dict[str, dict[str, Any]] = {}
        async with self._database.read() as connection:
            for ids in _chunks(sorted(set(spool_ids))):
                query = sa.select(SPOOL_ITEM).where(SPOOL_ITEM.c.spool_id.in_(ids))
                for row in await connection.execute(query):
                    found[row.spool_id] = dict(row._mapping)
        return found

    async def recipients(self, spool_id: str) -> list[dict[str, Any]]:
        """The recipient rows of one item, in the envelope's order."""
        query = (
            sa.select(SPOOL_RECIPIENT)
            .where(SPOOL_RECIPIENT.c.spool_id == spool_id)
            .order_by(SPOOL_RECIPIENT.c.position)
        )
        async with self._database.read() as connection:
            return [dict(row._mapping) for row in await connection.execute(query)]

    async def listing(
        self, *, domain: str, state: str, accepted_before: float | None, limit: int
    ) -> list[dict[str, Any]]:
        """Recipient rows with their item's time and size, oldest letter first; empty filters take all."""
        column = SPOOL_RECIPIENT.c
        query = sa.select(SPOOL_RECIPIENT, SPOOL_ITEM.c.accepted_at, SPOOL_ITEM.c.size).join_from(
            SPOOL_RECIPIENT, SPOOL_ITEM, SPOOL_ITEM.c.spool_id == column.spool_id
        )
        if domain:
            query = query.where(column.domain == domain)
        if state:
            query = query.where(column.state == state)
        if accepted_before is not None:
            query = query.where(SPOOL_ITEM.c.accepted_at <= accepted_before)
        query = query.order_by(SPOOL_ITEM.c.accepted_at, column.spool_id, column.position).limit(limit)
        async with self._database.read() as connection:
            return [dict(row._mapping) for row in await connection.execute(query)]

    async def seen(self, keys: Sequence[bytes]) -> set[bytes]:
        """Which of these keys were received before."""
        found: set[bytes] = set()
        async with self._database.read() as connection:
            for some in _chunks(keys):
                query = sa.select(RELAY_SEEN.c.key).where(RELAY_SEEN.c.key.in_(some))
                found.update(bytes(row.key) for row in await connection.execute(query))
        return found

    async def totals(self) -> tuple[int, float | None]:
        """How many items there are and when the oldest was accepted."""
        query = sa.select(sa.func.count(), sa.func.min(SPOOL_ITEM.c.accepted_at)).select_from(SPOOL_ITEM)
        async with self._database.read() as connection:
            count, oldest = (await connection.execute(query)).one()
        return int(count), oldest


def _update_row(change: ChangeRecipient) -> dict[str, Any]:
    row: dict[str, Any] = {f"v_{name}": change.row[name] for name in _UPDATED}
    row.update(b_spool_id=change.spool_id, b_position=change.position, v_fence=change.fence + 1)
    return row


def _chunks(names: Sequence[Any]) -> Iterable[Sequence[Any]]:
    for start in range(0, len(names), CHUNK):
        yield names[start : start + CHUNK]
