"""Health identities and certificate names as values that check themselves.

What it is: `Ins`, `Rpps`, `Finess` (keys and Luhn verified when built, redacted when printed) and
`DistinguishedName`, the form in which the liste blanche names an operator. What it is not: a directory.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from core.errors import PermanentError


class IdentityInvalid(PermanentError):
    """The text is not an identity of that kind; the message never repeats the text."""


def luhn_holds(digits: str) -> bool:
    """Whether the last digit is the Luhn check digit of the others (ISO/IEC 7812-1 Annex B)."""
    total = 0
    for position, character in enumerate(reversed(digits)):
        value = int(character)
        if position % 2:
            value = value * 2 - 9 if value > 4 else value * 2
        total += value
    return total % 10 == 0


def nir_key(thirteen: str) -> int:
    """The two-digit control key of a 13-character NIR: 97 - (number mod 97), Corsica 2A→19, 2B→18."""
    number = thirteen.replace("2A", "19").replace("2B", "18")
    return 97 - int(number) % 97


_NIR = re.compile(r"[1-478][0-9]{2}[0-9]{2}(?:[0-9]{2}|2A|2B)[0-9]{6}[0-9]{2}\Z")


@dataclass(frozen=True, slots=True, repr=False)
class Ins:
    """A national health identity number: 13 characters of NIR and the 2-digit key (15 in all)."""

    value: str

    def __post_init__(self) -> None:
        if not _NIR.match(self.value):
            raise IdentityInvalid("an INS has 13 characters and a 2-digit key")
        if nir_key(self.value[:13]) != int(self.value[13:]):
            raise IdentityInvalid("the key of this INS does not hold")

    def __repr__(self) -> str:
        return "Ins(…)"

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class Rpps:
    """An 11-digit RPPS number of a professional (Luhn over the 11 digits)."""

    value: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9]{11}", self.value) or not luhn_holds(self.value):
            raise IdentityInvalid("an RPPS number has 11 digits and a Luhn key that holds")


@dataclass(frozen=True, slots=True)
class Finess:
    """A 9-digit FINESS number of an establishment (Luhn)."""

    value: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9]{9}", self.value) or not luhn_holds(self.value):
            raise IdentityInvalid("a FINESS number has 9 digits and a Luhn key that holds")


_SHORT_NAMES = {
    "COMMONNAME": "CN",
    "ORGANIZATIONALUNITNAME": "OU",
    "ORGANIZATIONNAME": "O",
    "STATEORPROVINCENAME": "ST",
    "S": "ST",
    "LOCALITYNAME": "L",
    "COUNTRYNAME": "C",
    "E": "EMAILADDRESS",
    "EMAIL": "EMAILADDRESS",
    "SURNAME": "SN",
    "GIVENNAME": "GN",
    "TITLE": "T",
    "USERID": "UID",
    "DOMAINCOMPONENT": "DC",
    "STREETADDRESS": "STREET",
}
MAX_DISTINGUISHED_NAME = 2048  # ours: the liste blanche allows 255 characters a field


@dataclass(frozen=True, slots=True)
class DistinguishedName:
    """A certificate subject as an unordered set of (type, value), compared as the liste blanche needs.

    Two names are equal when they hold the same attributes, whatever their order; values are compared
    NFC-normalised, case-folded and with runs of blanks as one (RFC 5280 §7.1, RFC 4514 for the text form).
    """

    attributes: frozenset[tuple[str, str]]
    text: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DistinguishedName) and self.attributes == other.attributes

    def __hash__(self) -> int:
        return hash(self.attributes)

    def __str__(self) -> str:
        return self.text

    @classmethod
    def of(cls, pairs: list[tuple[str, str]]) -> DistinguishedName:
        """Build from (type, value) pairs in the certificate's order."""
        if not pairs:
            raise IdentityInvalid("an empty distinguished name names nobody")
        canonical = frozenset((_canonical_type(kind), _canonical_value(value)) for kind, value in pairs)
        text = ",".join(f"{_canonical_type(kind)}={_escape(value)}" for kind, value in pairs)
        return cls(canonical, text)

    @classmethod
    def parse(cls, text: str) -> DistinguishedName:
        """Read `CN=…,OU=…,O=…,ST=Rhône (69),C=FR`. Raises `IdentityInvalid`."""
        if len(text) > MAX_DISTINGUISHED_NAME:
            raise IdentityInvalid("this distinguished name is too long")
        pairs = []
        for part in _split_unescaped(text):
            kind, sign, value = part.partition("=")
            plain = _unescape(value.strip())
            if not sign or '"' in kind or not kind.strip() or not plain.strip():
                raise IdentityInvalid("a distinguished name is a list of TYPE=value")
            pairs.append((kind.strip(), plain))
        return cls.of(pairs)


def _canonical_type(kind: str) -> str:
    upper = kind.strip().upper()
    return _SHORT_NAMES.get(upper, upper)


def _canonical_value(value: str) -> str:
    return " ".join(unicodedata.normalize("NFC", value).casefold().split())


def _escape(value: str) -> str:
    return re.sub(r'([,+"\\<>;=])', r"\\\1", value)


_STRAY_QUOTE = re.compile(r'(?:[^\\"]|\\.)*"', re.DOTALL)  # one that is not escaped


def _split_unescaped(text: str) -> list[str]:
    # RFC 4514 §3: a comma separates unless it is escaped, or stands in the quotes of RFC 2253's ancestors.
    parts, start, position, quoted = [], 0, 0, False
    while position < len(text):
        character = text[position]
        if character == "\\":
            position += 1
        elif character == '"':
            quoted = not quoted
        elif character == "," and not quoted:
            parts.append(text[start:position])
            start = position + 1
        position += 1
    if quoted:
        raise IdentityInvalid("a quote in this distinguished name does not end")
    return [part for part in (*parts, text[start:]) if part.strip()]


def _unescape(value: str) -> str:
    """Undo quotes, escaped characters and escaped UTF-8 octets (RFC 4514 §2.4)."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1]
    if _STRAY_QUOTE.match(value):
        raise IdentityInvalid("a quote stands inside a value of this distinguished name")
    return re.sub(r"((?:\\[0-9A-Fa-f]{2})+)|\\(.?)", _unescaped, value)


def _unescaped(match: re.Match[str]) -> str:
    if match.group(1) is None:
        return match.group(2)
    try:
        return bytes.fromhex(match.group(1).replace("\\", "")).decode("utf-8")
    except UnicodeDecodeError as error:
        raise IdentityInvalid("this distinguished name holds octets that are not UTF-8") from error
