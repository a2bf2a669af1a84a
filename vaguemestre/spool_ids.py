"""Names for letters, said in the 250 and in every trace; they rise with time, so that indexes grow at one end."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from core.clock import Clock

SPOOL_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: nothing to misread aloud
TIME_LETTERS, RANDOM_LETTERS = 9, 11  # milliseconds for a thousand years, and 55 random bits


def spool_ids(clock: Clock) -> Callable[[], str]:
    """A maker of spool ids."""

    def new_spool_id() -> str:
        number = int(clock.now().timestamp() * 1000)
        letters = [SPOOL_ALPHABET[(number >> (5 * place)) & 31] for place in reversed(range(TIME_LETTERS))]
        return "".join(letters) + "".join(secrets.choice(SPOOL_ALPHABET) for _ in range(RANDOM_LETTERS))

    return new_spool_id
