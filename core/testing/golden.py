"""Golden files: what the product writes, kept as files that a person has read.

What it is: the `golden` fixture and the option `--rewrite-golden` (`make golden` uses it), which
`tests/conftest.py` brings in. What it is not: a place for values that change from run to run; give times and
identifiers to the code under test.
"""

from __future__ import annotations

from pathlib import Path

import pytest


class Golden:
    """Compares octets with a file, or writes the file when that was asked for."""

    def __init__(self, *, rewrite: bool) -> None:
        self._rewrite = rewrite

    def check(self, path: Path, actual: bytes) -> None:
        """Fail unless the file holds exactly these octets."""
        if self._rewrite:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(actual)
        assert path.is_file(), f"no golden file {path.name}; run `make golden` and read what it wrote"
        expected = path.read_bytes()
        # Lines are compared, so that a failure shows the first that differs; then every octet is.
        assert actual.splitlines() == expected.splitlines()
        assert actual == expected


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option of `make golden`."""
    parser.addoption("--rewrite-golden", action="store_true", help="write golden files instead of comparing")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Compare with golden files."""
    return Golden(rewrite=bool(request.config.getoption("--rewrite-golden")))
