"""One whole run of the benchmark: servers started, limits, rounds, durability, servers ended, report.

What it is: the order of the parts. What it is not: any of them; `runner.py` holds the rounds, `limits.py`,
`durability.py` and `report.py` the rest. A part that does not run is a failure in the findings; the others go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench import report
from bench.catalogue import measures_of
from bench.durability import Durability, print_durability, watch_letters
from bench.ground import filesystem_of, lay_ground, make_certificate
from bench.limits import Limit, measure_limits
from bench.measures.measure import Stage
from bench.options import Options
from bench.runner import Findings, run_all
from bench.servers import BenchError, Server

WATCHED_LETTERS = 5


class _Bars:
    """Progress bars on a terminal, one for each measure; elsewhere a line for each step."""

    def __init__(self, progress: Progress, console: Console) -> None:
        self._progress = progress
        self._console = console
        self._task = progress.add_task("starting", total=None, now="", visible=False)
        self._begun = False

    def steps(self, text: str, count: int) -> None:
        """See `runner.Watcher.steps`."""
        self._task = self._progress.add_task(text, total=count, now="")
        self._begun = False

    def step(self, text: str) -> None:
        """See `runner.Watcher.step`."""
        if not self._console.is_terminal:
            self._console.print(text)
        self._progress.update(self._task, advance=1 if self._begun else 0, now=text)
        self._begun = True


def conduct(options: Options, servers: Mapping[str, Server], folder: Path, console: Console) -> Findings:
    """Run everything in `folder` and report. `servers` has "ours" first: its boxes decide how many the peer has."""
    findings = Findings()
    tls = make_certificate(folder)
    with ExitStack() as stack:
        stages = _start_all(options, servers, folder, findings, stack)
        before = measure_limits(folder, tls)
        with Progress(
            TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("{task.fields[now]}"), console=console, transient=True,
        ) as progress:  # fmt: skip
            if stages:
                run_all(measures_of(options.rows), stages, options.rounds, _Bars(progress, console), findings)
        limits = [Limit(one.name, one.unit, one.runs + two.runs)
                  for one, two in zip(before, measure_limits(folder, tls), strict=True)]  # fmt: skip
        shown = [] if options.rows else _watch(stages, folder, findings)
        versions = {name: text for stage in stages.values() for name, text in stage.server.versions.items()}
    if options.rows:
        findings.rows = [row for row in findings.rows if row.name in options.rows]
    scale = options.scale
    console.print(
        f"{options.rounds} rounds of {scale.connections} connections × {scale.letters} letters; "
        f"{scale.messages:,} messages in the large box"
    )
    report.print_rows(console, findings.rows)
    for durability in shown:
        print_durability(console, durability, folder)
    report.print_limits(console, limits, findings.shares)
    settings = {"rounds": options.rounds, "ours": options.ours, **asdict(scale)}
    content = report.as_json(
        findings,
        limits,
        shown,
        machine=report.machine_facts(filesystem_of(folder), versions),
        settings=settings,
    )
    console.print(f"written: {report.write_results(content, datetime.now().astimezone(), options.results)}")
    return findings


def _start_all(
    options: Options, servers: Mapping[str, Server], folder: Path, findings: Findings, stack: ExitStack
) -> dict[str, Stage]:
    stages: dict[str, Stage] = {}
    senders = options.scale.connections
    for side, server in servers.items():
        try:
            missing = server.missing()
            if missing:
                raise BenchError(missing)
            running = server.start(lay_ground(folder, side, senders=senders))
        except BenchError as error:
            findings.failures.append(f"{server.name}: {error}")
            continue
        stage = Stage(running, options.scale)
        stack.callback(stage.close)
        stages[side] = stage
        senders = len(running.variants[0].senders)
    return stages


def _watch(stages: Mapping[str, Stage], folder: Path, findings: Findings) -> list[Durability]:
    shown = []
    for side, stage in stages.items():
        try:
            shown.append(watch_letters(stage.server, folder / f"strace-{side}.txt", letters=WATCHED_LETTERS))
        except BenchError as error:
            findings.failures.append(f"durability of {stage.server.name}: {error}")
    return shown
