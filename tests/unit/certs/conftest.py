"""A small authority with cached keys, its anchors, CRLs and a verifier, at a fixed time."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from certs.anchors import TrustAnchors
from certs.authority import Authority, Issued, KeyAlgorithm, Request
from certs.chain import ChainVerifier, Settings
from certs.profiles import ProfileName
from certs.revocation import RevocationLists
from core.testing.keys import key_factory

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
RIVAGE = "CN=mss.ch-rivage.mssante.example,OU=1990000010,O=CH DU RIVAGE TEST,ST=Finistère (29),C=FR"


@dataclass
class StillClock:
    """A clock that stands where it is put."""

    time: datetime = NOW

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()


@dataclass
class Space:
    """Authority, anchors and CRLs of one test."""

    clock: StillClock = field(default_factory=StillClock)
    first_key: int = 0

    def __post_init__(self) -> None:
        self.authority = Authority.create(clock=self.clock, keys=key_factory(self.first_key))
        self.anchors = TrustAnchors.of(
            [self.authority.root.certificate, self.authority.organisations.certificate]
        )
        self.lists = RevocationLists(self.anchors)

    def publish(self, **when: datetime) -> None:
        for crl in self.authority.crls(**when):
            self.lists.add(crl, at=self.clock.now())

    def verifier(self, **settings: object) -> ChainVerifier:
        return ChainVerifier(
            anchors=self.anchors,
            revocation=self.lists,
            settings=Settings(**settings),  # type: ignore[arg-type]
        )

    def issue(
        self, profile: ProfileName = ProfileName.SSL_SERV, subject: str = RIVAGE, **more: object
    ) -> Issued:
        return self.authority.issue(Request(subject=subject, profile=profile, **more))  # type: ignore[arg-type]


@pytest.fixture
def space() -> Space:
    """A trust space whose CRLs are fresh."""
    made = Space()
    made.publish()
    return made


@pytest.fixture
def silent_space() -> Space:
    """A trust space that has published no CRL."""
    return Space()


@pytest.fixture
def foreign_space() -> Space:
    """Another authority with the same names and other keys."""
    made = Space(first_key=20)
    made.publish()
    return made


@pytest.fixture
def algorithms() -> type[KeyAlgorithm]:
    return KeyAlgorithm


@pytest.fixture
def day() -> timedelta:
    return timedelta(days=1)
