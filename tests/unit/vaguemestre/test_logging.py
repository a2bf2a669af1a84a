"""A log line holds the closed fields and nobody's name."""

from __future__ import annotations

import io
import json
import logging

import structlog

from core.clock import SystemClock
from vaguemestre.observability.logging import LogFormat, configure


def lines_of(work: object) -> list[dict[str, object]]:
    stream = io.StringIO()
    configure(clock=SystemClock(), log_format=LogFormat.JSON, level="info", stream=stream)
    assert callable(work)
    work()
    structlog.reset_defaults()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_field_that_is_not_on_the_list_is_dropped_and_counted() -> None:
    (line,) = lines_of(
        lambda: structlog.get_logger().info("refused", reply="POLICY", address="anne@x.example")
    )
    assert line["event"] == "refused"
    assert line["reply"] == "POLICY"
    assert line["dropped_fields"] == 1
    assert "anne" not in json.dumps(line)


def test_an_exception_leaves_its_class_and_place_but_not_its_text() -> None:
    def work() -> None:
        try:
            try:
                raise KeyError("anne.test-rivage")
            except KeyError as error:
                raise ValueError("Anne TEST-RIVAGE") from error
        except ValueError as error:
            structlog.get_logger().error("room-failed", exc_info=error)

    (line,) = lines_of(work)
    assert str(line["error"]).startswith("ValueError@")
    assert "KeyError" in str(line["error"])
    assert "rivage" not in json.dumps(line).lower()


def test_a_value_cannot_begin_a_second_line() -> None:
    (line,) = lines_of(lambda: structlog.get_logger().warning("x", reason="a\r\n{\x1b[31m"))
    assert "\n" not in str(line["reason"])
    assert "\x1b" not in str(line["reason"])


def test_a_library_that_talks_gives_only_its_name() -> None:
    (line,) = lines_of(lambda: logging.getLogger("some.library").warning("from %s", "anne.test-rivage"))
    assert line["component"] == "some.library"
    assert "rivage" not in json.dumps(line)


def test_debug_is_silent_at_info() -> None:
    assert lines_of(lambda: structlog.get_logger().debug("quiet")) == []
