"""The one address parser of the product: every door, rule, index and report uses it.

What it is: `Domain` (A-label and U-label), `Mailbox(local_part, domain)`, and `mailboxes_of` for the address
lists of header fields. What it is not: forgiving. Comments inside an addr-spec, source routes, quoted local
parts that hold an `@`, control octets and encoded-words in an addr-spec are refused, because two readers of
the same text must never see two addresses. Start at `Mailbox.parse`.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from core.errors import PermanentError

MAX_LOCAL_PART = 64  # RFC 5321 §4.5.3.1.1
MAX_DOMAIN = 255  # RFC 5321 §4.5.3.1.2
MAX_PATH = 256  # RFC 5321 §4.5.3.1.3
MAX_LABEL = 63  # RFC 1035 §2.3.4
MAX_HEADER_MAILBOXES = 2000  # ours: twice the recipients of one envelope


class AddressInvalid(PermanentError):
    """The text is not an address; the message never repeats it."""


_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
# RFC 5321 §4.1.2: Dot-string = Atom *("." Atom); atext of RFC 5322 §3.2.3, and UTF-8 by RFC 6531 §3.3
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u00a0-\U0010ffff]"
_DOT_STRING = re.compile(rf"{_ATEXT}+(?:\.{_ATEXT}+)*\Z")
# RFC 5321 §4.1.2: Quoted-string; without "@", blanks and controls, which we refuse (see the module's words)
_QUOTED = re.compile(r'"(?:[!#-?A-\[\]-~\u00a0-\U0010ffff]|\\[!-?A-~])*"\Z')
_ENCODED_WORD = re.compile(r"=\?[^?]*\?[bBqQ]\?")


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain name in A-label form, lower case, without the final dot."""

    ascii: str

    def __str__(self) -> str:
        return self.ascii

    @property
    def unicode(self) -> str:
        """The U-label form, for people."""
        return ".".join(_label_to_unicode(label) for label in self.ascii.split("."))

    @classmethod
    def parse(cls, text: str) -> Domain:
        """Read a domain in either form (RFC 5890). Raises `AddressInvalid`. Address literals are refused."""
        return _parse_domain(text)


@lru_cache(maxsize=4096)
def _parse_domain(text: str) -> Domain:
    cleaned = unicodedata.normalize("NFC", text.strip().removesuffix(".")).lower()
    labels = [_label_to_ascii(label) for label in re.split(r"[.\u3002\uff0e\uff61]", cleaned)]
    ascii_form = ".".join(labels)
    if len(labels) < 2 or len(ascii_form) > MAX_DOMAIN or not all(_LABEL.match(label) for label in labels):
        raise AddressInvalid("this is not a domain name")
    return Domain(ascii_form)


def _label_to_ascii(label: str) -> str:
    if label.isascii():
        return label
    if any(unicodedata.category(character) not in _LETTERS for character in label):
        raise AddressInvalid("this domain name holds a character that names may not hold")
    # RFC 3492 for the encoding; case folding and NFC were done by the caller, NFKC must change nothing.
    if unicodedata.normalize("NFKC", label.casefold()) != label:
        raise AddressInvalid("this domain name is not in its canonical form")
    return "xn--" + label.encode("punycode").decode("ascii")


_LETTERS = frozenset({"Ll", "Lo", "Lm", "Mn", "Mc", "Nd", "Pd"})


def _label_to_unicode(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        return label[4:].encode("ascii").decode("punycode")
    except UnicodeError:
        return label


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An RFC 5321 mailbox. Equality ignores the case of the local part, as every operator of the space does.

    `local_part` is kept as written, `canonical` is what indexes and decisions compare.
    """

    local_part: str
    domain: Domain

    def __str__(self) -> str:
        return f"{self.local_part}@{self.domain.ascii}"

    def __repr__(self) -> str:
        return f"Mailbox(…@{self.domain.ascii})"  # a local part may be a name or an INS

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mailbox) and self.canonical == other.canonical

    def __hash__(self) -> int:
        return hash(self.canonical)

    @property
    def canonical(self) -> str:
        """The form that is compared: NFC, lower case."""
        return f"{unicodedata.normalize('NFC', self.local_part).lower()}@{self.domain.ascii}"

    @property
    def needs_smtputf8(self) -> bool:
        """Whether the local part is outside ASCII (RFC 6531)."""
        return not self.local_part.isascii()

    @classmethod
    def parse(cls, text: str) -> Mailbox:
        """Read one addr-spec (no angle brackets, comments or display name). Raises `AddressInvalid`."""
        if len(text.encode("utf-8", "replace")) > MAX_PATH - 2:
            raise AddressInvalid("this address is too long")
        local_part, sign, domain = text.rpartition("@")
        if not sign:
            raise AddressInvalid("an address has a local part, @ and a domain")
        return cls(parse_local_part(local_part), Domain.parse(domain))


def parse_local_part(text: str) -> str:
    """Check a local part and remove quotes that are not needed. Raises `AddressInvalid`."""
    if not text or len(text.encode("utf-8", "replace")) > MAX_LOCAL_PART:
        raise AddressInvalid("a local part has 1 to 64 octets")  # RFC 5321 §4.5.3.1.1
    if _ENCODED_WORD.search(text) or any(
        unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zs", "Zl", "Zp") for c in text
    ):
        raise AddressInvalid("a local part holds no controls, blanks or encoded words")
    if _DOT_STRING.match(text):
        return text
    if _QUOTED.match(text):
        bare = re.sub(r"\\(.)", r"\1", text[1:-1])
        # RFC 5321 §4.1.2: the quoted form that needs no quotes is the same mailbox.
        return bare if _DOT_STRING.match(bare) else text
    raise AddressInvalid("this is not a local part")


@dataclass(frozen=True, slots=True)
class NamedMailbox:
    """A mailbox of a header field with the display name beside it (raw octets; never an identity)."""

    mailbox: Mailbox
    display_name: bytes = b""


_TOKEN = re.compile(
    rb'(?P<blank>[ \t\r\n]+)|(?P<comment>\()|(?P<quoted>"(?:[^"\\]|\\.)*")|(?P<open><)|(?P<close>>)|(?P<comma>,)'
    rb"|(?P<semi>;)|(?P<colon>:)|(?P<word>[^ \t\r\n()<>,;:\"]+)",
    re.DOTALL,
)
MAX_COMMENT_DEPTH = 16  # ours: nested comments beyond this are an attack, not a name


def mailboxes_of(field_body: bytes) -> tuple[NamedMailbox, ...]:
    """Every mailbox of an address-list field body (RFC 5322 §3.4), groups opened. Raises `AddressInvalid`.

    Linear in the length of the body. Text that has two readings is refused whole.
    """
    found: list[NamedMailbox] = []
    for tokens in _split_list(_tokens(field_body)):
        if len(found) >= MAX_HEADER_MAILBOXES:
            raise AddressInvalid("too many addresses in one field")
        found.append(_one_mailbox(tokens))
    return tuple(found)


def _tokens(body: bytes) -> list[tuple[str, bytes]]:
    tokens: list[tuple[str, bytes]] = []
    position = 0
    while position < len(body):
        match = _TOKEN.match(body, position)
        if match is None:
            raise AddressInvalid("this address list cannot be read")
        kind = match.lastgroup or ""
        if kind == "comment":
            # A comment counts as a blank, so that one inside an addr-spec is refused and not joined.
            position, kind = _comment_end(body, position), "blank"
        else:
            position = match.end()
        if kind != "blank":
            tokens.append((kind, match.group()))
        elif tokens and tokens[-1][0] != "blank":
            tokens.append((kind, b" "))
    return tokens


def _comment_end(body: bytes, start: int) -> int:
    depth = 0
    position = start
    while position < len(body):
        octet = body[position]
        if octet == 0x5C:  # backslash: the next octet is quoted
            position += 1
        elif octet == 0x28:
            depth += 1
            if depth > MAX_COMMENT_DEPTH:
                break
        elif octet == 0x29:
            depth -= 1
            if depth == 0:
                return position + 1
        position += 1
    raise AddressInvalid("a comment does not end")


def _split_list(tokens: list[tuple[str, bytes]]) -> list[list[tuple[str, bytes]]]:
    items: list[list[tuple[str, bytes]]] = [[]]
    in_group = False
    for kind, octets in tokens:
        if kind == "colon":  # RFC 5322 §3.4: group = display-name ":" [group-list] ";"
            if in_group or any(k in ("open", "close") for k, _ in items[-1]):
                raise AddressInvalid("a colon stands where no group may begin")
            in_group, items[-1] = True, []
        elif kind == "semi":
            if not in_group:
                raise AddressInvalid("a semicolon ends no group")
            in_group = False
            items.append([])
        elif kind == "comma":
            items.append([])
        else:
            items[-1].append((kind, octets))
    if in_group:
        raise AddressInvalid("a group does not end")
    return [item for item in items if any(kind != "blank" for kind, _ in item)]


def _one_mailbox(tokens: list[tuple[str, bytes]]) -> NamedMailbox:
    kinds = [kind for kind, _ in tokens]
    if "open" not in kinds:
        if "close" in kinds:
            raise AddressInvalid("a > without its <")
        return NamedMailbox(_addr_spec(tokens))
    start = kinds.index("open")
    end = len(kinds) - 1
    while end > start and kinds[end] == "blank":
        end -= 1
    if kinds[end] != "close" or kinds.count("open") != 1 or kinds.count("close") != 1:
        raise AddressInvalid("an address has exactly one < and > and nothing after it")
    name = b"".join(octets for _, octets in tokens[:start]).strip()
    return NamedMailbox(_addr_spec(tokens[start + 1 : end]), name)


def _addr_spec(tokens: list[tuple[str, bytes]]) -> Mailbox:
    stripped = [octets for kind, octets in tokens if kind != "blank"]
    inner = [kind for kind, _ in tokens]
    while inner and inner[0] == "blank":
        inner.pop(0)
    while inner and inner[-1] == "blank":
        inner.pop()
    if "blank" in inner:
        raise AddressInvalid("an address holds no blanks")
    try:
        return Mailbox.parse(b"".join(stripped).decode("utf-8"))
    except UnicodeDecodeError as error:
        raise AddressInvalid("an address is ASCII or UTF-8") from error
