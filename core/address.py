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
_QUOTED = re.compile(r'"(?:[!#-?A-\[\]-~\u00a0-\U0010ffff]|\\[!-?A-~])+"\Z')
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
    if len(text) > MAX_DOMAIN + 1:
        raise AddressInvalid("this domain name is too long")
    labels = [_label_to_ascii(label) for label in _lower(text.removesuffix(".")).split(".")]
    ascii_form = ".".join(labels)
    if len(labels) < 2 or len(ascii_form) > MAX_DOMAIN or not all(_LABEL.match(label) for label in labels):
        raise AddressInvalid("this is not a domain name")
    if labels[-1].isdigit():  # RFC 3696 §2: else some readers see an IP address
        raise AddressInvalid("a top-level domain is not a number")
    return Domain(ascii_form)


def _lower(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())


# RFC 5892 §2.1: the general categories of letters and digits; hyphens other than "-" stay out
_LETTERS = frozenset({"Ll", "Lo", "Lm", "Mn", "Mc", "Nd"})
_LEFT_TO_RIGHT = frozenset({"L", "EN", "NSM", "ES"})
# RFC 5892 §2.6, §2.7, §2.9: letters that nobody sees, old Hangul, and the exceptions that are letters by category
_EXCEPTED = re.compile(
    "[\u034f\u0640\u07fa\u1100-\u11ff\u17b4\u17b5\u180b-\u180f\u20d0-\u20ff\u302e\u302f\u3031-\u3035\u303b"
    "\ua960-\ua97c\ud7b0-\ud7fb\ufe00-\ufe0f\U0001d100-\U0001d24f\U000e0100-\U000e01ef]"
)


def _label_to_ascii(label: str) -> str:
    if label.startswith("xn--"):
        if _label_to_ascii(_label_to_unicode(label)) != label or not label.isascii():
            raise AddressInvalid("this domain name has a false A-label")  # RFC 5890 §2.3.2.1
        return label
    if label.isascii():
        return label
    # RFC 5893 §2: names written from right to left, and names that mix, are not taken in this space.
    directions = {unicodedata.bidirectional(character) for character in label}
    if not _is_visible(label.replace("-", "")) or not directions <= _LEFT_TO_RIGHT:
        raise AddressInvalid("this domain name holds a character that names may not hold")
    # RFC 5891 §4.2.3.1: no "--" in the third and fourth place
    if "-" in (label[0], label[-1]) or label[2:4] == "--" or unicodedata.category(label[0]) in ("Mn", "Mc"):
        raise AddressInvalid("this domain name begins or ends wrongly")
    return "xn--" + label.encode("punycode").decode("ascii")


def _is_visible(text: str) -> bool:
    """Only letters, marks and digits, each in the form in which everybody writes it (NFKC and case folding)."""
    # Sharp s and final sigma do not pass: IDNA 2003 and IDNA 2008 readers see two names in them (RFC 5894 §7.2).
    return (
        all(unicodedata.category(character) in _LETTERS for character in text)
        and unicodedata.normalize("NFKC", text.casefold()) == text
        and not _EXCEPTED.search(text)
    )


def _label_to_unicode(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        return label[4:].encode("ascii").decode("punycode")
    except UnicodeError:
        return label[4:]


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
        return f"{_lower(self.local_part)}@{self.domain.ascii}"

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
        if not sign or domain.endswith("."):
            raise AddressInvalid("an address has a local part, @ and a domain")
        return cls(parse_local_part(local_part), Domain.parse(domain))


def parse_local_part(text: str) -> str:
    """Check a local part and give its shortest form: quotes only where needed. Raises `AddressInvalid`."""
    if not text or len(text.encode("utf-8", "replace")) > MAX_LOCAL_PART:
        raise AddressInvalid("a local part has 1 to 64 octets")  # RFC 5321 §4.5.3.1.1
    if not text.isascii() and not _is_plain(text):
        raise AddressInvalid("a local part holds a character that has two forms, or none")
    bare = text
    if not _DOT_STRING.match(text):
        if not _QUOTED.match(text):
            raise AddressInvalid("this is not a local part")
        # RFC 5321 §4.1.2: the quoted form that needs no quotes is the same mailbox.
        bare = re.sub(r"\\(.)", r"\1", text[1:-1])
    if _ENCODED_WORD.search(bare) or _REROUTING.search(bare):
        raise AddressInvalid("a local part holds no encoded words and no route")
    if _DOT_STRING.match(bare):
        return bare
    return '"' + re.sub(r'(["\\])', r"\\\1", bare) + '"'


# RFC 5321 appendix C, RFC 1123 §5.2.16: "a%b" and "b!a" were routes; a careless next hop may still follow them
_REROUTING = re.compile("[%!]")


def _is_plain(text: str) -> bool:
    """Whether everybody sees the same characters (RFC 6530 §10.1): NFC or what becomes NFC, nothing compatible."""
    composed = unicodedata.normalize("NFC", text)
    foreign = [character for character in composed if not character.isascii()]
    return (
        all(unicodedata.category(character) in _WRITTEN for character in foreign)
        and unicodedata.normalize("NFKC", composed) == composed
        # A character that is another one in NFC (the Kelvin sign is K) would be two addresses.
        and all(
            len(unicodedata.normalize("NFD", c)) > 1 or unicodedata.normalize("NFC", c) == c for c in text
        )
        and unicodedata.category(composed[0]) not in ("Mn", "Mc")
        and not _EXCEPTED.search(composed)
    )


_WRITTEN = _LETTERS | {"Lu", "Lt"}


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


def mailboxes_of(field_body: bytes, *, groups: bool = True) -> tuple[NamedMailbox, ...]:
    """Every mailbox of an address-list field body (RFC 5322 §3.4), groups opened. Raises `AddressInvalid`.

    Linear in the length of the body. Text that has two readings is refused whole; a group too, without `groups`.
    """
    found: list[NamedMailbox] = []
    all_tokens = _tokens(field_body)
    if not groups and any(kind == "colon" for kind, _ in all_tokens):
        raise AddressInvalid("a group stands where an address is asked for")
    for tokens in _split_list(all_tokens):
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
        start, position = position, _comment_end(body, position) if kind == "comment" else match.end()
        if kind == "comment" and _ADDRESS_MARK.search(body, start, position):
            raise AddressInvalid("a comment holds what some readers take for an address")
        tokens.append((kind, match.group() if kind not in _BETWEEN else b" "))
    return tokens


_BETWEEN = ("blank", "comment")
_ADDRESS_MARK = re.compile(rb"[<>@]")


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
            if in_group or any(k in ("open", "close") or b"@" in name for k, name in items[-1]):
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
    return [item for item in items if any(kind not in _BETWEEN for kind, _ in item)]


def _one_mailbox(tokens: list[tuple[str, bytes]]) -> NamedMailbox:
    tokens = _trimmed(tokens, _BETWEEN)
    kinds = [kind for kind, _ in tokens]
    if "open" not in kinds:
        # RFC 5322 §3.4.1: comments may stand around an addr-spec; inside one, two readers join differently.
        return NamedMailbox(_addr_spec(tokens))
    start = kinds.index("open")
    if kinds[-1] != "close" or kinds.count("open") != 1 or kinds.count("close") != 1:
        raise AddressInvalid("an address has exactly one < and > and nothing after it")
    mailbox = _addr_spec(_trimmed(tokens[start + 1 : -1], ("blank",)))
    name = tokens[:start]
    words = [octets for kind, octets in name if kind not in _BETWEEN]
    if any(_NOT_IN_NAMES.search(octets) for kind, octets in name if kind == "word"):
        raise AddressInvalid("a display name holds what some readers take for an address")
    # A name that is an address is read as the address by some; the same one, alone, is harmless.
    if any(kind == "word" and b"@" in octets for kind, octets in name) and (
        len(words) > 1 or _addr_spec([("word", words[0])]) != mailbox
    ):
        raise AddressInvalid("another address stands before the address")
    return NamedMailbox(mailbox, b"".join(octets for _, octets in name).strip())


# RFC 5322 §3.2.3: brackets and backslashes are specials; outside quotes, readers part ways after them
_NOT_IN_NAMES = re.compile(rb"[\[\]\\]|\A\.")


def _trimmed(tokens: list[tuple[str, bytes]], kinds: tuple[str, ...]) -> list[tuple[str, bytes]]:
    start, end = 0, len(tokens)
    while start < end and tokens[start][0] in kinds:
        start += 1
    while end > start and tokens[end - 1][0] in kinds:
        end -= 1
    return tokens[start:end]


def _addr_spec(tokens: list[tuple[str, bytes]]) -> Mailbox:
    if any(kind not in ("word", "quoted") for kind, _ in tokens):
        raise AddressInvalid("an address holds no blanks, comments or brackets")
    try:
        return Mailbox.parse(b"".join(octets for _, octets in tokens).decode("utf-8"))
    except UnicodeDecodeError as error:
        raise AddressInvalid("an address is ASCII or UTF-8") from error
