"""What may change of a box: frozen values that a unit of work carries to `storage`.

What it is: one class per change, and the errors that a change may meet. What it is not: SQL, rules or
sealing. Times are seconds since 1970. Start at `BoxAdded`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from core.bal import BalKind, BalState, Right
from core.errors import PermanentError, StoreError
from core.unit_of_work import Change


class AddressTaken(PermanentError):
    """A box, open, suspended or closed, already has this address."""


class BoxIdTaken(StoreError):
    """Another process took this number first; take the next one."""


class BoxChangedMeanwhile(StoreError):
    """The box is no longer in the state that the change began from; look again."""


class BoxChange(Change):
    """Base of the changes that `BoxApplier` writes."""

    applier: ClassVar[str] = "trust_directory.boxes"
    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxAdded(BoxChange):
    """A new row of `bal`, sealed by the caller."""

    bal_id: int
    pseudonym: str
    domain: str
    kind: BalKind
    state: BalState
    quota_octets: int
    address_sealed: bytes
    name_sealed: bytes
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxStateChanged(BoxChange):
    """From one state to another; refused when the box is in a third one by now."""

    bal_id: int
    before: BalState
    after: BalState
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialSet(BoxChange):
    """A password, new or in the place of the one with the same id."""

    bal_id: int
    credential_id: str
    label_sealed: bytes
    hash_sealed: bytes
    at: int
    expires_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialsRevoked(BoxChange):
    """These passwords (all when None) are worth nothing from now on."""

    bal_id: int
    credential_id: str | None
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialUsed(BoxChange):
    """The day (since 1970) of the last login with it; no change of the box."""

    bal_id: int
    credential_id: str
    day: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DelegationGranted(BoxChange):
    """`delegate` may do `right` on `owner`; granting twice keeps the newer row."""

    owner_bal_id: int
    delegate_bal_id: int
    right: Right
    granted_by_sealed: bytes
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DelegationsRevoked(BoxChange):
    """None stands for any: of every owner, to every delegate, of every right (the audit keeps the past)."""

    owner_bal_id: int | None
    delegate_bal_id: int | None
    right: Right | None
    at: int
