"""One process serves; a few commands work beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import ConfigurationError, TemporaryError
from vaguemestre import slots


def test_a_second_serving_process_is_told_why_it_may_not(tmp_path: Path) -> None:
    first = slots.take_serving(tmp_path, 0)
    with pytest.raises(ConfigurationError, match="serves this operator already"):
        slots.take_serving(tmp_path, 0)
    assert slots.take_serving(tmp_path, 1).number == 1
    first.release()
    slots.take_serving(tmp_path, 0).release()


def test_commands_take_the_first_free_place(tmp_path: Path) -> None:
    held = [slots.take_command(tmp_path) for _ in range(3)]
    assert [slot.number for slot in held] == [0, 1, 2]
    held[1].release()
    assert slots.take_command(tmp_path).number == 1


def test_too_many_commands_are_asked_to_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "COMMANDS_AT_ONCE", 1)
    slots.take_command(tmp_path)
    with pytest.raises(TemporaryError):
        slots.take_command(tmp_path)


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot use the folder"):
        slots.take_command(tmp_path / "file" / "below")
