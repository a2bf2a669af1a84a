"""Rows: what is claimed, what was measured, and whether the claim holds.

What it is: `RowSpec` (name, unit, target), `Row` (the result, with the nine keys of the results file) and the
pure step from the runs to the row. What it is not: a measurement; those are in `bench/measures/`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.statistics import Spread, median, ratio, ratios, spread

Number = float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSpec:
    """One row before it is measured. Every row is a cost: lower is better.

    `target` is the highest ratio ours/peer at which the claim holds; None means the row is for information.
    """

    name: str
    unit: str
    title: str
    target: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """The counted runs of one row, in the order of the rounds. Variants are the peer's (mailbox formats)."""

    ours: tuple[float, ...] = ()
    peer: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of the table and of the results file."""

    name: str
    unit: str
    title: str
    ours: Number
    peer: Number
    peer_name: str
    ratio: Number
    target: Number
    holds: bool | None
    runs: Runs
    peer_variant: str = ""

    def ours_spread(self) -> Spread | None:
        """Lowest and highest of our runs, None when nothing of ours ran."""
        return spread(self.runs.ours) if self.runs.ours else None

    def peer_spread(self) -> Spread | None:
        """Lowest and highest of the chosen peer's runs, None when no peer ran."""
        runs = self.runs.peer.get(self.peer_variant, ())
        return spread(runs) if runs else None

    def as_json(self) -> dict[str, object]:
        """The nine keys of the results file; everything finer is inside `runs`."""
        chosen = self.runs.peer.get(self.peer_variant, ())
        paired = self.runs.ours and len(chosen) == len(self.runs.ours)
        return {
            "name": self.name,
            "unit": self.unit,
            "ours": rounded(self.ours),
            "peer": rounded(self.peer),
            "peer_name": self.peer_name,
            "ratio": rounded(self.ratio),
            "target": self.target,
            "holds": self.holds,
            "runs": {
                "ours": [rounded(value) for value in self.runs.ours],
                "peer": [rounded(value) for value in chosen],
                "ratios": [rounded(value) for value in ratios(self.runs.ours, chosen)] if paired else [],
                "peer_variants": {
                    name: [rounded(value) for value in values] for name, values in self.runs.peer.items()
                },
                "title": self.title,
                "notes": list(self.runs.notes),
            },
        }


def rounded(value: Number) -> Number:
    """Four significant digits, which is more than the noise allows; None for what JSON cannot say."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.4g}")


def cheapest(peer: Mapping[str, Sequence[float]]) -> str:
    """The variant of the peer with the lowest median: we are always compared with its best."""
    measured = {name: median(values) for name, values in peer.items() if values}
    return min(measured, key=lambda name: measured[name]) if measured else ""


def conclude(spec: RowSpec, runs: Runs, *, peer_name: str) -> Row:
    """Medians, their ratio, and whether the target holds (None without a target or without both sides)."""
    variant = cheapest(runs.peer)
    ours = median(runs.ours) if runs.ours else None
    peer = median(runs.peer[variant]) if variant else None
    both = ratio(ours, peer) if ours is not None and peer is not None else None
    holds = None if spec.target is None or both is None else both <= spec.target
    return Row(
        name=spec.name, unit=spec.unit, title=spec.title, ours=ours, peer=peer,
        peer_name=f"{peer_name} ({variant})" if variant else peer_name,
        ratio=both, target=spec.target, holds=holds, runs=runs, peer_variant=variant,
    )  # fmt: skip
