"""The order of the runs, with measures and servers that only pretend."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.measures.measure import Sample, Scale, Stage
from bench.rows import RowSpec
from bench.runner import Findings, run_all
from bench.servers import BenchError, Ground, Running, TlsFiles

GROUND = Ground(
    folder=Path("ground"), tls=TlsFiles(certificate=Path("c"), key=Path("k"), authority=Path("a")), senders=2
)


def stage(name: str, *variants: str) -> Stage:
    server = Running(
        name=name, submissions=1, imaps=2, variants=tuple(GROUND.variant(one) for one in variants), keepers=(),
        authority=Path("a"),
    )  # fmt: skip
    return Stage(server, Scale())


class Pretended:
    """Costs by server and variant; every run is written down."""

    rows = (RowSpec(name="cost", unit="ms", title="cost", target=0.8),)
    decides = "cost"

    def __init__(self, costs: dict[str, float], *, every_variant: bool = False) -> None:
        self.every_variant = every_variant
        self.costs = costs
        self.played: list[str] = []

    def prepare(self, stage: Stage, variant: object) -> None:
        """Nothing to prepare."""

    def run(self, stage: Stage, variant: object) -> Sample:
        name = f"{stage.server.name} {getattr(variant, 'name')}"  # noqa: B009
        self.played.append(name)
        if name not in self.costs:
            raise BenchError("it fell over")
        return Sample(
            values={"cost": self.costs[name]}, server_cpu=3.0, generator_cpu=1.0, facts={"speed": 7}
        )


class Silent:
    def __init__(self) -> None:
        self.planned = 0
        self.done = 0

    def steps(self, text: str, count: int) -> None:
        self.planned += count

    def step(self, text: str) -> None:
        self.done += 1


def played(measure: Pretended, rounds: int = 2, **stages: Stage) -> tuple[Findings, Silent]:
    findings, silent = Findings(), Silent()
    run_all([measure], stages, rounds, silent, findings)
    return findings, silent


COSTS = {"we box": 1.5, "they a": 4.0, "they b": 2.0}


def test_rounds_alternate_after_a_warm_up_that_chooses_the_fastest_variant() -> None:
    measure = Pretended(COSTS)
    findings, silent = played(measure, 3, ours=stage("we", "box"), peer=stage("they", "a", "b"))
    assert measure.played == [
        "we box", "they a", "they b",
        "we box", "they b",
        "they b", "we box",
        "we box", "they b",
    ]  # fmt: skip
    (row,) = findings.rows
    assert (row.ratio, row.holds, row.peer_variant) == (0.75, True, "b")
    assert row.runs.ours == (1.5, 1.5, 1.5)
    assert row.runs.notes[0] == "we (box): speed 7, 7, 7"
    assert silent.done == silent.planned == 9


def test_a_measure_may_want_every_variant_in_every_round() -> None:
    measure = Pretended(COSTS, every_variant=True)
    findings, silent = played(measure, 1, ours=stage("we", "box"), peer=stage("they", "a", "b"))
    assert measure.played.count("they a") == 2
    assert findings.rows[0].runs.peer == {"a": (4.0,), "b": (2.0,)}
    assert silent.done == silent.planned == 6


def test_the_share_of_the_load_generators_is_of_all_cpu_of_the_counted_runs() -> None:
    findings, _ = played(Pretended(COSTS), 2, ours=stage("we", "box"), peer=stage("they", "b"))
    assert findings.shares["ours"].server == 6.0
    assert findings.shares["ours"].share() == 0.25


def test_one_side_alone_is_still_measured() -> None:
    findings, _ = played(Pretended(COSTS), 1, peer=stage("they", "b"))
    (row,) = findings.rows
    assert (row.ours, row.peer, row.holds) == (None, 2.0, None)
    findings, _ = played(Pretended(COSTS), 1, ours=stage("we", "box"))
    assert (findings.rows[0].ours, findings.rows[0].peer) == (1.5, None)


def test_a_measure_that_fails_is_told_and_the_next_one_is_run() -> None:
    findings, silent = Findings(), Silent()
    stages = {"ours": stage("we", "box"), "peer": stage("they", "b")}
    run_all([Pretended({}), Pretended(COSTS)], stages, 1, silent, findings)
    assert findings.failures == ["cost: it fell over"]
    assert len(findings.rows) == 1


def test_the_tokens_of_two_runs_never_meet() -> None:
    one = stage("we", "box")
    first, second = one.next_token(), one.next_token()
    connections, letters = 1 << 11, 1 << 32
    assert second - first >= connections * letters
    assert second < 1 << 64


def test_the_fastest_of_our_own_variants_counts() -> None:
    measure = Pretended({"we a": 3.0, "we b": 1.0, "they b": 2.0}, every_variant=True)
    findings, _ = played(measure, 1, ours=stage("we", "a", "b"), peer=stage("they", "b"))
    assert findings.rows[0].ours == pytest.approx(1.0)
