"""The demo is a test: real processes, real clients, every check of the story, and nobody's name in a log."""

from __future__ import annotations

import base64
import json
import os
import quopri
import signal
import subprocess
import sys
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vaguemestre.demo.cast import PLAYERS
from vaguemestre.demo.mail_clients import Mailbox, Submission, letter

START_SECONDS = 400


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """`vaguemestre demo --stay --space FILE --dir DIR`: played once, left running for the tests below."""
    folder = tmp_path_factory.mktemp("story")
    space_file, output = folder / "space.json", folder / "output.txt"
    command = [
        sys.executable, "-P", "-m", "vaguemestre", "demo",
        "--stay", "--space", str(space_file), "--dir", str(folder / "space"),
    ]  # fmt: skip
    with output.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not space_file.exists():
            assert process.poll() is None, output.read_text("utf-8")
            assert time.monotonic() < deadline, output.read_text("utf-8")
            time.sleep(0.2)
        yield {
            "space": json.loads(space_file.read_text("utf-8")),
            "mode": space_file.stat().st_mode & 0o777,
            "output": output.read_text("utf-8"),
            "folder": folder / "space",
            "process": process,
        }
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def test_every_check_of_the_story_held(stage: dict[str, Any]) -> None:
    assert "✗" not in stage["output"], stage["output"]
    assert stage["output"].count("✓") > 50
    assert "checks held" in stage["output"]


def test_the_space_file_says_what_is_there_and_null_for_what_is_not_built(stage: dict[str, Any]) -> None:
    space = stage["space"]
    assert stage["mode"] == 0o600
    assert Path(space["ca"]).read_text().startswith("-----BEGIN CERTIFICATE-----")
    assert {operator["name"] for operator in space["operators"]} == {"hospital", "city"}
    for operator in space["operators"]:
        ports = operator["ports"]
        assert set(ports) == {
            "submission", "submissions", "submission_app", "imap", "imaps", "relay", "https", "ldaps",
            "mllp", "metrics",
        }  # fmt: skip
        assert all(
            isinstance(ports[name], int)
            for name in ("submission", "submissions", "imaps", "relay", "metrics")
        )
        assert ports["https"] is ports["ldaps"] is ports["mllp"] is ports["submission_app"] is None
        os.kill(operator["pid"], 0)
        assert Path(operator["config"]).exists()
        assert Path(operator["data_dir"]).is_dir()
    assert {account["address"] for account in space["accounts"]} == {player.address for player in PLAYERS}
    assert space["dmp"] is None


def test_the_space_that_stays_carries_letters(stage: dict[str, Any]) -> None:
    space = stage["space"]
    accounts = {account["address"]: account for account in space["accounts"]}
    ports = {operator["name"]: operator["ports"] for operator in space["operators"]}
    author = accounts["anne.test-rivage@ch-rivage.mssante.example"]
    recipient = accounts["paule.test-dune@cabinet.mssante.example"]
    ca = Path(space["ca"])
    session = Submission(ports["hospital"]["submissions"], ca, author["login"], author["password"])
    octets = letter(
        author["address"], [recipient["address"]], subject="après", message_id="<apres@demo.example>"
    )
    assert session.send(author["address"], [recipient["address"]], octets).code == 250
    session.close()
    inbox = Mailbox(ports["city"]["imaps"], ca, recipient["login"], recipient["password"])
    deadline = time.monotonic() + 30
    while (found := inbox.with_id("<apres@demo.example>")) is None and time.monotonic() < deadline:
        time.sleep(0.1)
    inbox.close()
    assert found is not None
    assert found.endswith(octets)


def _spellings(text: str) -> set[bytes]:
    """A name as it may hide: plain, lower, without accents, quoted-printable, base64 at three offsets."""
    plain = text.encode()
    bare = unicodedata.normalize("NFKD", text).encode("ascii", "ignore")
    found = {plain, plain.lower(), bare, bare.lower(), quopri.encodestring(plain).strip()}
    for one in (plain, bare, plain.lower()):
        for offset in range(3):
            encoded = base64.b64encode(b"x" * offset + one)
            found.add(encoded[4 if offset else 0 : -4])
    return {spelling for spelling in found if len(spelling) >= 6}


def canaries() -> set[bytes]:
    names: set[str] = {"Chère consœur", "compte-rendu-été", "épreuve d'effort", "Bien à vous"}
    for player in PLAYERS:
        names |= {player.address, player.name, player.rpps, f"{player.given_name} {player.family_name}"}
        names |= {player.family_name} if player.family_name else set()
    return {spelling for name in names if name.strip() for spelling in _spellings(name)}


def test_no_log_line_holds_a_name_an_address_a_subject_or_a_body(stage: dict[str, Any]) -> None:
    needles = canaries()
    assert b"TEST-RIVAGE" in needles
    for operator in ("hospital", "city"):
        log = (stage["folder"] / operator / "log.jsonl").read_bytes()
        assert log.count(b"\n") > 20
        leaked = [needle for needle in needles if needle in log]
        assert not leaked, leaked
        for line in log.splitlines():
            json.loads(line)


def test_nothing_personal_is_in_clear_in_the_database_or_the_blobs(stage: dict[str, Any]) -> None:
    # The directory is public professional data and stands in clear: the letters' words must not.
    words = {
        w for text in ("Chère consœur", "compte-rendu-été", "Compte rendu d'été") for w in _spellings(text)
    }
    for operator in ("hospital", "city"):
        files = [path for path in (stage["folder"] / operator / "data").rglob("*") if path.is_file()]
        assert any(path.suffix == ".db" for path in files)
        for path in files:
            content = path.read_bytes()
            assert not [word for word in words if word in content], path


def test_metrics_are_prefixed_and_nobody_is_a_label(stage: dict[str, Any]) -> None:
    import urllib.request

    for operator in stage["space"]["operators"]:
        url = f"http://127.0.0.1:{operator['ports']['metrics']}"
        with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
            text = answer.read()
        with urllib.request.urlopen(f"{url}/healthz", timeout=10) as answer:
            assert answer.read() == b"ok\n"
        samples = [line for line in text.decode().splitlines() if line and not line.startswith("#")]
        assert samples
        assert all(line.startswith("vaguemestre_") for line in samples)
        assert not [needle for needle in canaries() if needle in text]
        assert "vaguemestre_deliveries_total" in text.decode()
