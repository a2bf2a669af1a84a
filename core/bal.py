"""A *boîte aux lettres* (BAL): kinds, states and rights.

What it is: the closed lists of MSSanté (personnelle, organisationnelle, applicative, cabinet, citoyenne) and
the frozen `Bal` and `Account` values. What it is not: the directory (`trust_directory`) or the mail
(`mailstore`).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from core.address import Mailbox


class BalKind(enum.Enum):
    """ANS TRE_R257-TypeBAL, and the citizens' boxes."""

    PERSONNELLE = "PER"
    ORGANISATIONNELLE = "ORG"
    APPLICATIVE = "APP"
    CABINET = "CAB"
    CITOYENNE = "CIT"


class BalState(enum.Enum):
    """The life of a box; each state has its answer at SMTP."""

    OPEN = "open"
    SUSPENDED = "suspended"
    CLOSED = "closed"


class Right(enum.Enum):
    """What a delegate may do on a box."""

    READ = "read"
    SEND = "send"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bal:
    """One box of ours. `bal_id` is the key of everything stored for it."""

    bal_id: int
    mailbox: Mailbox
    kind: BalKind
    state: BalState
    display_name: str
    quota_octets: int
    used_octets: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who is logged in, as which box, and for whom this box may also act."""

    bal: Bal
    delegations: frozenset[tuple[int, Mailbox, Right]] = field(default_factory=frozenset)

    def may_send_as(self, mailbox: Mailbox) -> bool:
        """Whether this account may use the address as reverse-path or From."""
        own = self.bal.state is BalState.OPEN and self.bal.mailbox == mailbox
        return own or any(box == mailbox and right is Right.SEND for _, box, right in self.delegations)
