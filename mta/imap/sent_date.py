"""The Date field of a letter as numbers (RFC 5322 §3.3 and §4.3), for SENTSINCE, SORT and the summary.

What it is: one bounded, lenient reader. What it is not: a clock or a writer of dates (`mta.trace`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

MAX_DATE = 256  # octets of a Date field that are looked at; ours

# RFC 5322 §3.3: [day-name ","] day month year hour ":" minute [":" second] zone; comments may follow
_DATE = re.compile(
    rb"[ \t]*(?:[A-Za-z]{2,9}[ \t]*,?)?[ \t]*(\d{1,2})[ \t-]+([A-Za-z]{3})[A-Za-z]*[ \t-]+(\d{2,4})"
    rb"[ \t]+(\d{1,2})[ \t]*:[ \t]*(\d{2})(?:[ \t]*:[ \t]*(\d{2}))?[ \t]*([+-]\d{4}|[A-Za-z]{1,5})?"
)
_MONTHS = {
    name: number
    for number, name in enumerate(b"jan feb mar apr may jun jul aug sep oct nov dec".split(), start=1)
}
# RFC 5322 §4.3: the obsolete zones; military letters and unknown names mean -0000
_ZONES = {b"edt": -4, b"est": -5, b"cdt": -5, b"cst": -6, b"mdt": -6, b"mst": -7, b"pdt": -7, b"pst": -8}
_EPOCH = date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class SentDate:
    """`epoch` is the moment (seconds since 1970, UTC); `day` the date as the author wrote it, zone disregarded.

    RFC 3501 §6.4.4 compares SENTBEFORE, SENTON and SENTSINCE with `day`; RFC 5256 sorts by `epoch`.
    """

    epoch: int
    day: date


def read_date(body: bytes) -> SentDate | None:
    """Read an unfolded Date field body; None when it is no date. Never raises."""
    match = _DATE.match(body[:MAX_DATE])
    month = _MONTHS.get(match[2].lower()) if match else None
    if match is None or month is None:
        return None
    hour, minute, second = int(match[4]), int(match[5]), int(match[6] or 0)
    if hour > 23 or minute > 59 or second > 60:
        return None
    try:
        day = date(_year(match[3]), month, int(match[1]))
    except ValueError:
        return None
    seconds = (day.toordinal() - _EPOCH) * 86_400 + hour * 3_600 + minute * 60 + min(second, 59)
    return SentDate(seconds - _zone(match[7] or b""), day)


# The first string of an ENVELOPE: quoted, or a literal; a date that needs escapes is no date
_FIRST_STRING = re.compile(rb'\((?:"([^"\\]*)"|\{[0-9]{1,9}\}\r\n(.*))', re.DOTALL)


def written_day(envelope: bytes) -> date | None:
    """The day that the author wrote, from a stored ENVELOPE; None when it has no Date that can be read.

    For SENTBEFORE, SENTON and SENTSINCE, which disregard time and zone (RFC 3501 §6.4.4).
    """
    match = _FIRST_STRING.match(envelope)
    found = read_date(match[1] if match[1] is not None else match[2]) if match else None
    return found.day if found else None


def _year(digits: bytes) -> int:
    year = int(digits)
    if len(digits) == 2:  # RFC 5322 §4.3
        return year + (2000 if year < 50 else 1900)
    return year + 1900 if len(digits) == 3 else year


def _zone(zone: bytes) -> int:
    """Seconds east of UTC."""
    if zone[:1] in (b"+", b"-"):
        minutes = int(zone[1:3]) * 60 + int(zone[3:5])
        return minutes * (-60 if zone[:1] == b"-" else 60)
    return _ZONES.get(zone.lower(), 0) * 3_600
