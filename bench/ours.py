"""Us as a server under test: the only file of the benchmark that knows how Vaguemestre is started.

What it is: the adapter behind `bench.servers.Server`. It starts `vaguemestre demo --stay --space FILE`, which
writes FILE when its trust space answers, and puts the hospital operator of that space under test: its boxes
write to themselves over its submissions port. Only the operator's process and those below it are counted.
What it is not: a measure, nor a special mode of the product: the server runs with the configuration of the demo.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.keeper import Keeper
from bench.servers import DOMAIN, Account, BenchError, Ground, Running, Variant

SPACE_SECONDS = 300.0


class Vaguemestre:
    """See the module."""

    @property
    def name(self) -> str:
        """See `Server.name`."""
        return "Vaguemestre"

    def missing(self) -> str | None:
        """See `Server.missing`."""
        if importlib.util.find_spec("vaguemestre.__main__") is None:
            return "the command vaguemestre is not there"
        return None

    def start(self, ground: Ground) -> Running:
        """See `Server.start`."""
        file = ground.folder / "space.json"
        keeper = Keeper(
            [sys.executable, "-m", "vaguemestre", "demo", "--stay", "--space", str(file),
             "--dir", str(ground.folder / "space")],
            log=ground.folder / "started.log",
        )  # fmt: skip
        try:
            return running_in(_await_space(file, keeper), keeper)
        except BaseException:
            keeper.stop()
            raise


def running_in(space: Mapping[str, Any], keeper: Keeper) -> Running:
    """The operator of `DOMAIN` in the content of a space file. Raises BenchError when it is not as agreed."""
    operator = next((one for one in space["operators"] if one["domain"] == DOMAIN), None)
    if operator is None:
        raise BenchError(f"no operator of {DOMAIN} in the space")
    boxes = [
        Account(address=one["address"], login=one["login"] or one["address"], password=one["password"])
        for one in space["accounts"]
        if one["operator"] == operator["name"] and one["password"]
    ]
    if len(boxes) < 2:
        raise BenchError("two boxes with a password are needed: one that writes and one that reads")
    return Running(
        name="Vaguemestre",
        submissions=operator["ports"]["submissions"],
        imaps=operator["ports"]["imaps"],
        variants=(Variant(name="embedded", senders=tuple(boxes[:-1]), reader=boxes[-1]),),
        keepers=(keeper,),
        authority=Path(space["ca"]),
        versions={"Vaguemestre": _version()},
        root=operator["pid"],
    )


def _version() -> str:
    try:
        return importlib.metadata.version("vaguemestre")
    except importlib.metadata.PackageNotFoundError:
        return "of this tree, not installed"


def _await_space(file: Path, keeper: Keeper) -> dict[str, Any]:
    deadline = time.monotonic() + SPACE_SECONDS
    while not file.exists():
        if keeper.ended():
            raise BenchError(f"the demo ended at its start:\n{keeper.log_tail()}")
        if time.monotonic() > deadline:
            raise BenchError(f"no space after {SPACE_SECONDS:.0f} s:\n{keeper.log_tail()}")
        time.sleep(0.1)
    space: dict[str, Any] = json.loads(file.read_text())
    return space
