"""Is this the password of that box? Same time and same words whether the box exists or not.

What it is: one evaluation at a time of each (login, password, network), behind the throttle. What it is not:
the port (`accounts`), hashing (`passwords`) or counting (`throttle`). Start at `Logins.check`.

Every evaluated attempt costs one hash, be the login unknown, suspended or right; the only exception is a
password that was right in this process a moment ago. Identical attempts in flight share one evaluation, so
that a mail client that opens ten connections at once is one attempt.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass

import structlog

from core import reply
from core.address import AddressInvalid, Mailbox
from core.bal import Account, BalState
from core.clock import Clock
from core.errors import GatewayError, ReplyError
from core.unit_of_work import UnitOfWork
from trust_directory.box_cache import BoxCache
from trust_directory.changes import CredentialUsed
from trust_directory.passwords import (
    CHOSEN,
    DevicePassword,
    PasswordHashes,
    PasswordRefused,
    device_form,
    normalise,
)
from trust_directory.sealed_boxes import Credential, KnownBox
from trust_directory.settings import AccountSettings
from trust_directory.throttle import Throttle, network_of

SECONDS_A_DAY = 86_400
MAX_VERIFIED_PER_BOX = 64  # ours: more devices than a team has
MAX_NOTED = 100_000  # ours: uses noted today

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What one evaluation needs. `digest` is keyed by this process and never leaves it."""

    mailbox: Mailbox | None
    subject: str
    password: bytes
    network: str
    digest: bytes
    device: DevicePassword | None

    @property
    def is_guessable(self) -> bool:
        """Whether a person may have chosen this password."""
        return self.device is None

    def __repr__(self) -> str:
        return "_Attempt(…)"


class Logins:
    """See the module."""

    def __init__(
        self,
        boxes: BoxCache,
        *,
        hashes: PasswordHashes,
        throttle: Throttle,
        clock: Clock,
        settings: AccountSettings,
    ) -> None:
        self._boxes = boxes
        self._hashes = hashes
        self._throttle = throttle
        self._clock = clock
        self._settings = settings
        self._process_key = secrets.token_bytes(32)
        self._verified: OrderedDict[int, dict[bytes, tuple[str, float]]] = OrderedDict()
        self._running: dict[tuple[bytes, str], asyncio.Task[Account]] = {}
        self._noted: OrderedDict[tuple[int, str], int] = OrderedDict()
        boxes.watch(self._forget)

    async def check(self, login: str, password: bytes, network: str) -> Account:
        """The account, or ReplyError: AUTHENTICATION_FAILED, AUTHENTICATION_LOCKED, LOCAL_ERROR."""
        attempt = self._attempt(login, password, network)
        key = (attempt.digest, attempt.network)
        task = self._running.get(key)
        if task is None:
            task = asyncio.ensure_future(self._evaluate(attempt))
            self._running[key] = task
            task.add_done_callback(lambda done: self._ended(key, done))
        # A client that hangs up must not cancel the evaluation that others wait for.
        return await asyncio.shield(task)

    def _attempt(self, login: str, password: bytes, network: str) -> _Attempt:
        mailbox: Mailbox | None
        try:
            mailbox = Mailbox.parse(login)
            name = mailbox.canonical
        except AddressInvalid:
            mailbox, name = None, login.lower()
        subject = self._boxes.sealed.pseudonym(name)
        digest = hmac.digest(self._process_key, subject.encode() + b"\0" + password, hashlib.sha256)
        return _Attempt(mailbox, subject, password, network_of(network), digest, device_form(password))

    def _ended(self, key: tuple[bytes, str], task: asyncio.Task[Account]) -> None:
        del self._running[key]
        if not task.cancelled():
            task.exception()  # seen, even when every client hung up

    async def _evaluate(self, attempt: _Attempt) -> Account:
        who, guessable = (attempt.subject, attempt.network), attempt.is_guessable
        if self._throttle.admit(*who, self._clock.monotonic(), is_guessable=guessable) > 0:
            raise ReplyError(reply.AUTHENTICATION_LOCKED)
        try:
            box = await self._boxes.find(attempt.mailbox) if attempt.mailbox else None
            credential = await self._matching(box, attempt)
            if box is not None and credential is not None:
                # The hash took its time: the box is looked at again, it may have been suspended.
                box = await self._boxes.get(box.bal.bal_id)
                credential = self._usable(box, credential.credential_id, credential.encoded)
        except GatewayError as error:
            self._throttle.not_evaluated(*who, is_guessable=guessable)
            raise ReplyError(reply.LOCAL_ERROR) from error
        if box is None or credential is None:
            raise ReplyError(reply.AUTHENTICATION_FAILED)
        self._throttle.succeeded(*who, is_guessable=guessable)
        self._remember(box, credential, attempt)
        await self._note_use(box, credential)
        return box.account

    async def _matching(self, box: KnownBox | None, attempt: _Attempt) -> Credential | None:
        remembered = self._remembered(box, attempt)
        if remembered is not None:
            return remembered
        device = attempt.device
        candidate = self._usable(box, device.credential_id) if device else None
        if device is not None and candidate is not None:
            octets = device.canonical
        else:
            candidate = self._usable(box, CHOSEN)
            try:
                octets = normalise(attempt.password)
            except PasswordRefused:
                candidate, octets = None, b"-"
        matches = await self._hashes.verify(candidate.encoded if candidate else None, octets)
        return candidate if matches else None

    def _usable(self, box: KnownBox | None, credential_id: str, encoded: str = "") -> Credential | None:
        if box is None or box.bal.state is not BalState.OPEN:
            return None
        found = box.credential(credential_id)
        if found is None or not found.holds(self._clock.now().timestamp()):
            return None
        return found if encoded in ("", found.encoded) else None

    def _remembered(self, box: KnownBox | None, attempt: _Attempt) -> Credential | None:
        if box is None:
            return None
        credential_id, until = self._verified.get(box.bal.bal_id, {}).get(attempt.digest, ("", 0.0))
        if not credential_id or self._clock.monotonic() >= until:
            return None
        return self._usable(box, credential_id)

    def _remember(self, box: KnownBox, credential: Credential, attempt: _Attempt) -> None:
        if self._settings.verified_login_seconds <= 0:
            return
        of_box = self._verified.setdefault(box.bal.bal_id, {})
        self._verified.move_to_end(box.bal.bal_id)
        until = self._clock.monotonic() + self._settings.verified_login_seconds
        # The first success decides the time, so that a password is hashed again at least this often.
        held = of_box.get(attempt.digest)
        if held is None or held[1] <= self._clock.monotonic():
            of_box.pop(attempt.digest, None)
            of_box[attempt.digest] = (credential.credential_id, until)
        while len(of_box) > MAX_VERIFIED_PER_BOX:
            del of_box[next(iter(of_box))]
        if len(self._verified) > self._settings.cached_boxes:
            self._verified.popitem(last=False)

    def _forget(self, bal_id: int, mailbox: Mailbox | None) -> None:
        self._verified.pop(bal_id, None)
        if mailbox is not None:
            self._throttle.forgive(self._boxes.sealed.pseudonym(mailbox.canonical))

    async def _note_use(self, box: KnownBox, credential: Credential) -> None:
        day = int(self._clock.now().timestamp()) // SECONDS_A_DAY
        key = (box.bal.bal_id, credential.credential_id)
        if max(self._noted.get(key, 0), credential.last_used_day) >= day:
            return
        self._noted[key] = day
        if len(self._noted) > MAX_NOTED:
            self._noted.popitem(last=False)
        unit = UnitOfWork()
        unit.add(CredentialUsed(bal_id=key[0], credential_id=key[1], day=day))
        try:
            await self._boxes.sealed.commit(unit)
        except GatewayError as error:  # the day of a login is a statistic, no reason to refuse the login
            self._noted.pop(key, None)
            _log.warning("login.use-not-noted", component="trust_directory", error=type(error).__name__)
