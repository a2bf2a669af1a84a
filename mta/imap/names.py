"""Names of folders: modified UTF-7 on the wire, Unicode inside, patterns of LIST, and what may be created.

What it is: RFC 3501 §5.1 as pure functions. What it is not: the folders themselves. A name never becomes a
path of the file system, and still none is let in that could be one.
"""

from __future__ import annotations

import binascii
import re
import unicodedata

from core.errors import PermanentError
from core.folder import INBOX

SEPARATOR = "/"
MAX_NAME = 255  # ours: characters of a whole name, as Dovecot
MAX_LEVELS = 16  # ours
MAX_PATTERN = 1024  # ours: octets of a LIST pattern
MAX_WILDCARDS = 10  # ours: runs of `*` and `%` in a pattern; each multiplies the work of a match


class NameInvalid(PermanentError):
    """No folder can have this name. The message never repeats it."""


_RUN = re.compile(r"[^\x20-\x7e]+")
_SHIFTED = re.compile(rb"&([A-Za-z0-9+,]*)-")


def encode_utf7(name: str) -> bytes:
    """RFC 3501 §5.1.3: printable ASCII stands for itself, `&` is `&-`, the rest is modified base64 of UTF-16BE."""

    def shift(match: re.Match[str]) -> str:
        octets = match.group().encode("utf-16-be", "surrogatepass")
        return "&" + binascii.b2a_base64(octets, newline=False).decode().rstrip("=").replace("/", ",") + "-"

    return _RUN.sub(shift, name.replace("&", "&-")).encode("ascii")


def decode_utf7(wire: bytes) -> str:
    """The Unicode of a name as it was sent. Raises `NameInvalid` for anything but the one right encoding."""
    try:
        name = _SHIFTED.sub(_unshift, wire).decode("utf-8")
    except (ValueError, UnicodeError) as error:
        raise NameInvalid("this is not modified UTF-7") from error
    # RFC 3501 §5.1.3: one name has one encoding; a second one would be a second name for the same folder.
    if encode_utf7(name) != wire:
        raise NameInvalid("this is not modified UTF-7")
    return name


def decode_utf8(wire: bytes) -> str:
    """A name as clients send it that enabled UTF8=ACCEPT (RFC 6855 §3). Raises `NameInvalid`."""
    try:
        return wire.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NameInvalid("this is not UTF-8") from error


def _unshift(match: re.Match[bytes]) -> bytes:
    if not match[1]:
        return b"&"
    padded = match[1].replace(b",", b"/") + b"=" * (-len(match[1]) % 4)
    return binascii.a2b_base64(padded).decode("utf-16-be").encode("utf-8")


def canonical(name: str) -> str:
    """INBOX in any case is INBOX (RFC 3501 §5.1), also as the first level; a final separator is dropped (§6.3.3)."""
    first, separator, rest = unicodedata.normalize("NFC", name).removesuffix(SEPARATOR).partition(SEPARATOR)
    return (INBOX if first.upper() == INBOX else first) + separator + rest


def read_name(wire: bytes, *, utf8: bool = False) -> str:
    """The canonical name that a client sent. Raises `NameInvalid`."""
    name = canonical(decode_utf8(wire) if utf8 else decode_utf7(wire))
    if not name or len(name) > MAX_NAME:
        raise NameInvalid("a name has 1 to 255 characters")
    if any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in name):
        raise NameInvalid("a name holds no control characters")
    return name


def new_name(wire: bytes, *, utf8: bool = False) -> str:
    """The name of a folder to be made. Raises `NameInvalid` where a name would confuse clients or people."""
    name = read_name(wire, utf8=utf8)
    levels = name.split(SEPARATOR)
    if len(levels) > MAX_LEVELS or any(not level or level in (".", "..") for level in levels):
        raise NameInvalid("levels are not empty, `.` or `..`, and at most sixteen")
    if any(level != level.strip() for level in levels) or any(c in name for c in "*%\\"):
        raise NameInvalid("a name holds no wildcards, backslashes or outer blanks")
    return name


def superiors(name: str) -> list[str]:
    """The names above, the highest first (RFC 3501 §6.3.3)."""
    levels = name.split(SEPARATOR)
    return [SEPARATOR.join(levels[:count]) for count in range(1, len(levels))]


class Pattern:
    """A LIST pattern: `*` is anything, `%` anything within one level (RFC 3501 §6.3.8).

    Matching costs at most length of pattern times length of name, whatever the stars.
    """

    __slots__ = ("_text",)

    def __init__(self, reference: bytes, wire: bytes, *, utf8: bool = False) -> None:
        if len(reference) + len(wire) > MAX_PATTERN:
            raise NameInvalid("this pattern is too long")
        octets = reference + wire
        text = (octets if utf8 else _SHIFTED.sub(_lenient, octets)).decode("utf-8", "replace")
        text = re.sub(r"[*%]*\*[*%]*", "*", unicodedata.normalize("NFC", text))
        text = re.sub("%+", "%", text)
        if text.count("*") + text.count("%") > MAX_WILDCARDS:
            raise NameInvalid("this pattern has too many wildcards")
        first, separator, rest = text.partition(SEPARATOR)
        self._text = (INBOX if first.upper() == INBOX else first) + separator + rest

    def holds(self, name: str) -> bool:
        """Whether the name is one that the pattern means; a mismatch of the INBOX's case is none."""
        if name == INBOX and SEPARATOR not in self._text:
            return _matches(self._text.upper(), name)
        return _matches(self._text, name)


def _lenient(match: re.Match[bytes]) -> bytes:
    try:
        return _unshift(match)
    except ValueError:
        return match.group()


def _matches(pattern: str, name: str) -> bool:
    """All states at once: the set of pattern positions that some prefix of the name can reach."""
    states = _closure({0}, pattern)
    for character in name:
        reached = set()
        for state in states:
            if state == len(pattern):
                continue
            expected = pattern[state]
            if expected == "*" or (expected == "%" and character != SEPARATOR):
                reached.add(state)
            elif expected == character and expected != "%":
                reached.add(state + 1)
        states = _closure(reached, pattern)
        if not states:
            return False
    return len(pattern) in states


def _closure(states: set[int], pattern: str) -> set[int]:
    out = set(states)
    for state in states:
        while state < len(pattern) and pattern[state] in "*%":
            state += 1
            out.add(state)
    return out
