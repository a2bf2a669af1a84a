"""What waits in the spool: a letter we answer for, and how it stands for each of its forward-paths.

What it is: `SpoolItem` and `RecipientState` as values, and the closed states. What it is not: when to try
again (`mta.spool.retry`) or how it is stored (`mta.spool.store`, `mta.spool.storage`). Start at `SpoolItem`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from core.envelope import Envelope
from core.folder import StoredOctets
from core.outcome import RemoteAnswer


class OriginKind(enum.Enum):
    """By which kind of hand a letter came in."""

    ACCOUNT = "account"  # a person or an application of ours; the name is the bal_id
    PEER = "peer"  # another operator; the name is its certificate's DN
    INTERNAL = "internal"  # our own reports; no name


@dataclass(frozen=True, slots=True)
class Origin:
    """Who handed the letter to us."""

    kind: OriginKind
    name: str = ""


INTERNAL_ORIGIN = Origin(OriginKind.INTERNAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolItem:
    """One accepted letter. Its octets and its envelope never change."""

    spool_id: str
    envelope: Envelope
    octets: StoredOctets
    message_id: str
    """The Message-ID field's value, for the trace; empty when the letter has none."""
    accepted_at: float  # seconds since 1970
    origin: Origin

    @property
    def size(self) -> int:
        """Octets of the letter in clear."""
        return self.octets.size

    @property
    def envelope_id(self) -> str:
        """The ENVID that goes with every attempt: the author's, or ours (the same at each retry)."""
        # RFC 3461 §4.4; a receiver drops what it has by (peer, ENVID, octets, recipient).
        return self.envelope.envelope_id or f"vaguemestre-{self.spool_id}"


class State(enum.Enum):
    """How a letter stands for one recipient. The last three are ends."""

    WAITING = "waiting"
    LEASED = "leased"
    HELD = "held"
    DELIVERED = "delivered"
    FAILED = "failed"
    EXPIRED = "expired"

    @property
    def is_end(self) -> bool:
        """Nothing more will be done for this recipient."""
        return self in ENDS


ENDS = frozenset({State.DELIVERED, State.FAILED, State.EXPIRED})


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientState:
    """One forward-path of an item, by its place in the envelope."""

    index: int
    state: State
    domain: str
    """The domain of the forward-path: the only thing of the address that stands in clear."""
    action: str = ""  # "local", "relay", "refuse", once planned
    attempts: int = 0
    next_due: float | None = None  # waiting: when to try; leased: when the lease ends; else None
    fence: int = 0
    """Rises with every lease; an outcome written with an older one is refused."""
    owner: str = ""
    reply: str = ""  # name of the last reply
    answer: RemoteAnswer | None = None
    delay_reported: bool = False


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on recipients until a time."""

    owner: str
    until: float  # seconds since 1970


@dataclass(frozen=True, slots=True)
class Claim:
    """An item with those of its recipients that this process may work on."""

    item: SpoolItem
    recipients: tuple[RecipientState, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedRecipient:
    """One line of the spool's list: no address, nothing that names a person."""

    spool_id: str
    accepted_at: float  # seconds since 1970
    size: int  # octets
    recipient: RecipientState
