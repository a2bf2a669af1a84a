"""Every measure there is, in the order in which they are run. New rows are added here."""

from __future__ import annotations

from bench.measures.fetch import FetchMeasure
from bench.measures.measure import Measure
from bench.measures.submission import SubmissionMeasure, SubmissionWhileReadMeasure
from bench.rows import RowSpec

MEASURES: tuple[Measure, ...] = (SubmissionMeasure(), SubmissionWhileReadMeasure(), FetchMeasure())


def row_specs() -> tuple[RowSpec, ...]:
    """All rows of all measures."""
    return tuple(spec for measure in MEASURES for spec in measure.rows)


def measures_of(names: frozenset[str]) -> tuple[Measure, ...]:
    """The measures that give at least one of the rows `names`; all of them when `names` is empty."""
    if not names:
        return MEASURES
    return tuple(measure for measure in MEASURES if names & {spec.name for spec in measure.rows})
