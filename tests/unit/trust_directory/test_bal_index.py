"""Names that people mistake for each other are found; others are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trust_directory.annuaire.bal_index import name_key, similar_given_names


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Paul", "Paule"), ("Paul", "PAUL"), ("Jean", "Jean-Pierre"), ("Anne", "Ann"), ("Hélène", "Helene"),
        ("Claire", "Clarie"), ("Marie", "Maria"), ("", "Paul"),
    ],
)  # fmt: skip
def test_alike(one: str, other: str) -> None:
    assert similar_given_names(one, other)
    assert similar_given_names(other, one)


@pytest.mark.parametrize(
    ("one", "other"), [("Paul", "Anne"), ("Paul", "Paulette"), ("Louise", "Louis-Marc"), ("Marc", "Marie")]
)
def test_not_alike(one: str, other: str) -> None:
    assert not similar_given_names(one, other)
    assert not similar_given_names(other, one)


@given(st.text(), st.text())
def test_alike_is_mutual(one: str, other: str) -> None:
    assert similar_given_names(one, other) is similar_given_names(other, one)


def test_a_name_is_found_whatever_its_spelling() -> None:
    assert name_key("Test-Goéland") == name_key("TEST GOELAND") == "test goeland"
    assert name_key("D'Œuf") == "d oeuf"
