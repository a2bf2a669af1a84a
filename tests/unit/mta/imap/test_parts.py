"""Body sections name exactly the octets that RFC 3501 §6.4.5 says."""

import pytest

from core.errors import PermanentError
from core.mime import read_structure
from mta.imap.parts import PartTable

# The shape of the example in RFC 3501 §6.4.5 (parts 3 and 4 are letters, 4.2 is a multipart)
PART_1 = b"Content-Type: text/plain\r\n\r\none\r\n"
PART_2 = b"Content-Type: application/octet-stream\r\n\r\ntwo\r\n"
LETTER_3 = (
    b"Subject: three\r\nContent-Type: multipart/mixed; boundary=b3\r\n\r\n"
    b"--b3\r\n\r\n3.1\r\n--b3\r\nContent-Type: application/octet-stream\r\n\r\n3.2\r\n--b3--\r\n"
)
LETTER_4_2_1 = b"Subject: 4.2.1\r\n\r\nfour two one\r\n"
MULTI_4_2 = (
    b"Content-Type: multipart/mixed; boundary=b42\r\n\r\n"
    b"--b42\r\nContent-Type: message/rfc822\r\n\r\n" + LETTER_4_2_1 + b"\r\n--b42\r\n\r\n4.2.2\r\n--b42--\r\n"
)
LETTER_4 = (
    b"Subject: four\r\nContent-Type: multipart/mixed; boundary=b4\r\n\r\n"
    b"--b4\r\nContent-Type: image/gif\r\n\r\n4.1\r\n--b4\r\n" + MULTI_4_2 + b"\r\n--b4--\r\n"
)
HEADER = b"Subject: root\r\nContent-Type: multipart/mixed; boundary=b0\r\n\r\n"
TEXT = (
    b"--b0\r\n" + PART_1 + b"\r\n--b0\r\n" + PART_2
    + b"\r\n--b0\r\nContent-Type: message/rfc822\r\nContent-ID: <3>\r\n\r\n" + LETTER_3
    + b"\r\n--b0\r\nContent-Type: message/rfc822\r\n\r\n" + LETTER_4 + b"\r\n--b0--\r\n"
)  # fmt: skip
ROOT = HEADER + TEXT


def section(octets: bytes, path: str, specifier: str = "") -> bytes | None:
    table = PartTable.load(PartTable.of(read_structure(octets)).dump())
    span = table.span(tuple(int(number) for number in path.split(".") if number), specifier)
    return octets[slice(*span)] if span else None


@pytest.mark.parametrize(
    ("path", "specifier", "expected"),
    [
        ("", "", ROOT),
        ("", "HEADER", HEADER),
        ("", "TEXT", TEXT),
        ("", "MIME", None),
        ("1", "", b"one\r\n"),
        ("1", "MIME", b"Content-Type: text/plain\r\n\r\n"),
        ("1", "HEADER", None),
        ("1", "TEXT", None),
        ("1.1", "", None),
        ("2", "", b"two\r\n"),
        ("3", "", LETTER_3),
        ("3", "MIME", b"Content-Type: message/rfc822\r\nContent-ID: <3>\r\n\r\n"),
        ("3", "HEADER", LETTER_3[: LETTER_3.index(b"--b3")]),
        ("3", "TEXT", LETTER_3[LETTER_3.index(b"--b3") :]),
        ("3.1", "", b"3.1"),
        ("3.1", "MIME", b"\r\n"),
        ("3.2", "", b"3.2"),
        ("3.3", "", None),
        ("4", "HEADER", LETTER_4[: LETTER_4.index(b"--b4")]),
        ("4.1", "MIME", b"Content-Type: image/gif\r\n\r\n"),
        ("4.2", "MIME", MULTI_4_2[: MULTI_4_2.index(b"--b42")]),
        ("4.2", "", MULTI_4_2[MULTI_4_2.index(b"--b42") :]),
        ("4.2", "HEADER", None),
        ("4.2.1", "", LETTER_4_2_1),
        ("4.2.1", "HEADER", b"Subject: 4.2.1\r\n\r\n"),
        ("4.2.1", "TEXT", b"four two one\r\n"),
        ("4.2.1.1", "", b"four two one\r\n"),
        ("4.2.1.1", "MIME", b"Subject: 4.2.1\r\n\r\n"),
        ("4.2.1.2", "", None),
        ("4.2.1.1.1", "", None),
        ("4.2.2", "", b"4.2.2"),
        ("5", "", None),
        ("0", "", None),
        ("4.2.9999999999", "", None),
    ],
)
def test_sections_of_a_multipart(path: str, specifier: str, expected: bytes | None) -> None:
    assert section(ROOT, path, specifier) == expected


@pytest.mark.parametrize(
    ("path", "specifier", "expected"),
    [
        ("1", "", b"body\r\n"),
        ("1", "MIME", b"Subject: x\r\n\r\n"),
        ("1", "TEXT", None),
        ("2", "", None),
        ("1.1", "", None),
        ("", "TEXT", b"body\r\n"),
        ("", "HEADER", b"Subject: x\r\n\r\n"),
    ],
)
def test_part_one_of_a_single_letter_is_its_body(path: str, specifier: str, expected: bytes | None) -> None:
    assert section(b"Subject: x\r\n\r\nbody\r\n", path, specifier) == expected


def test_a_letter_that_is_a_letter() -> None:
    octets = b"Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nbody"
    assert section(octets, "1") == b"Subject: in\r\n\r\nbody"
    assert section(octets, "1", "HEADER") == b"Subject: in\r\n\r\n"
    assert section(octets, "1.1") == b"body"
    assert section(octets, "1.2") is None


def test_a_letter_without_a_body() -> None:
    assert section(b"Subject: x\r\n", "", "HEADER") == b"Subject: x\r\n"
    assert section(b"Subject: x\r\n", "", "TEXT") == b""
    assert section(b"", "1") == b""


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x02" + b"\0" * 20, b"\x01" + b"\0" * 19])
def test_a_table_that_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(PermanentError):
        PartTable.load(data)


def test_a_table_is_small() -> None:
    assert len(PartTable.of(read_structure(ROOT)).dump()) == 1 + 20 * 14
