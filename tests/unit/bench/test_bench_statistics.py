"""Medians, percentiles and ratios of the benchmark."""

from __future__ import annotations

import math

import pytest

from bench.statistics import Spread, median, percentile, ratio, ratios, spread


def test_the_median_is_the_middle_or_the_mean_of_the_two_middle_values() -> None:
    assert median([3, 1, 2]) == 2
    assert median([4, 1, 3, 2]) == 2.5


def test_a_percentile_is_always_a_value_that_was_measured() -> None:
    values = list(range(1, 201))
    assert percentile(values, 99) == 198
    assert percentile(values, 50) == 100
    assert percentile(values, 100) == 200
    assert percentile([7.5], 1) == 7.5


@pytest.mark.parametrize("percent", [0, -1, 100.1])
def test_a_percentile_outside_its_range_is_an_error(percent: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        percentile([1.0], percent)


def test_nothing_has_no_median_no_percentile_and_no_spread() -> None:
    with pytest.raises(ValueError, match="median"):
        median([])
    with pytest.raises(ValueError, match="percentile"):
        percentile([], 50)
    with pytest.raises(ValueError, match="spread"):
        spread([])


def test_the_spread_is_the_whole_range_and_its_share_of_the_middle() -> None:
    assert spread([2.0, 1.0, 3.0]) == Spread(1.0, 3.0)
    assert spread([2.0, 1.0, 3.0]).share(2.0) == 1.0
    assert Spread(0.0, 0.0).share(0.0) == 0.0


def test_ratios_pair_the_rounds_and_survive_a_zero() -> None:
    assert ratios([1.0, 3.0], [2.0, 2.0]) == [0.5, 1.5]
    assert ratio(0.0, 0.0) == 1.0
    assert ratio(1.0, 0.0) == math.inf
    with pytest.raises(ValueError, match="zip"):
        ratios([1.0], [1.0, 2.0])
