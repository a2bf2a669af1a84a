"""SASL mechanisms as pure exchanges: a challenge to send, or the credentials at the end.

What it is: PLAIN (RFC 4616), LOGIN (draft-murchison-sasl-login, for clients that know nothing else) and the
value of EXTERNAL. What it is not: the judgement of credentials (`Rooms.authenticate`). All refusals that
depend on the credentials are the one reply AUTHENTICATION_FAILED.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field

from core import reply
from core.errors import ReplyError

MAX_RESPONSE_LINE = 12_288  # RFC 4954 §4, CRLF counted
MAX_CREDENTIAL = 1024  # ours, octets for each of login and password; longer is nobody's
CANCEL = b"*"  # RFC 4954 §4
EMPTY = b"="  # RFC 4954 §4: an initial response of no octets


@dataclass(frozen=True, slots=True)
class Challenge:
    """What to send: base64 after 334."""

    base64: bytes

    def wire(self) -> bytes:
        """The 334 line (RFC 4954 §4): an empty challenge keeps its blank."""
        return b"%d %s\r\n" % (reply.CHALLENGE.code, self.base64)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who says to be whom. Nothing of it prints."""

    login: str = field(repr=False)
    password: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class External:
    """EXTERNAL (RFC 4422 §A): the identity is the TLS certificate's; an authorisation identity may be asked."""

    authorization_identity: str = field(repr=False)


def response_of(line: bytes) -> bytes:
    """The client's answer to a challenge, without its CRLF. Raises ReplyError."""
    response = line[:-2]
    if line[-2:] != b"\r\n" or b"\r" in response or b"\0" in response:
        raise ReplyError(reply.BARE_LINE_END)  # RFC 5321 §2.3.8
    if len(line) > MAX_RESPONSE_LINE:
        raise ReplyError(reply.LINE_TOO_LONG)
    return response


def decode(response: bytes) -> bytes:
    """One base64 line, strictly. Raises ReplyError (CANCELLED, BAD_BASE64)."""
    if response == CANCEL:
        raise ReplyError(reply.CANCELLED)
    try:
        return base64.b64decode(response, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ReplyError(reply.BAD_BASE64) from error


def decode_initial(response: bytes) -> bytes:
    """The initial response of an AUTH command. Raises ReplyError."""
    return b"" if response == EMPTY else decode(response)


def _credentials(login: bytes, password: bytes) -> Credentials:
    within = 0 < len(login) <= MAX_CREDENTIAL and 0 < len(password) <= MAX_CREDENTIAL
    if not within or b"\0" in login or b"\0" in password:
        raise ReplyError(reply.AUTHENTICATION_FAILED)
    try:
        return Credentials(login.decode("utf-8"), password)
    except UnicodeDecodeError as error:
        raise ReplyError(reply.AUTHENTICATION_FAILED) from error


class Plain:
    """PLAIN (RFC 4616 §2): [authzid] NUL authcid NUL passwd, in one message."""

    __slots__ = ()

    def begin(self, initial_response: bytes | None) -> Challenge | Credentials:
        """`initial_response` as on the AUTH line. Raises ReplyError."""
        if initial_response is None:
            return Challenge(b"")
        return self._read(decode_initial(initial_response))

    def answer(self, response: bytes) -> Challenge | Credentials:
        """The client's line after the challenge. Raises ReplyError."""
        return self._read(decode(response))

    def _read(self, message: bytes) -> Credentials:
        parts = message.split(b"\0")
        if len(parts) != 3 or parts[0] not in (b"", parts[1]):
            raise ReplyError(reply.AUTHENTICATION_FAILED)  # nobody acts as another by authzid
        return _credentials(parts[1], parts[2])


class Login:
    """LOGIN: user name, then password, each after its challenge."""

    __slots__ = ("_login",)
    _ASK_LOGIN = Challenge(base64.b64encode(b"Username:"))
    _ASK_PASSWORD = Challenge(base64.b64encode(b"Password:"))

    def __init__(self) -> None:
        self._login: bytes | None = None

    def begin(self, initial_response: bytes | None) -> Challenge | Credentials:
        """`initial_response`, which some clients send, is the user name. Raises ReplyError."""
        if initial_response is None:
            return self._ASK_LOGIN
        self._login = decode_initial(initial_response)
        return self._ASK_PASSWORD

    def answer(self, response: bytes) -> Challenge | Credentials:
        """The client's next line. Raises ReplyError."""
        if self._login is None:
            self._login = decode(response)
            return self._ASK_PASSWORD
        return _credentials(self._login, decode(response))


Exchange = Plain | Login
MECHANISMS: dict[str, type[Plain] | type[Login]] = {"PLAIN": Plain, "LOGIN": Login}


def external(response: bytes) -> External:
    """The message of EXTERNAL (RFC 4422 §A.1): UTF-8 without NUL, or empty. Raises ReplyError."""
    message = decode_initial(response)
    try:
        identity = message.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ReplyError(reply.AUTHENTICATION_FAILED) from error
    if "\0" in identity or len(message) > MAX_CREDENTIAL:
        raise ReplyError(reply.AUTHENTICATION_FAILED)
    return External(identity)
