"""The command line of the benchmark: `python -m bench [--quick] [--rows NAME …] …`.

What it is: arguments into `Options`, the servers started and ended, the report printed and written. Exit status:
0 when everything ran, whatever the figures say; 1 when something did not run; 2 for a wrong argument.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench import report
from bench.catalogue import measures_of, row_specs
from bench.ground import filesystem_of, lay_ground, run_folder
from bench.limits import measure_limits
from bench.measures.measure import Scale, Stage
from bench.ours import Vaguemestre
from bench.peers.postfix import PostfixAndDovecot
from bench.runner import Findings, run_all
from bench.servers import BenchError, Server

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
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
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
    parser.add_argument("--results", type=Path, default=report.RESULTS, help="where DATE.json is written")
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


class _Bars:
    """Progress bars: one for each measure."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("starting", total=None, now="", visible=False)
        self._begun = False

    def steps(self, text: str, count: int) -> None:
        """See `runner.Watcher.steps`."""
        self._task = self._progress.add_task(text, total=count, now="")
        self._begun = False

    def step(self, text: str) -> None:
        """See `runner.Watcher.step`."""
        self._progress.update(self._task, advance=1 if self._begun else 0, now=text)
        self._begun = True


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; the exit status is in the module's docstring."""
    options = parse_arguments(arguments)
    console = Console()
    ours: Server = Vaguemestre() if options.ours == "vaguemestre" else PostfixAndDovecot("the peer again")
    with run_folder(options.folder, keep=options.keep) as folder:
        findings = _measure(options, {"ours": ours, "peer": PostfixAndDovecot()}, folder, console)
        if options.keep:
            console.print(f"kept: {folder}")
    for failure in findings.failures:
        console.print(f"[red]did not run:[/red] {failure}", highlight=False)
    return 1 if findings.failures else 0


def _measure(options: Options, servers: dict[str, Server], folder: Path, console: Console) -> Findings:
    failures: list[str] = []
    stages: dict[str, Stage] = {}
    with ExitStack() as stack:
        for side, server in servers.items():
            try:
                stage = _start(side, server, folder, options)
            except BenchError as error:
                failures.append(f"{server.name}: {error}")
                continue
            stack.callback(stage.close)
            stages[side] = stage
        with Progress(
            TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("{task.fields[now]}"), console=console, transient=True,
        ) as progress:  # fmt: skip
            findings = run_all(measures_of(options.rows), stages, options.rounds, _Bars(progress))
        versions = {name: text for stage in stages.values() for name, text in stage.server.versions.items()}
    findings.failures[:0] = failures
    if options.rows:
        findings.rows = [row for row in findings.rows if row.name in options.rows]
    tls = folder / "tls"
    limits = measure_limits(folder, tls / "chain.pem", tls / "key.pem", tls / "authority.pem")
    report.print_rows(console, findings.rows)
    report.print_limits(console, limits, findings.shares)
    settings = {"rounds": options.rounds, "ours": options.ours, **asdict(options.scale)}
    machine = report.machine_facts(filesystem_of(folder), versions)
    path = report.write_results(
        report.as_json(findings, limits, machine, settings), datetime.now().astimezone(), options.results
    )
    console.print(f"written: {path}")
    return findings


def _start(side: str, server: Server, folder: Path, options: Options) -> Stage:
    ground = lay_ground(folder, side, senders=options.scale.connections)
    missing = server.missing()
    if missing:
        raise BenchError(missing)
    return Stage(server.start(ground), options.scale)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
