"""`vaguemestre audit verify`: whole, and every kind of bending found."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from core.audit import AuditEvent, AuditKind
from core.testing.small_operator import command, work
from vaguemestre.wiring import Operator


def verify(config: Path, *arguments: str) -> tuple[int, str, str]:
    return command(["audit", "verify", *arguments, "--config", str(config)])


@pytest.fixture
def told(operator: Path) -> Path:
    """An operator whose trail has some events, written by two lives."""

    async def tell(operator: Operator) -> None:
        for number in range(5):
            await operator.audit.append(AuditEvent(kind=AuditKind.LOGIN, facts={"count": str(number)}))

    work(operator, tell)
    work(operator, tell)
    return operator


def bend(config: Path, statement: str) -> None:
    with closing(sqlite3.connect(config.parent / "data" / "vaguemestre.db")) as database:
        changed = database.execute(statement).rowcount
        database.commit()
    assert changed > 0


def test_whole_and_nothing_is_written_by_asking(told: Path) -> None:
    first = verify(told)
    assert first[0] == 0
    assert first[1].startswith("The audit trail is whole: 11 events of 3 chains, ")
    assert verify(told) == first


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (
            "UPDATE audit_event SET body = CAST(replace(CAST(body AS TEXT), 'count', 'kount') AS BLOB) "
            "WHERE sequence = 3",
            "was altered",
        ),
        ("DELETE FROM audit_event WHERE sequence = 3", "missing"),
        ("DELETE FROM audit_event WHERE sequence >= 4", "were cut off the end"),
        (
            "UPDATE audit_event SET sequence = CASE sequence WHEN 2 THEN -3 ELSE -2 END WHERE sequence IN (2, 3)",
            "",
        ),
    ],
)
def test_what_was_bent_is_found(told: Path, statement: str, words: str) -> None:
    if not words:  # two events exchanged: in two steps, for the key is unique meanwhile
        bend(told, statement)
        bend(told, "UPDATE audit_event SET sequence = -sequence WHERE sequence < 0")
        words = "was misplaced"
    else:
        bend(told, statement)
    status, said, error = verify(told)
    assert status == 1
    assert words in said
    assert "does not hold" in error
    assert "whole" not in said


def test_a_checkpoint_file_that_is_gone_is_found(told: Path) -> None:
    shutil.rmtree(told.parent / "data" / "audit")
    status, said, _ = verify(told)
    assert status == 1
    assert "lacks checkpoint" in said


def test_the_files_of_other_nodes_lie_elsewhere(told: Path) -> None:
    bend(told, "UPDATE audit_checkpoint SET slot = 'other/serve-0', line = zeroblob(3)")
    assert verify(told)[0] == 0


def _cut(file: Path) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:-1]))


def _scratch(file: Path) -> None:
    octets = bytearray(file.read_bytes())
    octets[40] ^= 1
    file.write_bytes(octets)


@pytest.mark.parametrize("damage", [_cut, _scratch])
def test_a_witness_that_was_bent_is_found(told: Path, damage: Callable[[Path], None]) -> None:
    (file,) = (told.parent / "data" / "audit").glob("*.jsonl")
    damage(file)
    assert verify(told)[0] == 1


def test_what_a_crash_left_of_a_checkpoint_is_no_finding(told: Path) -> None:
    (file,) = (told.parent / "data" / "audit").glob("*.jsonl")
    with file.open("ab") as stream:
        stream.write(b'{"at":17')
    assert verify(told)[0] == 0


def test_a_witness_kept_elsewhere_outlives_a_rewritten_one(told: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    shutil.copytree(told.parent / "data" / "audit", kept)
    bend(told, "DELETE FROM audit_event WHERE sequence >= 4")
    bend(told, "UPDATE audit_head SET sequence = 3 WHERE sequence > 3")
    key = told.parent / "keys" / "audit.key.pub"
    status, said, _ = verify(told, "--checkpoints", str(kept), "--key", str(key))
    assert status == 1
    assert "were cut off the end: checkpoint" in said


def test_an_empty_folder_is_no_witness(told: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    status, _, error = verify(told, "--checkpoints", str(tmp_path / "none"))
    assert status == 78
    assert "no checkpoint files" in error


def test_the_help_of_the_group_names_its_verb() -> None:
    status, said, _ = command(["audit", "--help"])
    assert status == 0
    assert "verify" in said
