"""The table on the terminal and the file in `bench/results/`.

What it is: the two forms of the same findings, and the facts about the machine. What it is not: a judge: a
missed target is a cross in the table and `"holds": false` in the file, nothing more.
"""

from __future__ import annotations

import json
import os
import platform
import ssl
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.durability import Durability
from bench.limits import Limit
from bench.rows import Row, rounded
from bench.runner import Findings, GeneratorShare
from bench.statistics import Spread

RESULTS = Path(__file__).parent / "results"


def machine_facts(folder_filesystem: str, versions: Mapping[str, str]) -> dict[str, object]:
    """What the figures were measured on."""
    model = next(
        (line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
         if line.startswith("model name")),
        platform.machine(),
    )  # fmt: skip
    return {
        "cores": os.cpu_count(),
        "cpu": model,
        "kernel": platform.release(),
        "filesystem": folder_filesystem,
        "load_average": [rounded(value) for value in os.getloadavg()],
        "versions": {
            "Python": platform.python_version(),
            "OpenSSL (Python)": ssl.OPENSSL_VERSION,
            **versions,
        },
    }


def as_json(
    findings: Findings, limits: Sequence[Limit], shown: Sequence[Durability], *,
    machine: Mapping[str, object], settings: Mapping[str, object],
) -> dict[str, object]:  # fmt: skip
    """The content of the results file."""
    return {
        "rows": [row.as_json() for row in findings.rows],
        "limits": [
            {"name": limit.name, "value": rounded(limit.value), "unit": limit.unit,
             "runs": [rounded(value) for value in limit.runs]}
            for limit in limits
        ],
        "durability": [
            {"server": one.server, "letters": len(one.letters), "holds": one.holds,
             "synced_ms": [rounded(letter.synced_at) for letter in one.letters],
             "reply_ms": [rounded(letter.reply_at) for letter in one.letters],
             "blind_calls": one.blind_calls}
            for one in shown
        ],
        "generators": {name: rounded(share.share()) for name, share in findings.shares.items()},
        "machine": dict(machine),
        "settings": dict(settings),
        "failures": list(findings.failures),
    }  # fmt: skip


def write_results(content: Mapping[str, object], moment: datetime, folder: Path = RESULTS) -> Path:
    """`DATE.json`; a second run of the same day replaces the first."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{moment:%Y-%m-%d}.json"
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n")
    return path


def print_rows(console: Console, rows: Sequence[Row]) -> None:
    """The table of rows: medians, ranges, ratio, target, tick or cross."""
    table = Table(title="Ours against the peer: medians (lowest … highest of the rounds)")
    table.add_column("row, unit", no_wrap=True)
    for heading in ("ours", "peer", "ratio, rounds"):
        table.add_column(heading, overflow="fold")
    table.add_column("target", no_wrap=True)
    for row in rows:
        table.add_row(
            f"{row.name}\n[dim]{row.unit}[/dim]", _side(row.ours, row.ours_spread()), _peer(row),
            f"{_number(row.ratio)}\n[dim]{_ratios(row)}[/dim]",
            f"≤ {row.target:g} {mark(row)}" if row.target is not None else "",
        )  # fmt: skip
    console.print(table)
    for row in rows:
        console.print(f"[dim]{row.name}: {row.title}; {row.peer_name}[/dim]")


def mark(row: Row) -> str:
    """A tick, a cross, or nothing when there is no target; a question mark when a side did not run."""
    if row.target is None:
        return ""
    if row.holds is None:
        return "[yellow]?[/yellow]"
    return "[green]✔[/green]" if row.holds else "[red]✘[/red]"


def print_limits(console: Console, limits: Sequence[Limit], shares: Mapping[str, GeneratorShare]) -> None:
    """The limits of this minute and the load generators' share of the CPU."""
    table = Table(title="Limits of this minute")
    table.add_column("limit")
    table.add_column("before, after", justify="right")
    table.add_column("unit")
    for limit in limits:
        table.add_row(limit.name, " ".join(f"{value:.4g}" for value in limit.runs), limit.unit)
    for name, share in shares.items():
        table.add_row(f"load generators' share of the CPU, {name}", f"{share.share() * 100:.1f}", "%")
    console.print(table)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _side(value: float | None, around: Spread | None) -> str:
    if value is None or around is None:
        return "–"
    return f"{value:.3g}\n[dim]{around.low:.3g} … {around.high:.3g}[/dim]"


def _peer(row: Row) -> str:
    return f"{_side(row.peer, row.peer_spread())} {row.peer_variant}".strip()


def _ratios(row: Row) -> str:
    runs = row.as_json()["runs"]
    assert isinstance(runs, dict)
    return " ".join(_number(value) for value in runs["ratios"])
