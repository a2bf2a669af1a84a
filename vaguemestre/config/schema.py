"""Every setting, its default and what follows from it. `vaguemestre config example` prints this as TOML.

What it is: frozen dataclasses; the string under each field is its documentation. What it is not: a reader
(`vaguemestre.config.load`). Secrets are only ever named by a path. Relative paths are taken from the folder of
the configuration file. Start at `Configuration`.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core.address import AddressInvalid, Domain, parse_local_part
from core.identity import DistinguishedName, IdentityInvalid
from vaguemestre.observability.logging import LogFormat

OFF = 0
MAX_PORT = 65_535
SMALLEST_LIMIT = 65_536  # RFC 5321 §4.5.3.1.7: message content of 64 KiB at least
FEWEST_RECIPIENTS = 100
_NODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,62}\Z")
_PASSWORD = re.compile(r"://[^/@]*:[^/@]*@|[?&]password=")


def _demand(holds: bool, sentence: str) -> None:
    if not holds:
        raise ValueError(sentence)


class PathOrUrl(str):
    """A path, taken from the folder of the configuration file, or a URL as it is."""

    __slots__ = ()


class Environment(enum.Enum):
    """Which identities are real: test roots and test OIDs are refused in production, and the other way round."""

    PRODUCTION = "production"
    TEST = "test"


class TlsProfileName(enum.Enum):
    """Which suites are offered."""

    LPS = "lps"
    MODERN = "modern"


class EkuRule(enum.Enum):
    """What to do with a peer certificate that lacks the client-authentication usage."""

    STRICT = "strict"
    WARN = "warn"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorSettings:
    """Who we are."""

    name: str
    """The operator's name, shown in reports and at start."""
    hostname: str
    """Our name on the network; stands in greetings, Received fields and reports."""
    domains: tuple[str, ...]
    """The mail domains we serve. A letter for another domain is relayed, if the trust list allows."""
    data_dir: Path = Path("data")
    """Where the database, large letters, the last good trust list and the audit checkpoints rest."""
    environment: Environment = Environment.PRODUCTION
    """`test` allows `[rehearsal]`, which kills the process on purpose; production refuses it."""
    postmaster: str = "postmaster"
    """Local part that reports come from, in our first domain; a box of that name should exist (RFC 5321)."""
    node: str = "node-1"
    """Name of this node in the audit trail and in leases; on PostgreSQL every node needs its own."""

    def __post_init__(self) -> None:
        if not self.domains:
            raise ValueError("domains needs at least one mail domain")
        try:
            for domain in (self.hostname, *self.domains):
                Domain.parse(domain)
        except AddressInvalid as error:
            raise ValueError(f"hostname and domains must be domain names: {error}") from error
        try:
            is_ascii = parse_local_part(self.postmaster).isascii()
        except AddressInvalid:
            is_ascii = False
        _demand(is_ascii, "postmaster must be the local part of an address, in ASCII: `postmaster`")
        _demand(bool(_NODE.match(self.node)), "node must be letters, digits, dots and hyphens")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSettings:
    """Where rows rest."""

    url: str = ""
    """Empty: SQLite in data_dir. Many nodes need `postgresql://user@host/name`."""
    workers: int = 1
    """Serving processes of this node. SQLite allows exactly one; more on PostgreSQL come later."""

    def __post_init__(self) -> None:
        kind = self.url.partition(":")[0]
        _demand(
            kind in ("", "sqlite", "postgresql"),
            "url must begin with postgresql:// or sqlite:///, or be empty",
        )
        _demand(
            not _PASSWORD.search(self.url), "url must not hold a password: put it into ~/.pgpass, mode 0600"
        )
        if kind != "postgresql":
            _demand(self.workers == 1, "workers above 1 need PostgreSQL: set database.url to postgresql://…")
        _demand(
            self.workers == 1, "workers must be 1: several serving processes of one node are not offered yet"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySettings:
    """Keys at rest. Losing the first loses every letter: back it up apart from the database."""

    key_encryption_key: Path = Path("keys/kek.key")
    """32 random octets, mode 0600; made by `vaguemestre init`."""
    audit_signing_key: Path = Path("keys/audit.key")
    """Ed25519 key that signs the audit checkpoints, mode 0600; made by `vaguemestre init`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenSettings:
    """Doors. 0 closes a door."""

    host: str = "0.0.0.0"  # noqa: S104 - a mail server listens; the demo sets 127.0.0.1
    """Address that the mail doors bind to."""
    submission: int = 587
    """Mail clients, STARTTLS (RFC 6409)."""
    submissions: int = 465
    """Mail clients, TLS at once (RFC 8314)."""
    relay: int = 25
    """Other operators, mutual TLS."""
    imap: int = 143
    """Mailboxes, STARTTLS."""
    imaps: int = 993
    """Mailboxes, TLS at once."""
    management_host: str = "127.0.0.1"
    """Address of metrics and health; keep it off the network."""
    management: int = 9090
    """`/metrics` and `/healthz`."""

    def __post_init__(self) -> None:
        for name in ("submission", "submissions", "relay", "imap", "imaps", "management"):
            _demand(OFF <= getattr(self, name) <= MAX_PORT, f"{name} must be a port, 0 to 65535")


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentitySettings:
    """One certificate of ours; two stand side by side during a roll-over, the newest valid one is used."""

    certificate: Path
    """PEM, leaf first, then its chain; or a PKCS #12 file."""
    key: Path
    """PEM, mode 0600; the same file for PKCS #12."""
    passphrase: Path | None = None
    """File that holds the passphrase of a PKCS #12 file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """Certificates and authorities."""

    identity: tuple[IdentitySettings, ...]
    """Our certificates."""
    anchors: Path
    """PEM file or folder with the authorities of the trust space (IGC-Santé)."""
    crls: Path
    """Folder with the revocation lists (CRL), refreshed by whoever fetches them; read every five seconds."""
    profile: TlsProfileName = TlsProfileName.LPS
    """`lps` keeps the four suites that MSSanté asks for with TLS 1.2 and 1.3; `modern` drops the CBC ones."""
    require_client_auth_eku: EkuRule = EkuRule.STRICT
    """What a relaying peer's certificate must say about its use; some real ones lack it."""
    crl_grace_hours: int = 24
    """How long after its nextUpdate a CRL still counts; then peers are answered 451."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustSettings:
    """The liste blanche."""

    source: PathOrUrl
    """Path, `file:` or `https:` URL of the signed list."""
    signers: tuple[str, ...]
    """Distinguished names that may sign it, as `CN=…,OU=…`; two during a roll-over. Their chain: tls.anchors."""
    refresh_seconds: float = 900.0
    """Between two looks at the source."""
    alarm_after_hours: float = 24.0
    """An unconfirmed list raises an alarm after this time."""
    stale_after_hours: float = 168.0
    """An unconfirmed list decides nothing any more after this time: 451."""
    largest_loss: float = 1 / 3
    """A list that loses this share of its entries waits for `vaguemestre directory list confirm`."""

    def __post_init__(self) -> None:
        _demand(self.refresh_seconds > 0, "refresh_seconds must be above 0")
        _demand(
            0 < self.alarm_after_hours <= self.stale_after_hours,
            "alarm_after_hours must be above 0 and not above stale_after_hours",
        )
        _demand(0 < self.largest_loss <= 1, "largest_loss must be a share above 0, at most 1")
        _demand(bool(self.signers), "signers needs the name of who signs the list")
        try:
            for signer in self.signers:
                DistinguishedName.parse(signer)
        except IdentityInvalid as error:
            raise ValueError(
                f"signers must be distinguished names as CN=…,OU=…: {signer}: {error}"
            ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterSettings:
    """Limits of letters."""

    submission_octets: int = 26_214_400
    """Largest letter from our own people (25 MiB)."""
    relay_octets: int = 27_262_976
    """Largest letter from another operator (26 MiB: a letter grows by the trace fields of each operator)."""
    recipients: int = 1000
    """Most recipients of one letter."""
    quota_octets: int = 2_147_483_648
    """Room of a new box (2 GiB)."""

    def __post_init__(self) -> None:
        for name in ("submission_octets", "relay_octets", "quota_octets"):
            _demand(
                getattr(self, name) >= SMALLEST_LIMIT, f"{name} must be {SMALLEST_LIMIT} at least (64 KiB)"
            )
        # RFC 5321 §4.5.3.1.8 asks for 100 recipients at least
        _demand(self.recipients >= FEWEST_RECIPIENTS, f"recipients must be {FEWEST_RECIPIENTS} at least")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolSettings:
    """Letters that wait."""

    retry_seconds: tuple[float, ...] = (60.0, 300.0, 900.0, 1800.0, 3600.0)
    """Waits between attempts; the last one repeats."""
    give_up_after_hours: float = 120.0
    """Then the author gets a report of failure (RFC 5321: four to five days)."""
    delay_report_after_hours: float = 4.0
    """Then the author is told once that the letter still waits."""
    lease_seconds: float = 600.0
    """How long a process may work on a letter before another may take it over after a crash."""
    connections_per_destination: int = 4
    """Connections to one operator at the same time."""

    def __post_init__(self) -> None:
        waits = self.retry_seconds
        _demand(bool(waits) and min(waits) > 0, "retry_seconds needs at least one wait, each above 0")
        _demand(self.lease_seconds >= 1, "lease_seconds must be 1 at least")
        _demand(self.give_up_after_hours > 0, "give_up_after_hours must be above 0")
        _demand(self.delay_report_after_hours > 0, "delay_report_after_hours must be above 0")
        _demand(self.connections_per_destination >= 1, "connections_per_destination must be 1 at least")


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaySettings:
    """Where other domains are reached."""

    routes: Mapping[str, str] = field(default_factory=dict)
    """Domain → `host:port`, where MX records shall not decide."""
    smart_host: str = ""
    """`host:port` for every domain without a route; empty: MX records."""
    connect_seconds: float = 30.0
    """Time to reach a peer before the letter waits."""

    def __post_init__(self) -> None:
        _demand(self.connect_seconds > 0, "connect_seconds must be above 0")
        for domain, hop in (*self.routes.items(), ("", self.smart_host)):
            try:
                if domain:
                    Domain.parse(domain)
            except AddressInvalid as error:
                raise ValueError(f"routes: {domain} is not a domain name") from error
            host, sign, port = hop.rpartition(":")
            is_hop = bool(host and sign) and port.isdigit() and 0 < int(port) <= MAX_PORT
            _demand(
                is_hop or not (domain or hop),
                f"{'routes' if domain else 'smart_host'}: {hop} is not host:port",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """Logs, to standard error. They never hold names, addresses, subjects or bodies."""

    format: LogFormat = LogFormat.JSON
    """`json` for machines, `text` for people."""
    level: str = "info"
    """`debug`, `info`, `warning` or `error`."""

    def __post_init__(self) -> None:
        if self.level not in ("debug", "info", "warning", "error"):
            raise ValueError("level must be debug, info, warning or error")


@dataclass(frozen=True, slots=True, kw_only=True)
class RehearsalSettings:
    """For demonstrations and crash tests only; refused in production."""

    stop_at: str = ""
    """Name of a checkpoint at which the process kills itself, as a power cut would."""
    stop_after: int = 1
    """At which passage of that checkpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """One operator."""

    operator: OperatorSettings
    """Who we are."""
    tls: TlsSettings
    """Certificates and authorities."""
    trust: TrustSettings
    """The liste blanche."""
    database: DatabaseSettings = field(default_factory=DatabaseSettings)
    """Where rows rest."""
    keys: KeySettings = field(default_factory=KeySettings)
    """Keys at rest."""
    listen: ListenSettings = field(default_factory=ListenSettings)
    """Doors."""
    letters: LetterSettings = field(default_factory=LetterSettings)
    """Limits of letters."""
    spool: SpoolSettings = field(default_factory=SpoolSettings)
    """Letters that wait."""
    relay: RelaySettings = field(default_factory=RelaySettings)
    """Where other domains are reached."""
    log: LogSettings = field(default_factory=LogSettings)
    """Logs."""
    rehearsal: RehearsalSettings = field(default_factory=RehearsalSettings)
    """For demonstrations and crash tests."""

    def __post_init__(self) -> None:
        if self.rehearsal.stop_at and self.operator.environment is Environment.PRODUCTION:
            raise ValueError("rehearsal.stop_at is refused in production: set operator.environment to test")

    @property
    def database_url(self) -> str:
        """The URL with its default filled in."""
        return self.database.url or f"sqlite:///{self.operator.data_dir / 'vaguemestre.db'}"


def example() -> Configuration:
    """The configuration that `config example` prints."""
    return Configuration(
        operator=OperatorSettings(
            name="Centre hospitalier du Rivage",
            hostname="mss.ch-rivage.mssante.example",
            domains=("ch-rivage.mssante.example",),
            data_dir=Path("/var/lib/vaguemestre"),
        ),
        keys=KeySettings(
            key_encryption_key=Path("/etc/vaguemestre/keys/kek.key"),
            audit_signing_key=Path("/etc/vaguemestre/keys/audit.key"),
        ),
        tls=TlsSettings(
            identity=(
                IdentitySettings(
                    certificate=Path("/etc/vaguemestre/keys/operator.pem"),
                    key=Path("/etc/vaguemestre/keys/operator.key"),
                ),
            ),
            anchors=Path("/etc/vaguemestre/anchors"),
            crls=Path("/var/lib/vaguemestre/crl"),
        ),
        trust=TrustSettings(
            source=PathOrUrl("https://espacedeconfiance.mssante.example/listeblanchemssante.xml"),
            signers=("CN=alb.mssante.example,OU=1990000010,O=AUTORITE DE TEST,ST=Paris (75),C=FR",),
        ),
    )
