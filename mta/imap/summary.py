"""What FETCH needs of a letter, computed once at delivery: ENVELOPE, BODY, BODYSTRUCTURE, part table.

What it is: `summarise`, pure, linear, about a tenth of a millisecond for a common letter. What it is not: the
FETCH grammar, or a judgement on the letter. Hostile letters get a poor summary, never an exception.
"""

from __future__ import annotations

from core.folder import Summary
from core.message import raw_fields
from core.mime import FieldValue, Parameters, Part, read_structure
from mta.imap.envelope import envelope_text, nstring
from mta.imap.parts import PartTable
from mta.imap.sent_date import read_date


def summarise(octets: bytes, internal_date: int) -> Summary:
    """The summary of a whole letter, as it will be stored; `internal_date` (seconds since 1970) if it has no Date."""
    root = read_structure(octets)
    fields = raw_fields(octets, root.header_start, root.body_start)
    body, body_structure = _structure(octets, root)
    sent = read_date(fields.get(b"date", b""))
    return Summary(
        envelope=envelope_text(fields),
        body=body,
        body_structure=body_structure,
        parts=PartTable.of(root).dump(),
        header_size=root.body_start,
        sent_date=sent.epoch if sent else internal_date,
    )


def _structure(octets: bytes, part: Part) -> tuple[bytes, bytes]:
    """(BODY, BODYSTRUCTURE) of one part (RFC 3501 §7.4.2)."""
    tail = b"%b %b %b" % (_disposition(part.disposition), _languages(part.language), nstring(part.location))
    if part.children:
        inner = [_structure(octets, child) for child in part.children]
        subtype = nstring(part.subtype)
        body = b"(%b %b)" % (b"".join(short for short, _ in inner), subtype)
        extended = b"".join(long for _, long in inner)
        return body, b"(%b %b %b %b)" % (extended, subtype, _parameters(part.parameters), tail)
    fields = b"%b %b %b %b %b %b %d" % (
        nstring(part.media_type),
        nstring(part.subtype),
        _parameters(_with_charset(part)),
        nstring(part.content_id),
        nstring(part.description),
        nstring(part.encoding),
        part.size,
    )
    extension = b"%b %b" % (nstring(part.md5), tail)
    if part.message is not None:
        letter = part.message
        envelope = envelope_text(raw_fields(octets, letter.header_start, letter.body_start))
        short, long = _structure(octets, letter)
        return (
            b"(%b %b %b %d)" % (fields, envelope, short, part.lines),
            b"(%b %b %b %d %b)" % (fields, envelope, long, part.lines, extension),
        )
    if part.media_type == b"text":
        return b"(%b %d)" % (fields, part.lines), b"(%b %d %b)" % (fields, part.lines, extension)
    return b"(%b)" % fields, b"(%b %b)" % (fields, extension)


_CHARSET = (b"charset", b"charset*")


def _with_charset(part: Part) -> Parameters:
    # RFC 2045 §5.2: text without a charset is US-ASCII, and clients expect to read so.
    if part.media_type != b"text" or any(name in _CHARSET for name, _ in part.parameters):
        return part.parameters
    return (*part.parameters, (b"charset", b"us-ascii"))


def _parameters(parameters: Parameters) -> bytes:
    if not parameters:
        return b"NIL"
    return b"(" + b" ".join([nstring(text) for pair in parameters for text in pair]) + b")"


def _disposition(disposition: FieldValue | None) -> bytes:
    if disposition is None:
        return b"NIL"
    return b"(%b %b)" % (nstring(disposition.value), _parameters(disposition.parameters))


def _languages(languages: tuple[bytes, ...]) -> bytes:
    return b"(" + b" ".join([nstring(language) for language in languages]) + b")" if languages else b"NIL"
