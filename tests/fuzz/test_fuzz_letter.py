"""Invariant: whatever the octets, a letter is read without an error, and every part lies inside its parent."""

from hypothesis import given, settings
from hypothesis import strategies as st

from core.message import Message, decode_words, filter_header
from core.mime import Part, read_structure
from mta.imap.parts import PartTable
from mta.imap.summary import summarise
from mta.trace import count_hops, strip_foreign

PIECES = [
    *(
        b"From: a@b.example\r\n",
        b"To: ",
        b"Subject: =?utf-8?b?",
        b"Received: x\r\n",
        b"Authentication-Results: ",
    ),
    *(
        b"Content-Type: ",
        b"Content-Disposition: ",
        b"Content-Transfer-Encoding: base64\r\n",
        b"X-Vaguemestre-X: ",
    ),
    *(
        b"multipart/mixed; boundary=",
        b"message/rfc822",
        b"text/plain; charset*0*=",
        b"; a=",
        b"b",
        b"bb",
        b'"b"',
    ),
    *(
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b"\r",
        b"--b",
        b"--b--",
        b"--bb",
        b"--bb--",
        b" ",
        b"\t",
        b"(",
        b")",
        b'"',
        b"\\",
    ),
    *(b",", b";", b":", b"<", b">", b"@", b"\x00", b"\xff", b"\xc3\xa9", b"{5}\r\n", b"x" * 90),
]


def spans(part: Part, low: int, high: int) -> None:
    assert low <= part.header_start <= part.body_start <= part.body_end <= high
    for child in part.children:
        spans(child, part.body_start, part.body_end)
    if part.message is not None:
        spans(part.message, part.body_start, part.body_end)


@settings(deadline=None)
@given(st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=6)), max_size=60))
def test_any_octets_are_read(pieces: list[bytes]) -> None:
    octets = b"".join(pieces)
    root = read_structure(octets)
    assert (root.header_start, root.body_end) == (0, len(octets))
    spans(root, 0, len(octets))
    message = Message(octets)
    assert message.header_size == root.body_start
    assert count_hops(message) <= octets.lower().count(b"received")
    assert len(decode_words(octets)) <= len(octets)
    assert filter_header(message.header, frozenset(), exclude=True) == message.header
    stripped = strip_foreign(octets, frozenset({"mx.ch-rivage.mssante.example"}))
    assert stripped.endswith(message.body)
    assert not any(field.name.startswith(b"x-vaguemestre-") for field in Message(stripped).fields)
    table = PartTable.load(summarise(octets, 0).parts)
    assert table == PartTable.of(root)
    for path in ((), (1,), (2,), (1, 1), (1, 2), (2, 1), (1, 1, 1)):
        for specifier in ("", "HEADER", "TEXT", "MIME"):
            span = table.span(path, specifier)
            assert span is None or 0 <= span[0] <= span[1] <= len(octets)
