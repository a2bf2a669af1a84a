"""The key-encryption key in a file: made once, for its owner only, checked at each start."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import ConfigurationError
from mailstore.keys import FileKek
from mailstore.sealing import ALGORITHM, SealBroken


def test_it_is_made_for_its_owner_only_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "kek"
    made = FileKek.create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(path.read_bytes()) == 32
    loaded = FileKek.load(path)
    assert loaded.key_id == made.key_id
    wrapped = made.wrap(bytes(32), b"place")
    assert wrapped.startswith(ALGORITHM)
    assert loaded.unwrap(wrapped, b"place") == bytes(32)
    with pytest.raises(SealBroken):
        loaded.unwrap(wrapped, b"other")


def test_it_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "kek"
    FileKek.create(path)
    before = path.read_bytes()
    with pytest.raises(ConfigurationError):
        FileKek.create(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_it_is_refused_when_others_may_read_it(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "kek"
    FileKek.create(path)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        FileKek.load(path)
    path.chmod(0o400)
    FileKek.load(path)


@pytest.mark.parametrize("octets", [b"", bytes(31), bytes(33)])
def test_a_wrong_length_is_refused(tmp_path: Path, octets: bytes) -> None:
    path = tmp_path / "kek"
    path.touch(mode=0o600)
    path.write_bytes(octets)
    with pytest.raises(ConfigurationError):
        FileKek.load(path)


def test_an_absent_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        FileKek.load(tmp_path / "none")


def test_its_id_tells_nothing_of_the_key_but_differs() -> None:
    one, other = FileKek(bytes(32)), FileKek(bytes(31) + b"\x01")
    assert one.key_id != other.key_id
    assert one.key_id not in bytes(32).hex()
