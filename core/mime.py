"""The structure of a letter: where each MIME part begins and ends in the original octets.

What it is: a bounded reader (`read_structure`) that gives a frozen tree of `Part`, and bounded decoders
(`decode_body`). What it is not: a writer, a sanitiser, or forgiving: beyond a limit, or where two readers would
see two structures, a part is *opaque*, a leaf of type application/octet-stream that is shown whole. Hostile
mail never raises here. Work is linear: see `_Reader.budget`. Start at `read_structure`.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, takewhile

from core.errors import PermanentError
from core.message import MAX_HEADER, base64_octets, header_end, raw_fields

MAX_DEPTH = 100  # Postfix mime_nesting_limit
MAX_PARTS = (
    1_000  # ours: read in less than the 20 ms for which one letter may hold the loop; Dovecot has 10,000
)
MAX_BOUNDARY = 2_048  # octets; Postfix mime_boundary_length_limit (RFC 2046 §5.1.1 says 70)
MAX_PARAMETERS = 200  # of one field; ours
MAX_FALSE_DELIMITERS = 10_000  # lines of one letter that begin like a delimiter and are none; ours
MAX_PASSES = 12  # times the octets of one letter are searched, all levels together; ours
SMALL_LETTER = 4_000_000  # octets that may be searched beyond that, so that small letters may be deep; ours

Parameters = tuple[tuple[bytes, bytes], ...]
NO_PARAMETERS: Parameters = ()


class DecodedTooBig(PermanentError):
    """The decoded body would be longer than the caller allows."""


@dataclass(frozen=True, slots=True)
class FieldValue:
    """The value of a structured MIME field: its first token in lower case, and parameters as written."""

    value: bytes
    parameters: Parameters = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part. Offsets count from the first octet of the letter; header [header_start, body_start)."""

    media_type: bytes  # lower case
    subtype: bytes
    parameters: Parameters = ()
    encoding: bytes = b"7bit"
    content_id: bytes | None = None
    description: bytes | None = None
    disposition: FieldValue | None = None
    language: tuple[bytes, ...] = ()
    location: bytes | None = None
    md5: bytes | None = None
    header_start: int
    body_start: int
    body_end: int
    lines: int = 0  # line ends of the body; counted for text and message/rfc822 only
    children: tuple[Part, ...] = ()  # of a multipart: at least one
    message: Part | None = None  # of a message/rfc822: the letter inside

    @property
    def is_multipart(self) -> bool:
        """Whether the part was opened as a multipart."""
        return bool(self.children)

    @property
    def size(self) -> int:
        """Octets of the body, as it stands."""
        return self.body_end - self.body_start

    def parameter(self, name: bytes) -> bytes | None:
        """The value of a parameter by its lower-case name."""
        return next((value for key, value in self.parameters if key.lower() == name), None)


def read_structure(octets: bytes) -> Part:
    """The part tree of a whole letter. Never raises; linear in the octets."""
    return _Reader(octets).entity(0, len(octets), 0)


TEXT = (b"text", b"plain")
OPAQUE = (b"application", b"octet-stream")
RFC822 = (b"message", b"rfc822")
_IDENTITY_ENCODINGS = frozenset({b"7bit", b"8bit", b"binary"})


class _Reader:
    """One letter being read; `budget` octets may still be searched, `parts` and `false_hits` are counted."""

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self.budget = MAX_PASSES * len(octets) + SMALL_LETTER
        self.parts = 0
        self.false_hits = 0

    @property
    def exhausted(self) -> bool:
        """Whether a limit of the whole letter is reached: what is not yet opened stays opaque."""
        return self.parts >= MAX_PARTS or self.budget < 0 or self.false_hits > MAX_FALSE_DELIMITERS

    def entity(self, start: int, end: int, depth: int, default: tuple[bytes, bytes] = TEXT) -> Part:
        """The part whose header begins at `start`."""
        octets = self.octets
        self.parts += 1
        body_start = header_end(octets, start, end)
        if body_start - start > MAX_HEADER:
            return self.opaque(start, body_start, end)
        fields = raw_fields(octets, start, body_start)
        content_type = fields.get(b"content-type")
        value = None if content_type is None else parse_value(content_type)
        if content_type is not None and (value is None or len(value.parameters) > MAX_PARAMETERS):
            return self.opaque(start, body_start, end)
        kind, parameters = default, NO_PARAMETERS
        if value is not None and value.value.count(b"/") == 1:
            media_type, _, subtype = value.value.partition(b"/")
            kind, parameters = (media_type, subtype), join_continuations(value.parameters)
        elif value is not None:
            kind = TEXT  # RFC 2045 §5.2: a Content-Type that cannot be read is text/plain
        return self._with_body(fields, kind, parameters, (start, body_start, end), depth)

    def _with_body(
        self,
        fields: dict[bytes, bytes],
        kind: tuple[bytes, bytes],
        parameters: Parameters,
        span: tuple[int, int, int],
        depth: int,
    ) -> Part:
        start, body_start, end = span
        encoding = _first_token(fields.get(b"content-transfer-encoding")) or b"7bit"
        children: tuple[Part, ...] = ()
        inner: Part | None = None
        if kind[0] == b"multipart":
            boundary = _boundary(parameters)
            if depth >= MAX_DEPTH or boundary is None:
                return self.opaque(start, body_start, end)
            default = RFC822 if kind[1] == b"digest" else TEXT  # RFC 2046 §5.1.5
            children = self.children(boundary, body_start, end, depth + 1, default)
            if not children:
                return self.opaque(start, body_start, end)
        elif kind == RFC822:
            # RFC 2046 §5.2.1: no other encoding is permitted, so nobody agrees on what would be inside
            self.budget -= end - body_start
            if depth >= MAX_DEPTH or encoding not in _IDENTITY_ENCODINGS or self.exhausted:
                return self.opaque(start, body_start, end, encoding)
            inner = self.entity(body_start, end, depth + 1)
        counts_lines = kind[0] == b"text" or inner is not None
        return Part(
            media_type=kind[0],
            subtype=kind[1],
            parameters=parameters,
            encoding=encoding,
            content_id=fields.get(b"content-id"),
            description=fields.get(b"content-description"),
            disposition=_disposition(fields.get(b"content-disposition")),
            language=_languages(fields.get(b"content-language")),
            location=fields.get(b"content-location"),
            md5=fields.get(b"content-md5"),
            header_start=start,
            body_start=body_start,
            body_end=end,
            lines=self.octets.count(b"\n", body_start, end) if counts_lines else 0,
            children=children,
            message=inner,
        )

    def opaque(self, start: int, body_start: int, end: int, encoding: bytes = b"7bit") -> Part:
        """A part that is shown whole and never opened."""
        return Part(
            media_type=OPAQUE[0],
            subtype=OPAQUE[1],
            encoding=encoding,
            header_start=start,
            body_start=body_start,
            body_end=end,
        )

    def children(
        self, boundary: bytes, start: int, end: int, depth: int, default: tuple[bytes, bytes]
    ) -> tuple[Part, ...]:
        """The parts between the delimiters of `boundary` (RFC 2046 §5.1.1) in the body [start, end)."""
        found: list[Part] = []
        opened = -1
        for line_start, next_line, is_close in self._delimiters(boundary, start, end):
            if opened >= 0:
                found.append(self.entity(opened, max(opened, line_start), depth, default))
            opened = -1 if is_close else next_line
            if is_close or self.exhausted:
                break
        if opened >= 0 and self.exhausted:
            found.append(self.opaque(opened, opened, end))
        elif opened >= 0:  # the last delimiter is missing: the part ends where the body ends
            found.append(self.entity(opened, end, depth, default))
        return tuple(found)

    def _delimiters(self, boundary: bytes, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
        """(end of the part before, start of the part after, whether it is the last) of each delimiter line."""
        octets, needle = self.octets, b"\n--" + boundary
        position = start - 1  # the line end before the body may begin the first delimiter
        while True:
            hit = octets.find(needle, position, end)
            self.budget -= (hit if hit >= 0 else end) - position
            if hit < 0 or self.budget < 0:
                return
            tail = _DELIMITER_TAIL.match(octets, hit + len(needle), end)
            if tail is None:
                self.false_hits += 1
                if self.exhausted:
                    return
                position = hit + len(needle)
                continue
            yield hit - (hit > start and octets[hit - 1] == 0x0D), tail.end(), tail[1] is not None
            position = tail.end() - 1


_DELIMITER_TAIL = re.compile(rb"(--)?[ \t]*+(?:\r?\n|\Z)")  # RFC 2046 §5.1.1: transport padding


# --- structured fields (RFC 2045 §5.1, RFC 2183, RFC 2231) --------------------------------------------------
_VALUE = re.compile(rb"[ \t]*+([^\s;()\"=,<>@\\\[\]?:/]++)(?:[ \t]*+/[ \t]*+([^\s;()\"=,<>@\\\[\]?:/]++))?")
_PARAMETER = re.compile(
    rb'[ \t]*+;[ \t]*+([^\s;="()]++)[ \t]*+=[ \t]*+(?:"((?:[^"\\]|\\.)*)"|([^\s;"()]*+))', re.DOTALL
)
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)
_COMMENT_MARK = re.compile(rb'"(?:[^"\\]|\\.)*"|\\.|[()]', re.DOTALL)


def parse_value(body: bytes) -> FieldValue | None:
    """Read an unfolded field body `token[/token] *(; name=value)`; None when it has no reading.

    At most MAX_PARAMETERS + 1 parameters are given: more than MAX_PARAMETERS means too many.
    """
    cleaned = _without_comments(body) if b"(" in body else body
    match = _VALUE.match(cleaned) if cleaned is not None else None
    if match is None or cleaned is None:
        return None
    parameters: list[tuple[bytes, bytes]] = []
    position = match.end()
    while len(parameters) <= MAX_PARAMETERS:
        position = cleaned.find(b";", position)
        if position < 0:
            break
        found = _PARAMETER.match(cleaned, position)
        if found is None:
            position += 1
            continue
        quoted = found[2]
        if quoted is not None and b"\\" in quoted:
            quoted = _QUOTED_PAIR.sub(rb"\1", quoted)
        parameters.append((found[1].lower(), found[3] if quoted is None else quoted))
        position = found.end()
    token = match[1] if match[2] is None else match[1] + b"/" + match[2]
    return FieldValue(token.lower(), tuple(parameters))


def _without_comments(body: bytes) -> bytes | None:
    kept: list[bytes] = []
    depth = position = 0
    for mark in _COMMENT_MARK.finditer(body):
        octet = mark.group()
        if octet == b"(":
            if depth == 0:
                kept.append(body[position : mark.start()])
            depth += 1
        elif octet == b")" and depth:
            depth -= 1
            position = mark.end()
    return None if depth else b" ".join((*kept, body[position:]))


_CONTINUATION = re.compile(rb"([^*]++)\*(0|[1-9][0-9]{0,2})(\*)?\Z")


def join_continuations(parameters: Parameters) -> Parameters:
    """Join `name*0`, `name*1` … into one (RFC 2231 §3 and §6); a joined value with a charset is named `name*`."""
    if not any(b"*" in name for name, _ in parameters):
        return parameters
    plain: list[tuple[bytes, bytes]] = []
    pieces: dict[bytes, dict[int, tuple[bytes, bool]]] = {}
    for name, value in parameters:
        match = _CONTINUATION.match(name)
        if match is None:
            plain.append((name, value))
        else:
            pieces.setdefault(match[1], {}).setdefault(int(match[2]), (value, match[3] is not None))
    for name, numbered in pieces.items():
        run = [numbered[index] for index in takewhile(numbered.__contains__, count())]
        if not run:
            continue
        if any(is_extended for _, is_extended in run):
            joined = b"".join(v if is_extended else _percent(v) for v, is_extended in run)
            plain.append((name + b"*", joined))
        else:
            plain.append((name, b"".join(v for v, _ in run)))
    return tuple(plain)


def _percent(value: bytes) -> bytes:
    return b"".join(
        b"%%%02X" % octet if octet in b"%'* " or octet > 0x7E else bytes((octet,)) for octet in value
    )


def _boundary(parameters: Parameters) -> bytes | None:
    values = {value.rstrip(b" \t") for name, value in parameters if name == b"boundary"}
    if len(values) != 1:
        return None  # none, or two that differ: two readers would see two structures
    value = values.pop()
    return value if 0 < len(value) <= MAX_BOUNDARY and b"\n" not in value else None


def _first_token(body: bytes | None) -> bytes | None:
    value = parse_value(body) if body else None
    return value.value if value else None


def _disposition(body: bytes | None) -> FieldValue | None:
    value = parse_value(body) if body else None
    if value is None or len(value.parameters) > MAX_PARAMETERS:
        return None
    return FieldValue(value.value, join_continuations(value.parameters))


_LANGUAGE = re.compile(rb"[A-Za-z0-9-]{1,64}")  # RFC 5646 tags, RFC 3282


def _languages(body: bytes | None) -> tuple[bytes, ...]:
    return tuple(_LANGUAGE.findall(body)[:MAX_PARAMETERS]) if body else ()


# --- bodies -------------------------------------------------------------------------------------------------
def decode_body(octets: bytes, encoding: bytes, *, limit: int) -> bytes:
    """Undo a Content-Transfer-Encoding (RFC 2045 §6). Raises DecodedTooBig beyond `limit` octets.

    Damaged base64 is read up to its first padding; an unknown encoding is refused with PermanentError.
    """
    if encoding == b"base64":
        return decode_base64(octets, limit=limit)
    if encoding not in _IDENTITY_ENCODINGS and encoding != b"quoted-printable":
        raise PermanentError("unknown content transfer encoding")
    # Quoted-printable never grows: the input is at least as long as what comes out.
    decoded = binascii.a2b_qp(octets) if encoding == b"quoted-printable" else octets
    if len(decoded) > limit:
        raise DecodedTooBig("the decoded body is too big")
    return decoded


def decode_base64(octets: bytes, *, limit: int) -> bytes:
    """Base64 up to its first padding, other octets ignored (RFC 2045 §6.8). Raises DecodedTooBig."""
    decoded = base64_octets(octets)
    if len(decoded) > limit:
        raise DecodedTooBig("the decoded body is too big")
    return decoded
