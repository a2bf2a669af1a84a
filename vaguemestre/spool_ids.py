"""Names for letters, said in the 250 and in every trace; they rise with time, so that indexes grow at one end."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from core.clock import Clock

SPOOL_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: nothing to misread aloud
TIME_LETTERS, RANDOM_LETTERS = 9, 11  # milliseconds for a thousand years, and 55 random bits

_SHIFTS = tuple(range(5 * (TIME_LETTERS + RANDOM_LETTERS - 1), -1, -5))


def spool_ids(clock: Clock) -> Callable[[], str]:
    """A maker of spool ids."""

    def new_spool_id() -> str:
        milliseconds = int(clock.now().timestamp() * 1000) & ((1 << 5 * TIME_LETTERS) - 1)
        number = milliseconds << 5 * RANDOM_LETTERS | secrets.randbits(5 * RANDOM_LETTERS)
        return "".join([SPOOL_ALPHABET[number >> shift & 31] for shift in _SHIFTS])

    return new_spool_id
