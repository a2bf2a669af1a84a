"""What we write is DER as asn1crypto reads it; what is not one bounded value is refused before it is read."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from asn1crypto import cms
from asn1crypto import core as asn1

from certs.smime.der import (
    MAX_DEPTH,
    MAX_ELEMENTS,
    EncodingRefused,
    demand_bounded,
    integer,
    oid,
    sequence,
    set_of,
    time_of,
    tlv,
)
from certs.smime.entity import NotBase64, decode_strict, encode_lines
from certs.smime.structure import CmsMalformed, content_type_of, read_algorithm, read_envelope, read_signed


@pytest.mark.parametrize("number", [0, 1, 127, 128, 255, 256, 2**159 + 5])
def test_integers(number: int) -> None:
    assert asn1.Integer(number).dump() == integer(number)


@pytest.mark.parametrize(
    "dotted", ["1.2.840.113549.1.7.2", "2.16.840.1.101.3.4.2.1", "1.3.133.16.840.63.0.2"]
)
def test_identifiers(dotted: str) -> None:
    assert asn1.ObjectIdentifier(dotted).dump() == oid(dotted)


@pytest.mark.parametrize("size", [0, 127, 128, 255, 256, 70_000])
def test_lengths(size: int) -> None:
    assert asn1.OctetString(bytes(size)).dump() == tlv(4, bytes(size))
    demand_bounded(tlv(4, bytes(size)))


def test_sets_are_sorted_and_times_change_in_2050() -> None:
    assert set_of(integer(5), integer(3)) == tlv(0x31, integer(3), integer(5))
    for year in (2026, 2049, 2050):
        moment = datetime(year, 3, 2, 8, 0, tzinfo=UTC)
        assert cms.Time.load(time_of(moment)).native == moment
        assert (time_of(moment)[0] == 0x17) == (year < 2050)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\x30",
        b"\x30\x02\x04",
        b"\x30\x00\x30\x00",
        b"\x04\x80\x00\x00",
        b"\x30\x80\x04\x01x",
        b"\x1f\x81\x01\x00",
        b"\x30\x85\x00\x00\x00\x00\x00",
        b"\x30\x82\x01",
        b"\x30\x03\x04\x05abc",
        b"\x30\x80" * (MAX_DEPTH + 1) + b"\x00\x00" * (MAX_DEPTH + 1),
        tlv(0x30, b"\x05\x00" * (MAX_ELEMENTS + 1)),
    ],
)
def test_what_is_not_one_bounded_value_is_refused(octets: bytes) -> None:
    with pytest.raises(EncodingRefused):
        demand_bounded(octets)
    for read in (content_type_of, read_signed, read_envelope):
        with pytest.raises(CmsMalformed):
            read(octets)


def test_indefinite_lengths_are_read() -> None:
    demand_bounded(b"\x30\x80\x24\x80\x04\x01x\x00\x00\x00\x00")
    demand_bounded(sequence(b"\x30\x80\x00\x00", b"\x05\x00"))


def test_a_structure_that_is_none_is_refused() -> None:
    for octets in (sequence(), sequence(oid("1.2.3"), tlv(0xA0, integer(1))), sequence(integer(1))):
        for read in (read_signed, read_envelope):
            with pytest.raises(CmsMalformed):
                read(octets)
    with pytest.raises(CmsMalformed):
        read_algorithm(b"\x05\x00")


@pytest.mark.parametrize("octets", [b"", b"x", b"xy", b"xyz", b"x" * 57, b"x" * 1000])
def test_base64_is_one_text_for_given_octets(octets: bytes) -> None:
    lines = encode_lines(octets)
    assert decode_strict(lines) == octets
    assert all(len(line) <= 76 for line in lines.split(b"\r\n"))


@pytest.mark.parametrize(
    "text", [b"QQ=", b"QR==", b"QUJ=", b"QUFB=", b"Q*==", b"QQ==QQ==", b"=", b"QQ==\x00"]
)
def test_another_text_is_no_base64(text: bytes) -> None:
    with pytest.raises(NotBase64):
        decode_strict(text)
