"""The plan before the seal: for each recipient which seal, with which certificate, why, or why none.

What it is: pure: facts in, `SealingPlan` out; nothing is sealed before it stands. What it is not: the finding of
certificates and their verdicts (the facts bring them), the reading of the letter (`routing.client_seal`), or the
sealing (`certs.smime`, `certs.openpgp`). One promise holds whatever the facts: where a seal is required, the letter
leaves sealed or not at all. Start at `plan_seals`.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from core import reply
from core.address import Domain
from core.plan import (
    KeyFacts,
    KeySource,
    KeyState,
    LeaveAsIs,
    Reason,
    Refuse,
    SealingPlan,
    SealKind,
    SealWith,
)
from core.reply import Reply

# RFC 2045 §6.8: base64 writes 76 characters and CRLF for 57 octets; ours: room for signature, chain and recipients
SEALED_NUMERATOR, SEALED_DENOMINATOR, SEALED_ROOM = 78, 57, 32 * 1024

SealDecision = SealWith | LeaveAsIs | Refuse


class SealPolicy(enum.Enum):
    """What the operator wants for one peer domain."""

    REQUIRED = "required"
    WHEN_POSSIBLE = "when_possible"
    OFF = "off"


class SealProfile(enum.Enum):
    """The space that the peer lives in: in `mssante` a peer that declares nothing opens nothing."""

    MSSANTE = "mssante"
    PRIVATE = "private"


class ClientSeal(enum.Enum):
    """What the author's own software did to the letter."""

    NONE = "none"
    SIGNED = "signed"
    ENCRYPTED = "encrypted"


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerFacts:
    """One recipient's domain, and what is known of its seal.

    `declared` is the capability of its entry, None without entry; `keys` are those of the entry and those that the
    operator configured. `size_limit` is the largest letter that the peer takes, in octets; 0 when unknown.
    """

    domain: Domain
    is_own_domain: bool = False
    policy: SealPolicy = SealPolicy.WHEN_POSSIBLE
    profile: SealProfile = SealProfile.MSSANTE
    list_is_stale: bool = False
    declared: SealKind | None = None
    entry_in_dates: bool = True
    subject_readable: bool = False
    keys: tuple[KeyFacts, ...] = ()
    size_limit: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterToSeal:
    """The letter: what its author's client did, its octets, and the keys we may sign with for its From domain."""

    client_seal: ClientSeal
    size: int
    signing: Mapping[SealKind, str] = field(default_factory=dict)
    """Fingerprint of our valid key for each kind of seal that we can make."""


def plan_seals(letter: LetterToSeal, recipients: Sequence[PeerFacts]) -> SealingPlan:
    """One decision for each recipient, in their order."""
    return SealingPlan(tuple(seal_for(letter, peer) for peer in recipients))


def seal_for(letter: LetterToSeal, peer: PeerFacts) -> SealDecision:
    """The decision for one recipient."""
    if peer.is_own_domain:
        return LeaveAsIs(Reason.SEAL_STAYS_AT_HOME)
    if letter.client_seal is ClientSeal.ENCRYPTED:
        return LeaveAsIs(Reason.SEAL_MADE_BY_CLIENT)
    is_required = peer.policy is SealPolicy.REQUIRED
    if letter.client_seal is ClientSeal.SIGNED and not is_required:
        return LeaveAsIs(Reason.SEAL_SIGNED_BY_CLIENT)
    found = _key_for(letter, peer)
    if isinstance(found, Reason):
        return Refuse(_refusal(found), found) if is_required else LeaveAsIs(found)
    reason = Reason.SEAL_REQUIRED if is_required else Reason.SEAL_POSSIBLE
    if letter.client_seal is ClientSeal.SIGNED:
        reason = Reason.SEAL_AROUND_CLIENT_SIGNATURE
    return SealWith(
        kind=found.kind,
        domain=peer.domain,
        signing=letter.signing[found.kind],
        recipient=found.fingerprint,
        source=found.source,
        subject_readable=peer.subject_readable,
        reason=reason,
    )


def sealed_size(octets: int) -> int:
    """At most how many octets a letter of that size has once it is signed and encrypted."""
    return -(-octets * SEALED_NUMERATOR // SEALED_DENOMINATOR) + SEALED_ROOM


def _key_for(letter: LetterToSeal, peer: PeerFacts) -> KeyFacts | Reason:
    """The key to encrypt for, or why there is none."""
    obstacle = _obstacle(peer)
    if obstacle is not None:
        return obstacle
    candidates = list(_candidates(peer))
    if not candidates:
        return _nothing_known(peer)
    valid = [key for key in candidates if key.state is KeyState.VALID]
    if not valid:
        return _why_not(candidates)
    ours = [key for key in valid if letter.signing.get(key.kind)]
    if not ours:
        return Reason.SEAL_NO_OWN_KEY
    if peer.size_limit and sealed_size(letter.size) > peer.size_limit:
        return Reason.SEAL_TOO_BIG
    # What the operator configured wins over the list; of two that are good, the one that began last (roll-over).
    return max(ours, key=lambda key: (key.source is KeySource.CONFIGURED, key.not_before, key.fingerprint))


def _obstacle(peer: PeerFacts) -> Reason | None:
    if peer.policy is SealPolicy.OFF:
        return Reason.SEAL_OFF
    if peer.declared is SealKind.NONE and not peer.list_is_stale and peer.entry_in_dates:
        return Reason.SEAL_DECLARED_NONE
    asks = peer.policy is SealPolicy.REQUIRED
    if peer.declared is None and peer.profile is SealProfile.MSSANTE and not asks:
        return Reason.SEAL_LIST_STALE if peer.list_is_stale else Reason.SEAL_OFF_BY_PROFILE
    return None


def _candidates(peer: PeerFacts) -> Iterable[KeyFacts]:
    list_speaks = not peer.list_is_stale and peer.entry_in_dates
    for key in peer.keys:
        if key.source is KeySource.CONFIGURED or (list_speaks and key.kind is peer.declared):
            yield key


def _nothing_known(peer: PeerFacts) -> Reason:
    if peer.list_is_stale:
        return Reason.SEAL_LIST_STALE
    if peer.declared is None:
        return Reason.SEAL_NOT_DECLARED
    return Reason.SEAL_NO_KEY if peer.entry_in_dates else Reason.SEAL_ENTRY_OUT_OF_DATES


_STATES = {
    KeyState.UNKNOWN: Reason.SEAL_REVOCATION_UNKNOWN,
    KeyState.REVOKED: Reason.SEAL_KEY_REVOKED,
    KeyState.EXPIRED: Reason.SEAL_KEY_EXPIRED,
    KeyState.REFUSED: Reason.SEAL_KEY_REFUSED,
}


def _why_not(candidates: Sequence[KeyFacts]) -> Reason:
    """A doubt first, because waiting may end it; else what became of the key that began last."""
    if any(key.state is KeyState.UNKNOWN for key in candidates):
        return Reason.SEAL_REVOCATION_UNKNOWN
    return _STATES[max(candidates, key=lambda key: (key.not_before, key.fingerprint)).state]


_NOT_NOW = frozenset({Reason.SEAL_LIST_STALE, Reason.SEAL_REVOCATION_UNKNOWN, Reason.SEAL_NO_OWN_KEY})


def _refusal(reason: Reason) -> Reply:
    if reason is Reason.SEAL_TOO_BIG:
        return reply.TOO_BIG_FOR_PEER
    return reply.SEAL_NOT_NOW if reason in _NOT_NOW else reply.SEAL_IMPOSSIBLE
