"""`vaguemestre trace`: the life of one letter, from the audit trail. Reading it is itself traced."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from core.audit import AuditEvent, AuditKind, RecordedEvent
from core.errors import PermanentError
from vaguemestre.cli.config import DEFAULT_CONFIG, ConfigFile

if TYPE_CHECKING:
    from vaguemestre.wiring import Operator


def trace(
    message_id: Annotated[str, typer.Argument(help="The Message-ID with its <>, or a spool id.")],
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Tell a letter's life on this operator: who, when, which rule, which certificate, which reply."""
    from vaguemestre.cli.context import acting_operator, with_operator

    async def work(operator: Operator) -> list[RecordedEvent]:
        is_message_id = message_id.startswith("<")
        await operator.audit.append(
            AuditEvent(
                kind=AuditKind.TRACE_READ,
                message_id=message_id if is_message_id else "",
                spool_id="" if is_message_id else message_id,
                persons={"operator": acting_operator()},
            )
        )
        if is_message_id:
            found = await operator.audit.events_of(message_id=message_id)
            # Reports and later rooms know the letter by its spool id.
            ids = {event.event.spool_id for event in found if event.event.spool_id}
            for spool_id in ids:
                found = [*found, *await operator.audit.events_of(spool_id=spool_id)]
        else:
            found = await operator.audit.events_of(spool_id=message_id)
        unique = {(event.writer, event.sequence): event for event in found}
        return sorted(unique.values(), key=lambda event: (event.at, event.writer, event.sequence))

    events = [event for event in with_operator(config, work) if event.event.kind is not AuditKind.TRACE_READ]
    if not events:
        raise PermanentError("nothing is known of this letter here; is the Message-ID whole, with its <>?")
    for event in events:
        typer.echo(line_of(event))


def line_of(recorded: RecordedEvent) -> str:
    """One event on one line."""
    event = recorded.event
    at = datetime.fromtimestamp(recorded.at, UTC).isoformat(timespec="milliseconds")
    facts = " ".join(
        f"{key}={value!r}" if " " in value else f"{key}={value}" for key, value in event.facts.items()
    )
    persons = " ".join(f"{role}:{who}" for role, who in event.persons.items())
    return f"{at}  {event.kind.value:<18} {event.spool_id or '-':<26} {persons} {facts}".rstrip()
