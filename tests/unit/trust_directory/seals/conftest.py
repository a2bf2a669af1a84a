"""A small space with a list signer and two operators, one of which opens S/MIME."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from certs.anchors import TrustAnchors
from certs.authority import Authority, Issued, Request
from certs.chain import ChainVerifier
from certs.profiles import ProfileName
from certs.revocation import RevocationLists
from certs.seals import Seal, SealAlgorithm
from core.address import Domain
from core.identity import DistinguishedName
from core.plan import SealKind
from core.testing.keys import key_factory
from trust_directory.seals.verify import SealsVerifier
from trust_directory.seals.write import publish

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
SIGNER = "CN=ads.mssante.example,OU=1990000010,O=ESPACE DE CONFIANCE TEST,ST=Paris (75),C=FR"


class StillClock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return 0.0


class Space:
    """The authority, the signer of lists, the certificates of the cast."""

    def __init__(self) -> None:
        self.clock = StillClock()
        self.authority = Authority.create(clock=self.clock, keys=key_factory())
        anchors = TrustAnchors.of([self.authority.root.certificate, self.authority.organisations.certificate])
        self.revocation = RevocationLists(anchors)
        self.signer = self.issue(ProfileName.LIST_SIGNER, SIGNER)
        for crl in self.authority.crls():
            self.revocation.add(crl, at=NOW)
        self.chains = ChainVerifier(anchors=anchors, revocation=self.revocation)
        self.verifier = SealsVerifier(self.chains, frozenset({DistinguishedName.parse(SIGNER)}))

    def issue(self, profile: ProfileName, subject: str) -> Issued:
        return self.authority.issue(Request(subject=subject, profile=profile))

    def certificate(self, profile: ProfileName, name: str) -> Any:
        return self.issue(profile, f"CN={name},OU=1990000010,O=TEST,C=FR").identity().certificate

    def sign(self, *entries: Seal, at: datetime = NOW, signer: Issued | None = None) -> bytes:
        return publish(entries, generated_at=at, signer=(signer or self.signer).identity())


@pytest.fixture(scope="module")
def space() -> Space:
    return Space()


@pytest.fixture(scope="module")
def seal(space: Space) -> Callable[..., Seal]:
    sign = space.certificate(ProfileName.SIGN, "cachet")
    conf = space.certificate(ProfileName.CONF, "conf")

    def make(domain: str, **more: Any) -> Seal:
        facts: dict[str, Any] = {
            "capability": SealKind.SMIME,
            "not_before": NOW - timedelta(days=1),
            "not_after": NOW + timedelta(days=300),
            "algorithms": frozenset({SealAlgorithm.AES_256_GCM, SealAlgorithm.RSA_OAEP}),
            "signing": (sign,),
            "encryption": (conf,),
        }
        return Seal(domain=Domain.parse(domain), **(facts | more))

    return make
