"""Invariant: any octets are a list whose every entry stands in them, or refused for a reason of the closed list."""

import time
from datetime import UTC, datetime

from hypothesis import given

from core.address import Domain
from core.identity import DistinguishedName
from core.testing.near_valid import near_valid
from trust_directory.trusted_domains.parse import Entry, parse_date, parse_list
from trust_directory.trusted_domains.reasons import TrustListRefused
from trust_directory.trusted_domains.write import render

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
SECONDS = 1.0


def _entry(domain: str, name: str) -> Entry:
    return Entry(
        domain=Domain.parse(domain), name=DistinguishedName.parse(name), as_written=domain, description="TEST",
        responsible="TEST", support="TEST", updated_at=NOW,
    )  # fmt: skip


LIST = render(
    [
        _entry("ch-rivage.mssante.example", "CN=mss.ch-rivage.mssante.example,O=CH DU RIVAGE TEST,C=FR"),
        _entry("cabinet.mssante.example", "CN=mss.cabinet.mssante.example,O=CABINET DES DUNES TEST,C=FR"),
    ],
    generated_at=NOW,
)
PIECES = [
    b"<", b">", b"</", b"/>", b"&", b"&amp;", b"&#0;", b"&x;", b"<!DOCTYPE x [<!ENTITY a 'b'>]>",
    b"<![CDATA[x]]>", b"<!-- -->", b"<?x?>", b'"', b"'", b" xmlns='x'", b" xmlns:a='x'", b"\x00",
    b"\xff\xfe", b"\xc3\xa9", b"<Domaine>", b"</Domaine>", b"<a>" * 300, b"ch-rivage.mssante.example",
    b"2026-11-21T10:00:00Z", b"encoding='utf-16'",
]  # fmt: skip


@given(near_valid([LIST], PIECES))
def test_a_list_is_read_or_refused(octets: bytes) -> None:
    began = time.process_time()
    try:
        found = parse_list(octets)
    except TrustListRefused:
        return
    finally:
        assert time.process_time() - began < SECONDS
    for entry in found.entries:
        assert Domain.parse(entry.as_written) == entry.domain
        assert DistinguishedName.parse(str(entry.name)) == entry.name


@given(
    near_valid(
        [b"2026-04-20T08:00:00Z", b"2026-04-20 08:00:00", b"2026-04-20Z"],
        [b"+14:00", b"Z", b"99", b"-", b"\x00"],
    )
)
def test_a_date_is_read_or_none(octets: bytes) -> None:
    found = parse_date(octets.decode("utf-8", "replace"))
    assert found is None or found.utcoffset() is not None
