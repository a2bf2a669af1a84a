"""A letter: immutable octets and a header that is read on demand, never written again.

What it is: `Message` (fields with their places in the octets), `check_header` (what a door refuses),
`originators_of` (who the header says wrote it, read one way only), `filter_header` and `decode_words` (for
people). What it is not: MIME (`core.mime`), the envelope, or a writer. Every reader is linear and bounded.
Start at `Message.fields`. A line ends with LF, with or without CR before it; the door lets only CRLF in.
"""

from __future__ import annotations

import binascii
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from core import reply
from core.address import AddressInvalid, Mailbox, NamedMailbox, mailboxes_of
from core.errors import PermanentError

MAX_HEADER = 102_400  # octets; Postfix header_size_limit. Fields that end beyond it are not read.
MAX_FIELDS = 5_000  # ours: at 20 octets a field, all that MAX_HEADER can hold in earnest
MAX_DISPLAY = 16_384  # octets of one field body that are decoded for people; ours
MAX_MESSAGE_ID = 998  # octets; RFC 5322 §2.1.1, one line


class HeaderMalformed(PermanentError):
    """The header has no reading, or two. `reply` is what the peer reads; the message names the rule."""

    def __init__(self, cause: str, answer: reply.Reply = reply.MALFORMED) -> None:
        super().__init__(cause)
        self.reply = answer


@dataclass(frozen=True, slots=True)
class HeaderField:
    """One field: its name in lower case, its raw body (folds kept), and its octets [start, end) with CRLF."""

    name: bytes
    body: bytes
    start: int
    end: int

    @property
    def unfolded(self) -> bytes:
        """The body on one line, without the blanks around it."""
        return unfold(self.body)


# RFC 5322 §2.2 and §4.5.8 (obsolete blanks before the colon, read here, refused by `check_header`)
_FIELD = re.compile(rb"^([!-9;-~]++)[ \t]*+:(.*+(?:\n[ \t].*+)*)\n?", re.MULTILINE)


class Message:
    """The octets of one letter. They are sliced, never made again."""

    def __init__(self, octets: bytes) -> None:
        self.octets = octets

    def __repr__(self) -> str:
        return f"Message({len(self.octets)} octets)"

    @cached_property
    def header_size(self) -> int:
        """Octets of the header, the empty line that ends it included."""
        return header_end(self.octets, 0, len(self.octets))

    @property
    def body_start(self) -> int:
        """Where the body begins; the length of the octets when there is none."""
        return self.header_size

    @property
    def header(self) -> bytes:
        """The header with the empty line that ends it."""
        return self.octets[: self.header_size]

    @property
    def body(self) -> bytes:
        """What follows the empty line."""
        return self.octets[self.header_size :]

    @cached_property
    def fields(self) -> tuple[HeaderField, ...]:
        """Every field in order. Lines that are no field are left out here, and refused by `check_header`."""
        return tuple(fields_in(self.octets, 0, self.header_size))

    def all(self, name: bytes) -> tuple[HeaderField, ...]:
        """The fields of this name, in any case."""
        wanted = name.lower()
        return tuple(field for field in self.fields if field.name == wanted)

    def first(self, name: bytes) -> HeaderField | None:
        """The first field of this name, or None."""
        return next(iter(self.all(name)), None)


def header_end(octets: bytes, start: int, end: int) -> int:
    """The offset behind the empty line that ends the header which begins at `start`; `end` when none does."""
    if octets.startswith((b"\r\n", b"\n"), start, end):
        return octets.index(b"\n", start) + 1
    found = octets.find(b"\n\r\n", start, end)
    limit = end if found < 0 else found + 3
    bare = octets.find(b"\n\n", start, limit)
    return bare + 2 if bare >= 0 else limit


def fields_in(octets: bytes, start: int, end: int) -> Iterator[HeaderField]:
    """The fields of the header that stands at [start, end), at most MAX_FIELDS within MAX_HEADER octets."""
    matches = islice(_FIELD.finditer(octets, start, _readable_end(octets, start, end)), MAX_FIELDS)
    return (HeaderField(match[1].lower(), match[2], match.start(), match.end()) for match in matches)


def named_fields(octets: bytes, names: re.Pattern[bytes]) -> Iterator[HeaderField]:
    """Every field of the letter whose name fits, wherever it stands: for what must be removed for certain.

    Make `names` with `field_pattern`. No limit applies but that the work is linear.
    """
    for match in names.finditer(octets, 0, header_end(octets, 0, len(octets))):
        yield HeaderField(match[1].lower(), match[2], match.start(), match.end())


def field_pattern(names: bytes) -> re.Pattern[bytes]:
    """The pattern of fields whose name is `names`, itself a pattern without groups that capture."""
    pattern = rb"^(" + names + rb")[ \t]*+:(.*+(?:\n[ \t].*+)*)\n?"
    return re.compile(pattern, re.MULTILINE | re.IGNORECASE)


def raw_fields(octets: bytes, start: int, end: int) -> dict[bytes, bytes]:
    """Name in lower case → unfolded body of its first field: the quick way for a summary."""
    found: dict[bytes, bytes] = {}
    for name, body in _FIELD.findall(octets, start, _readable_end(octets, start, end))[:MAX_FIELDS]:
        found.setdefault(name.lower(), unfold(body))
    return found


def _readable_end(octets: bytes, start: int, end: int) -> int:
    if end - start <= MAX_HEADER:
        return end
    # A field that is cut by the limit is left out whole: it is the last one before a line that is no fold.
    cut = octets.rfind(b"\n", start, start + MAX_HEADER) + 1
    while cut > start and octets[cut : cut + 1] in (b" ", b"\t"):
        cut = octets.rfind(b"\n", start, cut - 1) + 1
    return max(cut, start)


def unfold(body: bytes) -> bytes:
    """Remove the line ends of a field body (RFC 5322 §2.2.3) and the blanks around it."""
    if b"\n" in body or b"\r" in body:
        body = body.replace(b"\r", b"").replace(b"\n", b"")
    return body.strip(b" \t")


def filter_header(header: bytes, names: frozenset[bytes], *, exclude: bool) -> bytes:
    """The fields with (or, excluded, without) these lower-case names, and the empty line if there is one.

    RFC 3501 §6.4.5. Lines that are no field stay only where `exclude` is asked. Octets are copied, never made.
    """
    kept: list[bytes] = []
    end = header_end(header, 0, len(header))
    position = 0
    for match in _FIELD.finditer(header, 0, end):
        if exclude:
            kept.append(header[position : match.start()])
        if (match[1].lower() in names) is not exclude:
            kept.append(match.group())
        position = match.end()
    rest = header[position:end]
    if exclude:
        kept.append(rest)
    elif rest in (b"\r\n", b"\n") or rest.endswith((b"\n\r\n", b"\n\n")):
        kept.append(b"\r\n")
    return b"".join(kept)


# --- what a door refuses ------------------------------------------------------------------------------------
# RFC 5322 §2.2: printable name, colon at once, a body of printable octets, blanks and 8-bit octets
_STRICT_HEADER = re.compile(
    rb"(?:[!-9;-~]++:[\t -~\x80-\xff]*+(?:\r\n[ \t][\t -~\x80-\xff]*+)*\r\n)*(?:\r\n|\Z)"
)
_AT_MOST_ONCE = frozenset(
    {
        # RFC 5322 §3.6
        *(b"date", b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc", b"message-id", b"in-reply-to"),
        *(b"references", b"subject"),
        # RFC 2045 §3, RFC 2183 §2: two of them are two structures
        *(b"mime-version", b"content-type", b"content-transfer-encoding", b"content-disposition"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Originators:
    """Who the header says wrote the letter (RFC 5322 §3.6.2), read in the one way that there is."""

    from_mailboxes: tuple[Mailbox, ...]
    sender_field: Mailbox | None
    reply_to: tuple[Mailbox, ...]


def check_header(letter: bytes | Message) -> Originators:
    """Refuse what two readers may read in two ways. For submitted and relayed letters; raises HeaderMalformed."""
    message = letter if isinstance(letter, Message) else Message(letter)
    if message.header_size > MAX_HEADER:
        raise HeaderMalformed("header too big", reply.HEADER_TOO_BIG)
    checked = _STRICT_HEADER.match(message.octets)
    if checked is None or checked.end() != message.header_size:
        raise HeaderMalformed(
            "a header line is no field, or holds a control octet or a blank before the colon"
        )
    if len(message.fields) >= MAX_FIELDS:
        raise HeaderMalformed("too many header fields", reply.HEADER_TOO_BIG)
    return originators_of(message)


def originators_of(message: Message) -> Originators:
    """From, Sender and Reply-To. Raises HeaderMalformed when one is doubled or cannot be read in one way."""
    seen: set[bytes] = set()
    for field in message.fields:
        if field.name in _AT_MOST_ONCE and field.name in seen:
            raise HeaderMalformed("a field that may stand once stands twice")
        seen.add(field.name)
    from_mailboxes = _mailboxes(message, b"from")
    sender = _mailboxes(message, b"sender")
    if not from_mailboxes:
        raise HeaderMalformed("no From address")
    if len(sender) > 1:
        raise HeaderMalformed("several Sender addresses")
    return Originators(
        from_mailboxes=from_mailboxes,
        sender_field=sender[0] if sender else None,
        reply_to=_mailboxes(message, b"reply-to"),
    )


def _mailboxes(message: Message, name: bytes) -> tuple[Mailbox, ...]:
    field = message.first(name)
    if field is None:
        return ()
    try:
        # RFC 5322 §3.6.2: a group may stand in Reply-To only; in From, readers take its name for the author.
        named = mailboxes_of(field.body, groups=name == b"reply-to")
    except AddressInvalid as error:
        raise HeaderMalformed("an originator field cannot be read in one way") from error
    if any(_hides_controls(entry) for entry in named):
        raise HeaderMalformed("a display name hides control characters")
    return tuple(entry.mailbox for entry in named)


def _hides_controls(entry: NamedMailbox) -> bool:
    # The class of "Mailsploit": an encoded word that decodes to NUL or a line end cuts the name in some readers.
    return _C0.search(_decoded(entry.display_name)) is not None


def message_id_of(message: Message) -> str:
    """The Message-ID with its angle brackets as ASCII text, or "" when it has none that can be read."""
    field = message.first(b"message-id")
    value = field.unfolded if field else b""
    return value.decode("ascii") if len(value) <= MAX_MESSAGE_ID and _MESSAGE_ID.match(value) else ""


_MESSAGE_ID = re.compile(rb"<[!-;=?-~]+>\Z")  # RFC 5322 §3.6.4, wider: what is between the brackets is a name


# --- for people ---------------------------------------------------------------------------------------------
REPLACEMENT = "\ufffd"
_WORD = re.compile(
    rb"=\?([A-Za-z0-9_.:+-]{1,40})(?:\*[A-Za-z0-9-]{0,40})?\?([bBqQ])\?([!->@-~]*+)\?="
)  # RFC 2047 §2
_BETWEEN_WORDS = re.compile(rb"[ \t]*\Z")
_C0 = re.compile("[\x00-\x08\x0a-\x1f\x7f]")
_CONTROLS = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
# A closed list: the codecs of Python that are no charset (punycode: quadratic; utf-7: another alphabet) stay out.
_CHARSETS = {
    **{name: name for name in ("utf-8", "us-ascii", "koi8-r", "koi8-u", "gb2312", "gbk", "gb18030", "big5")},
    **{name: name for name in ("shift_jis", "iso-2022-jp", "euc-jp", "euc-kr", "macintosh")},
    **{f"iso-8859-{number}": f"iso-8859-{number}" for number in (*range(1, 12), 13, 14, 15, 16)},
    **{f"windows-{number}": f"cp{number}" for number in (874, *range(1250, 1259))},
    "utf8": "utf-8",
    "ascii": "us-ascii",
    "latin1": "iso-8859-1",
}


def decode_words(body: bytes) -> str:
    """A field body as people read it (RFC 2047). Never raises; controls become U+FFFD; bounded and linear."""
    return _CONTROLS.sub(REPLACEMENT, _decoded(body))


def _decoded(body: bytes) -> str:
    body = unfold(body[:MAX_DISPLAY])
    pieces: list[str] = []
    pending, charset, position = b"", "", 0
    for match in _WORD.finditer(body):
        between = body[position : match.start()]
        name = match[1].decode("ascii").lower()
        if position and _BETWEEN_WORDS.match(
            between
        ):  # RFC 2047 §6.2: blanks between two words are not shown
            between = b""
        if between or name != charset:
            pieces += (decode_charset(pending, charset), decode_charset(between, "utf-8"))
            pending, charset = b"", name
        pending += _word_octets(match[2], match[3])
        position = match.end()
    pieces += (decode_charset(pending, charset), decode_charset(body[position:], "utf-8"))
    return "".join(pieces)


def _word_octets(encoding: bytes, text: bytes) -> bytes:
    if encoding in b"qQ":
        return binascii.a2b_qp(text, header=True)
    return base64_octets(text)


def base64_octets(text: bytes) -> bytes:
    """What base64 says up to its first padding; octets outside the alphabet are ignored (RFC 2045 §6.8)."""
    alphabet = text.partition(b"=")[0].translate(None, _NOT_BASE64)
    usable = alphabet[: len(alphabet) - (len(alphabet) % 4 == 1)]
    return binascii.a2b_base64(usable + b"=" * (-len(usable) % 4))


def fold(text: str) -> str:
    """Text as searches compare it: no case, no accents, ligatures undone. Every search folds by this function."""
    folded = text.casefold()
    if folded.isascii():
        return folded
    plain = unicodedata.normalize("NFKD", folded.replace("œ", "oe").replace("æ", "ae"))
    return _MARKS.sub("", plain).casefold()


_MARKS = re.compile("[\u0300-\u036f\u00ad]+")  # combining accents, and the soft hyphen, which nobody sees


_NOT_BASE64 = bytes(
    octet
    for octet in range(256)
    if octet not in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
)


def decode_charset(octets: bytes, charset: str) -> str:
    """Text of these octets; an unknown charset is read as UTF-8. What cannot be read becomes U+FFFD."""
    return octets.decode(_CHARSETS.get(charset.lower(), "utf-8"), "replace")
