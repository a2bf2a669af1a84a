"""FETCH 1:* (ENVELOPE BODYSTRUCTURE) of a large mailbox, warm: the CPU of the server.

What it is: the opening of a large mailbox by a mail client. Warm: the preparation FETCHes once, so Dovecot's
cache file is filled and the pages are in memory; each run is a new session. What it is not: a measure of the
first reading after delivery.
"""

from __future__ import annotations

from dataclasses import asdict

from bench.load.control import Endpoint, LoadProcess
from bench.measures.measure import Sample, Stage
from bench.rows import RowSpec
from bench.servers import Variant

CPU_TARGET = 0.7
ITEMS = "(ENVELOPE BODYSTRUCTURE)"


class FetchMeasure:
    """Every format of the peer is measured in every round; the row takes the fastest."""

    decides = "fetch_cpu"
    every_variant = True
    rows = (
        RowSpec(name="fetch_cpu", unit="CPU ms", target=CPU_TARGET,
                title="FETCH 1:* (ENVELOPE BODYSTRUCTURE) of the large box, warm: CPU of the server"),
        RowSpec(name="fetch_wall", unit="wall ms",
                title="FETCH 1:* (ENVELOPE BODYSTRUCTURE) of the large box, warm: until the last octet"),
    )  # fmt: skip

    def prepare(self, stage: Stage, variant: Variant) -> None:
        """Fill the mailbox and FETCH it once."""
        stage.fill(variant)
        self.run(stage, variant)

    def run(self, stage: Stage, variant: Variant) -> Sample:
        """See `Measure.run`."""
        server, repeats = stage.server, stage.scale.fetches
        reader = {
            "endpoint": asdict(Endpoint.imaps(server)), "account": asdict(variant.reader),
            "items": ITEMS, "expected": stage.scale.messages, "repeats": repeats,
        }  # fmt: skip
        with LoadProcess("bench.load.reader", reader) as load:
            ready = server.settled_cpu_seconds()
            load.go()
            report = load.report()
            spent = server.settled_cpu_seconds() - ready
        return Sample(
            values={"fetch_cpu": spent * 1000 / repeats, "fetch_wall": report["wall"] * 1000 / repeats},
            server_cpu=spent,
            generator_cpu=report["cpu"],
        )
