"""Strings as the server writes them: quoted when they can be, literals otherwise (RFC 3501 §4.3)."""

from __future__ import annotations

import re

from mta.imap.names import encode_utf7

MAX_QUOTED = 1024  # ours: a longer string is a literal
# RFC 3501 §9: QUOTED-CHAR = <any TEXT-CHAR except quoted-specials> / "\" quoted-specials
_QUOTABLE = re.compile(rb"[\x20-\x7e]*\Z")
_SPECIALS = re.compile(rb'(["\\])')


def string(octets: bytes) -> bytes:
    """RFC 3501 §9: string = quoted / literal."""
    if len(octets) <= MAX_QUOTED and _QUOTABLE.match(octets):
        return b'"' + _SPECIALS.sub(rb"\\\1", octets) + b'"'
    return literal(octets)


def literal(octets: bytes) -> bytes:
    """RFC 3501 §9: literal = "{" number "}" CRLF *CHAR8."""
    return b"{%d}\r\n%b" % (len(octets), octets)


def folder_name(name: str, *, utf8: bool = False) -> bytes:
    """A folder's name, quoted: in modified UTF-7, or in UTF-8 for clients that enabled it (RFC 6855 §3)."""
    if utf8:
        return b'"' + _SPECIALS.sub(rb"\\\1", name.encode()) + b'"'
    return string(encode_utf7(name))
