"""Parts are found where they stand in the octets; where two readers would differ a part is opaque."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import PermanentError
from core.mime import (
    MAX_PARAMETERS,
    DecodedTooBig,
    FieldValue,
    Part,
    decode_base64,
    decode_body,
    join_continuations,
    parse_value,
    read_structure,
)

NESTED = (
    b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed;\r\n boundary=\"b1\"\r\n\r\n"
    b"preamble\r\n--b1\r\n"
    b"Content-Type: multipart/alternative; boundary=b2\r\n\r\n"
    b"--b2\r\n\r\nplain\r\n--b2 \t\r\nContent-Type: TEXT/Html; charset=utf-8\r\n\r\n<p>html\r\n</p>\r\n--b2--\r\n"
    b"epilogue of b2\r\n--b1\r\n"
    b"Content-Type: message/rfc822\r\nContent-Description: the letter\r\n\r\n"
    b"Subject: inner\r\nContent-Type: multipart/mixed; boundary=b3\r\n\r\n--b3\r\n\r\ninner part\r\n--b3--\r\n"
    b"\r\n--b1\r\n"
    b"Content-Type: application/pdf; name=\"a (1).pdf\"\r\nContent-Transfer-Encoding: BASE64\r\n"
    b"Content-ID: <x@y>\r\nContent-MD5: Q2hlY2s=\r\nContent-Location: a/b\r\nContent-Language: fr, en-GB\r\n"
    b"Content-Disposition: Attachment; filename*=utf-8''%C3%A9.pdf\r\n\r\nJVBERi0=\r\n--b1--\r\nepilogue\r\n"
)  # fmt: skip


def body_of(octets: bytes, part: Part) -> bytes:
    return octets[part.body_start : part.body_end]


def test_a_tree_of_parts() -> None:
    root = read_structure(NESTED)
    assert (root.media_type, root.subtype, root.is_multipart) == (b"multipart", b"mixed", True)
    assert root.parameter(b"boundary") == b"b1"
    assert root.parameter(b"charset") is None
    alternative, letter, pdf = root.children
    plain, html = alternative.children
    assert body_of(NESTED, plain) == b"plain"
    assert plain.parameters == ()
    assert (html.media_type, html.subtype, html.lines) == (b"text", b"html", 1)
    assert body_of(NESTED, html) == b"<p>html\r\n</p>"
    assert NESTED[html.header_start : html.body_start] == b"Content-Type: TEXT/Html; charset=utf-8\r\n\r\n"
    assert body_of(NESTED, alternative).endswith(b"epilogue of b2")
    assert letter.message is not None
    assert not letter.is_multipart
    assert letter.description == b"the letter"
    assert letter.lines == 7
    assert (letter.message.header_start, letter.message.body_end) == (letter.body_start, letter.body_end)
    assert body_of(NESTED, letter.message.children[0]) == b"inner part"
    assert pdf.encoding == b"base64"
    assert pdf.parameters == ((b"name", b"a (1).pdf"),)
    assert (pdf.content_id, pdf.md5, pdf.location) == (b"<x@y>", b"Q2hlY2s=", b"a/b")
    assert pdf.language == (b"fr", b"en-GB")
    assert pdf.disposition == FieldValue(b"attachment", ((b"filename*", b"utf-8''%C3%A9.pdf"),))
    assert pdf.size == 8
    assert pdf.lines == 0


def tree(part: Part) -> str:
    """`mixed[plain rfc822(plain)]`: enough to see what was opened."""
    inner = " ".join(tree(child) for child in part.children)
    name = part.subtype.decode()
    if part.message is not None:
        return f"{name}({tree(part.message)})"
    return f"{name}[{inner}]" if part.children else name


M = b"Content-Type: multipart/mixed; boundary="
LETTER = b"Content-Type: message/rfc822\r\n\r\n"


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"", "plain"),
        (b"Subject: x\r\n\r\nbody", "plain"),
        (b"Content-Type: nonsense\r\n\r\nbody", "plain"),
        (b"Content-Type: a/b/c\r\n\r\nbody", "b"),
        (b"Content-Type: text/html (the (best) one); x=y\r\n\r\n", "html"),
        (b"Content-Type: (open text/html\r\n\r\n", "octet-stream"),
        (b"Content-Type: \r\n\r\n", "octet-stream"),
        # boundaries
        (M + b"b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n", "mixed[plain]"),
        (M + b"b\r\n\r\n--b\r\n\r\nx\r\n--b\r\n\r\ny", "mixed[plain plain]"),
        (M + b"b\n\n--b\n\nx\n--b\n\ny\n--b--", "mixed[plain plain]"),
        (M + b"b\r\n\r\n--b\r\n--b\r\n--b--\r\n--b\r\n", "mixed[plain plain]"),
        (M + b"b\r\n\r\n--b\r\nno blank line\r\n--b--", "mixed[plain]"),
        (M + b"b\r\n\r\n--b", "mixed[plain]"),
        (M + b"b\r\n\r\n--bb\r\n\r\nx\r\n--b x\r\n", "octet-stream"),
        (M + b"b\r\n\r\nno delimiter", "octet-stream"),
        (M + b"b\r\n\r\n--b--\r\n", "octet-stream"),
        (M + b"b\r\n", "octet-stream"),
        (M + b'""\r\n\r\n--\r\n\r\nx\r\n----\r\n', "octet-stream"),
        (M + b"a; boundary=b\r\n\r\n--a\r\n\r\nx\r\n--b\r\n\r\ny\r\n", "octet-stream"),
        (M + b"b; boundary=b\r\n\r\n--b\r\n\r\nx\r\n", "mixed[plain]"),
        (M + b'"b (1)"\r\n\r\n--b (1)\r\n\r\nx\r\n', "mixed[plain]"),
        (M + b'"b\\c"\r\n\r\n--bc\r\n\r\nx\r\n', "mixed[plain]"),
        (b"Content-Type: multipart/mixed; boundary*0=a; boundary*1=b\r\n\r\n--ab\r\n\r\nx\r\n", "mixed[plain]"),
        (b"Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\nx\r\n", "octet-stream"),
        (M + b"b" * 2049 + b"\r\n\r\n--" + b"b" * 2049 + b"\r\n\r\nx\r\n", "octet-stream"),
        # digests and letters inside letters
        (b"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nA: b\r\n\r\ny", "digest[rfc822(plain)]"),
        (LETTER + LETTER + b"A: b\r\n\r\n", "rfc822(rfc822(plain))"),
        (b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nQTogYg0K", "octet-stream"),
        (b"Content-Type: message/global\r\n\r\nA: b\r\n\r\n", "global"),
        (b"Content-Type: message/delivery-status\r\n\r\nA: b\r\n\r\n", "delivery-status"),
    ],
    ids=lambda value: ascii(value)[:60] if isinstance(value, bytes) else None,
)  # fmt: skip
def test_structures(octets: bytes, expected: str) -> None:
    assert tree(read_structure(octets)) == expected


def test_an_outer_delimiter_ends_inner_parts() -> None:
    octets = (
        M + b"o\r\n\r\n--o\r\n" + M + b"i\r\n\r\n--i\r\n\r\nx\r\n--o\r\n\r\ny\r\n--i\r\n\r\nz\r\n--o--\r\n"
    )
    root = read_structure(octets)
    assert tree(root) == "mixed[mixed[plain] plain]"
    assert body_of(octets, root.children[1]) == b"y\r\n--i\r\n\r\nz"


def test_an_opaque_part_keeps_its_encoding() -> None:
    part = read_structure(b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nQQ==")
    assert (part.encoding, part.media_type) == (b"base64", b"application")


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.sampled_from(
            [
                M + b"b",
                M + b"bb",
                b"Content-Type: message/rfc822",
                b"--b",
                b"--b--",
                b"--bb",
                b"\r\n",
                b"\r\n\r\n",
                b"x",
            ]
        ),
        max_size=40,
    )
)
def test_parts_lie_inside_each_other_in_order(pieces: list[bytes]) -> None:
    octets = b"".join(pieces)

    def check(part: Part, start: int, end: int) -> None:
        assert start <= part.header_start <= part.body_start <= part.body_end <= end
        position = part.body_start
        for child in part.children:
            check(child, position, part.body_end)
            position = child.body_end
        if part.message is not None:
            check(part.message, part.body_start, part.body_end)

    root = read_structure(octets)
    assert (root.header_start, root.body_end) == (0, len(octets))
    check(root, 0, len(octets))


# --- structured fields --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"text/plain", FieldValue(b"text/plain")),
        (b" Text / Plain ;Charset = \"UTF-8\" ", FieldValue(b"text/plain", ((b"charset", b"UTF-8"),))),
        (b"a; b=c;; d; =e; f=\"g;h\"; i=", FieldValue(b"a", ((b"b", b"c"), (b"f", b"g;h"), (b"i", b"")))),
        (b'a; b="c\\"d"', FieldValue(b"a", ((b"b", b'c"d'),))),
        (b'a; b="unfinished; c=d', FieldValue(b"a", ((b"b", b""), (b"c", b"d")))),
        (b'a (x "y)" \\) z); b=c (d)', FieldValue(b"a", ((b"b", b"c"),))),
        (b"a) b; c=d", FieldValue(b"a", ((b"c", b"d"),))),
        (b"(a", None),
        (b"", None),
        (b";a=b", None),
    ],
)  # fmt: skip
def test_values_with_parameters(body: bytes, expected: FieldValue | None) -> None:
    assert parse_value(body) == expected


def test_too_many_parameters_close_the_part() -> None:
    many = b"".join(b"; p%d=x" % number for number in range(MAX_PARAMETERS + 1))
    assert tree(read_structure(b"Content-Type: text/html" + many + b"\r\n\r\n")) == "octet-stream"
    part = read_structure(b"Content-Type: text/html\r\nContent-Disposition: inline" + many + b"\r\n\r\n")
    assert part.disposition is None
    exact = many.removeprefix(b"; p0=x")
    assert tree(read_structure(b"Content-Type: text/html" + exact + b"\r\n\r\n")) == "html"


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        (((b"a", b"b"),), ((b"a", b"b"),)),
        # RFC 2231 §3
        (((b"url*0", b"ftp://"), (b"url*1", b"x")), ((b"url", b"ftp://x"),)),
        (((b"url*1", b"x"), (b"t", b"u"), (b"url*0", b"ftp://")), ((b"t", b"u"), (b"url", b"ftp://x"))),
        # RFC 2231 §4.1
        (
            (
                (b"title*0*", b"us-ascii'en'This%20is"),
                (b"title*1*", b"%20even"),
                (b"title*2", b" 100% 'fun'"),
            ),
            ((b"title*", b"us-ascii'en'This%20is%20even%20100%25%20%27fun%27"),),
        ),
        (((b"f*", b"utf-8''a"),), ((b"f*", b"utf-8''a"),)),
        # a gap ends the run; a number written twice counts once
        (((b"f*0", b"a"), (b"f*2", b"c"), (b"f*3", b"d")), ((b"f", b"a"),)),
        (((b"f*0", b"a"), (b"f*0", b"b")), ((b"f", b"a"),)),
        (((b"f*1", b"a"),), ()),
        (((b"f*01", b"a"), (b"f*x", b"b")), ((b"f*01", b"a"), (b"f*x", b"b"))),
    ],
)
def test_continuations_are_joined(
    parameters: tuple[tuple[bytes, bytes], ...], expected: tuple[tuple[bytes, bytes], ...]
) -> None:
    assert join_continuations(parameters) == expected


# --- bodies -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("octets", "encoding", "expected"),
    [
        (b"abc", b"7bit", b"abc"),
        (b"\xff", b"binary", b"\xff"),
        (b"caf=C3=A9 =\r\nau lait\r\n=", b"quoted-printable", "café au lait\r\n".encode()),
        (b"SGVs\r\nbG8h\r\n", b"base64", b"Hello!"),
        (b"SGVs bG8*=\r\nSGVsbG8=", b"base64", b"Hello"),
        (b"SGVsbG8hS", b"base64", b"Hello!"),
        (b"", b"base64", b""),
    ],
)
def test_bodies_are_decoded(octets: bytes, encoding: bytes, expected: bytes) -> None:
    assert decode_body(octets, encoding, limit=100) == expected


@pytest.mark.parametrize(
    ("octets", "encoding"),
    [(b"A" * 11, b"7bit"), (b"=41" * 11, b"quoted-printable"), (b"QUFB" * 4, b"base64")],
)
def test_bodies_are_bounded(octets: bytes, encoding: bytes) -> None:
    with pytest.raises(DecodedTooBig):
        decode_body(octets, encoding, limit=10)


def test_an_unknown_encoding_is_refused() -> None:
    with pytest.raises(PermanentError):
        decode_body(b"", b"x-uuencode", limit=10)


@given(st.binary(max_size=200))
def test_any_octets_decode_as_base64(octets: bytes) -> None:
    assert len(decode_base64(octets, limit=200)) <= len(octets) * 3 // 4
