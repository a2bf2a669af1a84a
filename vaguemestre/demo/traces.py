"""Step 5: a letter's life on each operator, what would happen and why, and a trail that cannot be bent."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

from core.clock import SystemClock
from vaguemestre.config.load import load, write
from vaguemestre.config.schema import Configuration
from vaguemestre.demo.cast import ANNE, HOSPITAL, PAUL, PAULE
from vaguemestre.demo.playbill import Playbill
from vaguemestre.demo.space import OperatorProcess, Space
from vaguemestre.observability.audit_chain import genesis, leaf, link
from vaguemestre.observability.audit_log import VAULT_KEY
from vaguemestre.observability.audit_sealing import EventSealer
from vaguemestre.trail import open_vault

FIRST = f"<premiere-lettre.submissions@{ANNE.domain}>"


def play(space: Space, bill: Playbill) -> None:
    """Trace, explain, verify, tamper."""
    _trace(space, bill)
    _explain(space, bill)
    _verify(space, bill)


def _trace(space: Space, bill: Playbill) -> None:
    expected = {
        "hospital": (
            "spooled",
            "planned",
            "relayed",
            ANNE.address,
            PAUL.address,
            "RELAYED",
            "on-trusted-list",
        ),
        "city": (
            "spooled",
            "planned",
            "delivered",
            HOSPITAL.hostname,
            PAUL.address,
            "DELIVERED",
            "own-box-open",
        ),
    }
    for key, words in expected.items():
        told = space.command("trace", FIRST, "--config", str(space.operators[key].config_file))
        missing = [word for word in words if word not in told]
        bill.check(not missing, f"trace on the {key} operator tells who, when, which rule, certificate and reply"
                   + (f" (missing: {', '.join(missing)})" if missing else ""))  # fmt: skip


def _explain(space: Space, bill: Playbill) -> None:
    config = str(space.operators["hospital"].config_file)
    inside = space.command("explain", "--from", ANNE.address, "--to", PAUL.address, "--config", config)
    bill.check("relayed to the operator" in inside and "trusted list" in inside, "explain: relayed, and why")
    homonym = PAULE.address in inside or "nearly the same name" in inside
    bill.check(homonym, "explain warns of the homonym but for one letter")
    outside = space.command(
        "explain", "--from", ANNE.address, "--to", "a@exterieur.example", "--config", config
    )
    bill.check(
        "550 5.7.1" in outside and "not on the trusted list" in outside, "explain: refused 550 5.7.1, and why"
    )


def _verify(space: Space, bill: Playbill) -> None:
    hospital = space.operators["hospital"]
    hospital.stop()
    told = space.command("audit", "verify", "--config", str(hospital.config_file))
    bill.check("whole" in told, f"audit verify: {told.strip().splitlines()[-1] if told.strip() else ''}")
    for what, tamper in (
        ("a flipped event", _flip), ("a cut tail", _cut_tail), ("a rewritten chain", _rewrite),
    ):  # fmt: skip
        _tampered(space, bill, hospital, what, tamper)
    hospital.start()


def _tampered(
    space: Space,
    bill: Playbill,
    operator: OperatorProcess,
    what: str,
    tamper: Callable[[sqlite3.Connection, Path], None],
) -> None:
    """On a copy: bend the trail with all rights on the machine, and see whether it is found."""
    copy = space.folder / "tampered"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(operator.folder, copy)
    config = copy / "vaguemestre.toml"
    config.write_text(write(operator.configuration, commented=False), "utf-8")
    database = sqlite3.connect(copy / "data" / "vaguemestre.db")
    tamper(database, config)
    database.commit()
    database.close()
    status, said = space.outcome("audit", "verify", "--config", str(config))
    finding = said.strip().splitlines()[0] if said.strip() else "nothing was said"
    bill.check(status == 1 and "whole" not in finding, f"audit verify finds {what}: {finding[:160]}")
    shutil.rmtree(copy, ignore_errors=True)


def _flip(database: sqlite3.Connection, _config: Path) -> None:
    row, octets = database.execute(
        "SELECT rowid, body FROM audit_event ORDER BY rowid LIMIT 1 OFFSET 3"
    ).fetchone()
    database.execute(
        "UPDATE audit_event SET body = ? WHERE rowid = ?", (bytes([octets[0] ^ 1]) + octets[1:], row)
    )


def _cut_tail(database: sqlite3.Connection, _config: Path) -> None:
    newest = "SELECT rowid FROM audit_event ORDER BY rowid DESC LIMIT 3"
    database.execute(f"DELETE FROM audit_event WHERE rowid IN ({newest})")


def _rewrite(database: sqlite3.Connection, config: Path) -> None:
    """With the operator's own keys: forge one event and make every later link of its chain anew, so that all fits."""
    key = asyncio.run(_chain_key(config))
    (writer,) = database.execute(
        "SELECT writer FROM audit_event GROUP BY writer ORDER BY count(*) DESC LIMIT 1"
    ).fetchone()
    rows = database.execute(
        "SELECT rowid, sequence, body FROM audit_event WHERE writer = ? ORDER BY sequence", (writer,)
    ).fetchall()
    bodies = [body for _, _, body in rows]
    bodies[1] = bodies[2]  # this never happened
    previous = genesis(writer)
    for (row, sequence, _), body in zip(rows, bodies, strict=True):
        previous = link(previous, sequence, leaf(key, body))
        database.execute("UPDATE audit_event SET body = ?, link = ? WHERE rowid = ?", (body, previous, row))
    database.execute("UPDATE audit_head SET link = ? WHERE writer = ?", (previous, writer))


async def _chain_key(config: Path) -> bytes:
    async with open_vault(load(config, Configuration), SystemClock()) as (_, vault):
        return EventSealer(vault, await vault.key(VAULT_KEY)).chain_key
