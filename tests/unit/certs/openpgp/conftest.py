"""Two rings: the hospital's, whose key has a passphrase, and the practice's."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from certs.openpgp.gnupg_process import Limits
from certs.openpgp.keyring import Keyring
from core.testing.openpgp_keys import PASSPHRASE, cast_key, public_of

HOSPITAL = "CH du Rivage <cachet@ch-rivage.mssante.example>"
PRACTICE = "Cabinet des Dunes <cachet@cabinet.mssante.example>"
LIMITS = Limits(octets=2_000_000, seconds=20.0, processes=2, waiting_seconds=20.0)


@pytest.fixture(scope="session")
def hospital() -> Iterator[Keyring]:
    peer = public_of(cast_key(PRACTICE))
    with Keyring.open([cast_key(HOSPITAL, PASSPHRASE)], [peer], limits=LIMITS) as ring:
        yield ring


@pytest.fixture(scope="session")
def practice() -> Iterator[Keyring]:
    peer = public_of(cast_key(HOSPITAL, PASSPHRASE))
    with Keyring.open([cast_key(PRACTICE)], [peer], limits=LIMITS) as ring:
        yield ring


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder with a name short enough for the sockets of GnuPG."""
    made = Path(tempfile.mkdtemp(prefix="vgf-"))
    yield made
    shutil.rmtree(made)
