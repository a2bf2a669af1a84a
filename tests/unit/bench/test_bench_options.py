"""The words of the command line, and the catalogue they name."""

from __future__ import annotations

import pytest

from bench.catalogue import MEASURES, measures_of, row_specs
from bench.options import DEFAULT_ROUNDS, parse_arguments


def test_without_a_word_the_whole_catalogue_is_measured() -> None:
    options = parse_arguments([])
    assert options.rounds == DEFAULT_ROUNDS >= 3
    assert (options.scale.connections, options.scale.messages) == (20, 10_000)
    assert measures_of(options.rows) == MEASURES


def test_quick_is_one_round_of_few_letters_and_each_number_can_be_said() -> None:
    quick = parse_arguments(["--quick"])
    assert quick.rounds == 1
    assert quick.scale.letters < parse_arguments([]).scale.letters
    said = parse_arguments(["--quick", "--rounds", "4", "--letters", "9", "--messages", "8"])
    assert (said.rounds, said.scale.letters, said.scale.messages) == (4, 9, 8)


def test_rows_choose_the_measures_that_give_them() -> None:
    options = parse_arguments(["--rows", "fetch_cpu", "fetch_wall"])
    assert measures_of(options.rows) == (MEASURES[-1],)


@pytest.mark.parametrize(
    "words", [["--rows", "no_such_row"], ["--rounds", "0"], ["--letters", "many"], ["--what"]]
)
def test_a_wrong_word_ends_with_status_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_arguments(words)
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_every_row_has_its_own_name_and_each_measure_decides_by_one_of_its_rows() -> None:
    names = [spec.name for spec in row_specs()]
    assert len(names) == len(set(names))
    assert all(measure.decides in {spec.name for spec in measure.rows} for measure in MEASURES)


def test_the_agreed_targets_are_in_the_catalogue() -> None:
    targets = {spec.name: spec.target for spec in row_specs() if spec.target is not None}
    assert targets == {
        "submission_cpu": 0.8, "submission_p99": 1.0, "submission_p99_reading": 1.0, "fetch_cpu": 0.7,
    }  # fmt: skip
