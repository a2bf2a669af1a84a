"""The wheel holds the nine packages and nothing of the tests, and no other distribution uses our names."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMES = {
    "core",
    "mta",
    "routing",
    "trust_directory",
    "connectors",
    "certs",
    "mailstore",
    "webmail",
    "vaguemestre",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    (built,) = target.glob("vaguemestre-*.whl")
    return built


def test_the_wheel_holds_nine_packages_and_no_doubles(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == NAMES
    assert not [name for name in names if name.startswith(("core/testing", "tests/"))]
    assert "vaguemestre/__main__.py" in names


def test_no_other_distribution_brings_our_top_level_names() -> None:
    for distribution in importlib.metadata.distributions():
        if distribution.metadata["Name"] == "vaguemestre":
            continue
        tops = {str(file).split("/")[0].removesuffix(".py") for file in distribution.files or ()}
        assert not tops & NAMES, f"{distribution.metadata['Name']} brings {tops & NAMES}"
