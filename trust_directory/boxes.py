"""What an operator may do with boxes: create, suspend, reopen, close, delegate, set passwords, list.

What it is: the rules of a box's life, each act one unit of work with its audit event. What it is not: SQL
(`storage`), a login (`logins`) or a command line (`vaguemestre.cli.bal`). Start at `Boxes.create`.

Refusals are `BoxRefused` with a sentence that says what to do; they name no person.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from core.address import Mailbox
from core.audit import AuditEvent, AuditKind
from core.bal import Bal, BalKind, BalState, Right
from core.clock import Clock
from core.errors import PermanentError
from core.identity import IdentityInvalid, Ins
from core.ports import AuditTrail
from core.unit_of_work import UnitOfWork
from trust_directory.changes import (
    BoxAdded,
    BoxIdTaken,
    BoxStateChanged,
    CredentialSet,
    CredentialsRevoked,
    DelegationGranted,
    DelegationsRevoked,
)
from trust_directory.passwords import CHOSEN, DevicePassword, PasswordHashes, check_policy, generate
from trust_directory.sealed_boxes import KnownBox, SealedBoxes, credential_columns
from trust_directory.settings import AccountSettings

MAX_DISPLAY_NAME = 120  # ours: a name that fits on a line of an address book
MAX_LABEL = 60  # ours
MAX_DEVICES = 32  # ours: passwords of one box that are not revoked
MIN_QUOTA_OCTETS = 1024 * 1024  # ours: below one letter with a document, a box is a trap
ATTEMPTS = 5  # ours: numbers tried when other processes create boxes at the same time

CreateBox = Callable[[int, int], Awaitable[None]]
"""(bal_id, quota_octets) → the box and its folders exist in the mail store. Harmless when they do already."""


class BoxRefused(PermanentError):
    """The act is not allowed; the message is a sentence for the operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedBox:
    """A line of `bal list`."""

    bal: Bal
    created_at: int
    changed_at: int


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a login name of the machine or of the admin pages; goes to the audit, sealed."""

    name: str


class Boxes:
    """The acts. Each returns when it is durable; `StoreError` means nothing was done, try again."""

    def __init__(
        self,
        sealed: SealedBoxes,
        *,
        hashes: PasswordHashes,
        audit: AuditTrail,
        clock: Clock,
        settings: AccountSettings,
        create_box: CreateBox,
    ) -> None:
        self._sealed = sealed
        self._hashes = hashes
        self._audit = audit
        self._clock = clock
        self._settings = settings
        self._create_box = create_box
        self._watchers: list[Callable[[], None]] = []

    def watch(self, changed: Callable[[], None]) -> None:
        """Call this after each durable change (`BoxCache.expire` of the same process)."""
        self._watchers.append(changed)

    # --- the life of a box ----------------------------------------------------------------------------------
    async def create(
        self, mailbox: Mailbox, kind: BalKind, *, name: str, by: Actor, quota_octets: int | None = None
    ) -> Bal:
        """Open a new box with its folders. It has no password yet."""
        self._check_address(mailbox, kind)
        quota = self._settings.default_quota_octets if quota_octets is None else quota_octets
        if quota < MIN_QUOTA_OCTETS:
            raise BoxRefused(f"a box has room for at least {MIN_QUOTA_OCTETS} octets")
        name = _line(name, MAX_DISPLAY_NAME, "name")
        known = await self._sealed.find(mailbox)
        if known is not None:
            raise BoxRefused(_already(known.bal))
        for attempt in range(ATTEMPTS):
            bal = Bal(
                bal_id=await self._sealed.reader.next_bal_id(),
                mailbox=mailbox,
                kind=kind,
                state=BalState.OPEN,
                display_name=name,
                quota_octets=quota,
            )
            try:
                return await self._add(bal, by)
            except BoxIdTaken:
                if attempt == ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    async def suspend(self, mailbox: Mailbox, *, by: Actor) -> Bal:
        """Nothing goes in or out and nobody logs in, until `reopen`."""
        box = await self._box(mailbox)
        self._demand(box.bal, BalState.OPEN, "only an open box can be suspended")
        return await self._to_state(box, BalState.SUSPENDED, "suspend", by)

    async def reopen(self, mailbox: Mailbox, *, by: Actor, same_holder: bool = False) -> Bal:
        """Open a suspended box; a closed one only for the person or structure who held it."""
        box = await self._box(mailbox)
        if box.bal.state is BalState.OPEN:
            raise BoxRefused("this box is open already")
        if box.bal.state is BalState.CLOSED and not same_holder:
            # ANS MSS #1 ch. 4 (life cycle): an address never goes to another holder.
            raise BoxRefused(
                "this box is closed, and its address is never given to somebody else; "
                "if the same holder comes back, say so with --same-holder, and set a new password"
            )
        await self._create_box(box.bal.bal_id, box.bal.quota_octets)
        return await self._to_state(box, BalState.OPEN, "reopen", by)

    async def close(self, mailbox: Mailbox, *, by: Actor) -> Bal:
        """For good: passwords and delegations end, letters stay until their retention does."""
        box = await self._box(mailbox)
        if box.bal.state is BalState.CLOSED:
            raise BoxRefused("this box is closed already")
        bal_id, at = box.bal.bal_id, self._now()
        unit = UnitOfWork()
        unit.add(CredentialsRevoked(bal_id=bal_id, credential_id=None, at=at))
        unit.add(DelegationsRevoked(owner_bal_id=bal_id, delegate_bal_id=None, right=None, at=at))
        unit.add(DelegationsRevoked(owner_bal_id=None, delegate_bal_id=bal_id, right=None, at=at))
        return await self._to_state(box, BalState.CLOSED, "close", by, unit)

    # --- delegations ----------------------------------------------------------------------------------------
    async def delegate(self, owner: Mailbox, delegate: Mailbox, right: Right, *, by: Actor) -> None:
        """Let the holder of `delegate` read, or send as, `owner`."""
        lent, borrower = await self._box(owner), await self._box(delegate)
        if lent.bal.bal_id == borrower.bal.bal_id:
            raise BoxRefused("a box needs no right on itself")
        for box in (lent, borrower):
            self._demand(box.bal, BalState.OPEN, "both boxes must be open to delegate")
            if box.bal.kind is BalKind.CITOYENNE:
                raise BoxRefused(
                    "a citizen's box is not delegated here: parents and carers have their own way"
                )
        unit = UnitOfWork()
        unit.add(
            DelegationGranted(
                owner_bal_id=lent.bal.bal_id,
                delegate_bal_id=borrower.bal.bal_id,
                right=right,
                granted_by_sealed=await self._sealed.seal(lent.bal.bal_id, "granted-by", by.name),
                at=self._now(),
            )
        )
        await self._commit(unit, lent.bal, "delegate", by, right=right.value, delegate=borrower.bal)

    async def revoke(
        self, owner: Mailbox, delegate: Mailbox, right: Right | None = None, *, by: Actor
    ) -> None:
        """Take a right back (all when None)."""
        lent, borrower = await self._box(owner), await self._box(delegate)
        bal_id = lent.bal.bal_id
        held = {held for owner_id, _, held in borrower.account.delegations if owner_id == bal_id}
        if lent.bal.state is BalState.OPEN and not (held if right is None else held & {right}):
            raise BoxRefused("there is no such delegation; `bal list --delegations` shows those that stand")
        unit = UnitOfWork()
        unit.add(
            DelegationsRevoked(
                owner_bal_id=bal_id, delegate_bal_id=borrower.bal.bal_id, right=right, at=self._now()
            )
        )
        word = right.value if right else "all"
        await self._commit(unit, lent.bal, "revoke", by, right=word, delegate=borrower.bal)

    async def delegates(self, owner: Mailbox) -> Sequence[tuple[Bal, Right, int]]:
        """(delegate, right, since) of a box; `since` in seconds since 1970."""
        box = await self._box(owner)
        found = []
        for bal_id, right, since in await self._sealed.reader.delegates(box.bal.bal_id):
            delegate = await self._sealed.get(bal_id)
            if delegate is not None:
                found.append((delegate.bal, right, since))
        return found

    # --- passwords ------------------------------------------------------------------------------------------
    @staticmethod
    def judge_password(password: bytes, mailbox: Mailbox) -> None:
        """Raise PasswordRefused now for what `set_password` would refuse, before anything is made."""
        check_policy(password, mailbox)

    async def set_password(self, mailbox: Mailbox, password: bytes, *, by: Actor) -> None:
        """Set the one chosen password. Raises PasswordRefused with the reason."""
        box = await self._box(mailbox)
        self._demand_not_closed(box.bal)
        encoded = await self._hashes.make(check_policy(password, mailbox))
        await self._store_password(box, CHOSEN, "chosen", encoded, by)

    async def generate_password(
        self, mailbox: Mailbox, *, label: str, by: Actor, expires_at: int | None = None
    ) -> DevicePassword:
        """Make a password for one device; show it once, it is kept nowhere. `expires_at`: seconds since 1970."""
        box = await self._box(mailbox)
        self._demand_not_closed(box.bal)
        label = _line(label, MAX_LABEL, "label")
        now = self._now()
        devices = [known for known in box.credentials if known.credential_id != CHOSEN and known.holds(now)]
        if len(devices) >= MAX_DEVICES:
            raise BoxRefused(f"this box has {MAX_DEVICES} passwords; revoke one that is not used any more")
        taken = {known.credential_id for known in box.credentials}
        password = generate()
        while password.credential_id in taken:
            password = generate()
        encoded = await self._hashes.make(password.canonical)
        await self._store_password(box, password.credential_id, label, encoded, by, expires_at)
        return password

    async def revoke_password(self, mailbox: Mailbox, credential_id: str, *, by: Actor) -> None:
        """End one password; others go on."""
        box = await self._box(mailbox)
        found = box.credential(credential_id)
        if found is None or found.revoked_at is not None:
            raise BoxRefused("this box has no such password; `bal passwd --list` shows those that hold")
        unit = UnitOfWork()
        unit.add(CredentialsRevoked(bal_id=box.bal.bal_id, credential_id=credential_id, at=self._now()))
        await self._commit(unit, box.bal, "passwd-revoke", by)

    # --- looking --------------------------------------------------------------------------------------------
    async def look(self, mailbox: Mailbox, *, by: Actor) -> KnownBox:
        """One box with its passwords' labels and dates; looking is audited."""
        box = await self._box(mailbox)
        await self._audit.append(_event(box.bal, "show", by))
        return box

    async def list_boxes(self, *, by: Actor, domain: str | None = None) -> Sequence[ListedBox]:
        """Every box, by number; looking is audited."""
        boxes = [
            ListedBox(bal=bal, created_at=row.created_at, changed_at=row.changed_at)
            for bal, row in await self._sealed.all_boxes(domain)
        ]
        facts = {"act": "list", "count": str(len(boxes)), "domain": domain or ""}
        event = AuditEvent(kind=AuditKind.BAL_LISTED, facts=facts, persons={"operator": by.name})
        await self._audit.append(event)
        return boxes

    # --- parts ----------------------------------------------------------------------------------------------
    def _check_address(self, mailbox: Mailbox, kind: BalKind) -> None:
        if mailbox.domain not in self._settings.domains:
            ours = ", ".join(sorted(domain.ascii for domain in self._settings.domains))
            raise BoxRefused(f"this domain is not ours; boxes are created in: {ours}")
        holds_ins = _is_ins(mailbox.local_part)
        if kind is BalKind.CITOYENNE and not holds_ins:
            raise BoxRefused("a citizen's address is an INS: 15 characters with a key that holds")
        if kind is not BalKind.CITOYENNE and holds_ins:
            raise BoxRefused("this local part is an INS: only a citizen's box (CIT) may have it")

    async def _add(self, bal: Bal, by: Actor) -> Bal:
        # Folders first: a box that is open has its INBOX, whatever happens between the two writes.
        await self._create_box(bal.bal_id, bal.quota_octets)
        unit = UnitOfWork()
        unit.add(
            BoxAdded(
                bal_id=bal.bal_id,
                pseudonym=self._sealed.pseudonym(bal.mailbox.canonical),
                domain=bal.mailbox.domain.ascii,
                kind=bal.kind,
                state=bal.state,
                quota_octets=bal.quota_octets,
                address_sealed=await self._sealed.seal(bal.bal_id, "address", str(bal.mailbox)),
                name_sealed=await self._sealed.seal(bal.bal_id, "name", bal.display_name),
                at=self._now(),
            )
        )
        await self._commit(unit, bal, "create", by)
        return bal

    async def _to_state(
        self, box: KnownBox, after: BalState, act: str, by: Actor, unit: UnitOfWork | None = None
    ) -> Bal:
        unit = unit or UnitOfWork()
        before = box.bal.state
        change = BoxStateChanged(bal_id=box.bal.bal_id, before=before, after=after, at=self._now())
        unit.add(change)
        await self._commit(unit, box.bal, act, by, before=before.value)
        return replace(box.bal, state=after)

    async def _store_password(
        self,
        box: KnownBox,
        credential_id: str,
        label: str,
        encoded: str,
        by: Actor,
        expires_at: int | None = None,
    ) -> None:
        bal_id = box.bal.bal_id
        label_column, hash_column = credential_columns(credential_id)
        unit = UnitOfWork()
        unit.add(
            CredentialSet(
                bal_id=bal_id,
                credential_id=credential_id,
                label_sealed=await self._sealed.seal(bal_id, label_column, label),
                hash_sealed=await self._sealed.seal(bal_id, hash_column, encoded),
                at=self._now(),
                expires_at=expires_at,
            )
        )
        await self._commit(unit, box.bal, "passwd", by)

    async def _box(self, mailbox: Mailbox) -> KnownBox:
        found = await self._sealed.find(mailbox)
        if found is None:
            raise BoxRefused("there is no box with this address; `bal list` shows those that exist")
        return found

    async def _commit(
        self,
        unit: UnitOfWork,
        bal: Bal,
        act: str,
        by: Actor,
        delegate: Bal | None = None,
        **facts: str,
    ) -> None:
        self._audit.record(unit, _event(bal, act, by, delegate, facts))
        for watcher in self._watchers:
            unit.after_commit(watcher)
        await self._sealed.commit(unit)

    @staticmethod
    def _demand(bal: Bal, state: BalState, sentence: str) -> None:
        if bal.state is not state:
            raise BoxRefused(f"{sentence}; this one is {bal.state.value}")

    @staticmethod
    def _demand_not_closed(bal: Bal) -> None:
        if bal.state is BalState.CLOSED:
            raise BoxRefused("this box is closed: nobody can log in to it any more")

    def _now(self) -> int:
        return int(self._clock.now().timestamp())


def _event(
    bal: Bal, act: str, by: Actor, delegate: Bal | None = None, facts: Mapping[str, str] | None = None
) -> AuditEvent:
    persons = {"login": str(bal.mailbox), "operator": by.name}
    if delegate is not None:
        persons["delegate"] = str(delegate.mailbox)
    told = {"act": act, "bal": str(bal.bal_id), "type": bal.kind.value, "domain": bal.mailbox.domain.ascii}
    kind = AuditKind.BAL_LISTED if act == "show" else AuditKind.BAL_CHANGED
    return AuditEvent(kind=kind, facts={**told, **(facts or {})}, persons=persons)


def _already(bal: Bal) -> str:
    if bal.state is BalState.CLOSED:
        return (
            "this address belonged to a box that is closed; it is never given to somebody else "
            "(if the same holder comes back: `bal reopen --same-holder`)"
        )
    return f"a box with this address exists already; it is {bal.state.value}"


def _line(text: str, longest: int, what: str) -> str:
    cleaned = " ".join(unicodedata.normalize("NFC", text).split())
    if not cleaned or len(cleaned) > longest:
        raise BoxRefused(f"the {what} has 1 to {longest} characters")
    if any(unicodedata.category(character) in ("Cc", "Cf", "Cs") for character in cleaned):
        raise BoxRefused(f"the {what} holds no control characters")
    return cleaned


def _is_ins(local_part: str) -> bool:
    try:
        Ins(local_part.upper())
    except IdentityInvalid:
        return False
    return True
