"""Keys at rest: a key-encryption key (KEK) wraps named keys, and a named key wraps what a room stores.

What it is: `KeyVault`, which implements `core.ports.Vault`, and `FileKek`, a KEK in a file; a KEK in a hardware
module implements the same `Kek`. What it is not: the sealing of letters (`mailstore.messages`). Names of keys:
`spool`, `bal:<id>`, `subject:<pseudonym>`, `lookup` (pseudonyms are made under it). Start at `KeyVault.key`.

Erasing a named key is the erasure of everything under it; changing the KEK touches only the wrapped keys.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from core.clock import Clock
from core.errors import ConfigurationError, LocalProtocolError, NotStored, PermanentError
from core.unit_of_work import Committer, UnitOfWork
from mailstore.reading import ReadDatabase
from mailstore.sealing import KEY_OCTETS, open_sealed, seal
from mailstore.storage import keys as sql

CACHE_SECONDS = 300.0  # threat model, keys at rest: a key is at most five minutes in memory
CACHE_KEYS = 20_000  # ours: 32 octets each, so memory stays small
REWRAP_BATCH = 200  # ours: keys re-wrapped in one transaction
LOOKUP_KEY = "lookup"
_FORBIDDEN_MODE = 0o077


class Kek(Protocol):
    """A key-encryption key, wherever it lives."""

    key_id: str
    """Stands beside each wrapped key; says which KEK opens it."""

    def wrap(self, key: bytes, place: bytes) -> bytes:
        """Seal a named key."""
        ...

    def unwrap(self, wrapped: bytes, place: bytes) -> bytes:
        """Open it again. Raises PermanentError."""
        ...


class FileKek:
    """32 random octets in a file that only its owner may read."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_OCTETS:
            raise ConfigurationError("the file of the key-encryption key holds exactly 32 octets")
        self.key_id = hmac.new(key, b"vaguemestre kek id", hashlib.sha256).hexdigest()[:16]
        self._cipher = AESGCM(key)

    @classmethod
    def load(cls, path: Path) -> FileKek:
        """Read it. Raises ConfigurationError when it is absent, of a wrong length or readable by others."""
        try:
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_mode & _FORBIDDEN_MODE:
                    raise ConfigurationError(f"others may read the key file: run `chmod 600 {path}`")
                return cls(file.read(KEY_OCTETS + 1))
        except OSError as error:
            raise ConfigurationError(f"the key file {path} cannot be read") from error

    @classmethod
    def create(cls, path: Path) -> FileKek:
        """Make a new one, durably, mode 0600. Raises ConfigurationError when the file is there already."""
        key = secrets.token_bytes(KEY_OCTETS)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(key)
                file.flush()
                os.fsync(file.fileno())
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise ConfigurationError(f"the key file {path} cannot be made") from error
        return cls(key)

    def wrap(self, key: bytes, place: bytes) -> bytes:
        """See `Kek.wrap`."""
        return seal(self._cipher, key, place)

    def unwrap(self, wrapped: bytes, place: bytes) -> bytes:
        """See `Kek.unwrap`."""
        return open_sealed(self._cipher, wrapped, place)


class KeyVault:
    """Implements `core.ports.Vault`. Call `open` once before anything else."""

    def __init__(
        self,
        database: ReadDatabase,
        committer: Committer,
        clock: Clock,
        kek: Kek,
        *,
        older_keks: Sequence[Kek] = (),
    ) -> None:
        self._database = database
        self._committer = committer
        self._clock = clock
        self._kek = kek
        self._keks = {each.key_id: each for each in (*older_keks, kek)}
        self._cache: dict[str, tuple[bytes, float]] = {}
        self._ciphers: dict[bytes, AESGCM] = {}
        self._in_flight: dict[str, asyncio.Task[bytes]] = {}
        self._lookup = b""
        self._purge_at = 0.0

    async def open(self) -> None:
        """Load (the first time: make) the key of pseudonyms. Raises ConfigurationError when the KEK is not its."""
        try:
            lookup = await self._load_or_create(LOOKUP_KEY)
        except PermanentError as error:
            raise ConfigurationError("this key-encryption key does not open this database's keys") from error
        self._lookup = hmac.new(lookup, b"pseudonym", hashlib.sha256).digest()

    # --- named keys ------------------------------------------------------------------------------------------
    async def key(self, name: str) -> bytes:
        """See `core.ports.Vault.key`. One creation even when many ask at once, also on other nodes."""
        return await self._cached(name, create=True)

    async def existing_key(self, name: str) -> bytes:
        """As `key`, but raises NotStored when there is none: for what must never be made by reading."""
        return await self._cached(name, create=False)

    async def _cached(self, name: str, *, create: bool) -> bytes:
        now = self._clock.monotonic()
        if now >= self._purge_at:
            self.forget_old()
        found = self._cache.get(name)
        if found is not None and found[1] > now:
            return found[0]
        if not create:
            key = await self._load(name)
            if key is None:
                raise NotStored("there is no key of this name")
            return self._remember(name, key)
        task = self._in_flight.get(name)
        if task is None:
            task = asyncio.create_task(self._load_or_create(name), name="vault-key")
            self._in_flight[name] = task
            task.add_done_callback(lambda _: self._in_flight.pop(name, None))
        # Shielded: one of the askers may go away, the others still want the key.
        return self._remember(name, await asyncio.shield(task))

    async def _load_or_create(self, name: str) -> bytes:
        key = await self._load(name)
        if key is not None:
            return key
        fresh = secrets.token_bytes(KEY_OCTETS)
        row = sql.KeyRow(
            name=name,
            kek_id=self._kek.key_id,
            wrapped=self._kek.wrap(fresh, _place(name)),
            created_at=int(self._clock.now().timestamp()),
        )
        unit = UnitOfWork()
        unit.add(sql.AddKey(row))
        await self._committer.commit(unit)
        # Read again: another node may have been first, and then its key is the one.
        key = await self._load(name)
        if key is None:
            raise NotStored("the key was erased while it was made")
        return key

    async def _load(self, name: str) -> bytes | None:
        async with self._database.read() as connection:
            row = await sql.key_row(connection, name)
        return None if row is None else self._unwrap_row(row)

    def _unwrap_row(self, row: sql.KeyRow) -> bytes:
        kek = self._keks.get(row.kek_id)
        if kek is None:
            raise PermanentError("a key is wrapped by a key-encryption key that is not configured")
        return kek.unwrap(row.wrapped, _place(row.name))

    def _remember(self, name: str, key: bytes) -> bytes:
        now = self._clock.monotonic()
        if len(self._cache) >= CACHE_KEYS:
            self.forget_old()
            if len(self._cache) >= CACHE_KEYS:
                self._cache.clear()
        self._cache[name] = (key, now + CACHE_SECONDS)
        return key

    def forget_old(self) -> None:
        """Drop keys older than five minutes from memory; also called by any use, once in five minutes."""
        now = self._clock.monotonic()
        self._purge_at = now + CACHE_SECONDS
        for name in [name for name, (_, until) in self._cache.items() if until <= now]:
            del self._cache[name]
        self._ciphers.clear()

    async def erase(self, name: str) -> None:
        """Destroy a key: what it opens is lost for good. Other nodes forget it within five minutes."""
        unit = UnitOfWork()
        self.stage_erasure(unit, name)
        await self._committer.commit(unit)

    def stage_erasure(self, unit: UnitOfWork, name: str) -> None:
        """As `erase`, in the unit whose doing it is."""
        unit.add(sql.EraseKey(name))
        unit.after_commit(lambda: self._forget(name))

    def _forget(self, name: str) -> None:
        found = self._cache.pop(name, None)
        if found is not None:
            self._ciphers.pop(found[0], None)

    async def rewrap_all(self) -> int:
        """Wrap every key by the first KEK (rotation): how many were. Reading goes on meanwhile."""
        count = 0
        while True:
            async with self._database.read() as connection:
                rows = await sql.rows_of_other_keks(connection, self._kek.key_id, REWRAP_BATCH)
            if not rows:
                return count
            unit = UnitOfWork()
            for row in rows:
                key = self._unwrap_row(row)
                wrapped = self._kek.wrap(key, _place(row.name))
                again = sql.KeyRow(
                    name=row.name, kek_id=self._kek.key_id, wrapped=wrapped, created_at=row.created_at
                )
                unit.add(sql.RewrapKey(again, row.wrapped))
            await self._committer.commit(unit)
            count += len(rows)

    # --- values under a named key -----------------------------------------------------------------------------
    def wrap(self, key: bytes, plaintext: bytes, place: bytes) -> bytes:
        """See `core.ports.Vault.wrap`."""
        return seal(self.cipher(key), plaintext, place)

    def unwrap(self, key: bytes, sealed: bytes, place: bytes) -> bytes:
        """See `core.ports.Vault.unwrap`."""
        return open_sealed(self.cipher(key), sealed, place)

    def cipher(self, key: bytes) -> AESGCM:
        """The prepared cipher of a key, for many values in a row."""
        cipher = self._ciphers.get(key)
        if cipher is None:
            if len(self._ciphers) >= CACHE_KEYS:
                self._ciphers.clear()
            cipher = self._ciphers[key] = AESGCM(key)
        return cipher

    def pseudonym(self, text: str) -> str:
        """See `core.ports.Vault.pseudonym`: HMAC-SHA256, 64 hexadecimal digits."""
        if not self._lookup:
            raise LocalProtocolError("the vault is not open yet")
        return hmac.new(self._lookup, text.encode(), hashlib.sha256).hexdigest()


def _place(name: str) -> bytes:
    return b"vault-key\0" + name.encode()
