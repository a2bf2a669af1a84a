"""Step 5: a letter's life on each operator, what would happen and why, and a trail that cannot be bent."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

from vaguemestre.config.load import write
from vaguemestre.demo.cast import ANNE, HOSPITAL, PAUL, PAULE
from vaguemestre.demo.playbill import Playbill
from vaguemestre.demo.space import DemoBroken, OperatorProcess, Space

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
    tamper: Callable[[sqlite3.Connection], None],
) -> None:
    """On a copy: bend the trail with SQL, and see whether it is found."""
    copy = space.folder / "tampered"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(operator.folder, copy)
    (copy / "vaguemestre.toml").write_text(write(operator.configuration, commented=False), "utf-8")
    database = sqlite3.connect(_database(copy))
    tamper(database)
    database.commit()
    database.close()
    try:
        said = space.command("audit", "verify", "--config", str(copy / "vaguemestre.toml"))
        found = False
    except DemoBroken as error:
        said, found = str(error), True
    bill.check(found, f"audit verify finds {what}: {said.strip().splitlines()[-1][:150]}")
    shutil.rmtree(copy, ignore_errors=True)


def _database(folder: Path) -> Path:
    return folder / "data" / "vaguemestre.db"


def _columns(database: sqlite3.Connection) -> list[str]:
    return [row[1] for row in database.execute("PRAGMA table_info(audit_event)")]


def _flip(database: sqlite3.Connection) -> None:
    row, octets = database.execute(
        "SELECT rowid, body FROM audit_event ORDER BY rowid LIMIT 1 OFFSET 3"
    ).fetchone()
    flipped = bytes([octets[0] ^ 1]) + octets[1:]
    database.execute("UPDATE audit_event SET body = ? WHERE rowid = ?", (flipped, row))


def _cut_tail(database: sqlite3.Connection) -> None:
    database.execute(
        "DELETE FROM audit_event WHERE rowid IN (SELECT rowid FROM audit_event ORDER BY rowid DESC LIMIT 3)"
    )


def _rewrite(database: sqlite3.Connection) -> None:
    """Drop an event and link the rest anew, as somebody with all rights on the database would."""
    database.execute(
        "DELETE FROM audit_event WHERE rowid = (SELECT rowid FROM audit_event ORDER BY rowid LIMIT 1)"
    )
