"""Rows: from runs to the nine keys of the results file."""

from __future__ import annotations

import json
import math

from bench.rows import RowSpec, Runs, cheapest, conclude, rounded
from bench.statistics import Spread

SPEC = RowSpec(name="submission_cpu", unit="CPU ms/letter", title="CPU a letter", target=0.8)


def test_a_row_holds_when_the_ratio_of_the_medians_is_at_most_the_target() -> None:
    row = conclude(SPEC, Runs(ours=(1.7, 1.5, 1.6), peer={"sdbox": (2.0, 2.0, 9.0)}), peer_name="P")
    assert (row.ours, row.peer, row.ratio) == (1.6, 2.0, 0.8)
    assert row.holds is True
    assert row.ours_spread() == Spread(1.5, 1.7)
    assert row.peer_spread() == Spread(2.0, 9.0)


def test_a_row_does_not_hold_above_the_target() -> None:
    row = conclude(SPEC, Runs(ours=(1.61,), peer={"sdbox": (2.0,)}), peer_name="P")
    assert row.holds is False


def test_the_peer_is_taken_at_its_best() -> None:
    runs = Runs(ours=(1.0,), peer={"maildir": (5.0,), "mdbox": (2.0,), "sdbox": (3.0,)})
    row = conclude(SPEC, runs, peer_name="P")
    assert (row.peer_variant, row.peer_name, row.ratio) == ("mdbox", "P (mdbox)", 0.5)
    assert cheapest({"empty": ()}) == ""


def test_a_row_without_a_target_claims_nothing() -> None:
    spec = RowSpec(name="p50", unit="ms", title="median")
    assert conclude(spec, Runs(ours=(1.0,), peer={"x": (2.0,)}), peer_name="P").holds is None


def test_a_side_that_did_not_run_leaves_no_ratio() -> None:
    row = conclude(SPEC, Runs(peer={"sdbox": (2.0,)}), peer_name="P")
    assert (row.ours, row.peer, row.ratio, row.holds) == (None, 2.0, None, None)
    assert row.ours_spread() is None
    alone = conclude(SPEC, Runs(ours=(2.0,)), peer_name="P")
    assert (alone.peer, alone.peer_name, alone.peer_spread()) == (None, "P", None)


def test_the_results_file_has_the_nine_agreed_keys() -> None:
    runs = Runs(ours=(1.0, 2.0), peer={"a": (2.0, 2.0), "b": (3.0, 3.0)}, notes=("n",))
    row = conclude(SPEC, runs, peer_name="P").as_json()
    assert list(row) == [
        "name", "unit", "ours", "peer", "peer_name", "ratio", "target", "holds", "runs",
    ]  # fmt: skip
    assert row["runs"] == {
        "ours": [1.0, 2.0], "peer": [2.0, 2.0], "ratios": [0.5, 1.0],
        "peer_variants": {"a": [2.0, 2.0], "b": [3.0, 3.0]}, "title": "CPU a letter", "notes": ["n"],
    }  # fmt: skip


def test_figures_are_rounded_and_never_what_json_cannot_say() -> None:
    assert rounded(123.456789) == 123.5
    assert rounded(math.inf) is None
    assert rounded(None) is None
    endless = conclude(SPEC, Runs(ours=(1.0,), peer={"a": (0.0,)}), peer_name="P")
    assert json.loads(json.dumps(endless.as_json()))["ratio"] is None
