"""Somebody with the database, and even with the chain's key, changes the past: each time it is found, and where."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from vaguemestre.observability.audit_chain import (
    ChainRow,
    ChainVerifier,
    Checkpoint,
    Damage,
    VerifyReport,
    canonical,
    genesis,
    leaf,
    link,
)
from vaguemestre.observability.audit_checkpoints import CheckpointFile, SigningKey, read_file, verifier_of

KEY = b"k" * 32
EVENTS = 60
EVERY = 10
WRITERS = ("rivage/0/1", "rivage/0/2")


def body(number: int) -> bytes:
    return canonical(
        {"at": 1772438400.0 + number, "facts": {"n": str(number)}, "message": "", "spool": f"s{number}"}
    )


def chain(writer: str, bodies: list[bytes]) -> list[ChainRow]:
    rows, tied = [], genesis(writer)
    for sequence, octets in enumerate(bodies, 1):
        tied = link(tied, sequence, leaf(KEY, octets))
        rows.append(
            ChainRow(
                writer=writer,
                sequence=sequence,
                month=202603,
                spool_id=json.loads(octets)["spool"],
                message="",
                body=octets,
                link=tied,
            )
        )
    return rows


def checkpoints(rows: list[ChainRow]) -> list[Checkpoint]:
    return [
        Checkpoint(
            number=n, at=0, heads={row.writer: (row.sequence, row.link)}, previous=bytes(32), key_id=""
        )
        for n, row in enumerate((row for row in rows if row.sequence % EVERY == 0), 1)
    ]


def verify(
    rows: list[ChainRow], signed: list[Checkpoint], heads: dict[str, int] | None = None
) -> VerifyReport:
    verifier = ChainVerifier(KEY, signed, lambda at: 202603)
    for row in sorted(rows, key=lambda row: (row.writer, row.sequence)):
        verifier.feed(row)
    return verifier.finish(heads or {})


GOOD = [row for writer in WRITERS for row in chain(writer, [body(n) for n in range(1, EVENTS + 1)])]
SIGNED = checkpoints(GOOD)
Tamper = Callable[[list[ChainRow], random.Random], tuple[list[ChainRow], Damage, str, int]]


def _flip(octets: bytes, dice: random.Random) -> bytes:
    place = dice.randrange(len(octets))
    return octets[:place] + bytes([octets[place] ^ (1 << dice.randrange(8))]) + octets[place + 1 :]


def flip_body(rows: list[ChainRow], dice: random.Random) -> tuple[list[ChainRow], Damage, str, int]:
    at = dice.randrange(len(rows))
    rows[at] = dataclasses.replace(rows[at], body=_flip(rows[at].body, dice))
    return rows, Damage.ALTERED, rows[at].writer, rows[at].sequence


def flip_link(rows: list[ChainRow], dice: random.Random) -> tuple[list[ChainRow], Damage, str, int]:
    at = dice.randrange(len(rows))
    rows[at] = dataclasses.replace(rows[at], link=_flip(rows[at].link, dice))
    return rows, Damage.ALTERED, rows[at].writer, rows[at].sequence


def change_column(rows: list[ChainRow], dice: random.Random) -> tuple[list[ChainRow], Damage, str, int]:
    at = dice.randrange(len(rows))
    changes = dice.choice(({"spool_id": "other"}, {"message": "other"}, {"month": 202604}))
    rows[at] = dataclasses.replace(rows[at], **changes)  # type: ignore[arg-type]
    return rows, Damage.ALTERED, rows[at].writer, rows[at].sequence


def remove(rows: list[ChainRow], dice: random.Random) -> tuple[list[ChainRow], Damage, str, int]:
    at = dice.choice([n for n, row in enumerate(rows) if row.sequence < EVENTS])
    gone = rows.pop(at)
    return rows, Damage.MISSING, gone.writer, gone.sequence


def swap(rows: list[ChainRow], dice: random.Random) -> tuple[list[ChainRow], Damage, str, int]:
    writer = dice.choice(WRITERS)
    one, other = sorted(dice.sample([n for n, row in enumerate(rows) if row.writer == writer], 2))
    first, second = rows[one], rows[other]
    rows[one] = dataclasses.replace(second, sequence=first.sequence)
    rows[other] = dataclasses.replace(first, sequence=second.sequence)
    return rows, Damage.MISPLACED, writer, first.sequence


def cut_tail(rows: list[ChainRow], dice: random.Random) -> tuple[list[ChainRow], Damage, str, int]:
    writer, keep = dice.choice(WRITERS), dice.randrange(EVENTS)
    kept = [row for row in rows if row.writer != writer or row.sequence <= keep]
    return kept, Damage.TAIL_CUT, writer, keep + 1


def rewrite(rows: list[ChainRow], dice: random.Random) -> tuple[list[ChainRow], Damage, str, int]:
    """With the chain's key: everything from one event on is made anew, and fits together."""
    writer, start = dice.choice(WRITERS), dice.randrange(EVENTS - 1)
    bodies = [row.body for row in rows if row.writer == writer]
    bodies[start] = body(1000 + start)
    others = [row for row in rows if row.writer != writer]
    first_signed = (start // EVERY + 1) * EVERY
    return others + chain(writer, bodies), Damage.REWRITTEN, writer, first_signed


TAMPERS: list[Tamper] = [flip_body, flip_link, change_column, remove, swap, cut_tail, rewrite]


@pytest.mark.parametrize("tamper", TAMPERS, ids=[tamper.__name__ for tamper in TAMPERS])
def test_of_a_thousand_changes_each_is_found_in_its_place(tamper: Tamper) -> None:
    for seed in range(150):
        rows, damage, writer, sequence = tamper(list(GOOD), random.Random(seed))
        findings = verify(rows, SIGNED).findings
        places = {(finding.damage, finding.writer, finding.sequence) for finding in findings}
        assert (damage, writer, sequence) in places, (seed, findings)
        assert {finding.writer for finding in findings} == {writer}
        assert all(writer in finding.sentence for finding in findings)


def test_an_untouched_trail_has_no_findings() -> None:
    for length in range(EVENTS):
        rows = [row for writer in WRITERS for row in chain(writer, [body(n) for n in range(length)])]
        report = verify(rows, checkpoints(rows), dict.fromkeys(WRITERS, length))
        assert report.is_whole
        assert report.events == 2 * length


def test_a_flip_is_told_once() -> None:
    rows = list(GOOD)
    rows[6] = dataclasses.replace(rows[6], body=body(99))
    [finding] = verify(rows, SIGNED).findings
    assert finding.sentence == (
        "event 7 of rivage/0/1 was altered: it is not what was committed to when it was written"
    )


def test_the_table_of_heads_is_a_witness_of_the_last_second() -> None:
    [finding] = verify(GOOD[: EVENTS - 1], [], {WRITERS[0]: EVENTS}).findings
    assert finding.damage is Damage.TAIL_CUT
    assert "the table of heads names event 60" in finding.sentence


# --- the file outside ---------------------------------------------------------------------------------------
@pytest.fixture
def witness(tmp_path: Path) -> tuple[Path, SigningKey]:
    key = SigningKey(Ed25519PrivateKey.from_private_bytes(b"s" * 32))
    path = tmp_path / "checkpoints.jsonl"
    file = CheckpointFile(path, key)
    file.open()
    for number in range(1, 6):
        file.append(float(number), {"w": (number, bytes([number]) * 32)})
    return path, key


def test_a_whole_file_has_no_findings(witness: tuple[Path, SigningKey]) -> None:
    path, key = witness
    reader = read_file(path, verifier_of(key.public))
    assert [checkpoint.number for checkpoint in reader.checkpoints] == [1, 2, 3, 4, 5]
    assert reader.findings == []
    reader.compare_with(5, reader.last_line)
    assert reader.findings == []


def test_each_octet_of_a_line_counts(witness: tuple[Path, SigningKey]) -> None:
    path, key = witness
    lines = path.read_bytes().splitlines()
    for place in range(len(lines[2])):
        changed = lines[2][:place] + bytes([lines[2][place] ^ 1]) + lines[2][place + 1 :]
        path.write_bytes(b"\n".join([*lines[:2], changed.replace(b"\n", b" "), *lines[3:]]) + b"\n")
        findings = read_file(path, verifier_of(key.public)).findings
        assert any("line 3" in finding.sentence for finding in findings), place


def test_a_line_that_is_being_written_is_not_damage_but_a_cut_one_is_missed(
    witness: tuple[Path, SigningKey],
) -> None:
    path, key = witness
    whole = path.read_bytes()
    last = whole.splitlines()[-1]
    path.write_bytes(whole[:-20])
    reader = read_file(path, verifier_of(key.public))
    assert reader.findings == []
    reader.compare_with(5, last)
    assert [finding.damage for finding in reader.findings] == [Damage.CHECKPOINTS_CUT]


def test_a_line_taken_out_and_lines_out_of_order(witness: tuple[Path, SigningKey]) -> None:
    path, key = witness
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([lines[0], lines[1], lines[3], lines[4]]) + b"\n")
    [finding] = read_file(path, verifier_of(key.public)).findings
    assert finding.sentence == "line 3 of the checkpoint file does not follow the line before it"


def test_a_cut_file_and_a_forged_one(witness: tuple[Path, SigningKey]) -> None:
    path, key = witness
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join(lines[:3]) + b"\n")
    cut = read_file(path, verifier_of(key.public))
    cut.compare_with(5, lines[4])
    [finding] = cut.findings
    assert finding.damage is Damage.CHECKPOINTS_CUT
    forger = SigningKey(Ed25519PrivateKey.from_private_bytes(b"f" * 32))
    path.unlink()
    forged = CheckpointFile(path, forger)
    forged.open()
    forged.append(1.0, {"w": (1, bytes(32))})
    [finding] = read_file(path, verifier_of(key.public)).findings
    assert "the signature does not hold" in finding.sentence
    other = read_file(path, verifier_of(forger.public))
    other.compare_with(1, lines[0])
    assert "not the same in the file and in the database" in other.findings[0].sentence


def test_two_processes_may_append_to_one_file(witness: tuple[Path, SigningKey]) -> None:
    path, key = witness
    one, other = CheckpointFile(path, key), CheckpointFile(path, key)
    for number in range(6, 16):
        (one if number % 2 else other).append(float(number), {"w": (number, bytes(32))})
    reader = read_file(path, verifier_of(key.public))
    assert reader.findings == []
    assert len(reader.checkpoints) == 15
