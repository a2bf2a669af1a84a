"""A small space with a list signer, and lists made of the cast's domains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from certs.anchors import TrustAnchors
from certs.authority import Authority, Issued, Request
from certs.chain import ChainVerifier
from certs.profiles import ProfileName
from certs.revocation import RevocationLists
from core.address import Domain
from core.identity import DistinguishedName
from core.testing.keys import key_factory
from trust_directory.trusted_domains.parse import Entry
from trust_directory.trusted_domains.verify import ListVerifier
from trust_directory.trusted_domains.write import publish

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
SIGNER = "CN=alb.mssante.example,OU=1990000010,O=ESPACE DE CONFIANCE TEST,ST=Paris (75),C=FR"
RIVAGE = "CN=mss.ch-rivage.mssante.example,OU=1990000010,O=CH DU RIVAGE TEST,ST=Finistère (29),C=FR"
DUNES = "CN=mss.cabinet.mssante.example,OU=1990000028,O=CABINET DES DUNES TEST,ST=Finistère (29),C=FR"


@dataclass(frozen=True)
class StillClock:
    """A clock that stands."""

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


class Publisher:
    """The authority, the signer of lists, and what an operator needs to verify them."""

    def __init__(self) -> None:
        self.now = NOW
        self.authority = Authority.create(clock=StillClock(), keys=key_factory())
        anchors = TrustAnchors.of([self.authority.root.certificate, self.authority.organisations.certificate])
        self.lists = RevocationLists(anchors)
        self.signer = self.issue(ProfileName.LIST_SIGNER, SIGNER)
        self.chains = ChainVerifier(anchors=anchors, revocation=self.lists)
        self.verifier = ListVerifier(self.chains, frozenset({DistinguishedName.parse(SIGNER)}))

    def issue(self, profile: ProfileName, subject: str, **dates: datetime) -> Issued:
        return self.authority.issue(Request(subject=subject, profile=profile, **dates))  # type: ignore[arg-type]

    def publish_crls(self) -> None:
        for crl in self.authority.crls():
            self.lists.add(crl, at=self.now)

    def sign(
        self, entries: list[Entry], *, generated_at: datetime = NOW, signer: Issued | None = None
    ) -> bytes:
        return publish(entries, generated_at=generated_at, signer=(signer or self.signer).identity())


@pytest.fixture
def publisher() -> Publisher:
    made = Publisher()
    made.publish_crls()
    return made


@pytest.fixture
def entry() -> Callable[..., Entry]:
    def make(domain: str, name: str = RIVAGE, **more: Any) -> Entry:
        return Entry(
            domain=Domain.parse(domain), name=DistinguishedName.parse(name), as_written=domain, **more
        )

    return make


@pytest.fixture
def cast(entry: Callable[..., Entry]) -> list[Entry]:
    """The two operators, one of them with two certificates (roll-over) and an accent in a domain."""
    return [
        entry("CH-Rivage.mssante.example", RIVAGE, description="Centre hospitalier du Rivage"),
        entry("cabinet.mssante.example", DUNES),
        entry("cabinet.mssante.example", RIVAGE),
        entry("goéland.mssante.example", DUNES),
    ]


@pytest.fixture
def rivage() -> DistinguishedName:
    return DistinguishedName.parse(RIVAGE)


@pytest.fixture
def dunes() -> DistinguishedName:
    return DistinguishedName.parse(DUNES)
