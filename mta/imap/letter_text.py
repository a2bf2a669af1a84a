"""The words of a letter as a search sees them: decoded, and folded so that case and accents do not matter.

What it is: the header's fields, and every text part with its encoding and charset undone. What it is not: a
reader for people (tags of HTML stay), or of documents: of a PDF only its MIME header (its name) is seen.
Everything is bounded by the letter itself; a part that cannot be decoded is searched as it stands.
"""

from __future__ import annotations

import contextlib
import html
from collections.abc import Iterator

from core.errors import PermanentError
from core.message import Message, decode_charset, decode_words, fold
from core.mime import Part, decode_body, read_structure


def field_texts(letter: bytes) -> Iterator[str]:
    """Every field of the header, `name: what it says`, folded."""
    for field in Message(letter).fields:
        yield fold(f"{field.name.decode('ascii', 'replace')}: {decode_words(field.unfolded)}")


def body_texts(letter: bytes) -> Iterator[str]:
    """Every text of the body, folded: text parts, headers of parts, letters inside with their headers."""
    yield from _texts(letter, read_structure(letter))


def _texts(letter: bytes, part: Part) -> Iterator[str]:
    if part.message is not None:
        inner = part.message
        yield from field_texts(letter[inner.header_start : inner.body_start])
        yield from _texts(letter, inner)
    for child in part.children:
        if child.body_start > child.header_start:
            yield fold(decode_words(letter[child.header_start : child.body_start]))
        yield from _texts(letter, child)
    if part.media_type == b"text":
        yield fold(_decoded(letter[part.body_start : part.body_end], part))


def _decoded(octets: bytes, part: Part) -> str:
    with contextlib.suppress(PermanentError):  # an unknown encoding: what stands there is searched
        octets = decode_body(octets, part.encoding, limit=len(octets))
    text = decode_charset(octets, (part.parameter(b"charset") or b"utf-8").decode("ascii", "replace"))
    return html.unescape(text) if part.subtype == b"html" and "&" in text else text
