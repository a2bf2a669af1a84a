"""Every Protocol between packages (at most twenty). `vaguemestre.wiring` hands out the implementations.

What it is: what one package may ask of another. What it is not: values (the other modules of `core`). Start
at `MailStore` and `Spool`. `UnitOfWork` and `Committer` are in `core.unit_of_work`, `Clock` in `core.clock`.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from core.address import Domain, Mailbox
from core.audit import AuditEvent, RecordedEvent
from core.bal import Account, Bal
from core.folder import Folder, FolderChanges, FolderStatus, MessageRow, NewMessage, StoredOctets, Summary
from core.identity import DistinguishedName
from core.unit_of_work import UnitOfWork


# --- trust and people ---------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class TrustState:
    """How the snapshot of the liste blanche stands."""

    is_stale: bool
    generated_at: datetime | None
    entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedPeer:
    """A peer's certificate after its chain, dates, use and revocation were checked."""

    subject: DistinguishedName
    fingerprint: str  # SHA-256, hexadecimal
    not_after: datetime


class TrustDirectory(Protocol):
    """Who may we talk to. In memory, never waits."""

    def state(self) -> TrustState:
        """Freshness of the list in force."""
        ...

    def is_on_trusted_list(self, domain: Domain) -> bool:
        """Whether the domain is in the list in force."""
        ...

    def names_of(self, domain: Domain) -> frozenset[DistinguishedName]:
        """The certificate names that may receive and speak for this domain; empty when not listed."""
        ...

    def is_listed(self, name: DistinguishedName) -> bool:
        """Whether the list gives any domain to this certificate name."""
        ...

    def may_speak_for(self, name: DistinguishedName, domain: Domain) -> bool:
        """Whether the list gives this domain to this certificate name."""
        ...


class Accounts(Protocol):
    """The boxes of this operator and who may log in to them."""

    def serves(self, domain: Domain) -> bool:
        """Whether the domain is one of ours."""
        ...

    async def bal(self, mailbox: Mailbox) -> Bal | None:
        """The box with this address, in whatever state, or None."""
        ...

    async def account(self, bal_id: int) -> Account | None:
        """The account of a box with its delegations as they are now."""
        ...

    async def authenticate(self, login: str, password: bytes, network: str) -> Account:
        """The account, or ReplyError (AUTHENTICATION_FAILED, AUTHENTICATION_LOCKED).

        Known and unknown logins take the same time and read the same. `network` is the peer's address.
        """
        ...


# --- keys and TLS -------------------------------------------------------------------------------------------
class TlsContexts(Protocol):
    """TLS material of the moment: call again for each connection, a reload changes the answer."""

    def submission_server(self) -> ssl.SSLContext:
        """For 465, 587: no client certificate asked."""
        ...

    def relay_server(self) -> ssl.SSLContext:
        """For 25: a client certificate is asked for, its absence is answered by SMTP."""
        ...

    def relay_client(self) -> ssl.SSLContext:
        """For relay out: our certificate, their chain required."""
        ...

    def twisted_server(self) -> Any:
        """An OpenSSL context factory for Twisted (IMAP)."""
        ...


class PeerVerifier(Protocol):
    """Judges the certificate of a peer, after the handshake."""

    async def verify(self, certificate: bytes, at: datetime) -> VerifiedPeer:
        """`certificate` is DER. Raises TemporaryError (revocation unknown), or PermanentError.

        The PermanentError has a `reason`, a member of a closed enum whose value is "revoked" for a revoked one.
        """
        ...


class Vault(Protocol):
    """Keys at rest: KEK → named key → what the room wraps. Names: `spool`, `bal:<id>`, `subject:<pseudonym>`."""

    async def key(self, name: str) -> bytes:
        """The 32-octet key of that name, made and made durable when it is not there yet."""
        ...

    def wrap(self, key: bytes, plaintext: bytes, place: bytes) -> bytes:
        """Seal a small value; the result begins with the algorithm's name; `place` is bound to it."""
        ...

    def unwrap(self, key: bytes, sealed: bytes, place: bytes) -> bytes:
        """Open it again; raises PermanentError when key, place or octets are not the ones of `wrap`."""
        ...

    def pseudonym(self, text: str) -> str:
        """A keyed, stable, one-way name (hexadecimal) for indexes and logs."""
        ...


# --- storage ------------------------------------------------------------------------------------------------
class BlobStore(Protocol):
    """Sealed octets, small ones in a table, large ones in files or an object store."""

    async def seal(self, octets: bytes) -> StoredOctets:
        """Encrypt under a fresh key; large octets are written and fsynced before this returns."""
        ...

    def keep(self, unit: UnitOfWork, stored: StoredOctets) -> None:
        """Stage the row that names them, with no reference yet."""
        ...

    def refer(self, unit: UnitOfWork, blob_id: str, count: int) -> None:
        """Stage +1 or -1 references; octets with none are removed in the same unit."""
        ...

    async def read(self, stored: StoredOctets, start: int = 0, end: int | None = None) -> bytes:
        """The octets [start, end). Raises NotStored, StoreError, or PermanentError when they were altered."""
        ...


class MailStore(Protocol):
    """Where mail rests. Every change is durable when the call returns, unless it takes a `unit`."""

    async def folders(self, bal_id: int) -> Sequence[Folder]:
        """All folders of a box, INBOX first, then by name."""
        ...

    async def folder(self, bal_id: int, name: str) -> Folder | None:
        """One folder by its name (INBOX in any case)."""
        ...

    async def create_folder(self, bal_id: int, name: str, special_use: str = "") -> Folder:
        """Raises PermanentError when it is there already. A new folder never has an old UIDVALIDITY."""
        ...

    async def rename_folder(self, bal_id: int, name: str, new_name: str) -> None:
        """With what is below it. Renaming INBOX moves its messages (RFC 3501 §6.3.5)."""
        ...

    async def delete_folder(self, bal_id: int, name: str) -> None:
        """And its messages. Raises PermanentError for INBOX, NotStored when absent."""
        ...

    async def subscribe(self, bal_id: int, name: str, subscribed: bool) -> None:
        """Keep the subscription, even of a name that does not exist (RFC 3501 §6.3.6)."""
        ...

    async def subscriptions(self, bal_id: int) -> Sequence[str]:
        """Every subscribed name, sorted."""
        ...

    async def status(self, folder_id: int) -> FolderStatus:
        """The counts, without loading rows."""
        ...

    async def changes(self, folder_id: int, since_modseq: int = 0) -> FolderChanges:
        """Everything (0) or what changed after that modification sequence, rows ordered by UID."""
        ...

    async def claim_recent(self, folder_id: int) -> int:
        """The first \\Recent UID for this session; messages up to now are no longer recent for others."""
        ...

    async def summaries(self, folder_id: int, uids: Sequence[int]) -> Mapping[int, Summary]:
        """The sealed summaries of these messages (those that exist)."""
        ...

    async def octets(self, folder_id: int, uid: int, start: int = 0, end: int | None = None) -> bytes:
        """Octets [start, end) of the whole message, prefix included. Raises NotStored."""
        ...

    async def many_octets(self, folder_id: int, spans: Mapping[int, tuple[int, int]]) -> Mapping[int, bytes]:
        """By UID, the octets [start, end) of many messages, as `octets` gives them; those that exist.

        For headers and small letters: the caller sees to it that all of them fit in memory.
        """
        ...

    def add(self, unit: UnitOfWork, message: NewMessage) -> None:
        """Stage one message; uid and modseq are set by the commit. Takes a reference on its octets."""
        ...

    async def store_flags(
        self, folder_id: int, uids: Sequence[int], change: FlagChange
    ) -> tuple[Sequence[MessageRow], Sequence[int]]:
        """(rows after the change, UIDs left alone because they were modified since)."""
        ...

    async def copy(self, folder_id: int, uids: Sequence[int], target_id: int) -> Sequence[tuple[int, int]]:
        """(old UID, new UID) pairs, all or none; flags and internal date kept."""
        ...

    async def move(self, folder_id: int, uids: Sequence[int], target_id: int) -> Sequence[tuple[int, int]]:
        """As copy, and gone from the first folder, in one transaction."""
        ...

    async def expunge(self, folder_id: int, uids: Sequence[int] | None = None) -> Sequence[int]:
        """Remove messages flagged \\Deleted (only these UIDs when given); the UIDs that went."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """Which UIDs of a folder hold a text: `sure`, and `candidates` that must be read. No other does."""

    sure: frozenset[int]
    candidates: frozenset[int]


class LetterSearch(Protocol):
    """Which messages hold a text, mostly without reading them; the same answer as reading them all."""

    async def verdicts(self, folder_id: int, text: str, *, with_header: bool) -> Verdicts:
        """For a text folded by `core.message.fold`, in the body, or also in the header. Raises NotStored."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagChange:
    """STORE: replace, add or remove; `unchanged_since` is RFC 7162's UNCHANGEDSINCE."""

    operation: str  # "replace" | "add" | "remove"
    flags: frozenset[str]
    unchanged_since: int | None = None


class ChangeFeed(Protocol):
    """Who wants to know that a folder changed (IDLE)."""

    def subscribe(self, folder_id: int, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake` after each durable change of the folder; the result unsubscribes."""
        ...

    def publish(self, folder_id: int) -> None:
        """The folder changed and is durable."""
        ...


class AuditTrail(Protocol):
    """The append-only trail."""

    def record(self, unit: UnitOfWork, event: AuditEvent) -> None:
        """Stage the event in the unit whose doing it tells."""
        ...

    async def append(self, event: AuditEvent) -> None:
        """Record an event that belongs to no other change (a refusal, a login); returns when durable."""
        ...

    async def events_of(self, *, message_id: str = "", spool_id: str = "") -> Sequence[RecordedEvent]:
        """What is known of one letter, oldest first."""
        ...


class Resolver(Protocol):
    """Where does mail for a domain go."""

    async def next_hops(self, domain: Domain) -> Sequence[tuple[str, int]]:
        """(host, port) in order of preference. Raises TemporaryError (no answer) or PermanentError (null MX)."""
        ...
