"""Accounts from a table: who exists, with which password, and how many tries were refused."""

from __future__ import annotations

import hmac

from core import reply
from core.address import Domain, Mailbox
from core.bal import Account, Bal, BalKind, BalState
from core.errors import ReplyError

MAX_FAILURES = 10  # per login, then locked


class StaticAccounts:
    """Implements `core.ports.Accounts`. Logins are the addresses."""

    def __init__(self) -> None:
        self._by_id: dict[int, tuple[Account, bytes]] = {}
        self.attempts: list[tuple[str, str]] = []
        """(login, network) of every call of `authenticate`."""
        self._failures: dict[str, int] = {}

    def open(
        self,
        address: str,
        password: bytes = b"secret",
        *,
        kind: BalKind = BalKind.PERSONNELLE,
        quota_octets: int = 1 << 30,
        used_octets: int = 0,
    ) -> Account:
        """Make a box; its id is the next number."""
        bal = Bal(
            bal_id=len(self._by_id) + 1,
            mailbox=Mailbox.parse(address),
            kind=kind,
            state=BalState.OPEN,
            display_name=address.partition("@")[0],
            quota_octets=quota_octets,
            used_octets=used_octets,
        )
        account = Account(bal=bal)
        self._by_id[bal.bal_id] = (account, password)
        return account

    def put(self, account: Account, password: bytes = b"secret") -> None:
        """Add or replace an account, as it is."""
        self._by_id[account.bal.bal_id] = (account, password)

    def serves(self, domain: Domain) -> bool:
        """See the port."""
        return any(account.bal.mailbox.domain == domain for account, _ in self._by_id.values())

    async def bal(self, mailbox: Mailbox) -> Bal | None:
        """See the port."""
        found = (account.bal for account, _ in self._by_id.values() if account.bal.mailbox == mailbox)
        return next(found, None)

    async def account(self, bal_id: int) -> Account | None:
        """See the port."""
        return self._by_id.get(bal_id, (None, b""))[0]

    async def authenticate(self, login: str, password: bytes, network: str) -> Account:
        """See the port."""
        self.attempts.append((login, network))
        if self._failures.get(login, 0) >= MAX_FAILURES:
            raise ReplyError(reply.AUTHENTICATION_LOCKED)
        for account, expected in self._by_id.values():
            if str(account.bal.mailbox) == login.lower() and hmac.compare_digest(password, expected):
                return account
        self._failures[login] = self._failures.get(login, 0) + 1
        raise ReplyError(reply.AUTHENTICATION_FAILED)
