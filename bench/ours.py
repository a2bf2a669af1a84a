"""Us as a server under test: the only file of the benchmark that knows how Vaguemestre is set up.

What it is: the adapter behind `bench.servers.Server`. One operator, made by the product's own commands as an
administrator would make it: an authority and a signed trust list (`simulate`), a configuration, `init`, one
`bal create` for each box, `serve`. Defaults everywhere but for names, ports and folders.
What it is not: a measure, nor a special mode of the product.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.keeper import Keeper
from bench.servers import DOMAIN, HOST, Account, BenchError, Ground, Running, free_ports, wait_for_ports

HOSTNAME = f"mss.{DOMAIN}"
OPERATOR = f"CN={HOSTNAME},OU=1990000010,O=CH DU RIVAGE TEST,ST=Finistère (29),C=FR"
SIGNER = "CN=alb.mssante.example,OU=1990000036,O=LISTE BLANCHE TEST,ST=Paris (75),C=FR"
DOORS = ("submission", "submissions", "relay", "imap", "imaps", "management")
COMMANDS_AT_ONCE = 2

_CONFIG = """\
[operator]
name = "Centre hospitalier du Rivage"
hostname = "{hostname}"
domains = ["{domain}"]
data_dir = "data"
environment = "test"

[listen]
host = "{host}"
{doors}

[tls]
anchors = "igc/anchors.pem"
crls = "igc/crl"

[[tls.identity]]
certificate = "keys/operator.pem"
key = "keys/operator.key"

[trust]
source = "{trust_list}"
signers = ["{signer}"]
"""


class Vaguemestre:
    """See the module."""

    @property
    def name(self) -> str:
        """See `Server.name`."""
        return "Vaguemestre"

    def missing(self) -> str | None:
        """See `Server.missing`."""
        if importlib.util.find_spec("vaguemestre.__main__") is None:
            return "the command vaguemestre is not there"
        return None

    def start(self, ground: Ground) -> Running:
        """See `Server.start`."""
        folder = ground.folder
        ports = dict(zip(DOORS, free_ports(len(DOORS)), strict=True))
        _make_trust(folder)
        config = folder / "vaguemestre.toml"
        config.write_text(configuration(folder, ports), "utf-8")
        _command("init", "--config", str(config))
        variant = ground.variant("embedded")
        with ThreadPoolExecutor(COMMANDS_AT_ONCE) as pool:
            list(pool.map(lambda box: _make_box(config, box), (*variant.senders, variant.reader)))
        keeper = Keeper(
            [sys.executable, "-m", "vaguemestre", "serve", "--config", str(config)], log=folder / "log.jsonl"
        )
        try:
            wait_for_ports([keeper], [ports["submissions"], ports["imaps"]])
        except BaseException:
            keeper.stop()
            raise
        return Running(
            name=self.name, submissions=ports["submissions"], imaps=ports["imaps"], variants=(variant,),
            keepers=(keeper,), authority=folder / "igc" / "anchors.pem", versions={"Vaguemestre": _version()},
        )  # fmt: skip


def configuration(folder: Path, ports: dict[str, int]) -> str:
    """The TOML of the one operator, all doors on the loopback."""
    return _CONFIG.format(
        hostname=HOSTNAME, domain=DOMAIN, host=HOST, signer=SIGNER, trust_list=folder / "liste-blanche.xml",
        doors="\n".join(f"{door} = {port}" for door, port in ports.items()),
    )  # fmt: skip


def _make_trust(folder: Path) -> None:
    """The authority, our certificate (also for "localhost"), and a list that names us."""
    igc, keys = str(folder / "igc"), str(folder / "keys")
    _command("simulate", "igc", "--dir", igc)
    for name, subject, profile in (("operator", OPERATOR, "SSL_SERV"), ("signer", SIGNER, "LIST_SIGNER")):
        hosts = ["--dns", HOSTNAME, "--dns", "localhost"] if name == "operator" else []
        _command("simulate", "certificate", "--dir", igc, "--out", keys, "--name", name,
                 "--subject", subject, "--profile", profile, *hosts)  # fmt: skip
    _command("simulate", "trust-list", "--out", str(folder / "liste-blanche.xml"),
             "--entry", f"{DOMAIN}|{OPERATOR}", "--signer", str(folder / "keys" / "signer.pem"))  # fmt: skip


def _make_box(config: Path, box: Account) -> None:
    name = box.address.partition("@")[0]
    _command("bal", "create", box.address, "--kind", "ORG", "--name", name, "--password-stdin",
             "--config", str(config), secret=box.password + "\n")  # fmt: skip


def _command(*arguments: str, secret: str = "") -> None:
    """One of the product's commands. Raises BenchError with what it said."""
    command: Sequence[str] = [sys.executable, "-m", "vaguemestre", *arguments]
    done = subprocess.run(
        command, input=secret, capture_output=True, text=True, check=False, cwd=Path(__file__).parent.parent
    )
    if done.returncode:
        raise BenchError(f"vaguemestre {' '.join(arguments[:2])}: {done.stderr.strip()[-600:]}")


def _version() -> str:
    try:
        return importlib.metadata.version("vaguemestre")
    except importlib.metadata.PackageNotFoundError:
        return "of this tree, not installed"
