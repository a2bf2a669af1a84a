"""A routing decision as a value: what shall be done for each recipient, and why.

What it is: the closed set of actions and reasons that `routing` gives and `mta.delivery` carries out. What it
is not: the rules (`routing.rules`) or their execution.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime

from core.address import Domain
from core.reply import Reply


class Reason(enum.Enum):
    """Why, from a closed list; `routing.explain` has the sentences."""

    OWN_BOX_OPEN = "own-box-open"
    OWN_BOX_UNKNOWN = "own-box-unknown"
    OWN_BOX_SUSPENDED = "own-box-suspended"
    OWN_BOX_CLOSED = "own-box-closed"
    OWN_BOX_FULL = "own-box-full"
    ON_TRUSTED_LIST = "on-trusted-list"
    NOT_ON_TRUSTED_LIST = "not-on-trusted-list"
    TRUSTED_LIST_STALE = "trusted-list-stale"
    NOT_SERVED_HERE = "not-served-here"
    ORIGINATOR_OWNS_ADDRESS = "originator-owns-address"
    ORIGINATOR_NOT_OWNER = "originator-not-owner"
    ORIGINATOR_SUSPENDED = "originator-suspended"
    FROM_MISSING_OR_SEVERAL = "from-missing-or-several"
    FROM_NOT_OWNED = "from-not-owned"
    FROM_NOT_ENTITLED = "from-not-entitled"
    NOT_AUTHENTICATED = "not-authenticated"
    PEER_WITHOUT_CERTIFICATE = "peer-without-certificate"
    PEER_CERTIFICATE_REFUSED = "peer-certificate-refused"
    PEER_CERTIFICATE_REVOKED = "peer-certificate-revoked"
    PEER_REVOCATION_UNKNOWN = "peer-revocation-unknown"
    PEER_ENTITLED = "peer-entitled"
    PEER_NOT_ENTITLED = "peer-not-entitled"
    NULL_PATH_RULE = "null-path-rule"
    TOO_MANY_RECIPIENTS = "too-many-recipients"
    TOO_MANY_HOPS = "too-many-hops"
    TOO_BIG = "too-big"
    HEADER_MALFORMED = "header-malformed"
    HOMONYM_WARNING = "homonym-warning"
    SEAL_REQUIRED = "seal-required"
    SEAL_POSSIBLE = "seal-possible"
    SEAL_AROUND_CLIENT_SIGNATURE = "seal-around-client-signature"
    SEAL_MADE_BY_CLIENT = "seal-made-by-client"
    SEAL_SIGNED_BY_CLIENT = "seal-signed-by-client"
    SEAL_STAYS_AT_HOME = "seal-stays-at-home"
    SEAL_OFF = "seal-off"
    SEAL_OFF_BY_PROFILE = "seal-off-by-profile"
    SEAL_NOT_DECLARED = "seal-not-declared"
    SEAL_DECLARED_NONE = "seal-declared-none"
    SEAL_LIST_STALE = "seal-list-stale"
    SEAL_ENTRY_OUT_OF_DATES = "seal-entry-out-of-dates"
    SEAL_NO_KEY = "seal-no-key"
    SEAL_KEY_EXPIRED = "seal-key-expired"
    SEAL_KEY_REFUSED = "seal-key-refused"
    SEAL_KEY_REVOKED = "seal-key-revoked"
    SEAL_REVOCATION_UNKNOWN = "seal-revocation-unknown"
    SEAL_NO_OWN_KEY = "seal-no-own-key"
    SEAL_TOO_BIG = "seal-too-big"


class TlsLevel(enum.Enum):
    """How a next hop is reached. There is one level; the type exists so that nobody can write another."""

    MUTUAL_REQUIRED = "mutual-required"


@dataclass(frozen=True, slots=True)
class DeliverToMailbox:
    """Put it into a box of ours."""

    bal_id: int
    reason: Reason = Reason.OWN_BOX_OPEN


@dataclass(frozen=True, slots=True)
class RelayTo:
    """Hand it to the operator of this domain, under mutual TLS."""

    domain: Domain
    reason: Reason = Reason.ON_TRUSTED_LIST
    tls: TlsLevel = TlsLevel.MUTUAL_REQUIRED


@dataclass(frozen=True, slots=True)
class Refuse:
    """Do not deliver; the reply says what the peer or the author reads. Temporary replies mean: wait."""

    reply: Reply
    reason: Reason


Action = DeliverToMailbox | RelayTo | Refuse


@dataclass(frozen=True, slots=True)
class RoutingPlan:
    """One action for each forward-path, in the envelope's order."""

    actions: tuple[Action, ...]


class SealKind(enum.Enum):
    """The seals there are; the value is the word of the annuaire des sceaux."""

    NONE = "none"
    SMIME = "smime"
    OPENPGP = "openpgp"


class KeySource(enum.Enum):
    """Where a recipient's certificate or key was found."""

    SEALS_LIST = "annuaire-des-sceaux"
    CONFIGURED = "configuration"


class KeyState(enum.Enum):
    """What became of a certificate or key when it was looked at for this plan."""

    VALID = "valid"
    EXPIRED = "expired"
    REFUSED = "refused"
    REVOKED = "revoked"
    UNKNOWN = "revocation-unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFacts:
    """One certificate or key that could be encrypted for. `not_before` decides between two that are good."""

    kind: SealKind
    fingerprint: str
    source: KeySource
    state: KeyState
    not_before: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SealWith:
    """Sign with ours, encrypt for theirs (fingerprints); letters of one domain with one value share a form."""

    kind: SealKind
    domain: Domain
    signing: str
    recipient: str
    source: KeySource
    subject_readable: bool
    reason: Reason


@dataclass(frozen=True, slots=True)
class LeaveAsIs:
    """Send the octets as the client made them, under mutual TLS."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class SealingPlan:
    """One decision for each recipient, in the envelope's order."""

    decisions: tuple[SealWith | LeaveAsIs | Refuse, ...]


@dataclass(frozen=True, slots=True)
class Admit:
    """The door may go on."""

    reason: Reason


Admission = Admit | Refuse
