"""The shapes of RFC 3156, without GnuPG: octets are sliced, and come together again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certs.openpgp.pgp_mime import (
    Letter,
    NotPgpMime,
    is_encrypted,
    is_signed,
    join_letter,
    read_encrypted,
    read_signed,
    split_letter,
    write_encrypted,
    write_signed,
)

SIGNATURE = b"-----BEGIN PGP SIGNATURE-----\n\niQ\n=abcd\n-----END PGP SIGNATURE-----\n"
MESSAGE = b"-----BEGIN PGP MESSAGE-----\n\nhQ\n=abcd\n-----END PGP MESSAGE-----\n"


@pytest.mark.parametrize(
    ("octets", "outer", "entity"),
    [
        (b"From: a\r\n\r\nx", b"From: a\r\n", b"\r\nx"),
        (b"From: a\r\nContent-Type: t/p;\r\n b=c\r\nTo: b\r\n\r\nx", b"From: a\r\nTo: b\r\n", None),
        (b"CONTENT-ID: <1>\r\nFrom: a\r\ncontent-foo: y\r\n\r\n", b"From: a\r\n", None),
        (b"\r\nx", b"", b"\r\nx"),
        (b"From: a\r\n", b"From: a\r\n", b"\r\n"),
        (b"", b"", b"\r\n"),
    ],
)
def test_a_letter_is_parted_and_joined(octets: bytes, outer: bytes, entity: bytes | None) -> None:
    letter = split_letter(octets)
    assert letter.outer == outer
    if entity is not None:
        assert letter.entity == entity
    assert split_letter(join_letter(letter)) == letter


def test_a_field_far_behind_the_readable_header_is_not_lost() -> None:
    octets = b"X-Long: " + b"y" * 200_000 + b"\r\nContent-Type: text/html\r\nSubject: s\r\n\r\nx"
    letter = split_letter(octets)
    assert letter.entity == b"Content-Type: text/html\r\n\r\nx"
    assert letter.outer.endswith(b"\r\nSubject: s\r\n")


def test_signed() -> None:
    letter = Letter(b"From: a\r\n", b"Content-Type: text/plain\r\n\r\nx \r\n\r\n")
    written = write_signed(letter, SIGNATURE, digest="sha256", boundary=b"bb")
    found = read_signed(written)
    assert found.covered == letter.entity
    assert found.signature == SIGNATURE.strip().replace(b"\n", b"\r\n")
    assert is_signed(written)
    assert not is_encrypted(written)
    assert written.count(b"MIME-Version: 1.0\r\n") == 1


def test_encrypted() -> None:
    written = write_encrypted(b"From: a\r\nmime-version: 1.0\r\n", MESSAGE, boundary=b"bb")
    assert read_encrypted(written, limit=1000) == MESSAGE.strip().replace(b"\n", b"\r\n")
    assert is_encrypted(written)
    assert b"MIME-Version" not in written
    with pytest.raises(NotPgpMime):
        read_encrypted(written, limit=10)
    with pytest.raises(NotPgpMime):
        read_signed(written)


def test_base64_around_the_armour_is_undone() -> None:
    import base64

    written = write_encrypted(b"", MESSAGE, boundary=b"bb")
    armour = MESSAGE.strip().replace(b"\n", b"\r\n")
    again = written.replace(
        b'"encrypted.asc"\r\n', b'"encrypted.asc"\r\nContent-Transfer-Encoding: base64\r\n'
    )
    again = again.replace(armour, base64.b64encode(armour))
    assert read_encrypted(again, limit=1000) == armour
    with pytest.raises(NotPgpMime):
        read_encrypted(again.replace(b"base64", b"x-rot13"), limit=1000)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"application/pgp-signature; name", b"text/plain; name"),
        (b"BEGIN PGP SIGNATURE", b"BEGIN PGP MESSAGE"),
        (b"=abcd", b"=abcd\r\n-----BEGIN PGP SIGNATURE-----"),
        (b'protocol="application/pgp-signature"', b'protocol="application/pkcs7-signature"'),
    ],
)
def test_other_shapes_are_no_signed_letter(old: bytes, new: bytes) -> None:
    letter = write_signed(Letter(b"", b"\r\nx"), SIGNATURE, digest="sha256", boundary=b"bb")
    assert old in letter
    with pytest.raises(NotPgpMime):
        read_signed(letter.replace(old, new))


_FIELD = st.sampled_from(
    [b"From: a\r\n", b"Content-Type: text/plain\r\n", b"Subject: x\r\n y\r\n", b"content-md5: q\r\n"]
)


@given(st.lists(_FIELD, max_size=6).map(b"".join), st.binary(max_size=60))
@settings(max_examples=100, deadline=None)
def test_nothing_is_lost_between_the_halves(header: bytes, body: bytes) -> None:
    octets = header + b"\r\n" + body
    letter = split_letter(octets)
    assert sorted(join_letter(letter).replace(b"\r\n", b"\n")) == sorted(octets.replace(b"\r\n", b"\n"))
    assert letter.entity.endswith(b"\r\n" + body)
    assert b"content-" not in letter.outer.lower()


@given(st.binary(max_size=200))
@settings(max_examples=150, deadline=None)
def test_no_foreign_exception_leaves(octets: bytes) -> None:
    for head in (
        b"",
        b'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary=b\r\n\r\n',
    ):
        with pytest.raises(NotPgpMime):
            read_encrypted(head + octets, limit=100)
        with pytest.raises(NotPgpMime):
            read_signed(head + octets)


def test_an_encrypted_letter_begins_with_its_version() -> None:
    written = write_encrypted(b"", MESSAGE, boundary=b"bb")
    for old, new in (
        (b"Content-Type: application/pgp-encrypted", b"Content-Type: text/plain"),
        (b"\r\nVersion: 1\r\n", b"\r\nVersion: 11\r\n"),
    ):
        with pytest.raises(NotPgpMime):
            read_encrypted(written.replace(old, new, 1), limit=1000)


def test_an_entity_that_ends_within_its_header_is_still_a_letter() -> None:
    joined = join_letter(Letter(b"From: a\r\n", b"Content-Type: text/plain"))
    assert joined == b"From: a\r\nContent-Type: text/plain\r\n\r\n"
