"""What a listener says of itself: the greeting, and the keywords of EHLO.

What it is: pure functions from (listener, TLS or not, limits) to reply octets. What it is not: the behaviour
behind a keyword; a keyword stands here only when the behaviour is tested (`tests/dialogues/smtp`).
"""

from __future__ import annotations

from core import reply
from mta.rooms import Listener
from mta.smtp import sasl

ALWAYS = (
    "PIPELINING",  # RFC 2920
    "8BITMIME",  # RFC 6152
    "SMTPUTF8",  # RFC 6531
    "ENHANCEDSTATUSCODES",  # RFC 2034
    "DSN",  # RFC 3461
)


def is_implicit_tls(listener: Listener) -> bool:
    """Whether TLS is spoken from the first octet (RFC 8314 §3.3)."""
    return listener in (Listener.SUBMISSIONS, Listener.SUBMISSION_APP)


def asks_client_certificate(listener: Listener) -> bool:
    """Whether the handshake asks for a certificate; its absence is answered by SMTP."""
    return listener in (Listener.RELAY, Listener.SUBMISSION_APP)


def mechanisms(listener: Listener, *, is_encrypted: bool) -> tuple[str, ...]:
    """The SASL mechanisms offered: to our own people only, and never in clear (RFC 4954 §4)."""
    return tuple(sasl.MECHANISMS) if listener.is_submission and is_encrypted else ()


def keywords(listener: Listener, *, is_encrypted: bool, max_message_octets: int) -> tuple[str, ...]:
    """The EHLO keywords (RFC 5321 §4.1.1.1) in their order on the wire."""
    offered = mechanisms(listener, is_encrypted=is_encrypted)
    return (
        *ALWAYS,
        f"SIZE {max_message_octets}",  # RFC 1870 §3
        *(() if is_encrypted else ("STARTTLS",)),  # RFC 3207 §4.2: not again under TLS
        *((f"AUTH {' '.join(offered)}",) if offered else ()),
    )


def greeting(hostname: str) -> bytes:
    """The line that opens the conversation (RFC 5321 §4.2): the domain stands first."""
    return f"{reply.READY.code} {hostname} {reply.READY.text}\r\n".encode("ascii")


def hello(hostname: str) -> bytes:
    """The answer to HELO."""
    return f"{reply.HELLO.code} {hostname}\r\n".encode("ascii")


def extended_hello(hostname: str, offered: tuple[str, ...]) -> bytes:
    """The answer to EHLO: one line for the domain, one for each keyword."""
    lines = (hostname, *offered)
    wire = [f"{reply.HELLO.code}-{line}\r\n" for line in lines[:-1]]
    return "".join([*wire, f"{reply.HELLO.code} {lines[-1]}\r\n"]).encode("ascii")
