"""Judgements of the doctor, one by one."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from trust_directory.trusted_domains.snapshot import Freshness
from vaguemestre import doctor
from vaguemestre.doctor import Check, Level, Port

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
KEY = Path("/k/kek.key")


def test_the_worst_level_is_the_exit_status() -> None:
    ok, warn, fail = (Check("a", level, "") for level in (Level.OK, Level.WARN, Level.FAIL))
    assert [doctor.exit_status(each) for each in ([], [ok], [ok, warn], [fail, warn])] == [0, 0, 1, 2]


@pytest.mark.parametrize(
    ("mode", "level"),
    [
        (None, Level.FAIL),
        (stat.S_IFDIR | 0o700, Level.FAIL),
        (stat.S_IFREG | 0o640, Level.FAIL),
        (stat.S_IFREG | 0o604, Level.FAIL),
        (stat.S_IFREG | 0o600, Level.OK),
        (stat.S_IFREG | 0o400, Level.OK),
    ],
)
def test_key_files(mode: int | None, level: Level) -> None:
    check = doctor.judge_key_file("key kek", KEY, mode)
    assert check.level is level
    assert bool(check.advice) == (level is not Level.OK)


@pytest.mark.parametrize(
    ("free", "total", "level"),
    [
        (doctor.DISK_FAIL - 1, doctor.DISK_FAIL * 100, Level.FAIL),
        (doctor.DISK_WARN - 1, doctor.DISK_WARN * 2, Level.WARN),
        (doctor.DISK_WARN, doctor.DISK_WARN * 11, Level.WARN),
        (doctor.DISK_WARN, doctor.DISK_WARN * 10, Level.OK),
    ],
)
def test_disk(free: int, total: int, level: Level) -> None:
    assert doctor.judge_disk(free, total).level is level


@pytest.mark.parametrize(
    ("ago", "level"), [(None, Level.WARN), (35 * HOUR, Level.OK), (37 * HOUR, Level.WARN)]
)
def test_backup(ago: timedelta | None, level: Level) -> None:
    assert doctor.judge_backup(None if ago is None else NOW - ago, NOW).level is level


@pytest.mark.parametrize(
    ("left", "level", "words"),
    [
        (61 * DAY, Level.OK, "61 days left"),
        (60 * DAY, Level.OK, "60 days left"),
        (59 * DAY, Level.WARN, "less than 60"),
        (29 * DAY, Level.WARN, "less than 30"),
        (7 * DAY, Level.WARN, "less than 30"),
        (6 * DAY, Level.FAIL, "less than 7"),
        (HOUR, Level.FAIL, "less than 1"),
        (timedelta(0), Level.FAIL, "it ended on"),
    ],
)
def test_certificate_dates(left: timedelta, level: Level, words: str) -> None:
    check = doctor.judge_dates("c", not_before=NOW - 300 * DAY, not_after=NOW + left, now=NOW, is_newest=True)
    assert (check.level, words in check.sentence) == (level, True)


def test_a_certificate_that_has_not_begun_and_one_that_has_its_successor() -> None:
    begins = doctor.judge_dates("c", not_before=NOW + DAY, not_after=NOW + 2 * DAY, now=NOW, is_newest=True)
    older = doctor.judge_dates("c", not_before=NOW - 2 * DAY, not_after=NOW - DAY, now=NOW, is_newest=False)
    assert begins.level is Level.FAIL
    assert older.level is Level.OK


@pytest.mark.parametrize(
    ("left", "level"),
    [(HOUR, Level.OK), (timedelta(0), Level.WARN), (-23 * HOUR, Level.WARN), (-24 * HOUR, Level.FAIL)],
)
def test_revocation_lists(left: timedelta, level: Level) -> None:
    check = doctor.judge_crl("CN=A", next_update=NOW + left, now=NOW, grace=DAY)
    assert (check.level, "CN=A" in check.sentence) == (level, True)


@pytest.mark.parametrize(
    ("freshness", "level"),
    [
        (None, Level.FAIL),
        (Freshness.FRESH, Level.OK),
        (Freshness.AGEING, Level.WARN),
        (Freshness.STALE, Level.FAIL),
    ],
)
def test_trust_list(freshness: Freshness | None, level: Level) -> None:
    check = doctor.judge_trust_list(freshness, entries=2, confirmed_at=NOW - HOUR, now=NOW)
    assert check.level is level


def test_a_list_that_waits_and_a_domain_that_is_not_listed() -> None:
    assert "lacks 4 of 9" in doctor.judge_waiting_list(4, 9).sentence
    assert doctor.judge_listed("a.example", listed=True, subject="CN=A").level is Level.OK
    refused = doctor.judge_listed("a.example", listed=False, subject="CN=A")
    assert (refused.level, "CN=A" in refused.sentence) == (Level.FAIL, True)


@pytest.mark.parametrize(("ago", "level"), [(None, Level.WARN), (30 * DAY, Level.OK), (31 * DAY, Level.WARN)])
def test_extract(ago: timedelta | None, level: Level) -> None:
    assert doctor.judge_extract(None if ago is None else NOW - ago, 3, NOW).level is level


@pytest.mark.parametrize(
    ("items", "waits", "held", "level"),
    [
        (0, HOUR, 0, Level.OK),
        (2, HOUR, 0, Level.OK),
        (2, HOUR, 1, Level.WARN),
        (2, 5 * HOUR, 0, Level.WARN),
        (2, 6 * DAY, 0, Level.FAIL),
    ],
)
def test_spool(items: int, waits: timedelta, held: int, level: Level) -> None:
    assert doctor.judge_spool(items, NOW - waits, held, NOW, 5 * DAY).level is level


def test_clock_and_trail() -> None:
    assert doctor.judge_clock(None, NOW).level is Level.OK
    assert doctor.judge_clock(NOW + timedelta(minutes=5), NOW).level is Level.OK
    assert doctor.judge_clock(NOW + timedelta(minutes=6), NOW).level is Level.FAIL
    assert doctor.judge_trail(5, []).level is Level.OK
    assert doctor.judge_trail(5, ["it was cut"]).level is Level.FAIL


def test_ports_when_nothing_serves_and_when_we_do() -> None:
    alone = doctor.judge_ports([("relay", 25, Port.FREE, ""), ("imap", 143, Port.FORBIDDEN, "no right")])
    assert [check.level for check in alone] == [Level.OK, Level.WARN]
    serving = doctor.judge_ports(
        [
            ("relay", 25, Port.OURS, ""),
            ("imap", 143, Port.FREE, ""),
            ("imaps", 993, Port.OTHER, "* OK Dovecot"),
        ]
    )
    assert [check.level for check in serving] == [Level.OK, Level.FAIL, Level.FAIL]
    assert "Dovecot" in serving[2].sentence
