"""Header protection (RFC 9788): the fields that people read travel inside the seal, on their own octets.

What it is: `protect` (a letter to its outer fields and the payload to be sealed) and `restore` (an outer
letter and an opened payload to the letter that is delivered). What it is not: the seal. The subject is hidden
outside, except for boxes whose software must read it (`HeaderPolicy.READABLE`). Fields are copied, never
written again; only `Subject: [...]`, `HP-Outer:` and the parameter `hp` are ours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from core.message import HeaderField, HeaderMalformed, Message, originators_of
from core.mime import read_structure


class HeaderPolicy(Enum):
    """What stays readable outside an encrypted letter."""

    HIDDEN = "hidden"  # RFC 9788 §3.2.1 hcp_baseline, and the fields of the field's applications
    READABLE = "readable"  # RFC 9788 §3.2.3 hcp_no_confidentiality


@dataclass(frozen=True, slots=True)
class Protected:
    """The fields that stay outside, and the entity that is to be sealed."""

    outer: bytes
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """A letter to deliver. `from_differs`: the From inside was another, or unreadable; the outer one was kept."""

    letter: bytes
    is_protected: bool
    from_differs: bool


# Written on the way, or never to be shown to all readers: not copied inside (RFC 9788 §1.9, §2).
_OF_THE_WAY = re.compile(
    rb"(?:received|return-path|delivered-to|bcc|resent-.*|authentication-results|dkim-signature|arc-.*"
    rb"|x-vaguemestre-.*|hp-outer)\Z"
)
_STRUCTURAL = re.compile(rb"(?:content-.*|mime-version)\Z")  # RFC 9788 §1.9
_HIDDEN = re.compile(rb"(?:comments|keywords|x-mss-.*)\Z")
# Shown to people: when a protected letter has none inside, one outside was added by somebody.
_SHOWN = re.compile(
    rb"(?:date|from|sender|reply-to|to|cc|message-id|in-reply-to|references|subject|comments|keywords|x-mss-.*)\Z"
)
_SUBJECT_OUTSIDE = b"Subject: [...]\r\n"  # RFC 9788 §3.2.1


def protect(letter: bytes, *, is_encrypted: bool, policy: HeaderPolicy = HeaderPolicy.HIDDEN) -> Protected:
    """Split a letter into outer fields and payload. The letter passed `core.message.check_header`."""
    message = Message(letter)
    copies, outer, structural = [], [], []
    for field in message.fields:
        octets = _octets(letter, field)
        if _STRUCTURAL.match(field.name):
            structural.append(octets if field.name != b"mime-version" else b"")
            continue
        shown = _outside(field, octets) if is_encrypted and policy is HeaderPolicy.HIDDEN else octets
        outer.append(shown)
        if not _OF_THE_WAY.match(field.name):
            copies.append(octets)
            if is_encrypted and shown:
                copies.append(b"HP-Outer: " + shown)  # RFC 9788 §2.2
    mark = b'hp="cipher"' if is_encrypted else b'hp="clear"'  # RFC 9788 §2.1
    content = b"".join(_marked(structural, mark))
    return Protected(b"".join(outer), b"".join((*copies, content, b"\r\n", message.body)))


def restore(letter: bytes, payload: bytes) -> Restored:
    """Put an opened payload under the outer fields of its letter; protected fields replace those outside.

    On a From that differs the outer one stays, because the doors judged that one. RFC 9788 §4.4.
    """
    outside, inside = Message(letter), Message(payload)
    has_fields = is_protected(payload)
    structural = [_octets(payload, f) for f in inside.fields if f.name.startswith(b"content-")]
    protected = [f for f in inside.fields if not _STRUCTURAL.match(f.name) and not _OF_THE_WAY.match(f.name)]
    if not has_fields:
        protected = []
    differs = has_fields and _authors(outside) != _authors(inside)
    if differs:
        protected = [field for field in protected if field.name not in (b"from", b"sender")]
    names = {field.name for field in protected}
    kept = [
        _octets(letter, field)
        for field in outside.fields
        if not _STRUCTURAL.match(field.name)
        and field.name not in names
        and not (has_fields and _SHOWN.match(field.name) and not (differs and field.name in _AUTHORS))
    ]
    fields = (*kept, *(_octets(payload, field) for field in protected), b"MIME-Version: 1.0\r\n")
    body = payload[inside.body_start :]
    whole = b"".join((*fields, *structural, b"\r\n", body))
    return Restored(letter=with_line_ends(whole), is_protected=has_fields, from_differs=differs)


def is_protected(payload: bytes) -> bool:
    """Whether the payload says that it carries the fields of its letter (RFC 9788 §2.1)."""
    return read_structure(payload).parameter(b"hp") in (b"clear", b"cipher")


_AUTHORS = frozenset({b"from", b"sender"})
_BARE = re.compile(rb"\r\n|\r|\n")


def with_line_ends(octets: bytes) -> bytes:
    """The octets with every line end as CRLF: what came out of an envelope passed no door (RFC 5321 §2.3.8)."""
    if octets.count(b"\n") == octets.count(b"\r\n") == octets.count(b"\r"):
        return octets
    return _BARE.sub(b"\r\n", octets)


def _outside(field: HeaderField, octets: bytes) -> bytes:
    if field.name == b"subject":
        return _SUBJECT_OUTSIDE
    return b"" if _HIDDEN.match(field.name) else octets


def _marked(structural: list[bytes], mark: bytes) -> list[bytes]:
    """The structural fields with `hp` added to Content-Type, which is made when there is none."""
    for index, octets in enumerate(structural):
        if octets[:13].lower() == b"content-type:":
            body = octets.rstrip(b"\r\n\t ;")
            return [*structural[:index], body + b";\r\n " + mark + b"\r\n", *structural[index + 1 :]]
    # RFC 2045 §5.2: what the absence of the field means, said.
    return [*structural, b"Content-Type: text/plain; charset=us-ascii;\r\n " + mark + b"\r\n"]


def _octets(letter: bytes, field: HeaderField) -> bytes:
    octets = letter[field.start : field.end]
    return octets if octets.endswith(b"\n") else octets + b"\r\n"


def _authors(message: Message) -> object:
    try:
        return originators_of(message).from_mailboxes
    except HeaderMalformed:
        return message.octets  # equal to nothing else
