"""The words of SMTP as regular expressions, each under the ABNF it stands for.

What it is: pure readers of one word each (a client's name, a path, parameters, xtext, a base64 line). What it
is not: commands (`mta.smtp.commands`) or their order (`mta.smtp.session`); addresses are read by
`core.address` and nowhere else. Every reader raises `ReplyError` with the reply that the peer will read.
"""

from __future__ import annotations

import re

from core import reply
from core.address import MAX_DOMAIN, MAX_LOCAL_PART, MAX_PATH, AddressInvalid, Mailbox
from core.envelope import NULL_REVERSE_PATH, Notify, ReversePath
from core.errors import ReplyError

MAX_CLIENT_NAME = MAX_DOMAIN  # RFC 5321 §4.5.3.1.2
MAX_PATH_TEXT = MAX_PATH + MAX_LOCAL_PART  # ours: room for quotes that the canonical form drops
MAX_SIZE_DIGITS = 20  # RFC 1870 §4
MAX_ENVELOPE_ID = 100  # RFC 3461 §4.4
MAX_ORIGINAL_RECIPIENT = 500  # RFC 3461 §4.2
MAX_PARAMETERS = 16  # ours: twice what all extensions of this server know

# RFC 5321 §4.1.1.1: ehlo = "EHLO" SP ( Domain / address-literal ) CRLF
# Single labels and underscores are allowed too: the machines of doctors say their bare host name.
_CLIENT_NAME = re.compile(r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?|\[[!-Z^-~]{1,253}\])\Z")
# RFC 5321 §4.1.2: Path = "<" [ A-d-l ":" ] Mailbox ">"; Quoted-string may hold ">" and escaped octets.
_PATH = re.compile(r'<((?:"(?:[^"\\]|\\.)*"|[^<>"\s])*)>(?: +(.*))?\Z')
# RFC 5321 §4.1.2: esmtp-param = esmtp-keyword ["=" esmtp-value]
#                  esmtp-keyword = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-")
#                  esmtp-value = 1*(%d33-60 / %d62-126); RFC 6531 §3.3 adds UTF8-non-ascii
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~\u0080-\U0010ffff]+))?\Z")
# RFC 3461 §4: xtext = *( xchar / hexchar ); hexchar = "+" 2(%x30-39 / %x41-46)
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*\Z")
_HEXCHAR = re.compile(r"\+([0-9A-F]{2})")
# RFC 3461 §4.2: original-recipient-address = addr-type ";" xtext; addr-type = atom
_ORIGINAL_RECIPIENT = re.compile(r"([A-Za-z0-9-]{1,32});(.+)\Z")
# RFC 6533 §3: utf-8-addr-xtext and utf-8-addr-unitext, kept as written
_UTF8_ADDRESS = re.compile(r"(?:[!-*,-<>-~\u00a0-\U0010ffff]|\\x\{[0-9A-F]{2,6}\}|\+[0-9A-F]{2})+\Z")
_GRAPHIC = re.compile(r"[ -~]*\Z")


def refuse(answer: reply.Reply) -> ReplyError:
    """The error that carries this reply to the peer."""
    return ReplyError(answer)


def line_of(octets: bytes) -> str:
    """One command line without its CRLF and trailing blanks, as text. Raises ReplyError."""
    # RFC 5321 §2.3.8: CR and LF stand only together, at the end of a line.
    body = octets[:-2]
    if octets[-2:] != b"\r\n" or b"\r" in body or b"\n" in body or b"\0" in body:
        raise refuse(reply.BARE_LINE_END)
    try:
        return body.decode("utf-8").rstrip(" \t")  # RFC 5321 §4.1.1: trailing white space is tolerated
    except UnicodeDecodeError as error:
        raise refuse(reply.SYNTAX) from error


def client_name(text: str) -> str:
    """What EHLO or HELO says. Raises ReplyError."""
    if len(text) > MAX_CLIENT_NAME or not _CLIENT_NAME.match(text):
        raise refuse(reply.SYNTAX)
    return text


def split_path(text: str) -> tuple[str, str]:
    """`<path> parameters` as its two parts, without the brackets. Raises ReplyError."""
    match = _PATH.match(text)
    if match is None or len(match[1]) > MAX_PATH_TEXT:
        raise refuse(reply.SYNTAX)
    return match[1], match[2] or ""


def reverse_path(text: str) -> ReversePath:
    """The inside of MAIL FROM's brackets. Raises ReplyError; source routes are refused."""
    if not text:
        return NULL_REVERSE_PATH  # RFC 5321 §4.5.5
    try:
        return Mailbox.parse(text)  # RFC 5321 §C: a source route is no longer an address
    except AddressInvalid as error:
        raise refuse(reply.BAD_ORIGINATOR_SYNTAX) from error


def forward_path(text: str, postmaster: Mailbox | None) -> Mailbox:
    """The inside of RCPT TO's brackets. `postmaster` answers `<Postmaster>`. Raises ReplyError."""
    if postmaster is not None and text.lower() == "postmaster":
        return postmaster  # RFC 5321 §4.5.1: reserved, without a domain, in any case
    try:
        return Mailbox.parse(text)
    except AddressInvalid as error:
        raise refuse(reply.BAD_MAILBOX_SYNTAX) from error


def parameters(text: str) -> dict[str, str | None]:
    """Keyword (upper case) → value, None when there is no `=`. Raises ReplyError."""
    found: dict[str, str | None] = {}
    for word in text.split():
        match = _PARAMETER.match(word)
        if match is None or match[1].upper() in found or len(found) >= MAX_PARAMETERS:
            raise refuse(reply.SYNTAX)
        found[match[1].upper()] = match[2]
    return found


def xtext(text: str) -> str:
    """Decode xtext; the result is printable ASCII, so that no report can be given a false line."""
    if not _XTEXT.match(text):
        raise refuse(reply.SYNTAX)
    decoded = _HEXCHAR.sub(lambda match: chr(int(match[1], 16)), text)
    if not _GRAPHIC.match(decoded):
        raise refuse(reply.SYNTAX)  # RFC 3461 §4.4: graphic and white space characters of US-ASCII
    return decoded


def size(value: str | None) -> int:
    """SIZE=1*20DIGIT (RFC 1870 §4), in octets. Raises ReplyError."""
    if value is None or not value.isascii() or not value.isdigit() or len(value) > MAX_SIZE_DIGITS:
        raise refuse(reply.SYNTAX)
    return int(value)


def envelope_id(value: str | None) -> str:
    """ENVID (RFC 3461 §4.4), decoded. Raises ReplyError."""
    if value is None or len(value) > MAX_ENVELOPE_ID:
        raise refuse(reply.SYNTAX)
    return xtext(value)


_NOTIFY = {"SUCCESS": Notify.SUCCESS, "FAILURE": Notify.FAILURE, "DELAY": Notify.DELAY}


def notify(value: str | None) -> Notify:
    """NOTIFY (RFC 3461 §4.1): NEVER, or a list of the three others. Raises ReplyError."""
    words = (value or "").upper().split(",")
    if words == ["NEVER"]:
        return Notify.NEVER
    flags = Notify.ABSENT
    for word in words:
        flag = _NOTIFY.get(word)
        if flag is None or flag in flags:
            raise refuse(reply.SYNTAX)
        flags |= flag
    return flags


def original_recipient(value: str | None) -> str:
    """ORCPT (RFC 3461 §4.2, RFC 6533 §3): `type;address`, xtext decoded. Raises ReplyError."""
    match = _ORIGINAL_RECIPIENT.match(value or "")
    if match is None or len(match[0]) > MAX_ORIGINAL_RECIPIENT:
        raise refuse(reply.SYNTAX)
    if match[1].lower() != "utf-8":
        return f"{match[1]};{xtext(match[2])}"
    if not _UTF8_ADDRESS.match(match[2]) or not match[2].isprintable():
        raise refuse(reply.SYNTAX)
    return match[0]
