"""The one XML parser refuses what XML can do besides being a tree."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certs.xml.parser import Limits, XmlRefused, parse_xml

BILLION = b"""<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><a>&c;</a>"""
EXTERNAL = b"""<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><a>&x;</a>"""


@pytest.mark.parametrize(
    "octets",
    [
        BILLION,
        EXTERNAL,
        b"<!DOCTYPE a><a/>",
        b'<?xml version="1.0"?>\n<!-- x --><!DOCTYPE a SYSTEM "http://127.0.0.1/a.dtd"><a/>',
        BILLION.decode().encode("utf-16"),
        BILLION.decode().encode("utf-16-be"),
        BILLION.decode().encode("utf-32-le"),
        b'<?xml version="1.0" encoding="UTF-7"?>+ADw-a/+AD4-',
        b'<?xml version="1.0" encoding="EBCDIC-CP-FR"?><a/>',
        b"",
        b"plain",
        b"<a>",
        b"<a/><b/>",
        b"<a>&undefined;</a>",
        b"<a b='1' b='2'/>",
        b"<a>\x00</a>",
        b"<a>\xff</a>",
        b"<a>" * 300 + b"</a>" * 300,
    ],
)
def test_refused(octets: bytes) -> None:
    with pytest.raises(XmlRefused):
        parse_xml(octets)


def test_limits() -> None:
    with pytest.raises(XmlRefused, match="large"):
        parse_xml(b"<a>123</a>", Limits(octets=9))
    with pytest.raises(XmlRefused, match="namespace"):
        parse_xml(b'<a xmlns:b="c" xmlns:d="e"/>', Limits(namespaces=1))


@pytest.mark.parametrize("encoding", ["UTF-8", "ISO-8859-1", "windows-1252"])
def test_ordinary_encodings_are_read(encoding: str) -> None:
    octets = f'<?xml version="1.0" encoding="{encoding}"?><a>Finistère</a>'.encode(encoding)
    assert parse_xml(octets).text == "Finistère"


def test_without_a_declaration_it_is_utf_8() -> None:
    assert parse_xml(b'\xef\xbb\xbf<?xml version="1.0"?><a>\xc3\xa8</a>').text == "è"


def test_hostile_input_costs_less_than_a_second() -> None:
    crowd = (
        b"<a "
        + b" ".join(b'xmlns:n%d="u%d"' % (i, i) for i in range(4000))
        + b">"
        + b"<b/>" * 20_000
        + b"</a>"
    )
    start = time.process_time()
    parse_xml(crowd)
    assert time.process_time() - start < 1


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_no_foreign_exception_leaves(octets: bytes) -> None:
    try:
        parse_xml(octets)
    except XmlRefused:
        return
