"""docs/standards.tsv and the citations in the code say the same: every row points at code and tests that exist."""

from __future__ import annotations

import csv
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STATUSES = {"yes", "partial", "no"}
CITATION = re.compile(r"(RFC \d{3,5}) §")


def rows() -> list[list[str]]:
    with (ROOT / "docs/standards.tsv").open(encoding="utf-8", newline="") as file:
        return [row for row in csv.reader(file, delimiter="\t") if row]


def test_rows_point_at_code_and_tests_that_exist() -> None:
    header, *body = rows()
    assert header == ["standard", "section", "status", "code", "test"]
    assert len(body) > 50
    for standard, section, status, code, test in body:
        where = f"{standard} {section}"
        assert status in STATUSES, where
        if status == "no":
            continue
        for path in re.split(r"[;, ]+", f"{code} {test}".strip()):
            target = path.split("::")[0].split("#")[0]
            assert (ROOT / target).exists(), f"{where}: {target} does not exist"


def test_rows_are_sorted_and_stand_once() -> None:
    body = [tuple(row[:2]) for row in rows()[1:]]
    assert body == sorted(body)
    assert len(body) == len(set(body))


def test_every_standard_that_the_code_cites_has_a_row() -> None:
    known = {row[0] for row in rows()[1:]}
    cited = {
        match.group(1)
        for package in ("core", "mta", "routing", "trust_directory", "certs", "mailstore", "vaguemestre")
        for path in (ROOT / package).rglob("*.py")
        for match in CITATION.finditer(path.read_text("utf-8"))
    }
    assert cited <= known, sorted(cited - known)


def test_the_edge_cites_what_it_obeys() -> None:
    for package in ("mta", "certs"):
        texts = [path.read_text("utf-8") for path in (ROOT / package).rglob("*.py")]
        citations = sum(len(re.findall(r"(?:RFC \d+|ANS|IHE|IGC)", text)) for text in texts)
        assert citations / sum(text.count("\n") for text in texts) * 1000 >= 10, package
