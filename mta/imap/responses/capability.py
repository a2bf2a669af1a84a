"""What is advertised, by state (RFC 3501 §7.2.1).

Clients use at once what they see: only what is tested stands here.
"""

from __future__ import annotations

_ALWAYS = ("IMAP4rev1", "SASL-IR", "LITERAL+", "ID", "ENABLE")
# RFC 3501 §6.2.1, RFC 2595 §3.2: no password before TLS
_CLEAR = ("STARTTLS", "LOGINDISABLED")
_TLS = ("AUTH=PLAIN", "AUTH=LOGIN")
_AUTHENTICATED = (
    "IDLE",  # RFC 2177
    "NAMESPACE",  # RFC 2342
    "CHILDREN",  # RFC 3348
    "UIDPLUS",  # RFC 4315
    "UNSELECT",  # RFC 3691
    "MOVE",  # RFC 6851
    "LIST-EXTENDED",  # RFC 5258
    "LIST-STATUS",  # RFC 5819
    "STATUS=SIZE",  # RFC 8438
    "SPECIAL-USE",  # RFC 6154
    "CREATE-SPECIAL-USE",  # RFC 6154
    "QUOTA",  # RFC 2087
    "CONDSTORE",  # RFC 7162
    "QRESYNC",  # RFC 7162
    "ESEARCH",  # RFC 4731
    "SEARCHRES",  # RFC 5182
    "WITHIN",  # RFC 5032
    "OBJECTID",  # RFC 8474
    "MULTIAPPEND",  # RFC 3502
    "UTF8=ACCEPT",  # RFC 6855
    "PREVIEW",  # RFC 8970
    "SORT",  # RFC 5256
    "THREAD=REFERENCES",  # RFC 5256
    "COMPRESS=DEFLATE",  # RFC 4978
)


def capabilities(*, is_tls: bool, is_authenticated: bool, max_message_octets: int) -> str:
    """The list, with blanks between."""
    if is_authenticated:
        return " ".join((*_ALWAYS, *_AUTHENTICATED, f"APPENDLIMIT={max_message_octets}"))  # RFC 7889 §3
    return " ".join((*_ALWAYS, *(_TLS if is_tls else _CLEAR)))
