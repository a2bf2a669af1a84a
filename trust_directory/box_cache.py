"""The boxes in memory: a RCPT or a login costs no SQL, and another process's change is seen in two seconds.

What it is: a bounded memory of opened boxes, dropped one by one as they change. What it is not: the truth
(`storage`) or a rule. Start at `BoxCache.find`. Asked by `accounts` and `logins`.

At most once in `change_poll_seconds`, whoever asks first reads the number of the last change; only when it
moved are the changed boxes read, by number, and dropped. When the database does not answer, the question
fails (451), because a box might have been closed meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from core.address import Mailbox
from core.clock import Clock
from trust_directory.sealed_boxes import KnownBox, SealedBoxes
from trust_directory.settings import AccountSettings

MAX_UNKNOWN = 10_000  # ours: addresses known not to exist; dropped whole at the next change
NEVER = float("-inf")


class BoxCache:
    """See the module. Not safe across threads: one loop."""

    def __init__(self, sealed: SealedBoxes, clock: Clock, settings: AccountSettings) -> None:
        self.sealed = sealed
        self._clock = clock
        self._settings = settings
        self._by_address: OrderedDict[str, KnownBox] = OrderedDict()
        self._address_of: dict[int, str] = {}
        self._unknown: set[str] = set()
        self._generation = -1
        self._looked_at = NEVER
        self._looking = asyncio.Lock()
        self._watchers: list[Callable[[int, Mailbox | None], None]] = []

    async def find(self, mailbox: Mailbox) -> KnownBox | None:
        """The box with this address, in whatever state. Raises StoreError."""
        await self.look()
        address = mailbox.canonical
        if address in self._unknown:
            return None
        held = self._by_address.get(address)
        if held is not None:
            self._by_address.move_to_end(address)
            return held
        before = self._generation
        found = await self._load(lambda: self.sealed.find(mailbox))
        if found is None and before == self._generation:
            if len(self._unknown) >= MAX_UNKNOWN:
                self._unknown.clear()
            self._unknown.add(address)
        return found

    async def get(self, bal_id: int) -> KnownBox | None:
        """The box with this number, in whatever state. Raises StoreError."""
        await self.look()
        address = self._address_of.get(bal_id)
        if address is not None:
            self._by_address.move_to_end(address)
            return self._by_address[address]
        return await self._load(lambda: self.sealed.get(bal_id))

    def expire(self) -> None:
        """Something changed here: the next question looks at once."""
        self._looked_at = NEVER

    def watch(self, changed: Callable[[int, Mailbox | None], None]) -> None:
        """Call this with the number (and the address, where it was held) of each box seen to have changed."""
        self._watchers.append(changed)

    async def look(self) -> None:
        """See what changed, unless somebody looked a moment ago. Raises StoreError."""
        if not self._is_due():
            return
        async with self._looking:
            if not self._is_due():
                return
            began = self._clock.monotonic()
            # Set first: an `expire` that comes while we read makes the next question look again.
            self._looked_at = began
            try:
                await self._read_changes()
            except BaseException:
                self._looked_at = NEVER
                raise

    def _is_due(self) -> bool:
        return self._clock.monotonic() - self._looked_at >= self._settings.change_poll_seconds

    async def _read_changes(self) -> None:
        newest = await self.sealed.reader.generation()
        if newest == self._generation:
            return
        changed = await self.sealed.reader.changed_since(self._generation) if self._generation >= 0 else []
        if newest < self._generation:  # a restored backup: nothing held is sure any more
            changed = list(self._address_of)
        self._generation = newest
        self._unknown.clear()
        for bal_id in changed:
            address = self._address_of.pop(bal_id, None)
            held = self._by_address.pop(address) if address is not None else None
            for watcher in self._watchers:
                watcher(bal_id, held.bal.mailbox if held else None)

    async def _load(self, read: Callable[[], Awaitable[KnownBox | None]]) -> KnownBox | None:
        before = self._generation
        found = await read()
        if before != self._generation:
            # A change was seen while we read: what we hold may be older than it, so it is not kept.
            return await read()
        if found is not None:
            address = found.bal.mailbox.canonical
            self._by_address[address] = found
            self._address_of[found.bal.bal_id] = address
            if len(self._by_address) > self._settings.cached_boxes:
                _, oldest = self._by_address.popitem(last=False)
                del self._address_of[oldest.bal.bal_id]
        return found
