"""The first words of a letter, for the list of a phone (RFC 8970): at most 200 characters of its first text.

What it is: `preview_of`, pure, linear in what it is given, which is the start of a letter. What it is not: a
reading of HTML for display; tags are left out, and what stands in styles and scripts.
"""

from __future__ import annotations

import contextlib
import html
import re
from collections.abc import Iterator

from core.errors import PermanentError
from core.message import decode_charset
from core.mime import Part, decode_body, read_structure

PREVIEW_READ = 64 * 1024  # ours: octets at the start of a letter in which its first text is looked for
MAX_CHARACTERS = 200  # RFC 8970 §3.2
MAX_DECODED = 16 * 1024  # ours: octets of the first text that are looked at
_HIDDEN = frozenset({"style", "script", "head", "title", "template"})
_TAG = re.compile(r"/?[A-Za-z][A-Za-z0-9]*")
_INLINE = frozenset({"b", "i", "u", "em", "strong", "span", "font", "a", "small", "sub", "sup"})
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]+")


def preview_of(start: bytes) -> str:
    """The preview of a letter that begins with these octets; empty when no text is among them. Never raises."""
    found = list(_texts(read_structure(start)))
    chosen = next((part for part in found if part.subtype != b"html"), found[0] if found else None)
    if chosen is None:
        return ""
    octets = start[chosen.body_start : chosen.body_end][: 2 * MAX_DECODED]
    with contextlib.suppress(PermanentError):
        octets = decode_body(octets, chosen.encoding, limit=len(octets))
    charset = (chosen.parameter(b"charset") or b"utf-8").decode("ascii", "replace")
    text = decode_charset(octets[:MAX_DECODED], charset)
    if chosen.subtype == b"html":
        text = html.unescape("".join(_without_tags(text)))
    return " ".join(_UNSEEN.sub(" ", text).split())[:MAX_CHARACTERS].rstrip()


def _texts(part: Part) -> Iterator[Part]:
    """Text parts that are not attached, in their order; letters inside are not previewed."""
    for child in part.children:
        yield from _texts(child)
    attached = part.disposition is not None and part.disposition.value == b"attachment"
    if part.media_type == b"text" and not attached:
        yield part


def _without_tags(text: str) -> Iterator[str]:
    first, *pieces = text.split("<")
    yield first
    hidden = ""
    for piece in pieces:
        match = _TAG.match(piece)
        name = match.group().lower() if match else ""
        rest = piece.partition(">")[2]
        if hidden:
            if name != "/" + hidden:
                continue
            hidden = ""
        elif name in _HIDDEN:
            hidden = name
            continue
        yield rest if name.removeprefix("/") in _INLINE else " " + rest
