"""The order of the runs: one warm-up, then rounds in which we and the peer take turns.

What it is: for every measure, a warm-up run of each variant (not counted; it chooses the peer's fastest variant
unless the measure wants them all), then rounds of "ours, peer" and "peer, ours" in turn, so that both see the
same minutes and none is always first. What it is not: a measure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bench.measures.measure import Measure, Sample, Stage
from bench.rows import Row, Runs, cheapest, conclude
from bench.servers import BenchError, Variant


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorShare:
    """CPU seconds of a side's counted runs, the server's and the load generators'."""

    server: float = 0.0
    generators: float = 0.0

    def share(self) -> float:
        """The generators' part of all CPU that was spent, 0 to 1."""
        both = self.server + self.generators
        return self.generators / both if both else 0.0


@dataclass(slots=True)
class Findings:
    """What a whole run has found; grows while it goes on."""

    rows: list[Row] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    shares: dict[str, GeneratorShare] = field(default_factory=dict)


class Watcher(Protocol):
    """Who is told of the progress (the terminal)."""

    def steps(self, text: str, count: int) -> None:
        """A measure begins that has `count` steps."""
        ...

    def step(self, text: str) -> None:
        """One step begins."""
        ...


class _Side:
    """One of the two servers during one measure."""

    def __init__(self, measure: Measure, stage: Stage) -> None:
        self.measure = measure
        self.stage = stage
        self.variants: tuple[Variant, ...] = stage.server.variants
        self.samples: dict[str, list[Sample]] = {}

    def warm_up(self, tell: Callable[[str], None]) -> None:
        """Prepare and run every variant once; keep only the fastest unless all are wanted."""
        costs: dict[str, list[float]] = {}
        for variant in self.variants:
            tell(f"{self.stage.server.name} ({variant.name}): warm-up")
            self.measure.prepare(self.stage, variant)
            sample = self.measure.run(self.stage, variant)
            costs[variant.name] = [sample.values[self.measure.decides]]
        if not self.measure.every_variant:
            fastest = cheapest(costs)
            self.variants = tuple(variant for variant in self.variants if variant.name == fastest)
        self.samples = {variant.name: [] for variant in self.variants}

    def round(self, tell: Callable[[str], None]) -> None:
        """One counted run of each variant."""
        for variant in self.variants:
            tell(f"{self.stage.server.name} ({variant.name})")
            self.samples[variant.name].append(self.measure.run(self.stage, variant))

    def values(self, row: str) -> dict[str, tuple[float, ...]]:
        """The runs of one row by variant."""
        return {
            name: tuple(sample.values[row] for sample in samples) for name, samples in self.samples.items()
        }

    def facts(self) -> list[str]:
        """Side facts of the samples, medians not taken: they only help to read the rows."""
        said = []
        for name, samples in self.samples.items():
            for fact in samples[0].facts if samples else ():
                values = ", ".join(f"{sample.facts[fact]:.4g}" for sample in samples)
                said.append(f"{self.stage.server.name} ({name}): {fact} {values}")
        return said

    def share(self) -> GeneratorShare:
        """CPU of the counted runs."""
        every = [sample for samples in self.samples.values() for sample in samples]
        return GeneratorShare(
            server=sum(sample.server_cpu for sample in every),
            generators=sum(sample.generator_cpu for sample in every),
        )


def measured(
    measure: Measure, stages: Mapping[str, Stage], rounds: int, watcher: Watcher
) -> tuple[list[Row], dict[str, GeneratorShare]]:
    """Warm up and run `measure`: its rows, and CPU by side. `stages` has "peer", "ours" or both."""
    sides = {name: _Side(measure, stage) for name, stage in stages.items()}
    per_round = sum(len(side.variants) if measure.every_variant else 1 for side in sides.values())
    warm = sum(len(side.variants) for side in sides.values())
    watcher.steps(measure.rows[0].name, warm + rounds * per_round)
    for side in sides.values():
        side.warm_up(watcher.step)
    for number in range(rounds):
        names = list(sides) if number % 2 == 0 else list(reversed(sides))
        for name in names:
            sides[name].round(watcher.step)
    notes = tuple(fact for side in sides.values() for fact in side.facts())
    rows = [
        conclude(
            spec,
            Runs(
                ours=_best(sides["ours"].values(spec.name)) if "ours" in sides else (),
                peer=sides["peer"].values(spec.name) if "peer" in sides else {},
                notes=notes,
            ),
            peer_name=stages["peer"].server.name if "peer" in stages else "",
        )
        for spec in measure.rows
    ]
    return rows, {name: side.share() for name, side in sides.items()}


def run_all(
    measures: Sequence[Measure],
    stages: Mapping[str, Stage],
    rounds: int,
    watcher: Watcher,
    findings: Findings,
) -> None:
    """Every measure into `findings`; one that does not run is a failure and does not stop the others."""
    for measure in measures:
        try:
            rows, shares = measured(measure, stages, rounds, watcher)
        except BenchError as error:
            findings.failures.append(f"{measure.rows[0].name}: {error}")
            continue
        findings.rows.extend(rows)
        for name, share in shares.items():
            known = findings.shares.get(name, GeneratorShare())
            findings.shares[name] = GeneratorShare(
                server=known.server + share.server, generators=known.generators + share.generators
            )


def _best(values: Mapping[str, tuple[float, ...]]) -> tuple[float, ...]:
    """Our own variants, when there are several, are compared as the peer's are: by the fastest."""
    return values[cheapest(values)] if values else ()
