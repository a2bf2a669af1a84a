"""An AuditTrail that keeps its events in a list."""

from __future__ import annotations

from collections.abc import Sequence

from core.audit import AuditEvent, AuditKind, RecordedEvent
from core.unit_of_work import UnitOfWork


class MemoryAuditTrail:
    """Implements `core.ports.AuditTrail`. An event of a unit counts once the unit is committed."""

    def __init__(self) -> None:
        self.events: list[AuditEvent] = []
        self.failure: Exception | None = None
        """Raised by `append` when set."""

    def record(self, unit: UnitOfWork, event: AuditEvent) -> None:
        """See the port."""
        unit.after_commit(lambda: self.events.append(event))

    async def append(self, event: AuditEvent) -> None:
        """See the port."""
        if self.failure is not None:
            raise self.failure
        self.events.append(event)

    async def events_of(self, *, message_id: str = "", spool_id: str = "") -> Sequence[RecordedEvent]:
        """See the port."""
        return [
            RecordedEvent(event=event, at=0.0, writer="memory", sequence=number)
            for number, event in enumerate(self.events, 1)
            if (message_id and event.message_id == message_id) or (spool_id and event.spool_id == spool_id)
        ]

    def of(self, kind: AuditKind) -> list[AuditEvent]:
        """The events of one kind, oldest first."""
        return [event for event in self.events if event.kind is kind]
