"""What a certificate allows on the relay door: the domains that the liste blanche gives to its name."""

from __future__ import annotations

from typing import assert_never

from core import reply
from core.envelope import NullReversePath
from core.plan import Reason, Refuse
from routing.facts import CertificateVerdict, LetterFacts, OriginatorFacts


def certificate_is_valid(facts: OriginatorFacts) -> Refuse | None:
    """A relay peer has a certificate, of our authorities, in force and not revoked."""
    match facts.certificate:
        case CertificateVerdict.VALID:
            return None
        case CertificateVerdict.ABSENT:
            return Refuse(reply.CERTIFICATE_REQUIRED, Reason.PEER_WITHOUT_CERTIFICATE)
        case CertificateVerdict.REFUSED:
            return Refuse(reply.CERTIFICATE_REFUSED, Reason.PEER_CERTIFICATE_REFUSED)
        case CertificateVerdict.REVOKED:
            return Refuse(reply.CERTIFICATE_REVOKED, Reason.PEER_CERTIFICATE_REVOKED)
        case CertificateVerdict.UNKNOWN:
            return Refuse(reply.REVOCATION_UNKNOWN, Reason.PEER_REVOCATION_UNKNOWN)
        case _:
            assert_never(facts.certificate)


def reverse_path_is_entitled(facts: OriginatorFacts) -> Refuse | None:
    """MAIL FROM is of a domain that the list gives to this certificate; `<>` needs any listed domain."""
    if facts.list_is_stale:
        return Refuse(reply.TRUST_LIST_STALE, Reason.TRUSTED_LIST_STALE)
    if isinstance(facts.reverse_path, NullReversePath):
        entitled = facts.peer_is_listed
    else:
        entitled = facts.peer_may_speak_for_reverse_path
    return None if entitled else Refuse(reply.PEER_NOT_ENTITLED, Reason.PEER_NOT_ENTITLED)


def from_field_is_entitled(facts: LetterFacts) -> Refuse | None:
    """The From field is one address of a domain that the peer may speak for."""
    if len(facts.from_mailboxes) != 1:
        return Refuse(reply.FROM_NOT_ENTITLED, Reason.FROM_MISSING_OR_SEVERAL)
    if not facts.peer_may_speak_for_from:
        return Refuse(reply.FROM_NOT_ENTITLED, Reason.FROM_NOT_ENTITLED)
    return None
