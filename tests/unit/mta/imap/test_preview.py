"""The first words of a letter: from text or HTML, short, with nothing hidden in them."""

from __future__ import annotations

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.imap.preview import MAX_CHARACTERS, PREVIEW_READ, preview_of


def letter(kind: str, body: bytes) -> bytes:
    return f"Subject: x\r\nContent-Type: {kind}\r\n\r\n".encode() + body


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (letter("text/plain; charset=utf-8", "Bonjour,\r\n\r\n  très   bien\r\n".encode()), "Bonjour, très bien"),
        (letter("text/plain; charset=iso-8859-1", "été".encode("latin-1")), "été"),
        (
            letter("text/html", b"<head><style>p {a: b}</style></head><p>Bon<b>jour</b><br>Paul &amp; Anne</p>"),
            "Bonjour Paul & Anne",
        ),
        (letter("text/html", b"<script>if (a < b) x()</script>Oui<!-- non --> et puis"), "Oui et puis"),
        (letter("application/pdf", b"%PDF"), ""),
        (letter("text/plain", b""), ""),
        (letter("text/plain", b"a\x00\x1b[31mb\xe2\x80\xaec"), "a [31mb c"),
        (
            letter(
                "multipart/alternative; boundary=b",
                b"--b\r\nContent-Type: text/html\r\n\r\n<p>html</p>\r\n--b\r\n\r\nplain\r\n--b--",
            ),
            "plain",
        ),
        (
            letter(
                "multipart/mixed; boundary=b",
                b"--b\r\nContent-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nnot this"
                b"\r\n--b\r\n\r\nthis\r\n--b--",
            ),
            "this",
        ),
    ],
)  # fmt: skip
def test_what_is_shown(octets: bytes, expected: str) -> None:
    assert preview_of(octets) == expected


def test_base64_that_is_cut_is_shown_as_far_as_it_goes() -> None:
    body = base64.encodebytes("Le potassium est à 4,1 mmol/L. ".encode() * 4000)
    head = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    assert preview_of((head + body)[:PREVIEW_READ]).startswith("Le potassium est à 4,1")


@given(st.binary(max_size=600))
def test_any_octets_have_a_short_preview(octets: bytes) -> None:
    for kind in ("text/html", "text/plain", "multipart/mixed; boundary=b"):
        shown = preview_of(letter(kind, octets))
        assert len(shown) <= MAX_CHARACTERS
        assert not any(ord(character) < 32 for character in shown)


@pytest.mark.parametrize("piece", [b"<style>", b"<", b"<!--", b"&", b"<a ", b"</style", b"&#x1F600"])
def test_the_work_is_bounded(piece: bytes) -> None:
    began = time.process_time()
    preview_of(letter("text/html", piece * (PREVIEW_READ // len(piece))))
    assert time.process_time() - began < 0.2
