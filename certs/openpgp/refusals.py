"""The three errors of this package. None of them says more than its name: a reason would be an oracle.

What it is: what callers catch. What it is not: a diagnosis; the operator finds that with `gpg` and the letter kept.
"""

from __future__ import annotations

from core.errors import PermanentError, TemporaryError


class CannotOpen(PermanentError):
    """The letter was not opened, for whatever reason, and nothing of it was released."""

    def __init__(self) -> None:
        super().__init__("this letter cannot be opened")


class SignatureNotGood(PermanentError):
    """The signature is not one good signature of a key that we hold over all of these octets."""

    def __init__(self) -> None:
        super().__init__("this signature is not good")


class CannotSeal(TemporaryError):
    """The seal could not be made now: a key expired since the plan, no process free, no disk."""

    def __init__(self) -> None:
        super().__init__("this letter cannot be sealed now")
