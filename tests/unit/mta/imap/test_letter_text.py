"""What a search sees of a letter: decoded, folded, with the headers of parts and the letters inside."""

from __future__ import annotations

import base64
import quopri
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.message import fold
from mta.imap.letter_text import body_texts, field_texts


def letter(body: bytes, *, charset: str = "utf-8", encoding: str = "8bit", subtype: str = "plain") -> bytes:
    head = f"Subject: x\r\nContent-Type: text/{subtype}; charset={charset}\r\nContent-Transfer-Encoding: {encoding}"
    return head.encode() + b"\r\n\r\n" + body


def found(octets: bytes, needle: str) -> bool:
    return any(fold(needle) in text for text in body_texts(octets))


@pytest.mark.parametrize(
    "octets",
    [
        letter("La glycémie est élevée".encode()),
        letter("La glycémie est élevée".encode("latin-1"), charset="iso-8859-1"),
        letter(base64.encodebytes("La glycémie est élevée".encode()), encoding="base64"),
        letter(quopri.encodestring("La glycémie est élevée".encode()), encoding="quoted-printable"),
        letter(b"La glyc&eacute;mie est&nbsp;&#233;lev&eacute;e", subtype="html"),
        letter(unicodedata.normalize("NFD", "La glycémie est élevée").encode()),
    ],
    ids=["8bit", "latin-1", "base64", "quoted-printable", "html", "decomposed"],
)
@pytest.mark.parametrize("needle", ["glycémie", "GLYCÉMIE", "glycemie", "est elevee"])
def test_words_are_found_however_they_are_written(octets: bytes, needle: str) -> None:
    assert found(octets, needle)
    assert not found(octets, "glycosurie")


def test_the_body_is_not_the_header_and_a_document_is_its_name() -> None:
    octets = (
        b"Subject: radio\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\n\r\nBonjour\r\n"
        b'--b\r\nContent-Type: application/pdf; name="=?utf-8?q?=C3=A9cho.pdf?="\r\n'
        b"Content-Transfer-Encoding: base64\r\n\r\nbm9tIHNlY3JldA==\r\n--b--\r\n"
    )
    assert found(octets, "bonjour")
    assert found(octets, "Écho.pdf")
    assert not found(octets, "nom secret")
    assert not found(octets, "radio")
    assert any("subject: radio" in text for text in field_texts(octets))


def test_a_letter_inside_is_searched_with_its_header() -> None:
    inner = b"Subject: =?utf-8?q?r=C3=A9sultat?=\r\nContent-Transfer-Encoding: base64\r\n\r\ncG90YXNzaXVt\r\n"
    octets = b"Subject: out\r\nContent-Type: message/rfc822\r\n\r\n" + inner
    assert found(octets, "resultat")
    assert found(octets, "potassium")


def test_what_cannot_be_decoded_is_searched_as_it_stands() -> None:
    assert found(letter(b"as it stands", encoding="x-unknown"), "it stands")
    assert found(letter(b"as it stands", charset="x-unknown"), "it stands")


@given(st.text())
def test_folding_is_done_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert fold(text.upper()) == fold(text.upper().lower().upper())


@given(st.text(alphabet=st.characters(codec="latin-1")), st.integers(0, 30), st.integers(0, 30))
def test_a_part_of_a_text_is_found_in_it(text: str, start: int, length: int) -> None:
    assert fold(text[start : start + length]) in fold(text)


@given(st.binary(max_size=400))
def test_any_octets_are_searched_without_an_error(octets: bytes) -> None:
    list(field_texts(octets))
    list(body_texts(octets))
