"""`vaguemestre trace`: reading a letter's life is written beside that letter, under the name it was asked by."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.audit import AuditEvent, AuditKind, RecordedEvent
from core.testing.small_operator import command, work
from vaguemestre.wiring import Operator

MESSAGE_ID = "<visite@ch-rivage.mssante.example>"


@pytest.mark.parametrize(
    ("asked", "spool_id", "message_id"), [("s1", "s1", ""), (MESSAGE_ID, "", MESSAGE_ID)]
)
def test_a_reading_is_traced_under_what_was_asked(
    operator: Path, asked: str, spool_id: str, message_id: str
) -> None:
    async def spooled(opened: Operator) -> None:
        await opened.audit.append(
            AuditEvent(kind=AuditKind.SPOOLED, spool_id="s1", message_id=MESSAGE_ID, facts={"size": "1"})
        )

    async def readings(opened: Operator) -> list[RecordedEvent]:
        found = await opened.audit.events_of(spool_id=spool_id, message_id=message_id)
        return [each for each in found if each.event.kind is AuditKind.TRACE_READ]

    work(operator, spooled)
    status, said, _ = command(["trace", asked, "--config", str(operator)])
    assert (status, said.count("spooled")) == (0, 1)
    (reading,) = work(operator, readings)
    assert (reading.event.spool_id, reading.event.message_id) == (spool_id, message_id)
