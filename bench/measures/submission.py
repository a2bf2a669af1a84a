"""TLS submission → own mailbox: CPU a letter and the time an author waits, alone and while somebody reads.

What it is: two measures on the same load (`bench/load/submit.py`). The CPU of a letter runs from the moment all
connections are authenticated until every letter is in its mailbox *and* the server has gone quiet: work that was
put off is counted. Connecting and authenticating is a row of its own, because a password hash (argon2id, the
same cost on both sides) would drown the letters.
What it is not: a test of correctness: it trusts the number of messages that IMAP tells.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

from bench.letters import LETTER_SIZE
from bench.load.control import Endpoint, LoadProcess
from bench.measures.measure import Sample, Scale, Stage
from bench.rows import RowSpec
from bench.servers import Account, Variant
from bench.statistics import percentile

# The targets are the project's own; each is the highest ratio ours / peer.
CPU_TARGET = 0.8
LATENCY_TARGET = 1.0


def submission_load(stage: Stage, variant: Variant) -> LoadProcess:
    """A connected, authenticated load of 20 connections (by default) that waits for `go`."""
    scale = stage.scale
    return LoadProcess("bench.load.submit", _specification(stage, variant, scale))


def _specification(stage: Stage, variant: Variant, scale: Scale) -> dict[str, Any]:
    return {
        "endpoint": asdict(Endpoint.submissions(stage.server)),
        "accounts": [asdict(account) for account in variant.senders],
        "connections": scale.connections, "letters": scale.letters, "before": 0,
        "size": LETTER_SIZE, "token": stage.next_token(),
    }  # fmt: skip


def expected_counts(stage: Stage, variant: Variant) -> Mapping[Account, int]:
    """How many letters each box will hold after one run."""
    scale = stage.scale
    expected = {account: stage.count(account) for account in variant.senders}
    for number in range(scale.connections):
        expected[variant.senders[number % len(variant.senders)]] += scale.letters
    return expected


class SubmissionMeasure:
    """CPU and latency of submission with nothing else going on."""

    decides = "submission_cpu"
    every_variant = False
    rows = (
        RowSpec(name="submission_cpu", unit="CPU ms/letter", target=CPU_TARGET,
                title="TLS submission → own mailbox, durable: CPU a letter"),
        RowSpec(name="submission_p99", unit="ms", target=LATENCY_TARGET,
                title="end of data → 250, 99th percentile"),
        RowSpec(name="submission_p50", unit="ms", title="end of data → 250, median"),
        RowSpec(name="submission_all", unit="wall ms/letter",
                title="first letter sent → last letter in its mailbox, per letter"),
        RowSpec(name="session_cpu", unit="CPU ms/session", title="TLS handshake, EHLO and AUTH PLAIN (argon2id)"),
    )  # fmt: skip

    def prepare(self, stage: Stage, variant: Variant) -> None:
        """Open the watching connections."""
        for account in variant.senders:
            stage.count(account)

    def run(self, stage: Stage, variant: Variant) -> Sample:
        """See `Measure.run`."""
        server, scale = stage.server, stage.scale
        letters = scale.letters * scale.connections
        expected = expected_counts(stage, variant)
        start = server.settled_cpu_seconds()
        with submission_load(stage, variant) as load:
            ready = server.settled_cpu_seconds()
            began = time.perf_counter()
            load.go()
            report = load.report()
            stage.await_arrival(expected)
            wall = time.perf_counter() - began
            spent = server.settled_cpu_seconds() - ready
        return Sample(
            values={
                "submission_cpu": spent * 1000 / letters,
                "submission_p99": percentile(report["latencies"], 99),
                "submission_p50": percentile(report["latencies"], 50),
                "submission_all": wall * 1000 / letters,
                "session_cpu": (ready - start) * 1000 / scale.connections,
            },
            server_cpu=spent,
            generator_cpu=report["cpu"],
            facts={"letters a second": letters / wall},
        )


class SubmissionWhileReadMeasure:
    """The same latency while another session FETCHes a large mailbox's envelopes without a pause."""

    decides = "submission_p50_reading"
    every_variant = False
    rows = (
        RowSpec(name="submission_p99_reading", unit="ms", target=LATENCY_TARGET,
                title="end of data → 250, 99th percentile, while a session FETCHes the envelopes of the large box"),
        RowSpec(name="submission_p50_reading", unit="ms",
                title="end of data → 250, median, while a session FETCHes the envelopes of the large box"),
    )  # fmt: skip

    def prepare(self, stage: Stage, variant: Variant) -> None:
        """Fill the large mailbox."""
        stage.fill(variant)
        for account in variant.senders:
            stage.count(account)

    def run(self, stage: Stage, variant: Variant) -> Sample:
        """See `Measure.run`."""
        server = stage.server
        expected = expected_counts(stage, variant)
        reader = {
            "endpoint": asdict(Endpoint.imaps(server)), "account": asdict(variant.reader),
            "items": "(ENVELOPE)", "expected": stage.scale.messages, "repeats": 0,
        }  # fmt: skip
        with ExitStack() as stack:
            reading = stack.enter_context(LoadProcess("bench.load.reader", reader))
            load = stack.enter_context(submission_load(stage, variant))
            ready = server.settled_cpu_seconds()
            reading.go()
            load.go()
            report = load.report()
            reading.halt()
            read = reading.report()
            stage.await_arrival(expected)
            spent = server.settled_cpu_seconds() - ready
        return Sample(
            values={
                "submission_p99_reading": percentile(report["latencies"], 99),
                "submission_p50_reading": percentile(report["latencies"], 50),
            },
            server_cpu=spent,
            generator_cpu=report["cpu"] + read["cpu"],
            facts={"FETCHes a second": read["fetches"] / read["wall"]},
        )
