"""The two forms of the findings."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from bench.durability import Durability, LetterOrder, SyncedFile
from bench.limits import Limit
from bench.report import as_json, mark, print_limits, print_rows, write_results
from bench.rows import RowSpec, Runs, conclude
from bench.runner import Findings, GeneratorShare

HELD = conclude(
    RowSpec(name="cpu", unit="ms", title="CPU", target=0.8),
    Runs(ours=(1.0,), peer={"a": (2.0,)}),
    peer_name="P",
)
MISSED = conclude(
    RowSpec(name="p99", unit="ms", title="wait", target=1.0),
    Runs(ours=(3.0,), peer={"a": (2.0,)}),
    peer_name="P",
)
LACKING = conclude(
    RowSpec(name="lack", unit="ms", title="x", target=1.0), Runs(peer={"a": (2.0,)}), peer_name="P"
)
SHOWN = Durability(
    server="we",
    letters=(
        LetterOrder(
            size=10, synced=(SyncedFile(path="/q", call="fsync", octets=10, milliseconds=1.0),),
            synced_at=1.5, reply_at=2.5, unsynced=(),
        ),
    ),
    blind_calls=0,
)  # fmt: skip


def test_the_results_file_is_named_after_the_day_and_read_back(tmp_path: Path) -> None:
    findings = Findings(
        rows=[HELD], failures=["x"], shares={"ours": GeneratorShare(server=3.0, generators=1.0)}
    )
    content = as_json(
        findings, [Limit("sync", "/s", (10.0, 20.0))], [SHOWN], machine={"cores": 2}, settings={"rounds": 3}
    )
    path = write_results(content, datetime(2025, 11, 14, tzinfo=UTC), tmp_path / "results")
    assert path.name == "2025-11-14.json"
    read = json.loads(path.read_text())
    assert read["rows"][0]["holds"] is True
    assert read["limits"] == [{"name": "sync", "value": 15.0, "unit": "/s", "runs": [10.0, 20.0]}]
    assert read["generators"] == {"ours": 0.25}
    assert read["durability"][0]["holds"] is True
    assert read["failures"] == ["x"]


def test_a_target_that_holds_has_a_tick_a_missed_one_a_cross_an_unknown_one_a_question_mark() -> None:
    assert ["✔" in mark(HELD), "✘" in mark(MISSED), "?" in mark(LACKING)] == [True, True, True]


def test_the_table_says_both_medians_the_ratio_and_who_the_peer_was() -> None:
    console = Console(file=io.StringIO(), width=100)
    print_rows(console, [HELD, MISSED, LACKING])
    print_limits(
        console, [Limit("sync", "/s", (10.0, 20.0))], {"ours": GeneratorShare(server=3.0, generators=1.0)}
    )
    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue()
    for expected in ("cpu", "0.5", "≤ 0.8 ✔", "≤ 1 ✘", "P (a)", "10 20", "25.0"):
        assert expected in said
