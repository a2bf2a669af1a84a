"""Dates of letters, as they were written and as moments."""

from datetime import UTC, date, datetime

import pytest

from mta.imap.sent_date import read_date, written_day
from mta.imap.summary import summarise


@pytest.mark.parametrize(
    ("body", "moment", "day"),
    [
        (b"Fri, 14 Nov 2025 09:12:00 +0100", datetime(2025, 11, 14, 8, 12), date(2025, 11, 14)),
        (b"Fri,14 Nov 2025 09:12 +0100 (CET)", datetime(2025, 11, 14, 8, 12), date(2025, 11, 14)),
        (b"1 Feb 2025 00:30:00 +0200", datetime(2025, 1, 31, 22, 30), date(2025, 2, 1)),
        (b"Fri, 14 november 2025 23:59:60 -0030", datetime(2025, 11, 15, 0, 29, 59), date(2025, 11, 14)),
        # RFC 5322 §4.3
        (b"Tue, 1 Jul 03 10:52:37 EDT", datetime(2003, 7, 1, 14, 52, 37), date(2003, 7, 1)),
        (b"21 Nov 97 09:55:06 pst", datetime(1997, 11, 21, 17, 55, 6), date(1997, 11, 21)),
        (b"21 Nov 105 09:55:06 GMT", datetime(2005, 11, 21, 9, 55, 6), date(2005, 11, 21)),
        (b"21 Nov 2005 09 : 55 : 06 Z", datetime(2005, 11, 21, 9, 55, 6), date(2005, 11, 21)),
        (b"21 Nov 2005 09:55:06", datetime(2005, 11, 21, 9, 55, 6), date(2005, 11, 21)),
        (b"21-Nov-2005 09:55:06 +0000", datetime(2005, 11, 21, 9, 55, 6), date(2005, 11, 21)),
        (b"1 Jan 1960 00:00:00 +0000", datetime(1960, 1, 1), date(1960, 1, 1)),
    ],
)
def test_dates(body: bytes, moment: datetime, day: date) -> None:
    found = read_date(body)
    assert found is not None
    assert found.epoch == int(moment.replace(tzinfo=UTC).timestamp())
    assert found.day == day


@pytest.mark.parametrize(
    "body",
    [b"", b"never", b"31 Feb 2025 00:00:00 +0000", b"1 Foo 2025 00:00:00 +0000", b"1 Jan 2025 24:00:00 +0000",
     b"1 Jan 2025 00:60:00 +0000", b"1 Jan 2025", b"1 Jan 0000 00:00:00", b" " * 10_000 + b"1 Jan 2025 00:00:00"],
)  # fmt: skip
def test_what_is_no_date(body: bytes) -> None:
    assert read_date(body) is None


@pytest.mark.parametrize(
    ("body", "day"),
    [
        (b"1 Feb 2025 00:30:00 +0200", date(2025, 2, 1)),
        (b"1 Feb 2025 23:30:00 -0500 (\xe9t\xe9)", date(2025, 2, 1)),
        (b'1 Feb 2025 23:30:00 "', None),
        (b"never", None),
        (b"", None),
    ],
)
def test_the_day_that_was_written_is_kept_in_the_envelope(body: bytes, day: date | None) -> None:
    assert written_day(summarise(b"Date: " + body + b"\r\n\r\n", 0).envelope) == day
    assert written_day(summarise(b"\r\n", 0).envelope) is None
