"""What is well and what is not, as values: each check has a name, a level, a sentence, and what to do. Pure.

What it is: `Check`, and one judge for each thing that is looked at. What it is not: the looking
(`vaguemestre.examination`) or the printing (`vaguemestre.cli.doctor`). Start at `Check`.
"""

from __future__ import annotations

import enum
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from certs.keystore import WARN_DAYS
from trust_directory.trusted_domains.snapshot import Freshness
from vaguemestre.spool_words import age

MEGABYTE = 1024 * 1024
DISK_FAIL = 64 * MEGABYTE  # as the health page: below this letters would soon be refused
DISK_WARN = 1024 * MEGABYTE  # ours: a day of a busy operator
DISK_WARN_SHARE = 0.1
CLOCK_SKEW = timedelta(minutes=5)  # ours: what two clocks kept by NTP may differ, widely
CERTIFICATE_FAIL_DAYS = 7  # ours: of the field's thresholds 60, 30, 7 and 1, the one from which nobody sleeps
CERTIFICATE_WARN_DAYS = max(WARN_DAYS)
EXTRACT_AGE = timedelta(days=30)  # terms of use of the directory: no copy older than this
SPOOL_WARN = timedelta(hours=4)  # as the report of delay to the author
BACKUP_WARN = timedelta(hours=36)  # ours: a daily backup was missed
_OPEN_TO_OTHERS = 0o077


class Level(enum.IntEnum):
    """The value is the exit status of the command, as monitoring systems read it."""

    OK = 0
    WARN = 1
    FAIL = 2


@dataclass(frozen=True, slots=True)
class Check:
    """One line."""

    name: str
    level: Level
    sentence: str
    advice: str = ""


def exit_status(checks: Iterable[Check]) -> int:
    """The worst level."""
    return max((check.level.value for check in checks), default=0)


# --- files --------------------------------------------------------------------------------------------------
def judge_key_file(name: str, path: Path, mode: int | None) -> Check:
    """`mode` is st_mode, None when the file is not there."""
    if mode is None:
        advice = "put its copy back; `vaguemestre init` makes those of a new operator, never one that is lost"
        return Check(name, Level.FAIL, f"{path} is not there", advice)
    if not stat.S_ISREG(mode):
        return Check(name, Level.FAIL, f"{path} is not a file", "name the key's file in the configuration")
    if stat.S_IMODE(mode) & _OPEN_TO_OTHERS:
        return Check(name, Level.FAIL, f"others may read {path}", f"chmod 600 {path}, and think of a new key")
    return Check(name, Level.OK, f"{path} is its owner's alone")


def judge_disk(free: int, total: int) -> Check:
    """Octets of the file system that holds the data."""
    sentence = f"{free // MEGABYTE} MB free of {total // MEGABYTE} MB"
    if free < DISK_FAIL:
        return Check("disk", Level.FAIL, sentence, "make room now: letters are refused when it is full")
    if free < DISK_WARN or free < total * DISK_WARN_SHARE:
        return Check("disk", Level.WARN, sentence, "make room, or give data_dir a larger disk")
    return Check("disk", Level.OK, sentence)


def judge_backup(made_at: datetime | None, now: datetime) -> Check:
    """The last backup of `vaguemestre backup create` on this machine."""
    advice = "vaguemestre backup create --out DIR, each day; and rehearse a restore now and then"
    if made_at is None:
        return Check("backup", Level.WARN, "no backup was ever made here", advice)
    sentence = f"the last backup was made {age((now - made_at).total_seconds())} ago"
    if now - made_at > BACKUP_WARN:
        return Check("backup", Level.WARN, sentence, advice)
    return Check("backup", Level.OK, sentence)


# --- certificates -------------------------------------------------------------------------------------------
def judge_dates(
    name: str, *, not_before: datetime, not_after: datetime, now: datetime, is_newest: bool
) -> Check:
    """One of our certificates by its dates; an older one of a roll-over may end in peace."""
    days = (not_after - now).days
    until = f"until {not_after:%Y-%m-%d}"
    if not is_newest:
        return Check(name, Level.OK, f"{until}; a newer certificate is in use")
    if now < not_before:
        return Check(
            name, Level.FAIL, f"it begins only on {not_before:%Y-%m-%d}", "see whether the clock is right"
        )
    if now >= not_after:
        return Check(name, Level.FAIL, f"it ended on {not_after:%Y-%m-%d}", _RENEW)
    passed = [limit for limit in WARN_DAYS if days < limit]
    if not passed:
        return Check(name, Level.OK, f"{days} days left, {until}")
    level = Level.FAIL if days < CERTIFICATE_FAIL_DAYS else Level.WARN
    return Check(name, level, f"{days} days left, {until}: less than {min(passed)}", _RENEW)


_RENEW = (
    "order its successor, name it beside this one under [[tls.identity]], ask for the change of the trust list "
    "if its subject changes; then SIGHUP"
)


def judge_crl(issuer: str, *, next_update: datetime, now: datetime, grace: timedelta) -> Check:
    """One revocation list in force."""
    advice = "fetch the fresh CRL of this authority into tls.crls; see whoever fetches them"
    if now >= next_update + grace:
        sentence = f"{issuer}: ended {next_update:%Y-%m-%d %H:%M}Z, beyond its grace; peers are answered 451"
        return Check("revocation list", Level.FAIL, sentence, advice)
    if now >= next_update:
        left = age((next_update + grace - now).total_seconds())
        sentence = f"{issuer}: ended {next_update:%Y-%m-%d %H:%M}Z; it counts for another {left}"
        return Check("revocation list", Level.WARN, sentence, advice)
    left = age((next_update - now).total_seconds())
    return Check("revocation list", Level.OK, f"{issuer}: good for another {left}")


def judge_listed(domain: str, *, listed: bool, subject: str) -> Check:
    """Whether the trust list gives our domain to our certificate."""
    if listed:
        return Check("our entry", Level.OK, f"the trust list gives {domain} to our certificate")
    return Check(
        "our entry",
        Level.FAIL,
        f"the trust list does not give {domain} to {subject}",
        "other operators refuse our letters: ask for the change of the list, or see which certificate is in use",
    )


# --- trust and people ---------------------------------------------------------------------------------------
def judge_trust_list(
    freshness: Freshness | None, *, entries: int, confirmed_at: datetime | None, now: datetime
) -> Check:
    """The kept list; `freshness` is None when there is none."""
    advice = "vaguemestre directory list status says what its source answered; then directory list refresh"
    if freshness is None or confirmed_at is None:
        return Check("trust list", Level.FAIL, "there is no trust list; everything is answered 451", advice)
    sentence = f"{entries} entries, confirmed by its source {age((now - confirmed_at).total_seconds())} ago"
    match freshness:
        case Freshness.FRESH:
            return Check("trust list", Level.OK, sentence)
        case Freshness.AGEING:
            return Check("trust list", Level.WARN, sentence, advice)
        case Freshness.STALE:
            return Check("trust list", Level.FAIL, f"{sentence}: too old, everything is answered 451", advice)


def judge_waiting_list(lost: int, before: int) -> Check:
    """A list that waits for a person."""
    return Check(
        "trust list waiting",
        Level.WARN,
        f"a new list lacks {lost} of {before} entries and waits for you",
        "ask the publisher; when it is right: vaguemestre directory list confirm",
    )


def judge_extract(in_force_at: datetime | None, entries: int, now: datetime) -> Check:
    """The local copy of the health directory."""
    advice = "vaguemestre directory import EXTRACT"
    if in_force_at is None:
        return Check("directory", Level.WARN, "no extract of the health directory was imported", advice)
    sentence = f"{entries} entries, imported {age((now - in_force_at).total_seconds())} ago"
    if now - in_force_at > EXTRACT_AGE:
        return Check("directory", Level.WARN, f"{sentence}; its terms of use allow 30 days", advice)
    return Check("directory", Level.OK, sentence)


# --- letters and trail --------------------------------------------------------------------------------------
def judge_spool(items: int, oldest: datetime | None, held: int, now: datetime, give_up: timedelta) -> Check:
    """Letters that wait."""
    if not items or oldest is None:
        return Check("spool", Level.OK, "no letter waits")
    waits = now - oldest
    sentence = f"{items} letters, the oldest for {age(waits.total_seconds())}"
    if held:
        sentence += f"; {held} recipients held for a person"
    advice = "vaguemestre queue list; vaguemestre queue why SPOOL_ID"
    if waits > give_up:
        return Check("spool", Level.FAIL, f"{sentence}, beyond the time allowed: does `serve` run?", advice)
    if held or waits > SPOOL_WARN:
        return Check("spool", Level.WARN, sentence, advice)
    return Check("spool", Level.OK, sentence)


def judge_clock(last_event: datetime | None, now: datetime) -> Check:
    """Whether time went back since the last event was written."""
    if last_event is not None and last_event > now + CLOCK_SKEW:
        ahead = age((last_event - now).total_seconds())
        return Check(
            "clock",
            Level.FAIL,
            f"the last event of the audit trail lies {ahead} in the future",
            "set the clock by NTP (timedatectl); then look when and why it was wrong",
        )
    return Check("clock", Level.OK, f"{now:%Y-%m-%d %H:%M:%S}Z, not before the last event")


def judge_trail(events: int, findings: Sequence[str]) -> Check:
    """The end of the audit trail."""
    if findings:
        advice = "vaguemestre audit verify tells all; keep database, checkpoints and backups as they are"
        return Check("audit trail", Level.FAIL, "; ".join(findings), advice)
    return Check("audit trail", Level.OK, f"its last {events} events tie, and the checkpoints agree")


# --- doors --------------------------------------------------------------------------------------------------
class Port(enum.Enum):
    """What was found behind a port."""

    FREE = "free"
    OURS = "ours"
    OTHER = "other"
    FORBIDDEN = "forbidden"


def judge_ports(found: Sequence[tuple[str, int, Port, str]]) -> list[Check]:
    """(door, port, what was found, its words). When one door is ours, a free one is a door that is closed."""
    is_serving = any(state is Port.OURS for _, _, state, _ in found)
    checks = []
    for door, port, state, words in found:
        name = f"port {door}"
        match state:
            case Port.OURS:
                checks.append(Check(name, Level.OK, f"our server answers on {port}"))
            case Port.FREE if is_serving:
                checks.append(
                    Check(name, Level.FAIL, f"nothing answers on {port}, though we serve", _RESTART)
                )
            case Port.FREE:
                checks.append(Check(name, Level.OK, f"{port} is free; nothing serves now"))
            case Port.OTHER:
                sentence = f"another program answers on {port}{f': {words}' if words else ''}"
                checks.append(Check(name, Level.FAIL, sentence, "end it, or set another port under [listen]"))
            case Port.FORBIDDEN:
                sentence = f"{port} cannot be opened by this user{f': {words}' if words else ''}"
                advice = "run as the service's user, or give it CAP_NET_BIND_SERVICE"
                checks.append(Check(name, Level.WARN, sentence, advice))
    return checks


_RESTART = "look in the log of `vaguemestre serve`, and start it again"
