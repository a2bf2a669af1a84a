"""Our adapter: from the content of a space file to a server under test."""

from __future__ import annotations

from typing import Any, cast

import pytest

from bench.keeper import Keeper
from bench.ours import running_in
from bench.servers import BenchError

KEEPER = cast(Keeper, object())  # never asked in these tests
DOCTOR = {
    "address": "anne@ch-rivage.mssante.example",
    "login": "anne",
    "password": "p",
    "operator": "hospital",
}
WARD = {
    "address": "medecine@ch-rivage.mssante.example",
    "login": None,
    "password": "q",
    "operator": "hospital",
}
CITY = {"address": "paul@cabinet.mssante.example", "login": "paul", "password": "r", "operator": "city"}
APPLICATION = {
    "address": "labo@ch-rivage.mssante.example",
    "login": None,
    "password": None,
    "operator": "hospital",
}


def space(*accounts: dict[str, Any], domain: str = "ch-rivage.mssante.example") -> dict[str, Any]:
    return {
        "ca": "/space/ca.pem",
        "operators": [
            {"name": "city", "domain": "cabinet.mssante.example", "pid": 1, "ports": {}},
            {"name": "hospital", "domain": domain, "pid": 7, "ports": {"submissions": 465, "imaps": 993}},
        ],
        "accounts": list(accounts),
    }


def test_the_hospital_operator_is_put_under_test_with_its_boxes_that_have_a_password() -> None:
    running = running_in(space(DOCTOR, CITY, APPLICATION, WARD), KEEPER)
    assert (running.submissions, running.imaps, running.root) == (465, 993, 7)
    (variant,) = running.variants
    assert [(box.address, box.login) for box in variant.senders] == [(DOCTOR["address"], "anne")]
    assert (variant.reader.address, variant.reader.login) == (WARD["address"], WARD["address"])


def test_a_space_without_the_operator_or_with_too_few_boxes_cannot_be_measured() -> None:
    with pytest.raises(BenchError, match="no operator"):
        running_in(space(DOCTOR, WARD, domain="other.mssante.example"), KEEPER)
    with pytest.raises(BenchError, match="two boxes"):
        running_in(space(DOCTOR, CITY, APPLICATION), KEEPER)
