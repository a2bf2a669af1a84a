"""A start that cannot work ends with 78 (sysexits.h EX_CONFIG) and one clear line that says what to do."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from vaguemestre.demo.space import OperatorProcess, Space, free_ports

Command = Callable[..., str]
EX_CONFIG = 78
EX_TEMPFAIL = 75
PATIENCE = 60.0


@dataclass(slots=True)
class Prepared:
    """An operator that could start: a copy of the hospital's keys, a database of its own."""

    operator: OperatorProcess

    def text(self) -> str:
        return self.operator.config_file.read_text("utf-8")

    def serve(self, config: Path) -> subprocess.CompletedProcess[str]:
        """`vaguemestre serve`, which is expected to end by itself."""
        return subprocess.run(
            [sys.executable, "-P", "-m", "vaguemestre", "serve", "--config", str(config)],
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip

    def refused(self, change: Callable[[str], str] = str, status: int = EX_CONFIG) -> str:
        """Start with this change of the configuration; the one line that was said."""
        config = self.operator.folder / "changed.toml"
        config.write_text(change(self.text()), "utf-8")
        return one_line(self.serve(config), status)


def one_line(done: subprocess.CompletedProcess[str], status: int = EX_CONFIG) -> str:
    """What was said, after the status was checked."""
    assert done.returncode == status, done.stderr
    said = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert len(said) == 1, done.stderr
    assert said[0].startswith("vaguemestre: ")
    assert "Traceback" not in done.stderr
    return said[0]


@pytest.fixture(scope="module")
def prepared(built: Space, command: Command) -> Iterator[Prepared]:
    """Ready to start; nothing else uses its folder or its ports."""
    hospital = built.operators["hospital"]
    folder = built.folder / "errors"
    shutil.copytree(hospital.folder / "keys", folder / "keys")
    operator = OperatorProcess(hospital.structure, folder, hospital.configuration)
    ports = dict(zip(operator.ports, free_ports(len(operator.ports)), strict=True))
    operator.write(listen=replace(hospital.configuration.listen, **ports))
    command("init", "--config", str(operator.config_file))
    yield Prepared(operator)
    operator.stop()


def swap(pattern: str, replacement: str) -> Callable[[str], str]:
    """A change of one line; it must be there."""

    def change(text: str) -> str:
        changed, count = re.subn(pattern, replacement, text, count=1, flags=re.MULTILINE)
        assert count == 1, text
        return changed

    return change


def test_an_unknown_key(prepared: Prepared) -> None:
    said = prepared.refused(swap(r"^hostname = ", 'hostnme = "x"\nhostname = '))
    assert "operator.hostnme" in said
    assert "did you mean operator.hostname" in said


def test_not_toml(prepared: Prepared) -> None:
    assert "is not TOML" in prepared.refused(lambda text: text + "\n[[")


def test_no_configuration(prepared: Prepared) -> None:
    said = one_line(prepared.serve(prepared.operator.folder / "absent.toml"))
    assert "absent.toml" in said


@pytest.mark.parametrize("name", ["operator.pem", "kek.key"])
def test_a_missing_file(prepared: Prepared, name: str) -> None:
    lost = prepared.operator.folder / "keys" / name
    kept = lost.rename(lost.with_suffix(".kept"))
    try:
        assert name in prepared.refused()
    finally:
        kept.rename(lost)


@pytest.mark.parametrize("name", ["operator.key", "kek.key"])
def test_a_key_that_others_may_read(prepared: Prepared, name: str) -> None:
    key = prepared.operator.folder / "keys" / name
    mode = key.stat().st_mode
    key.chmod(0o644)
    try:
        said = prepared.refused()
    finally:
        key.chmod(mode)
    assert name in said
    assert re.search(r"600|chmod|others", said), said


@pytest.mark.parametrize("door", ["relay", "imaps", "management"])
def test_a_port_that_is_taken(prepared: Prepared, door: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = prepared.refused(swap(rf"^{door} = \d+", f"{door} = {port}"))
    assert str(port) in said
    assert "another program" in said


def test_a_database_that_was_not_prepared(prepared: Prepared) -> None:
    said = prepared.refused(swap(r'^data_dir = ".*"', 'data_dir = "unprepared"'))
    assert "vaguemestre init" in said


def test_a_second_process_on_the_same_data(prepared: Prepared) -> None:
    prepared.operator.start()
    try:
        ports = free_ports(len(prepared.operator.ports))
        text = prepared.text()
        for old, new in zip(prepared.operator.ports.values(), ports, strict=True):
            text = text.replace(f" = {old}\n", f" = {new}\n")
        said = prepared.refused(lambda _: text)
        assert "another process serves this operator" in said
        assert prepared.operator.is_healthy()
    finally:
        prepared.operator.stop()


def test_many_workers_on_sqlite(prepared: Prepared) -> None:
    assert "PostgreSQL" in prepared.refused(swap(r"^workers = 1", "workers = 2"))


def test_a_rehearsal_in_production(prepared: Prepared) -> None:
    def change(text: str) -> str:
        text = swap(r'^environment = "test"', 'environment = "production"')(text)
        return swap(r'^stop_at = ""', 'stop_at = "spool.committed"')(text)

    assert "refused in production" in prepared.refused(change)


def test_a_peer_that_is_no_host_and_port(prepared: Prepared) -> None:
    assert "not host:port" in prepared.refused(swap(r'^smart_host = ""', 'smart_host = "mss.autre"'))


def test_a_list_signer_that_is_no_name(prepared: Prepared) -> None:
    said = prepared.refused(swap(r"^signers = .*", 'signers = ["somebody"]'))
    assert "somebody" in said


def test_a_database_that_is_not_there_yet(prepared: Prepared) -> None:
    url = swap(r'^url = ""', 'url = "postgresql://nobody@/x?host=/nonexistent"')
    assert "database" in prepared.refused(url, status=EX_TEMPFAIL)  # try again: it may come up after us


def test_a_folder_that_cannot_be_written(prepared: Prepared) -> None:
    blocked = prepared.operator.folder / "a-file"
    blocked.write_text("in the way")
    said = prepared.refused(swap(r'^data_dir = ".*"', 'data_dir = "a-file/data"'))
    assert "a-file" in said
    assert os.path.exists(blocked)
