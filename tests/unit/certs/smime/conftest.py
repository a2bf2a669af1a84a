"""The trust space of the seals, its verifier, and a letter's entity."""

from __future__ import annotations

import pytest

from certs.chain import ChainVerifier
from core.testing.seal_space import SealSpace, seal_space

ENTITY = (
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    b"Compte rendu d'hospitalisation : CONFIDENTIEL.\r\n"
    * 1
    + "État stable, contrôle à 6 semaines.\r\n".encode()
)


@pytest.fixture(scope="session")
def seals() -> SealSpace:
    return seal_space()


@pytest.fixture(scope="session")
def chain(seals: SealSpace) -> ChainVerifier:
    return seals.chain()


@pytest.fixture
def entity() -> bytes:
    return ENTITY
