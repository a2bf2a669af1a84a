"""The settings of this package, composed into the program's configuration by `vaguemestre.config`.

What it is: frozen values with their defaults and consequences. What it is not: a reader of files.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.address import Domain

DEFAULT_QUOTA_OCTETS = 2 * 1024**3  # ours: two years of a busy practice


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSettings:
    """Boxes and logins."""

    domains: frozenset[Domain]
    """The mail domains of this operator. A box of another domain cannot be created."""
    default_quota_octets: int = DEFAULT_QUOTA_OCTETS
    """Room of a new box when `bal create` gives none."""
    verified_login_seconds: float = 300.0
    """How long a password that was right is not hashed again in this process. 0 hashes every time."""
    failure_pace_seconds: float = 0.1
    """A refused login is answered at the next multiple of this time, so that its length tells nothing."""
    change_poll_seconds: float = 1.0
    """How soon a change made by another process is seen; at most one short query in this time."""
    cached_boxes: int = 50_000
    """Boxes held in memory; beyond it the least used are read again when asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnuaireSettings:
    """The local copy of the health directory."""

    largest_loss: float = 0.05
    """An extract that loses more than this share of the entries in force is refused unless forced."""
    strict_identities: bool = False
    """Refuse rows whose RPPS or FINESS key does not hold (official samples have such rows)."""
