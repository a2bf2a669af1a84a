"""Commands of any state and of the way in: CAPABILITY, NOOP, LOGOUT, ID, STARTTLS, AUTHENTICATE, LOGIN, ENABLE."""

from __future__ import annotations

from dataclasses import dataclass

from mta.imap.grammar import Cursor, SyntaxInvalid

MAX_ID_PAIRS = 30  # RFC 2971 §3.3
MAX_ID_FIELD = 30  # RFC 2971 §3.3
MAX_ID_VALUE = 1024  # RFC 2971 §3.3


@dataclass(frozen=True, slots=True)
class Capability:
    """RFC 3501 §6.1.1."""


@dataclass(frozen=True, slots=True)
class Noop:
    """RFC 3501 §6.1.2."""


@dataclass(frozen=True, slots=True)
class Logout:
    """RFC 3501 §6.1.3."""


@dataclass(frozen=True, slots=True)
class Identify:
    """RFC 2971 §3.1: ID; what the client says of itself."""

    fields: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class StartTls:
    """RFC 3501 §6.2.1."""


@dataclass(frozen=True, slots=True, repr=False)
class Authenticate:
    """RFC 3501 §6.2.2, with the initial response of RFC 4959 when there is one (still in base64)."""

    mechanism: bytes
    initial: bytes | None = None

    def __repr__(self) -> str:
        return "Authenticate(…)"


@dataclass(frozen=True, slots=True, repr=False)
class Login:
    """RFC 3501 §6.2.3."""

    login: bytes
    password: bytes

    def __repr__(self) -> str:
        return "Login(…)"


@dataclass(frozen=True, slots=True)
class Enable:
    """RFC 5161 §3.1."""

    names: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Compress:
    """RFC 4978 §3."""

    mechanism: bytes


def compress(cursor: Cursor) -> Compress:
    """RFC 4978 §5: compress = "COMPRESS" SP algorithm."""
    cursor.space()
    return Compress(cursor.word())


def identify(cursor: Cursor) -> Identify:
    """RFC 2971 §4: id = "ID" SP id-params-list; id-params-list = "(" *(string SP nstring) ")" / nil."""
    cursor.space()
    if not cursor.open():
        if cursor.word() != b"NIL":
            raise SyntaxInvalid("ID has a list or NIL")
        return Identify()
    fields: list[tuple[bytes, bytes]] = []
    while not cursor.close():
        if fields:
            cursor.space()
        name = cursor.string()
        cursor.space()
        value = cursor.nstring() or b""
        fields.append((name, value))
        if len(fields) > MAX_ID_PAIRS or len(name) > MAX_ID_FIELD or len(value) > MAX_ID_VALUE:
            raise SyntaxInvalid("ID has at most 30 fields of 30 and 1024 octets")
    return Identify(tuple(fields))


def authenticate(cursor: Cursor) -> Authenticate:
    """RFC 4959 §7: authenticate = "AUTHENTICATE" SP auth-type [SP (base64 / "=")]."""
    cursor.space()
    mechanism = cursor.word()
    if cursor.at_end:
        return Authenticate(mechanism)
    cursor.space()
    return Authenticate(mechanism, cursor.astring())


def login(cursor: Cursor) -> Login:
    """RFC 3501 §9: login = "LOGIN" SP userid SP password."""
    cursor.space()
    name = cursor.astring()
    cursor.space()
    return Login(name, cursor.astring())


def enable(cursor: Cursor) -> Enable:
    """RFC 5161 §4: enable = "ENABLE" 1*(SP capability)."""
    names: list[bytes] = []
    while not names or not cursor.at_end:
        cursor.space()
        names.append(cursor.word())
    return Enable(tuple(names))
