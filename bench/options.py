"""The words of the command line as one frozen value.

What it is: `parse_arguments` and `Options`. What it is not: the run; see `campaign.py`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.catalogue import row_specs
from bench.measures.measure import Scale
from bench.report import RESULTS

FULL = Scale()
QUICK = Scale(letters=5, connections=20, messages=500, fetches=2)
DEFAULT_ROUNDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was asked on the command line."""

    rows: frozenset[str]
    rounds: int
    scale: Scale
    ours: str
    keep: bool
    folder: Path | None
    results: Path


def parse_arguments(arguments: Sequence[str]) -> Options:
    """Options from the words of the command line; argparse exits with 2 on a wrong one."""
    names = [spec.name for spec in row_specs()]
    parser = argparse.ArgumentParser(prog="python -m bench", description="Vaguemestre against its peers.")
    parser.add_argument("--quick", action="store_true", help="one round, few letters: does everything run?")
    parser.add_argument("--rows", nargs="+", choices=names, default=[], metavar="NAME", help=", ".join(names))
    parser.add_argument("--rounds", type=_positive, help=f"counted rounds ({DEFAULT_ROUNDS})")
    parser.add_argument("--letters", type=_positive, help=f"letters on each connection ({FULL.letters})")
    parser.add_argument("--connections", type=_positive, help=f"connections ({FULL.connections})")
    parser.add_argument("--messages", type=_positive, help=f"messages of the large box ({FULL.messages})")
    parser.add_argument(
        "--ours", choices=["vaguemestre", "peer"], default="vaguemestre",
        help="'peer' puts the peer on both sides: the ratios then show the noise of the harness",
    )  # fmt: skip
    parser.add_argument("--keep", action="store_true", help="leave the folder of the run")
    parser.add_argument("--folder", type=Path, help="where the run's folder is made (on the disk to measure)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where DATE.json is written")
    found = parser.parse_args(arguments)
    base = QUICK if found.quick else FULL
    return Options(
        rows=frozenset(found.rows),
        rounds=found.rounds or (1 if found.quick else DEFAULT_ROUNDS),
        scale=Scale(
            letters=found.letters or base.letters, connections=found.connections or base.connections,
            messages=found.messages or base.messages, fetches=base.fetches,
        ),
        ours=found.ours, keep=found.keep, folder=found.folder, results=found.results,
    )  # fmt: skip


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number
