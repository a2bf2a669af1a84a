"""Structured logs: one JSON object a line, closed fields, nobody's name.

What it is: the processor chain of structlog, with a closed list of fields. What it is not: the audit trail,
which alone holds addresses (sealed). A field that is not on the list is dropped and its name is counted, so a
careless line can lose information but never leak a person. Start at `configure`.
"""

from __future__ import annotations

import enum
import json
import logging
import sys
from collections.abc import MutableMapping
from datetime import UTC
from typing import Any, TextIO

import structlog

from core.clock import Clock

FIELDS = frozenset(
    {
        "event", "level", "time", "component", "listener", "session_id", "spool_id", "domain", "reason", "reply",
        "code", "peer_dn", "pseudonym", "duration_ms", "count", "error", "attempt", "setting", "port", "days_left",
    }
)  # fmt: skip
MAX_VALUE = 512  # ours: a log line is for reading


class LogFormat(enum.Enum):
    """How a line looks."""

    JSON = "json"
    TEXT = "text"


def closed_fields(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Keep the closed list; an exception keeps its class name only, for its text may quote a letter."""
    exc_info = event.pop("exc_info", None)
    kept = {key: _clean(value) for key, value in event.items() if key in FIELDS}
    if exc_info:
        kept["error"] = _exception_name(exc_info)
    dropped = sum(1 for key in event if key not in FIELDS)
    if dropped:
        kept["dropped_fields"] = dropped
    return kept


def _clean(value: object) -> object:
    if isinstance(value, bool | int | float) or value is None:
        return value
    text = "".join(character if character.isprintable() else "\ufffd" for character in str(value))
    return text[:MAX_VALUE]


def _exception_name(exc_info: object) -> str:
    error = sys.exc_info()[1] if exc_info is True else exc_info
    if isinstance(error, tuple):
        error = error[1]
    chain: list[str] = []
    while isinstance(error, BaseException) and len(chain) < 4:
        chain.append(f"{type(error).__name__}{_place(error)}")
        error = error.__cause__
    return " < ".join(chain)


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return ""
    return f"@{trace.tb_frame.f_code.co_qualname if sys.version_info >= (3, 11) else ''}:{trace.tb_lineno}"


def configure(*, clock: Clock, log_format: LogFormat, level: str, stream: TextIO | None = None) -> None:
    """Set structlog up for this process; foreign loggers (aiosmtpd, asyncio) are raised to warnings and cleaned."""

    def stamp(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["time"] = clock.now().astimezone(UTC).isoformat(timespec="milliseconds")
        return event

    renderer: Any = structlog.processors.JSONRenderer(serializer=_to_json)
    if log_format is LogFormat.TEXT:
        renderer = structlog.dev.ConsoleRenderer(colors=False)
    target = stream or sys.stderr
    structlog.configure(
        processors=[structlog.processors.add_log_level, closed_fields, stamp, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=target),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_ForeignLogs()]
    root.setLevel(logging.WARNING)


def _to_json(value: Any, **_: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class _ForeignLogs(logging.Handler):
    """Lines of libraries: only who spoke and how loud; their text may hold what was on the wire."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().log(
            record.levelno, "library-warning", component=record.name, exc_info=record.exc_info or None
        )
