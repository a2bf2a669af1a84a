"""The four doings beside the loop: in threads, bounded, and with one timing for all failures to open.

What it is: `OpenPgpProtector`, the async face of this package. What it is not: the doings themselves. Who wires it:
`vaguemestre.wiring`, with a ring that lives as long as the process (`Keyring.open`).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from certs.openpgp.decrypt import Opened, decrypt
from certs.openpgp.encrypt import encrypt
from certs.openpgp.keyring import Keyring
from certs.openpgp.refusals import CannotOpen, SignatureNotGood
from certs.openpgp.sign import sign
from certs.openpgp.status import GoodSignature
from certs.openpgp.verify import verify
from core.clock import Clock

FAILURE_PACE = (
    0.5  # seconds; ours: fifty times what a letter of 10 kB costs, so that nearly all fall on one beat
)

Result = TypeVar("Result")


class OpenPgpProtector:
    """See the module. `sleep` is `asyncio.sleep` but in tests."""

    def __init__(
        self,
        ring: Keyring,
        clock: Clock,
        *,
        pace: float = FAILURE_PACE,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._ring = ring
        self._clock = clock
        self._pace = pace
        self._sleep = sleep
        self._pool = ThreadPoolExecutor(ring.limits.processes, thread_name_prefix="openpgp")

    def close(self) -> None:
        """Wait for what is under way; nothing is begun any more."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def sign(self, octets: bytes, *, signer: str) -> bytes:
        """See `certs.openpgp.sign.sign`."""
        return await self._run(partial(sign, self._ring, octets, signer=signer))

    async def encrypt(self, octets: bytes, *, recipients: Sequence[str], signer: str | None = None) -> bytes:
        """See `certs.openpgp.encrypt.encrypt`."""
        return await self._run(partial(encrypt, self._ring, octets, recipients=recipients, signer=signer))

    async def verify(self, octets: bytes) -> GoodSignature:
        """See `certs.openpgp.verify.verify`."""
        return await self._paced(partial(verify, self._ring, octets))

    async def decrypt(self, octets: bytes) -> Opened:
        """See `certs.openpgp.decrypt.decrypt`."""
        return await self._paced(partial(decrypt, self._ring, octets))

    async def _run(self, call: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    async def _paced(self, call: Callable[[], Result]) -> Result:
        """A failure is answered at the next beat, so that its length does not tell at which step it happened."""
        began = self._clock.monotonic()
        try:
            return await self._run(call)
        except (CannotOpen, SignatureNotGood):
            spent = self._clock.monotonic() - began
            await self._sleep(math.ceil(max(spent, 1e-9) / self._pace) * self._pace - spent)
            raise
