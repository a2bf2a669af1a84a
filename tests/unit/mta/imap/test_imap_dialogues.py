"""Every conversation of tests/dialogues/imap, played against the server in memory."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from core.testing.dialogue import play_text

DIALOGUES = sorted((Path(__file__).parents[3] / "dialogues" / "imap").glob("*.dialogue"))


@pytest.mark.parametrize(
    ("name", "text"),
    [(path.stem, path.read_text("utf-8")) for path in DIALOGUES],
    ids=[p.stem for p in DIALOGUES],
)
async def test_the_conversation_goes_as_written(name: str, text: str, space: Any) -> None:
    await _prepare(space, text)
    clear = re.search("^# in clear$", text, re.MULTILINE) is not None
    await play_text(name, text, lambda number: space.connect(tls=not clear))


async def _prepare(space: Any, text: str) -> None:
    """Lines `# given N letters` and `# given the letter with a document` say what is in INBOX before."""
    for line in text.splitlines():
        match = re.fullmatch(r"# given (?:(\d+) letters?|the letter with a document)", line)
        if match and match[1]:
            for _ in range(int(match[1])):
                await space.deliver()
        elif match:
            await space.deliver_document()


def test_there_are_conversations() -> None:
    assert len(DIALOGUES) >= 15
