"""From octets to a list in force: who signed, when, and with what."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import pytest

from certs.profiles import ProfileName
from certs.verdict import RevocationUnknown
from certs.xml.parser import Limits
from core.errors import ConfigurationError
from core.identity import DistinguishedName
from trust_directory.trusted_domains.reasons import Reason, TrustListRefused
from trust_directory.trusted_domains.verify import ListVerifier

SIGNER = "CN=alb.mssante.example,OU=1990000010,O=ESPACE DE CONFIANCE TEST,ST=Paris (75),C=FR"


def reason_of(publisher: Any, octets: bytes, at: Any = None) -> Reason:
    with pytest.raises(TrustListRefused) as caught:
        publisher.verifier.open_list(octets, at=at or publisher.now)
    return caught.value.reason


def test_a_good_list(publisher: Any, cast: Any, rivage: Any) -> None:
    octets = publisher.sign(cast)
    space = publisher.verifier.open_list(octets, at=publisher.now)
    assert space.may_speak_for(rivage, cast[0].domain)
    assert space.entries == tuple(cast)
    assert space.digest == hashlib.sha256(octets).hexdigest()
    assert space.signer == DistinguishedName.parse(SIGNER)
    assert (space.generated_at, space.confirmed_at) == (publisher.now, publisher.now)


def test_another_organisation_of_the_same_authority(publisher: Any, cast: Any) -> None:
    other = publisher.issue(ProfileName.SIGN, "CN=other,OU=1990000028,O=OTHER TEST,C=FR")
    assert reason_of(publisher, publisher.sign(cast, signer=other)) is Reason.SIGNER_NOT_PINNED


def test_the_right_name_from_another_authority(publisher: Any, cast: Any) -> None:
    from certs.authority import Authority, Request
    from core.testing.keys import key_factory

    foreign = Authority.create(clock=publisher.authority._clock, keys=key_factory(20))
    signer = foreign.issue(Request(subject=SIGNER, profile=ProfileName.LIST_SIGNER))
    assert reason_of(publisher, publisher.sign(cast, signer=signer)) is Reason.SIGNER_REFUSED


def test_the_right_name_with_another_usage(publisher: Any, cast: Any) -> None:
    for profile in (ProfileName.SSL_SERV, ProfileName.AUTH_CLI, ProfileName.CONF):
        signer = publisher.issue(profile, SIGNER)
        assert reason_of(publisher, publisher.sign(cast, signer=signer)) is Reason.SIGNER_REFUSED


def test_a_revoked_signer(publisher: Any, cast: Any) -> None:
    octets = publisher.sign(cast)
    publisher.authority.revoke(publisher.signer.serial)
    publisher.publish_crls()
    assert reason_of(publisher, octets) is Reason.SIGNER_REVOKED


def test_a_signer_out_of_dates(publisher: Any, cast: Any) -> None:
    hour = timedelta(hours=1)
    for begin, end in ((-2 * hour, -hour), (hour, 2 * hour)):
        signer = publisher.issue(
            ProfileName.LIST_SIGNER, SIGNER, not_before=publisher.now + begin, not_after=publisher.now + end
        )
        assert reason_of(publisher, publisher.sign(cast, signer=signer)) is Reason.SIGNER_REFUSED


def test_revocation_unknown_is_a_doubt_after_the_grace(publisher: Any, cast: Any) -> None:
    octets = publisher.sign(cast)
    end = publisher.now + timedelta(days=7, hours=24)
    assert publisher.verifier.open_list(octets, at=end - timedelta(minutes=1))
    with pytest.raises(RevocationUnknown):
        publisher.verifier.open_list(octets, at=end)


def test_two_signers_during_a_roll_over(publisher: Any, cast: Any) -> None:
    second = "CN=alb2.mssante.example,OU=1990000010,O=ESPACE DE CONFIANCE TEST,C=FR"
    names = frozenset({DistinguishedName.parse(SIGNER), DistinguishedName.parse(second)})
    verifier = ListVerifier(publisher.chains, names)
    signer = publisher.issue(ProfileName.LIST_SIGNER, second)
    assert len(verifier.open_list(publisher.sign(cast, signer=signer), at=publisher.now)) == 4


def test_nobody_pinned(publisher: Any) -> None:
    with pytest.raises(ConfigurationError):
        ListVerifier(publisher.chains, frozenset())


def test_too_large(publisher: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trust_directory.trusted_domains.verify.LIMITS", Limits(octets=10))
    assert reason_of(publisher, b"0" * 11) is Reason.TOO_LARGE


def test_a_signed_document_that_is_no_list(publisher: Any) -> None:
    from certs.xml.sign import sign_enveloped

    octets = sign_enveloped(b"<other/>", publisher.signer.identity())
    assert reason_of(publisher, octets) is Reason.WRONG_FORMAT
