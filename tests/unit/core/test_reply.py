"""The one reply table: what every row promises."""

import pytest

from core.reply import MAX_REPLY_LINE, TABLE, EnhancedStatus, Reply, ascii_only

ROWS = sorted(TABLE.values(), key=lambda row: row.name)
MAX_REPLY_TEXT = 510  # octets without CRLF; RFC 5321 §4.5.3.1.5


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_can_stand_on_the_wire(row: Reply) -> None:
    line = row.wire()
    assert line.isascii()
    assert line.endswith(b"\r\n")
    assert b"\r" not in line[:-2]
    assert b"\n" not in line[:-2]
    assert len(line) - 2 <= MAX_REPLY_TEXT < MAX_REPLY_LINE
    assert all(0x20 <= octet <= 0x7E for octet in line[:-2])
    # A detail (a spool id, a size) still fits.
    assert len(row.wire("x" * 40)) <= MAX_REPLY_LINE
    assert line.startswith(str(row.code).encode() + b" ")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_code_and_enhanced_status_agree(row: Reply) -> None:
    assert 200 <= row.code <= 599
    if row.status is not None:
        assert row.status.klass == row.code // 100  # RFC 2034 §4
        assert str(row.status) in str(row)
        assert row.wire().split(b" ")[1] == str(row.status).encode()
    else:
        # RFC 2034 §3 and RFC 4954: greeting, EHLO, 3yz and 334 carry none
        assert row.code in (220, 250, 334, 354)
    assert row.is_temporary is (row.code // 100 == 4)
    assert row.is_permanent is (row.code // 100 == 5)


@pytest.mark.parametrize("row", [row for row in ROWS if row.code >= 400], ids=lambda row: row.name)
def test_a_refusal_speaks_both_languages(row: Reply) -> None:
    assert row.english
    assert row.french
    assert row.english != row.french
    assert row.english.isascii()
    assert row.text == f"{ascii_only(row.french)} / {row.english}"
    # What NFKD cannot write in ASCII would vanish from the wire: ligatures, typographic marks.
    assert len(ascii_only(row.french)) == len(row.french)


def test_every_row_is_known_by_its_name() -> None:
    assert all(name == row.name for name, row in TABLE.items())


@pytest.mark.parametrize("text", ["", "5", "5.1", "5.1.1.1", "a.b.c", "5,1,1"])
def test_an_enhanced_status_is_three_numbers(text: str) -> None:
    with pytest.raises(ValueError):
        EnhancedStatus.parse(text)


def test_an_enhanced_status_reads_back() -> None:
    assert str(EnhancedStatus.parse("5.7.11")) == "5.7.11"
