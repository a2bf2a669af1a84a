"""A small operator, made once for a session and copied for each test that wants one."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.testing import small_operator


@pytest.fixture(scope="session")
def operator_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that is copied; nobody changes it."""
    folder = tmp_path_factory.mktemp("operator") / "template"
    small_operator.build(folder)
    return folder


@pytest.fixture
def operator(operator_template: Path, tmp_path: Path) -> Path:
    """The configuration file of an operator with one box."""
    return small_operator.copy(operator_template, tmp_path / "operator")
