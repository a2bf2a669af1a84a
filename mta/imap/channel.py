"""The transport as a conversation sees it, and what all conversations of a process share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from core.clock import Clock
from core.ports import Accounts, AuditTrail, BlobStore, ChangeFeed, LetterSearch, MailStore
from core.unit_of_work import Committer
from mta.imap.literals import LiteralBudget
from mta.imap.record_cache import RecordCache
from mta.imap.responses import status_text
from mta.imap.responses.status_text import StatusText
from mta.imap.settings import Settings
from mta.refusal_ledger import RefusalLedger


class Channel(Protocol):
    """Octets to the client. What comes from it is given to `Conversation.receive`."""

    def write(self, octets: bytes) -> None:
        """Send these; never waits."""
        ...

    async def drain(self) -> None:
        """Return when the client keeps up again. Raises ConnectionError when it is gone or reads nothing."""
        ...

    def hold(self, *, held: bool) -> None:
        """Stop (or go on) reading from the client."""
        ...

    def start_tls(self) -> None:
        """Begin TLS as the server, after what was written. Raises ConnectionError when TLS is not to be had."""
        ...

    def close(self) -> None:
        """End the connection after what was written."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Everything outside that IMAP needs."""

    accounts: Accounts
    store: MailStore
    blobs: BlobStore
    committer: Committer
    audit: AuditTrail
    feed: ChangeFeed
    clock: Clock
    refusals: RefusalLedger
    search: LetterSearch | None = None
    """Without it, SEARCH reads what it searches."""


class ImapMetrics(Protocol):
    """What is counted. No address, no name: kinds and numbers only."""

    def commanded(self, name: str, condition: str, seconds: float) -> None:
        """A command was answered: its name (of the table, or OTHER), OK/NO/BAD, and how long it took."""
        ...

    def connected(self, listener: str, open_connections: int) -> None:
        """A connection came or went; how many are open now."""
        ...


class NoMetrics:
    """Counts nothing."""

    def commanded(self, name: str, condition: str, seconds: float) -> None:
        """See `ImapMetrics`."""

    def connected(self, listener: str, open_connections: int) -> None:
        """See `ImapMetrics`."""


@dataclass(slots=True, kw_only=True)
class Shared:
    """One per process: ports, settings, the cache of records, the budget of literals, sessions by account."""

    settings: Settings
    ports: Ports
    cache: RecordCache
    budget: LiteralBudget
    metrics: ImapMetrics = field(default_factory=NoMetrics)
    sessions: dict[int, set[Callable[[StatusText], None]]] = field(default_factory=dict)
    """By account: how to end each of its sessions."""

    @classmethod
    def of(cls, settings: Settings, ports: Ports, metrics: ImapMetrics | None = None) -> Shared:
        """With an empty cache and the whole budget."""
        return cls(
            settings=settings,
            ports=ports,
            cache=RecordCache(settings.record_cache_octets),
            budget=LiteralBudget(settings.max_literal_memory),
            metrics=metrics or NoMetrics(),
        )

    def enter_account(self, bal_id: int, end_for: Callable[[StatusText], None]) -> bool:
        """Count one more session of an account; False (and not counted) when there are too many."""
        ends = self.sessions.setdefault(bal_id, set())
        if len(ends) >= self.settings.max_connections_per_account:
            return False
        ends.add(end_for)
        return True

    def leave_account(self, bal_id: int, end_for: Callable[[StatusText], None]) -> None:
        """Count out what `enter_account` counted in."""
        ends = self.sessions.get(bal_id, set())
        ends.discard(end_for)
        if not ends:
            self.sessions.pop(bal_id, None)

    def end_sessions_of(self, bal_id: int) -> None:
        """The box was suspended or closed, or its password changed: say BYE to whoever has it open."""
        for end_for in list(self.sessions.get(bal_id, ())):
            end_for(status_text.BYE_BOX)
