"""Builds a trust space in a folder, with the product's own commands, and runs its operators as processes.

What it is: files (authority, trust list, directory, one configuration, database and key set per operator) and
`OperatorProcess`. What it is not: the story. Start at `Space.build`.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from core.errors import GatewayError
from vaguemestre.cli import run as run_command
from vaguemestre.config.load import write
from vaguemestre.config.schema import (
    Configuration,
    Environment,
    IdentitySettings,
    ListenSettings,
    LogSettings,
    OperatorSettings,
    PathOrUrl,
    RehearsalSettings,
    RelaySettings,
    SpoolSettings,
    TlsSettings,
    TrustSettings,
)
from vaguemestre.demo.cast import LIST_SIGNER, PLAYERS, STRUCTURES, UNLISTED, Player, Structure

DOORS = ("submission", "submissions", "imap", "imaps", "relay", "management")
LATER_DOORS = ("submission_app", "https", "ldaps", "mllp")
READY_SECONDS = 60.0  # an operator that is not ready by then will not be


class DemoBroken(GatewayError):
    """The space could not be built or an operator did not start."""


@dataclass(slots=True)
class OperatorProcess:
    """One `vaguemestre serve` with its own configuration, database and keys."""

    structure: Structure
    folder: Path
    configuration: Configuration
    process: subprocess.Popen[bytes] | None = None
    passwords: dict[str, str] = field(default_factory=dict)

    @property
    def config_file(self) -> Path:
        """Its TOML file."""
        return self.folder / "vaguemestre.toml"

    @property
    def ports(self) -> dict[str, int]:
        """Door → port."""
        return {door: getattr(self.configuration.listen, door) for door in DOORS}

    @property
    def pid(self) -> int | None:
        """The running process."""
        return self.process.pid if self.process and self.process.poll() is None else None

    def write(self, **changes: Any) -> None:
        """Write the configuration, with changes kept."""
        self.configuration = replace(self.configuration, **changes)
        self.config_file.write_text(write(self.configuration, commented=False), "utf-8")

    def rehearse(self, stop_at: str, stop_after: int) -> None:
        """At the next start: kill yourself at this checkpoint."""
        self.write(rehearsal=RehearsalSettings(stop_at=stop_at, stop_after=stop_after))

    def start(self, *, wait: bool = True) -> None:
        """Start and wait until every door answers."""
        if self.pid:
            return
        log = (self.folder / "log.jsonl").open("ab")
        command = [sys.executable, "-P", "-m", "vaguemestre", "serve", "--config", str(self.config_file)]
        self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        log.close()
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Until the health page says ok."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if self.process is None or self.process.poll() is not None:
                raise DemoBroken(f"{self.structure.name} did not start; see {self.folder / 'log.jsonl'}")
            if self.is_healthy():
                return
            time.sleep(0.05)
        raise DemoBroken(f"{self.structure.name} was not ready after {READY_SECONDS:.0f} s")

    def is_healthy(self) -> bool:
        """Whether `/healthz` answers 200."""
        url = f"http://127.0.0.1:{self.configuration.listen.management}/healthz"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def kill(self) -> None:
        """SIGKILL, as a power cut."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def wait_killed(self, seconds: float) -> bool:
        """Whether the process killed itself (by SIGKILL) in that time."""
        assert self.process is not None
        try:
            return self.process.wait(seconds) == -signal.SIGKILL
        except subprocess.TimeoutExpired:
            return False

    def stop(self) -> None:
        """SIGTERM and wait for the drain."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()


@dataclass(slots=True)
class Space:
    """Everything the story needs."""

    folder: Path
    operators: dict[str, OperatorProcess] = field(default_factory=dict)

    @property
    def ca(self) -> Path:
        """PEM of the demo's authorities."""
        return self.folder / "igc" / "anchors.pem"

    @property
    def trust_list(self) -> Path:
        """The signed list that both operators read."""
        return self.folder / "trust" / "liste-blanche.xml"

    @property
    def others(self) -> Path:
        """Certificates of nobody's operator: `unlisted`, `revoked`, `signer`."""
        return self.folder / "others"

    def operator_of(self, player: Player) -> OperatorProcess:
        """Whose box it is."""
        return next(o for o in self.operators.values() if o.structure.domain == player.domain)

    def password_of(self, player: Player) -> str:
        """Made when the box was made."""
        return self.operator_of(player).passwords[player.address]

    def outcome(self, *arguments: str, secret: str = "") -> tuple[int, str]:
        """Run one of the product's commands in this process: its exit status, and all that it said."""
        said = io.StringIO()
        saved, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(secret.encode()), encoding="utf-8")
        try:
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                status = run_command(list(arguments))
        finally:
            sys.stdin = saved
        return status, said.getvalue()

    def command(self, *arguments: str, secret: str = "") -> str:
        """As `outcome`, for a command that must succeed. Raises DemoBroken."""
        status, said = self.outcome(*arguments, secret=secret)
        if status:
            raise DemoBroken(f"vaguemestre {' '.join(arguments[:2])} ended with {status}: {said.strip()}")
        return said

    def build(self, say: Callable[[str], None]) -> None:
        """Authority, certificates, list, directory, operators and boxes, all made afresh."""
        igc = str(self.folder / "igc")
        self.command("simulate", "igc", "--dir", igc)
        say("authority modelled on IGC-Santé: root, intermediate, CRLs")
        self._certificates(igc)
        self.publish_list(self.trust_list)
        say("liste blanche signed; the signer's name is pinned beside its authority")
        extract = self.folder / "annuaire.txt"
        self.command("simulate", "annuaire", "--out", str(extract), *_annuaire_rows())
        for structure in STRUCTURES:
            operator = self._operator(structure)
            self.operators[structure.key] = operator
        self._routes()
        for operator in self.operators.values():
            config = str(operator.config_file)
            self.command("init", "--config", config)
            self.command("directory", "import", str(extract), "--config", config)
            for player in PLAYERS:
                if player.domain == operator.structure.domain:
                    self._box(operator, player)
            say(
                f"{operator.structure.name}: database, keys, directory extract, {len(operator.passwords)} boxes"
            )

    def _certificates(self, igc: str) -> None:
        def issue(name: str, subject: str, out: Path, profile: str, *names: str) -> None:
            hosts = [item for host in names for item in ("--dns", host)]
            self.command(
                "simulate", "certificate", "--dir", igc, "--out", str(out), "--name", name,
                "--subject", subject, "--profile", profile, *hosts,
            )  # fmt: skip

        for structure in STRUCTURES:
            keys = self.folder / structure.key / "keys"
            issue("operator", structure.subject, keys, "SSL_SERV", structure.hostname, "localhost")
        issue("signer", LIST_SIGNER, self.others, "LIST_SIGNER")
        issue("other-signer", UNLISTED, self.others, "LIST_SIGNER")
        issue("unlisted", UNLISTED, self.others, "SSL_SERV")
        # The same name as the city's operator: only revocation tells this one from the good one.
        issue("revoked", STRUCTURES[1].subject, self.others, "SSL_SERV")
        self.command("simulate", "revoke", "--dir", igc, str(self.others / "revoked.pem"))

    def publish_list(
        self, out: Path, *, signer: str | None = "signer", structures: Sequence[Structure] = STRUCTURES
    ) -> None:
        """Write a list; without a signer it is unsigned."""
        entries = [item for s in structures for item in ("--entry", f"{s.domain}|{s.subject}")]
        filler = [f"etablissement-{n}.mssante.example" for n in range(4)]
        entries += [item for domain in filler for item in ("--entry", f"{domain}|{UNLISTED}")]
        signed = ["--signer", str(self.others / f"{signer}.pem")] if signer else []
        self.command("simulate", "trust-list", "--out", str(out), *entries, *signed)

    def _operator(self, structure: Structure) -> OperatorProcess:
        folder = self.folder / structure.key
        ports = free_ports(len(DOORS))
        keys = Path("keys")
        configuration = Configuration(
            operator=OperatorSettings(
                name=structure.name,
                hostname=structure.hostname,
                domains=(structure.domain,),
                data_dir=Path("data"),
                environment=Environment.TEST,
                node=structure.key,
            ),
            listen=_doors(ports),
            tls=TlsSettings(
                identity=(IdentitySettings(certificate=keys / "operator.pem", key=keys / "operator.key"),),
                anchors=self.ca,
                crls=self.folder / "igc" / "crl",
            ),
            trust=TrustSettings(
                source=PathOrUrl(self.trust_list), signers=(LIST_SIGNER,), refresh_seconds=1.0
            ),
            spool=SpoolSettings(retry_seconds=(0.5, 1.0), lease_seconds=3.0),
            log=LogSettings(),
        )
        return OperatorProcess(structure, folder, configuration)

    def _routes(self) -> None:
        for operator in self.operators.values():
            routes = {
                other.structure.domain: f"127.0.0.1:{other.ports['relay']}"
                for other in self.operators.values()
                if other is not operator
            }
            operator.write(relay=RelaySettings(routes=routes, connect_seconds=5.0))

    def _box(self, operator: OperatorProcess, player: Player) -> None:
        password = f"{secrets.token_hex(4)}-{secrets.token_hex(4)}-{secrets.token_hex(4)}"
        self.command(
            "bal", "create", player.address, "--kind", player.kind.value, "--name", player.name,
            "--password-stdin", "--config", str(operator.config_file), secret=password + "\n",
        )  # fmt: skip
        operator.passwords[player.address] = password

    def start(self) -> None:
        """Every operator, side by side."""
        for operator in self.operators.values():
            operator.start(wait=False)
        for operator in self.operators.values():
            operator.wait_ready()

    def stop(self) -> None:
        """Everything that was started."""
        for operator in self.operators.values():
            if operator.process is not None and operator.process.poll() is None:
                operator.process.terminate()
        for operator in self.operators.values():
            operator.stop()

    def describe(self) -> dict[str, Any]:
        """The space file: what is not built yet is null."""
        return {
            "ca": str(self.ca),
            "operators": [_operator_row(operator) for operator in self.operators.values()],
            "accounts": [
                {
                    "address": player.address,
                    "kind": player.kind.value,
                    "name": player.name,
                    "login": player.address,
                    "password": self.password_of(player),
                    "client_cert": None,
                    "client_key": None,
                    "operator": self.operator_of(player).structure.key,
                }
                for player in PLAYERS
            ],
            "dmp": None,
        }

    def write_file(self, target: Path) -> None:
        """Atomically, readable by its owner only: it holds passwords."""
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(self.describe(), file, indent=2, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)


def _operator_row(operator: OperatorProcess) -> dict[str, Any]:
    ports: dict[str, int | None] = dict(operator.ports)
    ports["metrics"] = ports.pop("management")
    ports |= dict.fromkeys(LATER_DOORS)
    return {
        "name": operator.structure.key,
        "domain": operator.structure.domain,
        "config": str(operator.config_file),
        "data_dir": str(operator.folder / "data"),
        "pid": operator.pid,
        "ports": ports,
    }


def _doors(ports: Sequence[int]) -> ListenSettings:
    numbers: dict[str, Any] = dict(zip(DOORS, ports, strict=True))
    return ListenSettings(host="127.0.0.1", **numbers)


def _annuaire_rows() -> list[str]:
    rows = []
    for player in PLAYERS:
        fields = (player.address, player.kind.value, player.rpps, player.finess, player.family_name,
                  player.given_name, player.profession, player.name)  # fmt: skip
        rows += ["--row", "|".join(fields)]
    return rows


# Below the range from which the kernel takes ports for outgoing connections.
FIRST_PORT, LAST_PORT = 20_000, 32_000


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody uses now, and that no client is given while a server restarts."""
    found: list[int] = []
    while len(found) < count:
        port = FIRST_PORT + secrets.randbelow(LAST_PORT - FIRST_PORT)
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            if port not in found:
                found.append(port)
    return found
