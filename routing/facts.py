"""Everything a decision may look at, gathered by others and frozen.

What it is: the facts about an originator, a recipient and a letter. What it is not: a way to find them; the
mail edge asks the directory and the accounts (`mta.planning`) and hands the answers here. Start at
`OriginatorFacts`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from core.address import Mailbox
from core.bal import Account, Bal
from core.envelope import ReversePath


class Door(enum.Enum):
    """By which kind of door a letter came: what counts as proof of identity differs."""

    SUBMISSION = "submission"
    RELAY = "relay"
    INTERNAL = "internal"


class CertificateVerdict(enum.Enum):
    """What became of the peer's certificate."""

    ABSENT = "absent"
    VALID = "valid"
    REFUSED = "refused"
    REVOKED = "revoked"
    UNKNOWN = "revocation-unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginatorFacts:
    """Who speaks, and as whom."""

    door: Door
    reverse_path: ReversePath
    account: Account | None = None
    certificate: CertificateVerdict = CertificateVerdict.ABSENT
    list_is_stale: bool = False
    peer_is_listed: bool = False
    """Whether the peer's name stands in the list for any domain."""
    peer_may_speak_for_reverse_path: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientFacts:
    """One forward-path and what is known of it."""

    mailbox: Mailbox
    is_own_domain: bool
    bal: Bal | None = None
    is_on_trusted_list: bool = False
    list_is_stale: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientContext:
    """What a recipient is judged beside: the door, the reverse-path, how many came before it."""

    door: Door
    reverse_path: ReversePath
    earlier: int
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFacts:
    """What the header says, read once by the one parser."""

    door: Door
    reverse_path: ReversePath
    account: Account | None
    header_is_sound: bool
    from_mailboxes: tuple[Mailbox, ...]
    sender_field: Mailbox | None
    peer_may_speak_for_from: bool
    """For every From address, and for the Sender field where there is one."""
    is_report: bool
    """multipart/report (RFC 6522): a delivery or disposition report."""
    recipients: int
    hops: int
    size: int
    size_limit: int
