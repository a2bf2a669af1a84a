"""SMTP commands as values, and the one reader that makes them.

What it is: `parse(line) -> Command | Reply`: a frozen value, or the reply that refuses the line. What it is
not: the order of commands (`mta.smtp.session`) or the rights of who says them (`Rooms`). Start at `parse`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from core import reply
from core.address import Mailbox
from core.envelope import ForwardPath, Notify, Return, ReversePath
from core.errors import ReplyError
from mta.smtp import grammar, sasl
from mta.smtp.grammar import refuse

MAX_COMMAND_LINE = 512  # RFC 5321 §4.5.3.1.4, CRLF counted
MAX_MAIL_LINE = (
    MAX_COMMAND_LINE
    + 26  # RFC 1870 §3: SIZE
    + 17  # RFC 6152 §2: BODY
    + 10  # RFC 6531 §3.1: SMTPUTF8
    + 100  # RFC 3461 §4: RET and ENVID
    + 500  # RFC 4954 §3: AUTH
)
MAX_RCPT_LINE = MAX_COMMAND_LINE + 500 + 10  # RFC 3461 §4: NOTIFY and ORCPT; RFC 6531 §3.1
MAX_AUTH_LINE = sasl.MAX_RESPONSE_LINE  # RFC 4954 §4: an initial response is as long as any other


@dataclass(frozen=True, slots=True)
class Ehlo:
    """EHLO (RFC 5321 §4.1.1.1)."""

    VERB: ClassVar[str] = "EHLO"
    client_name: str


@dataclass(frozen=True, slots=True)
class Helo:
    """HELO (RFC 5321 §4.1.1.1): no extension may be used after it."""

    VERB: ClassVar[str] = "HELO"
    client_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """MAIL FROM (RFC 5321 §4.1.1.2) with the parameters of RFC 1870, 6152, 6531 and 3461."""

    VERB: ClassVar[str] = "MAIL"
    reverse_path: ReversePath
    declared_size: int = 0
    body_8bit: bool = False
    smtputf8: bool = False
    ret: Return = Return.UNSPECIFIED
    envelope_id: str = ""
    has_parameters: bool = False
    has_authorised_originator: bool = False  # RFC 4954 §5: AUTH= was there; we trust nobody's word for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Rcpt:
    """RCPT TO (RFC 5321 §4.1.1.3) with the parameters of RFC 3461."""

    VERB: ClassVar[str] = "RCPT"
    path: ForwardPath
    needs_smtputf8: bool = False  # the path was written outside ASCII
    has_parameters: bool = False


@dataclass(frozen=True, slots=True)
class Data:
    """DATA (RFC 5321 §4.1.1.4)."""

    VERB: ClassVar[str] = "DATA"


@dataclass(frozen=True, slots=True)
class StartTls:
    """STARTTLS (RFC 3207 §4)."""

    VERB: ClassVar[str] = "STARTTLS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Auth:
    """AUTH (RFC 4954 §4). `initial_response` is base64 as received; None when there was none."""

    VERB: ClassVar[str] = "AUTH"
    mechanism: str
    initial_response: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Rset:
    """RSET (RFC 5321 §4.1.1.5)."""

    VERB: ClassVar[str] = "RSET"


@dataclass(frozen=True, slots=True)
class Noop:
    """NOOP (RFC 5321 §4.1.1.9); its argument means nothing."""

    VERB: ClassVar[str] = "NOOP"


@dataclass(frozen=True, slots=True)
class Quit:
    """QUIT (RFC 5321 §4.1.1.10)."""

    VERB: ClassVar[str] = "QUIT"


@dataclass(frozen=True, slots=True)
class Vrfy:
    """VRFY (RFC 5321 §4.1.1.6); the argument is not kept: the answer never depends on it."""

    VERB: ClassVar[str] = "VRFY"


@dataclass(frozen=True, slots=True)
class Expn:
    """EXPN (RFC 5321 §4.1.1.7)."""

    VERB: ClassVar[str] = "EXPN"


@dataclass(frozen=True, slots=True)
class Help:
    """HELP (RFC 5321 §4.1.1.8)."""

    VERB: ClassVar[str] = "HELP"


Command = Ehlo | Helo | Mail | Rcpt | Data | StartTls | Auth | Rset | Noop | Quit | Vrfy | Expn | Help


def parse(octets: bytes, *, postmaster: Mailbox | None = None) -> Command | reply.Reply:
    """Read one command line with its CRLF: the command, or the reply that refuses it. Never raises."""
    try:
        line = grammar.line_of(octets)
        verb, _, argument = line.partition(" ")
        verb = verb.upper()
        reader = _READERS.get(verb)
        if len(octets) > _LONGEST.get(verb, MAX_COMMAND_LINE):
            return reply.LINE_TOO_LONG
        if reader is None:
            return reply.UNKNOWN_COMMAND
        if reader is _rcpt:
            return _rcpt(argument, postmaster)
        return reader(argument)
    except ReplyError as refusal:
        return refusal.reply


def _ehlo(argument: str) -> Command:
    return Ehlo(grammar.client_name(argument.strip(" ")))


def _helo(argument: str) -> Command:
    return Helo(grammar.client_name(argument.strip(" ")))


# RFC 5321 §4.1.1.2: mail = "MAIL FROM:" Reverse-path [SP Mail-parameters] CRLF
def _mail(argument: str) -> Command:
    inside, rest = grammar.split_path(_after("FROM:", argument, reply.BAD_ORIGINATOR_SYNTAX))
    given = grammar.parameters(rest) if rest else {}
    smtputf8 = _flag(given, "SMTPUTF8")
    if not inside.isascii() and not smtputf8:
        raise refuse(reply.NEEDS_SMTPUTF8)  # RFC 6531 §3.5
    command = Mail(
        reverse_path=grammar.reverse_path(inside),
        declared_size=grammar.size(given.pop("SIZE")) if "SIZE" in given else 0,
        body_8bit=_is_8bit(given),
        smtputf8=smtputf8,
        ret=_ret(given),
        envelope_id=grammar.envelope_id(given.pop("ENVID")) if "ENVID" in given else "",
        has_parameters=bool(rest),
        has_authorised_originator=_mail_auth(given),
    )
    if given:
        raise refuse(reply.UNKNOWN_PARAMETER)  # RFC 5321 §4.1.1.11
    return command


# RFC 5321 §4.1.1.3: rcpt = "RCPT TO:" ( "<Postmaster@" Domain ">" / "<Postmaster>" / Forward-path ) ...
def _rcpt(argument: str, postmaster: Mailbox | None = None) -> Command:
    inside, rest = grammar.split_path(_after("TO:", argument, reply.BAD_MAILBOX_SYNTAX))
    given = grammar.parameters(rest) if rest else {}
    path = ForwardPath(
        grammar.forward_path(inside, postmaster),
        notify=grammar.notify(given.pop("NOTIFY")) if "NOTIFY" in given else Notify.ABSENT,
        original_recipient=grammar.original_recipient(given.pop("ORCPT")) if "ORCPT" in given else "",
    )
    if given:
        raise refuse(reply.UNKNOWN_PARAMETER)
    return Rcpt(path=path, needs_smtputf8=not inside.isascii(), has_parameters=bool(rest))


def _after(keyword: str, argument: str, missing_brackets: reply.Reply) -> str:
    text = argument.strip(" ")
    if text[: len(keyword)].upper() != keyword:
        raise refuse(reply.SYNTAX)
    # A blank after the colon is not in the ABNF, but many applications send it and it has one reading.
    path = text[len(keyword) :].lstrip(" ")
    if not path.startswith("<"):
        raise refuse(missing_brackets)
    return path


def _flag(given: dict[str, str | None], keyword: str) -> bool:
    if keyword not in given:
        return False
    if given.pop(keyword) is not None:
        raise refuse(reply.SYNTAX)
    return True


def _is_8bit(given: dict[str, str | None]) -> bool:
    if "BODY" not in given:
        return False
    value = (given.pop("BODY") or "").upper()  # RFC 6152 §2: body-value = "7BIT" / "8BITMIME"
    if value not in ("7BIT", "8BITMIME"):
        raise refuse(reply.SYNTAX)
    return value == "8BITMIME"


def _ret(given: dict[str, str | None]) -> Return:
    if "RET" not in given:
        return Return.UNSPECIFIED
    value = (given.pop("RET") or "").upper()  # RFC 3461 §4.3
    if value not in ("FULL", "HDRS"):
        raise refuse(reply.SYNTAX)
    return Return(value)


def _mail_auth(given: dict[str, str | None]) -> bool:
    if "AUTH" not in given:
        return False
    value = given.pop("AUTH")  # RFC 4954 §5: xtext or "<>"
    if value is None:
        raise refuse(reply.SYNTAX)
    if value != "<>":
        grammar.xtext(value)
    return True


def _auth(argument: str) -> Command:
    words = argument.split(" ")
    if not words[0] or len(words) > 2 or not argument.isascii():
        raise refuse(reply.SYNTAX)
    initial = words[1].encode("ascii") if len(words) == 2 else None
    return Auth(mechanism=words[0].upper(), initial_response=initial)


def _alone(command: Command) -> Callable[[str], Command]:
    def read(argument: str) -> Command:
        if argument:
            raise refuse(reply.SYNTAX)
        return command

    return read


def _with_argument(command: Command) -> Callable[[str], Command]:
    def read(argument: str) -> Command:
        if not argument:
            raise refuse(reply.SYNTAX)
        return command

    return read


def _with_any(command: Command) -> Callable[[str], Command]:
    def read(argument: str) -> Command:
        return command

    return read


_READERS: dict[str, Callable[[str], Command]] = {
    "EHLO": _ehlo,
    "HELO": _helo,
    "MAIL": _mail,
    "RCPT": _rcpt,
    "DATA": _alone(Data()),
    "STARTTLS": _alone(StartTls()),
    "AUTH": _auth,
    "RSET": _alone(Rset()),
    "NOOP": _with_any(Noop()),
    "QUIT": _alone(Quit()),
    "VRFY": _with_argument(Vrfy()),
    "EXPN": _with_argument(Expn()),
    "HELP": _with_any(Help()),
}
VERBS = frozenset(_READERS)
_LONGEST = {
    "MAIL": MAX_MAIL_LINE,
    "RCPT": MAX_RCPT_LINE,
    "VRFY": MAX_COMMAND_LINE + 10,  # RFC 6531 §3.1
    "EXPN": MAX_COMMAND_LINE + 10,  # RFC 6531 §3.1
    "AUTH": MAX_AUTH_LINE,
}
