"""`vaguemestre init` and the two keys: made once, never in the place of one that was lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.testing.small_operator import command

KEYS = [("kek.key", "vault"), ("audit.key", "trail")]


def _init(config: Path) -> tuple[int, str, str]:
    return command(["init", "--config", str(config)])


@pytest.mark.parametrize(("name", "what"), KEYS)
def test_a_lost_key_is_never_replaced_by_another(operator: Path, name: str, what: str) -> None:
    key = operator.parent / "keys" / name
    copy = key.rename(key.with_name(f"{name}.away"))
    status, said, sentence = _init(operator)
    assert (status, said) == (78, "")
    assert "put its copy back" in sentence
    assert str(key.name) in sentence
    assert not key.exists()
    copy.rename(key)
    assert _init(operator)[0] == 0


@pytest.mark.parametrize(("name", "what"), KEYS)
def test_no_other_command_makes_a_key(operator: Path, name: str, what: str) -> None:
    key = operator.parent / "keys" / name
    key.unlink()
    status, _, sentence = command(["bal", "list", "--config", str(operator)])
    assert status == 78
    assert key.name in sentence
    assert not key.exists()


@pytest.mark.parametrize(("name", "what"), KEYS)
def test_a_key_may_be_made_again_while_nothing_is_sealed_or_signed(
    operator: Path, name: str, what: str
) -> None:
    (operator.parent / "keys" / name).unlink()
    for file in (operator.parent / "data").glob("*.db*"):
        file.unlink()
    assert _init(operator)[0] == 0
    assert (operator.parent / "keys" / name).stat().st_mode & 0o777 == 0o600
