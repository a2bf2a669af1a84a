"""The little statistics a noisy machine allows: medians, spreads, ratios of medians.

What it is: pure functions on lists of numbers. What it is not: a significance test; with three to five rounds
the honest figures are the median and the whole range.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """The lowest and the highest of a few runs."""

    low: float
    high: float

    def share(self, middle: float) -> float:
        """The width of the range as a share of `middle` (0.1 is ±5 % about it); 0 when the middle is 0."""
        return (self.high - self.low) / middle if middle else 0.0


def median(values: Sequence[float]) -> float:
    """The middle value, or the mean of the two middle ones. Raises ValueError when there is none."""
    if not values:
        raise ValueError("the median of nothing")
    ordered = sorted(values)
    half = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[half]
    return (ordered[half - 1] + ordered[half]) / 2


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile: the smallest value with at least `percent` % of the values at or below it.

    Never interpolated: a latency that is printed is one that somebody waited.
    """
    if not values:
        raise ValueError("a percentile of nothing")
    if not 0 < percent <= 100:
        raise ValueError("a percentile is above 0 and at most 100")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def spread(values: Sequence[float]) -> Spread:
    """Lowest and highest. Raises ValueError when there is no value."""
    if not values:
        raise ValueError("the spread of nothing")
    return Spread(min(values), max(values))


def ratio(ours: float, peer: float) -> float:
    """`ours / peer`; infinite when the peer's figure is zero and ours is not, 1 when both are zero."""
    if peer:
        return ours / peer
    return math.inf if ours else 1.0


def ratios(ours: Sequence[float], peer: Sequence[float]) -> list[float]:
    """Round by round `ours / peer`: the rounds of one index were run one after the other."""
    return [ratio(one, other) for one, other in zip(ours, peer, strict=True)]
