"""A quick look at the end of the audit trail: do the last events tie, and does the witness agree? For the doctor.

What it is: `verify_tail`, which costs the same whatever the age of the trail. What it is not: proof that the whole is
whole; `vaguemestre audit verify` reads everything.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import ConfigurationError
from core.ports import Vault
from vaguemestre.database import Database
from vaguemestre.observability.audit_chain import (
    Checkpoint,
    CheckpointDamaged,
    leaf,
    link,
    read_checkpoint,
)
from vaguemestre.observability.audit_checkpoints import load_public, verifier_of
from vaguemestre.observability.audit_log import AUDIT_CHECKPOINT, AUDIT_EVENT, VAULT_KEY
from vaguemestre.observability.audit_sealing import EventSealer

TAIL_EVENTS = 500  # ours: events of each chain that are tied again
TAIL_OCTETS = 256 * 1024  # ours: the end of a checkpoint file; a checkpoint has some 400 octets


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """What was seen: how many events, the time of the last one (seconds since 1970), what does not fit."""

    events: int
    last_at: float | None
    findings: tuple[str, ...]


async def verify_tail(
    database: Database, vault: Vault, *, checkpoint_files: Mapping[str, Path], public_key: Path, node: str
) -> Tail:
    """Look at the end of the last chain of each process of this node. Raises ConfigurationError, StoreError."""
    key = EventSealer(vault, await vault.key(VAULT_KEY)).chain_key
    check = verifier_of(load_public(public_key))
    lasts = {slot: await asyncio.to_thread(_last_line, path) for slot, path in checkpoint_files.items()}
    findings: list[str] = []
    events, times = 0, [0.0]
    async with database.read(snapshot=True) as connection:
        for row in await connection.execute(AUDIT_CHECKPOINT.select()):
            if row.slot.startswith(f"{node}/") and row.slot not in lasts:
                findings.append(f"the checkpoint file of {row.slot} is gone")
        for slot, line in lasts.items():
            if not line:
                continue
            try:
                checkpoint = read_checkpoint(line, check)
            except CheckpointDamaged as error:
                findings.append(f"the last checkpoint of {slot} is damaged: {error}")
                continue
            times.append(checkpoint.at)
            for writer in checkpoint.heads:
                rows = await _last_events(connection, writer)
                events += len(rows)
                times.extend(_time_of(row) for row in rows[:1])
                findings.extend(_judge(writer, rows, checkpoint, key))
    return Tail(events=events, last_at=max(times) or None, findings=tuple(findings))


async def _last_events(connection: Any, writer: str) -> list[Any]:
    column = AUDIT_EVENT.c
    query = (
        AUDIT_EVENT.select()
        .where(column.writer == writer)
        .order_by(column.sequence.desc())
        .limit(TAIL_EVENTS)
    )
    return list((await connection.execute(query)).all())


def _judge(writer: str, rows: list[Any], checkpoint: Checkpoint, key: bytes) -> list[str]:
    """Newest first in `rows`."""
    sequence, tied = checkpoint.heads[writer]
    findings = []
    if not rows or rows[0].sequence < sequence:
        findings.append(f"the last events of {writer} were cut off")
    vouched = [row for row in rows if row.sequence == sequence]
    if vouched and bytes(vouched[0].link) != tied:
        findings.append(f"event {sequence} of {writer} is not the one that its checkpoint vouches for")
    for later, earlier in itertools.pairwise(rows):
        expected = link(bytes(earlier.link), later.sequence, leaf(key, bytes(later.body)))
        if later.sequence != earlier.sequence + 1 or bytes(later.link) != expected:
            findings.append(f"event {later.sequence} of {writer} is not tied to the one before it")
            break
    return findings


def _time_of(row: Any) -> float:
    try:
        return float(json.loads(bytes(row.body))["at"])
    except (ValueError, KeyError, TypeError):
        return 0.0


def _last_line(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_OCTETS))
            tail = file.read()
    except OSError as error:
        raise ConfigurationError(f"the checkpoint file {path} cannot be read") from error
    return tail[: tail.rfind(b"\n") + 1][:-1].rpartition(b"\n")[2]
