"""The one writer of the process: many units of work, one transaction, one fsync (group commit).

What it is: `GroupCommitter`, the implementation of `core.unit_of_work.Committer`. Units that wait while a
transaction is being written form the next batch; their changes are handed to the appliers in a fixed order, many
at a time. What it is not: SQL, or a queue that survives; an awaiter that did not return was told nothing.

When a batch cannot be written it is undone and played again with a savepoint around each unit, so that a failing
unit never takes its neighbours down. When the disk cannot be trusted any more, every unit fails, `on_fatal` is
called and nothing is ever written again in this life. Start at `commit`, then `_write_batch`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from core.errors import FatalStoreError, GatewayError, LocalProtocolError, StoreError, StoreFull
from core.unit_of_work import Applier, Change, UnitOfWork
from vaguemestre.database import Database, OutcomeUnknown, StoreAway, translated

MAX_BATCH_UNITS = 64  # ours: beyond this a batch's wait grows more than its fsync is worth
MAX_BATCH_CHANGES = 1024  # ours: bounds the work between two commits
MAX_WAITING_UNITS = 10_000  # ours: beyond this the disk is too slow and callers must hear 451
INLINE_WEIGHT = 512  # ours: batches that touch more rows run their statements in the writer's thread

_log = structlog.get_logger()


class _Waiting:
    """A unit and who waits for it."""

    __slots__ = ("future", "unit")

    def __init__(self, unit: UnitOfWork, future: asyncio.Future[None]) -> None:
        self.unit = unit
        self.future = future

    def succeed(self) -> None:
        try:
            self.unit.committed()
        except Exception as error:  # noqa: BLE001 - a callback's bug must not unmake what is durable
            _log.error("after-commit-callback-failed", component="committer", error=type(error).__name__)
        if not self.future.done():
            self.future.set_result(None)

    def fail(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class GroupCommitter:
    """`appliers` are called in this order in every transaction. `on_fatal` ends the program."""

    def __init__(
        self,
        database: Database,
        appliers: Sequence[Applier] = (),
        *,
        on_fatal: Callable[[FatalStoreError], None] = lambda error: None,
    ) -> None:
        self._database = database
        self._appliers: dict[str, Applier] = {}
        self._on_fatal = on_fatal
        self._waiting: deque[_Waiting] = deque()
        self._task: asyncio.Task[None] | None = None
        self._fatal: FatalStoreError | None = None
        self._closed = False
        self.batches = 0
        self.units = 0
        self.trouble = ""
        """Why the last batch could not be written; empty when it was, or when it was its own fault."""
        self.timer: Callable[[], AbstractContextManager[object]] = nullcontext
        """Entered for each batch, for a metric."""
        for applier in appliers:
            self.register(applier)

    def register(self, applier: Applier) -> None:
        """Add an applier behind the others: storages need the committer, the committer needs their appliers."""
        if applier.name in self._appliers:
            raise LocalProtocolError("an applier of this name is registered already")
        self._appliers[applier.name] = applier

    async def commit(self, unit: UnitOfWork) -> None:
        """See `core.unit_of_work.Committer.commit`.

        An awaiter that is cancelled before its batch began leaves no trace; after that its unit is written.
        """
        if self._fatal is not None:
            raise FatalStoreError("the store has failed; the program is ending")
        if self._closed:
            raise StoreError("the writer is closed")
        for change in unit.changes:
            if change.applier not in self._appliers:
                raise LocalProtocolError("no storage is registered for a change of this kind")
        if len(self._waiting) >= MAX_WAITING_UNITS:
            raise StoreError("too many units wait for the disk")
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(unit, future))
        if self._task is None:
            self._task = asyncio.create_task(self._drain(), name="committer")
        await future

    async def close(self) -> None:
        """Write everything that waits, then accept nothing more."""
        self._closed = True
        while self._task is not None:
            await asyncio.wait([self._task])

    # --- the writer's task -----------------------------------------------------------------------------------
    async def _drain(self) -> None:
        try:
            while self._waiting:
                batch = self._next_batch()
                if batch:
                    await self._write_batch(batch)
        finally:
            self._task = None

    def _next_batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        changes = 0
        while self._waiting and len(batch) < MAX_BATCH_UNITS and changes < MAX_BATCH_CHANGES:
            waiting = self._waiting.popleft()
            if not waiting.future.cancelled():
                batch.append(waiting)
                changes += len(waiting.unit.changes)
        return batch

    async def _write_batch(self, batch: list[_Waiting]) -> None:
        self.batches += 1
        self.units += len(batch)
        try:
            if self._fatal is not None:
                raise FatalStoreError("the store has failed; the program is ending")
            changes = [change for waiting in batch for change in waiting.unit.changes]
            if changes:
                with self.timer():
                    await self._write(changes)
        except FatalStoreError as error:
            self._die(error, batch)
        except (StoreAway, StoreFull, OutcomeUnknown) as error:
            self._in_trouble(error)
            _fail_all(batch, error)
        except Exception as error:  # noqa: BLE001 - the writer's door: one unit's bug must not stop the others
            await self._after_failure(batch, error)
        else:
            self.trouble = ""
            for waiting in batch:
                waiting.succeed()

    def _in_trouble(self, error: GatewayError) -> None:
        self.trouble = f"the last commit failed ({error})"

    async def look(self) -> None:
        """After a failure: whether the store takes a transaction again, without waiting for someone's letter.

        Raises FatalStoreError, after `on_fatal`.
        """
        if not self.trouble or self._fatal is not None:
            return
        try:
            async with self._database.write(inline=False):
                pass
        except FatalStoreError as error:
            self._die(error, [])
            raise
        except GatewayError as error:
            self._in_trouble(error)
        else:
            self.trouble = ""

    async def _after_failure(self, batch: list[_Waiting], error: Exception) -> None:
        if len(batch) == 1:
            batch[0].fail(_meaning(error))
            return
        try:
            failures = await self._replay(batch)
        except FatalStoreError as fatal:
            self._die(fatal, batch)
        except Exception as again:  # noqa: BLE001 - as above
            meaning = _meaning(again)
            self._in_trouble(meaning)
            _fail_all(batch, meaning)
        else:
            self.trouble = ""
            for waiting, failure in zip(batch, failures, strict=True):
                if failure is None:
                    waiting.succeed()
                else:
                    waiting.fail(failure)

    async def _write(self, changes: list[Change]) -> None:
        async with self._database.write(inline=_weight(changes) <= INLINE_WEIGHT) as connection:
            await self._apply(connection, changes)

    async def _apply(self, connection: AsyncConnection, changes: Iterable[Change]) -> None:
        grouped: dict[str, list[Change]] = {}
        for change in changes:
            grouped.setdefault(change.applier, []).append(change)
        for name, applier in self._appliers.items():
            if name in grouped:
                await applier.apply(connection, grouped[name])

    async def _replay(self, batch: list[_Waiting]) -> list[Exception | None]:
        """Each unit in a savepoint, one commit for all: what failed for each, or None."""
        failures: list[Exception | None] = []
        async with self._database.write() as connection:
            for waiting in batch:
                try:
                    async with connection.begin_nested():
                        await self._apply(connection, waiting.unit.changes)
                    failures.append(None)
                except Exception as error:
                    meaning = _meaning(error)
                    if isinstance(meaning, FatalStoreError | StoreAway | StoreFull):
                        raise meaning from error
                    failures.append(meaning)
        return failures

    def _die(self, error: FatalStoreError, batch: list[_Waiting]) -> None:
        first = self._fatal is None
        self._fatal = error
        self._in_trouble(error)
        _fail_all(batch, error)
        _fail_all(self._waiting, error)
        self._waiting.clear()
        if first:
            _log.critical("store-failed", component="committer", error=str(error))
            self._on_fatal(error)


def _fail_all(batch: Iterable[_Waiting], error: Exception) -> None:
    for waiting in batch:
        waiting.fail(error)


def _meaning(error: Exception) -> GatewayError:
    if isinstance(error, GatewayError):
        return error
    if not isinstance(error, SQLAlchemyError):
        _log.error("applier-failed", component="committer", error=type(error).__name__)
    meaning = translated(error)
    meaning.__cause__ = error
    return meaning


def _weight(changes: Iterable[Change]) -> int:
    """How many rows these changes touch, as far as they say (`weight`); 1 for a change that does not say."""
    return sum(getattr(change, "weight", 1) for change in changes)
