"""The fields a letter gathers on its way, and the loop count (RFC 5321 §4.4, RFC 8601).

What it is: writers of Received, Return-Path, X-Vaguemestre-Security and Authentication-Results, `strip_foreign`
(what no stranger may say in our name) and `count_hops`. What it is not: a rewriter of anything else. Every
value is made printable ASCII without line ends before it is written; no field can be injected here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from core.address import AddressInvalid, Domain
from core.envelope import ReversePath
from core.errors import LocalProtocolError
from core.message import HeaderField, Message, field_pattern, named_fields

MAX_LINE = 998  # RFC 5322 §2.1.1
PREFERRED_LINE = 78  # RFC 5322 §2.1.1
MAX_VALUE = 450  # octets of a DN that are written: escaped once more, they fit one line; ours

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def date_text(at: datetime) -> str:
    """`Fri, 14 Nov 2025 09:12:00 +0100` (RFC 5322 §3.3). Raises LocalProtocolError for a naive time."""
    offset = at.utcoffset()
    if offset is None:
        raise LocalProtocolError("a time without its zone")
    minutes = int(offset.total_seconds()) // 60
    sign, minutes = ("-", -minutes) if minutes < 0 else ("+", minutes)
    day = f"{_DAYS[at.weekday()]}, {at.day} {_MONTHS[at.month - 1]} {at.year:04d}"
    return f"{day} {at:%H:%M:%S} {sign}{minutes // 60:02d}{minutes % 60:02d}"


# --- Received -----------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """How the letter came to us. `client_name` and `network` are written for the relay door only."""

    by: Domain
    spool_id: str
    is_submission: bool = False
    client_name: str = ""  # what EHLO said
    network: str = ""  # the peer's IP address
    tls_version: str = ""  # "TLSv1.3"; empty in clear
    tls_cipher: str = ""
    smtputf8: bool = False


_EHLO_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,253}\Z|\[[A-Za-z0-9:.]{2,60}\]\Z")  # RFC 5321 §4.1.2
_IP = re.compile(r"[0-9A-Fa-f:.]{2,45}\Z")
_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")


def received_field(hop: Hop, at: datetime) -> bytes:
    """The Received field of this hop with its CRLF (RFC 5321 §4.4).

    Of a submission it tells neither name nor address of the client (RFC 5321 §7.6); `for` is never written,
    because a recipient's address may be an identity.
    """
    words = [f"from {_client(hop)}", f"by {hop.by.ascii}", f"with {_protocol(hop)}"]
    if hop.tls_version:
        cipher = f" cipher {_token(hop.tls_cipher)}" if hop.tls_cipher else ""
        words[-1] += f" (using {_token(hop.tls_version)}{cipher})"
    return field("Received", [*words, f"id {_token(hop.spool_id)};", date_text(at)])


def _client(hop: Hop) -> str:
    if hop.is_submission:
        return "mua.invalid"  # RFC 5321 §4.4 wants a name here, RFC 2606 §2 has one that is nobody's
    name = hop.client_name if _EHLO_NAME.match(hop.client_name) else "unknown.invalid"
    if not _IP.match(hop.network):
        return name
    literal = f"[IPv6:{hop.network}]" if ":" in hop.network else f"[{hop.network}]"  # RFC 5321 §4.1.3
    return f"{name} ({literal})"


def _protocol(hop: Hop) -> str:
    # RFC 3848: ESMTP, S under TLS, A when authenticated; RFC 6531 §4.3: UTF8SMTP in its place
    stem = "UTF8SMTP" if hop.smtputf8 else "ESMTP"
    return stem + ("S" if hop.tls_version else "") + ("A" if hop.is_submission else "")


def _token(text: str) -> str:
    if not _TOKEN.match(text):
        raise LocalProtocolError("a value that may not stand in a trace field")
    return text


def return_path_field(reverse_path: ReversePath) -> bytes:
    """`Return-Path: <…>` with its CRLF, put before the letter at final delivery (RFC 5321 §4.4)."""
    return b"Return-Path: <" + str(reverse_path).encode("utf-8") + b">\r\n"


# --- what was verified --------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What this operator verified of a letter on its arrival."""

    kind: str  # "transport-only", "submitted"
    peer: str = ""  # the certificate's DN, as the trust list names it
    tls_version: str = ""


def security_fields(authserv_id: Domain, verdict: Verdict) -> bytes:
    """Our two fields: X-Vaguemestre-Security for people, Authentication-Results for software (RFC 8601 §2.2).

    Letters outside ASCII in a DN are written as RFC 4514 §2.4 hexpairs.
    """
    words = [_token(verdict.kind)]
    if verdict.peer:
        words.append(f"peer={_quoted(verdict.peer)}")
    if verdict.tls_version:
        words.append(f"tls={_token(verdict.tls_version)}")
    security = field("X-Vaguemestre-Security", [f"{word};" for word in words[:-1]] + words[-1:])
    if verdict.kind == "submitted":
        result = ["auth=pass"]  # RFC 8601 §2.7.4
    elif verdict.peer:
        # RFC 8601 §2.7.7: an experimental method, since none is registered for a client certificate
        result = ["x-mutual-tls=pass", f"policy.peer={_quoted(verdict.peer)}"]
    else:
        result = ["none"]
    return security + field("Authentication-Results", [f"{authserv_id.ascii};", *result])


def _quoted(text: str) -> str:
    """A quoted-string (RFC 5322 §3.2.4) of printable ASCII."""
    value = "".join(
        character if " " <= character <= "~" else "".join(f"\\{octet:02X}" for octet in character.encode())
        for character in text.encode("utf-8", "replace").decode("utf-8")
    )
    if len(value) > MAX_VALUE:
        value = value[: MAX_VALUE - 3] + "..."
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


# --- what strangers may not say -----------------------------------------------------------------------------
_CLAIMS = field_pattern(rb"x-vaguemestre-[!-9;-~]*+|authentication-results")
_COMMENT_OR_QUOTED = re.compile(rb'"((?:[^"\\]++|\\.)*)"|\\.|[()]', re.DOTALL)
_AUTHSERV_ID = re.compile(rb"[ \t]*+([^ \t;=]++)")
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)


def strip_foreign(octets: bytes, authserv_ids: frozenset[str]) -> bytes:
    """Without any X-Vaguemestre-* field and any Authentication-Results in our name (RFC 8601 §5), on octets.

    `authserv_ids` are host names in any case. An Authentication-Results that cannot be read is removed too.
    """
    ours = frozenset(_comparable(name) for name in authserv_ids)
    found = named_fields(octets, _CLAIMS)
    return without_fields(octets, [claim for claim in found if _speaks_for_us(claim, ours)])


def _speaks_for_us(found: HeaderField, ours: frozenset[str]) -> bool:
    if found.name != b"authentication-results":
        return True
    name = _authserv_id(found.unfolded)
    return name is None or name in ours


def _authserv_id(body: bytes) -> str | None:
    """The authserv-id (RFC 8601 §2.2) as it is compared, or None when there are two readings."""
    plain: list[bytes] = []
    depth = position = 0
    for mark in _COMMENT_OR_QUOTED.finditer(body):
        octets = mark.group()
        if depth == 0:
            before = body[position : mark.start()]
            if b";" in before:
                break
            plain.append(before)
            if mark[1] is not None:
                plain.append(_QUOTED_PAIR.sub(rb"\1", mark[1]))
            elif octets != b"(":
                return None
        depth += (octets == b"(") - (octets == b")")
        position = mark.end()
    if depth:
        return None
    match = _AUTHSERV_ID.match(b"".join((*plain, body[position:])))
    return _comparable(match[1].decode("utf-8", "replace")) if match else None


def _comparable(name: str) -> str:
    name = name.partition("/")[0]  # RFC 8601 §2.2: a version may follow, in the wild with a slash
    try:
        return Domain.parse(name).ascii
    except AddressInvalid:
        return name.strip().lower()


def without_fields(octets: bytes, removed: Sequence[HeaderField]) -> bytes:
    """The letter with these of its fields cut out, and nothing else changed."""
    if not removed:
        return octets
    kept: list[bytes] = []
    position = 0
    for found in removed:
        kept.append(octets[position : found.start])
        position = found.end
    return b"".join((*kept, octets[position:]))


def count_hops(message: Message) -> int:
    """How many Received fields the letter carries (RFC 5321 §6.3)."""
    return len(message.all(b"received"))


# --- writing ------------------------------------------------------------------------------------------------
_PRINTABLE = re.compile(r"[ -~]+\Z")


def field(name: str, words: Iterable[str]) -> bytes:
    """A field with its CRLF, folded between words so that lines stay short where they can (RFC 5322 §2.1.1).

    Raises LocalProtocolError for a word that is not printable ASCII or too long: nothing is injected.
    """
    lines = [f"{name}:"]
    for word in words:
        if not _PRINTABLE.match(word):
            raise LocalProtocolError("a value that may not stand in a trace field")
        if len(lines[-1]) + 1 + len(word) > PREFERRED_LINE and lines[-1] != f"{name}:":
            lines.append("")
        lines[-1] += f" {word}"
        if len(lines[-1]) > MAX_LINE:
            raise LocalProtocolError("a trace field line is too long")
    return "\r\n".join(lines).encode("ascii") + b"\r\n"
