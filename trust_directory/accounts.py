"""The boxes of this operator and who may log in to them: the implementation of `core.ports.Accounts`.

What it is: the thin facade that the mail doors ask. What it is not: the operators' acts (`boxes`) or the
checking of passwords (`logins`). Start at `LocalAccounts.authenticate`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from core.address import Domain, Mailbox
from core.bal import Account, Bal
from core.clock import Clock
from core.errors import ReplyError
from trust_directory.box_cache import BoxCache
from trust_directory.logins import Logins
from trust_directory.settings import AccountSettings

Usage = Callable[[int], Awaitable[int]]
"""bal_id → octets used, from the mail store; must be cheap, it is asked at each RCPT."""


class LocalAccounts:
    """Implements `core.ports.Accounts` from memory (see `box_cache`)."""

    def __init__(
        self,
        boxes: BoxCache,
        logins: Logins,
        *,
        clock: Clock,
        settings: AccountSettings,
        usage: Usage | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._boxes = boxes
        self._logins = logins
        self._clock = clock
        self._settings = settings
        self._usage = usage
        self._sleep = sleep

    def serves(self, domain: Domain) -> bool:
        """See the port."""
        return domain in self._settings.domains

    async def bal(self, mailbox: Mailbox) -> Bal | None:
        """See the port. Raises StoreError."""
        if not self.serves(mailbox.domain):
            return None
        found = await self._boxes.find(mailbox)
        return await self._with_usage(found.bal) if found else None

    async def account(self, bal_id: int) -> Account | None:
        """See the port. Raises StoreError."""
        found = await self._boxes.get(bal_id)
        if found is None:
            return None
        return replace(found.account, bal=await self._with_usage(found.bal))

    async def authenticate(self, login: str, password: bytes, network: str) -> Account:
        """See the port; also ReplyError(LOCAL_ERROR) when the database or the pool of hashes cannot keep up."""
        began = self._clock.monotonic()
        try:
            account = await self._logins.check(login, password, network)
        except ReplyError:
            # Refusals leave at multiples of one pace: a cache miss or a busy pool is not seen from outside.
            pace = self._settings.failure_pace_seconds
            if pace > 0:
                await self._sleep(pace - (self._clock.monotonic() - began) % pace)
            raise
        return replace(account, bal=await self._with_usage(account.bal))

    async def _with_usage(self, bal: Bal) -> Bal:
        if self._usage is None:
            return bal
        return replace(bal, used_octets=await self._usage(bal.bal_id))
