"""Passwords: how they are read, judged, made, hashed and checked.

What it is: pure functions for normalisation, policy and device passwords, and `PasswordHashes`, which runs
argon2id in a small pool of threads. What it is not: who may log in (`accounts`) or how often (`throttle`).
Start at `PasswordHashes.verify`.

A box has at most one password that its holder chose, and any number of generated ones, one for each device.
A generated password begins with its own credential id, so that every attempt costs exactly one hash, whatever
the number of devices: time tells nothing.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import stringprep
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from core.address import Mailbox
from core.errors import PermanentError, TemporaryError

MEMORY_KIB = 19 * 1024  # OWASP Password Storage Cheat Sheet: argon2id with 19 MiB, t=2, p=1
PASSES = 2
LANES = 1
THREADS = 2  # ours: as many cores as the smallest machine has, so that mail goes on during a storm of logins
MAX_WAITING = 200  # ours: four seconds of work at 20 ms a hash on two cores
MAX_OCTETS = 1024  # ours: longer than any passphrase, short enough to normalise for nothing
MIN_CHARACTERS = 12  # CNIL deliberation 2022-100 §A: 12 characters where no second measure is required
MIN_DISTINCT = 5  # ours: "aaaaaaaaaaaa" is not a password

_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # no i, l, o, 0, 1: read aloud, typed from paper
_GROUP = 4
_SECRET_GROUPS = 7  # 28 characters of 31: 138 bits
_DEVICE = re.compile(rf"[{_ALPHABET}]{{{_GROUP * (_SECRET_GROUPS + 1)}}}\Z")
T = TypeVar("T")
CHOSEN = "chosen"  # the credential id of the one password that a person chose


class PasswordRefused(PermanentError):
    """The chosen password may not be used; the message says why and never repeats it."""


class TooManyLogins(TemporaryError):
    """More passwords wait to be checked than the pool will ever reach in time."""


@dataclass(frozen=True, slots=True, repr=False)
class DevicePassword:
    """A generated password. `text` is shown once, `credential_id` is its first group and no secret."""

    text: str

    @property
    def credential_id(self) -> str:
        """The first group."""
        return self.text[:_GROUP]

    @property
    def canonical(self) -> bytes:
        """What is hashed: without the hyphens."""
        return self.text.replace("-", "").encode("ascii")

    def __repr__(self) -> str:
        return "DevicePassword(…)"


def generate() -> DevicePassword:
    """A new device password of 138 bits, in eight groups of four that can be read aloud."""
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP)) for _ in range(_SECRET_GROUPS + 1))
    return DevicePassword("-".join(groups))


def device_form(password: bytes) -> DevicePassword | None:
    """Read a typed device password, with or without hyphens, blanks and capitals; None when it is not one."""
    if len(password) > 2 * _GROUP * (_SECRET_GROUPS + 1):
        return None
    try:
        compact = re.sub(r"[\s-]", "", password.decode("ascii")).lower()
    except UnicodeDecodeError:
        return None
    if not _DEVICE.match(compact):
        return None
    return DevicePassword("-".join(compact[at : at + _GROUP] for at in range(0, len(compact), _GROUP)))


def normalise(password: bytes) -> bytes:
    """The octets that are hashed, the same for every keyboard that can write the password.

    Raises `PasswordRefused` for what no password may hold: bad UTF-8, controls, too many octets.
    """
    if not password or len(password) > MAX_OCTETS:
        raise PasswordRefused(f"a password has 1 to {MAX_OCTETS} octets")
    try:
        text = password.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PasswordRefused("a password is UTF-8 text") from error
    # RFC 4013 §2.1: other blanks become a blank, characters "commonly mapped to nothing" go.
    mapped = "".join(
        " " if stringprep.in_table_c12(character) else character
        for character in text
        if not stringprep.in_table_b1(character)
    )
    normal = unicodedata.normalize("NFKC", mapped)  # RFC 4013 §2.2
    if not normal or any(unicodedata.category(character) in ("Cc", "Cs") for character in normal):
        raise PasswordRefused("a password holds no control characters")  # RFC 4013 §2.3
    return normal.encode("utf-8")


def check_policy(password: bytes, mailbox: Mailbox) -> bytes:
    """Judge a chosen password and return it normalised. Raises `PasswordRefused` with the reason."""
    normal = normalise(password)
    text = normal.decode("utf-8")
    if len(text) < MIN_CHARACTERS:
        raise PasswordRefused(
            f"a chosen password has at least {MIN_CHARACTERS} characters; a few words will do"
        )
    if len(set(text)) < MIN_DISTINCT:
        raise PasswordRefused(f"a chosen password has at least {MIN_DISTINCT} different characters")
    if device_form(password) is not None:
        raise PasswordRefused("this has the form of a generated password; ask for one instead")
    folded = text.casefold()
    for known in (mailbox.canonical, mailbox.local_part.casefold(), mailbox.domain.ascii):
        if len(known) >= _GROUP and known in folded:
            raise PasswordRefused("a chosen password does not hold the address of the box")
    return normal


class PasswordHashes:
    """argon2id in at most `threads` threads; further work waits, at most `waiting` calls long."""

    def __init__(self, *, threads: int = THREADS, waiting: int = MAX_WAITING) -> None:
        self._hasher = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="argon2")
        self._waiting = 0
        self._max_waiting = waiting
        # The hash that unknown logins are checked against; nobody knows its password.
        self._nobody = self._hasher.hash(secrets.token_bytes(32))

    async def make(self, normalised: bytes) -> str:
        """Hash a password (the octets of `normalise`, or `DevicePassword.canonical`)."""
        return await self._in_pool(self._hasher.hash, normalised)

    async def verify(self, encoded: str | None, normalised: bytes) -> bool:
        """Whether the password matches; None takes the same time and never matches. Raises `TooManyLogins`."""
        matches = await self._in_pool(self._matches, encoded or self._nobody, normalised)
        return matches and encoded is not None

    def close(self) -> None:
        """End the threads; calls under way finish."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _in_pool(self, work: Callable[..., T], *arguments: object) -> T:
        if self._waiting >= self._max_waiting:
            raise TooManyLogins("too many passwords are waiting to be checked")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)
        finally:
            self._waiting -= 1

    def _matches(self, encoded: str, normalised: bytes) -> bool:
        try:
            return self._hasher.verify(encoded, normalised)
        except (VerificationError, InvalidHashError):
            return False
