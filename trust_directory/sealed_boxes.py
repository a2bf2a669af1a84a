"""Boxes as people know them, opened from their sealed rows, and sealed again for the next change.

What it is: the one place that knows which key and which place each sealed column has. What it is not: SQL
(`storage`), rules (`boxes`) or memory (`box_cache`). Start at `SealedBoxes.find`.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.address import Mailbox
from core.bal import Account, Bal, BalState, Right
from core.ports import Vault
from core.unit_of_work import Committer, UnitOfWork
from trust_directory.storage import BoxFile, BoxReader, BoxRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A password of a box, hashed. Times are seconds since 1970; `last_used_day` is days (0: never)."""

    credential_id: str
    label: str
    encoded: str
    created_at: int
    last_used_day: int
    expires_at: int | None
    revoked_at: int | None

    def holds(self, at: float) -> bool:
        """Whether it may still be used at this time."""
        return self.revoked_at is None and (self.expires_at is None or at < self.expires_at)

    def __repr__(self) -> str:
        return f"Credential({self.credential_id}, …)"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownBox:
    """One box with its passwords and its rights on others, all as stored at one moment."""

    account: Account
    credentials: tuple[Credential, ...]
    created_at: int
    changed_at: int

    @property
    def bal(self) -> Bal:
        """The box itself."""
        return self.account.bal

    def credential(self, credential_id: str) -> Credential | None:
        """The password with this id."""
        return next((found for found in self.credentials if found.credential_id == credential_id), None)


class SealedBoxes:
    """Opens and seals. `bal:<id>` is the key of a box; the place names the box and the column."""

    def __init__(self, reader: BoxReader, vault: Vault, committer: Committer) -> None:
        self.reader = reader
        self._vault = vault
        self._committer = committer

    def pseudonym(self, text: str) -> str:
        """The name under which an address is found, in canonical form."""
        return self._vault.pseudonym(text)

    async def find(self, mailbox: Mailbox) -> KnownBox | None:
        """The box with this address, in whatever state. Raises StoreError."""
        found = await self.reader.by_pseudonym(self.pseudonym(mailbox.canonical))
        return await self._open(found) if found else None

    async def get(self, bal_id: int) -> KnownBox | None:
        """The box with this number, in whatever state. Raises StoreError."""
        found = await self.reader.by_id(bal_id)
        return await self._open(found) if found else None

    async def all_boxes(self, domain: str | None = None) -> list[tuple[Bal, BoxRow]]:
        """Every box, opened, with its row (for times). Raises StoreError."""
        return [(await self._bal(row), row) for row in await self.reader.all_boxes(domain=domain)]

    async def seal(self, bal_id: int, column: str, text: str) -> bytes:
        """The sealed form of a value of this box."""
        return self._vault.wrap(await self._vault.key(f"bal:{bal_id}"), text.encode(), _place(bal_id, column))

    async def commit(self, unit: UnitOfWork) -> None:
        """Make it durable."""
        await self._committer.commit(unit)

    async def _open(self, found: BoxFile) -> KnownBox:
        bal = await self._bal(found.box)
        credentials = []
        for row in found.credentials:
            label, encoded = credential_columns(row.credential_id)
            credentials.append(
                Credential(
                    credential_id=row.credential_id,
                    label=await self._unseal(bal.bal_id, label, row.label_sealed),
                    encoded=await self._unseal(bal.bal_id, encoded, row.hash_sealed),
                    created_at=row.created_at,
                    last_used_day=row.last_used_day,
                    expires_at=row.expires_at,
                    revoked_at=row.revoked_at,
                )
            )
        return KnownBox(
            account=Account(bal=bal, delegations=await self._delegations(found)),
            credentials=tuple(credentials),
            created_at=found.box.created_at,
            changed_at=found.box.changed_at,
        )

    async def _delegations(self, found: BoxFile) -> frozenset[tuple[int, Mailbox, Right]]:
        # A right on a suspended or closed box is no right while it is so.
        return frozenset(
            [
                (row.bal_id, (await self._bal(row)).mailbox, right)
                for row, right in found.owners
                if row.state is BalState.OPEN
            ]
        )

    async def _bal(self, row: BoxRow) -> Bal:
        return Bal(
            bal_id=row.bal_id,
            mailbox=Mailbox.parse(await self._unseal(row.bal_id, "address", row.address_sealed)),
            kind=row.kind,
            state=row.state,
            display_name=await self._unseal(row.bal_id, "name", row.name_sealed),
            quota_octets=row.quota_octets,
        )

    async def _unseal(self, bal_id: int, column: str, sealed: bytes) -> str:
        key = await self._vault.key(f"bal:{bal_id}")
        return self._vault.unwrap(key, sealed, _place(bal_id, column)).decode()


def credential_columns(credential_id: str) -> tuple[str, str]:
    """The places of a password's label and hash: a hash moved to another row does not open there."""
    return f"credential:{credential_id}:label", f"credential:{credential_id}:hash"


def _place(bal_id: int, column: str) -> bytes:
    return f"bal:{bal_id}:{column}".encode()
