"""Acknowledged means durable (threat F9): each 250 comes after the fdatasync that covers the letter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.durability import watch_letters
from bench.ground import lay_ground, run_folder
from bench.ours import Vaguemestre
from bench.servers import Running

LETTERS = 4


@pytest.fixture
def running() -> Iterator[tuple[Running, Path]]:
    """An operator of the benchmark's kind, on a real disk."""
    with run_folder(None, keep=False) as folder:
        server = Vaguemestre().start(lay_ground(folder, "watched", senders=1))
        try:
            yield server, folder / "strace.txt"
        finally:
            server.stop()


def test_every_250_is_preceded_by_a_sync_of_the_letter(running: tuple[Running, Path]) -> None:
    server, trace = running
    found = watch_letters(server, trace, letters=LETTERS)
    assert len(found.letters) == LETTERS
    assert found.blind_calls == 0
    for letter in found.letters:
        assert letter.holds, letter
        assert letter.synced_at is not None
        assert letter.reply_at is not None
        assert letter.synced_at <= letter.reply_at
        assert sum(file.octets for file in letter.synced) >= letter.size
    assert {file.call for letter in found.letters for file in letter.synced} <= {"fsync", "fdatasync"}
