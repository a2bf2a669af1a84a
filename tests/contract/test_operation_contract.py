"""The operator's verbs on PostgreSQL: the same words as on SQLite, but for backups, which have their own tools."""

from __future__ import annotations

import json
from pathlib import Path

from core.testing.postgresql import PostgresqlServer
from core.testing.small_operator import Waiting, build, command, spool, work


def test_the_verbs_work_on_postgresql(postgresql: PostgresqlServer, tmp_path: Path) -> None:
    postgresql.sql("CREATE DATABASE operation")
    build(tmp_path / "operator", more=f'\n[database]\nurl = "{postgresql.url("operation")}"\n')
    config = tmp_path / "operator" / "vaguemestre.toml"
    stands = Waiting(attempts=1, reply="PEER_UNREACHABLE")
    work(config, lambda operator: spool(operator, "aaaa", stands=stands))

    def say(*words: str) -> tuple[int, str, str]:
        return command([*words, "--config", str(config)])

    assert "PEER_UNREACHABLE" in say("queue", "list", "--older-than", "30m", "--state", "waiting")[1]
    assert say("queue", "hold", "aaaa")[:2] == (0, "aaaa is held.\n")
    assert "goes to the author" in say("queue", "delete", "--yes", "aaaa")[1]
    assert "whole" in say("audit", "verify")[1]
    checks = json.loads(say("doctor", "--json")[1])["checks"]
    assert [check["name"] for check in checks if check["level"] != "OK"] == ["directory"]
    status, _, error = say("backup", "create", "--out", str(tmp_path / "b"))
    assert (status, "pg_basebackup" in error) == (78, True)
    assert not (tmp_path / "b").exists()
