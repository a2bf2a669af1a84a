"""The ENVELOPE of a letter as IMAP text (RFC 3501 §7.4.2), for people's eyes.

What it is: a writer, with a lenient reader of address lists that shows whatever stands there and never raises.
What it is not: an identity. Who wrote a letter is decided by `core.message.originators_of` and by nobody here.
"""

from __future__ import annotations

import re

MAX_SHOWN_ADDRESSES = 2_000  # of one field; the rest is not shown (the class of CVE-2024-23184)

_PLAIN = re.compile(rb"[\t !#-\[\]-~]*\Z")  # goes between quotes as it is
_QUOTABLE = re.compile(rb"[\t -~]*\Z")
MAX_QUOTED = 1_000  # octets; longer strings go as literals, which every client reads whatever their length


def nstring(value: bytes | None) -> bytes:
    """NIL, a quoted string, or a literal when the octets ask for one (RFC 3501 §4.3)."""
    if value is None:
        return b"NIL"
    if len(value) <= MAX_QUOTED:
        if _PLAIN.match(value):
            return b'"' + value + b'"'
        if _QUOTABLE.match(value):
            return b'"' + value.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
    value = value.replace(b"\0", b"")  # RFC 3501 §9: a literal holds no NUL
    return b"{%d}\r\n%b" % (len(value), value)


def envelope_text(fields: dict[bytes, bytes]) -> bytes:
    """The ENVELOPE of a header given as lower-case name → unfolded body (`core.message.raw_fields`)."""
    get = fields.get
    subject = get(b"subject")
    originators = _addresses(get(b"from"))
    sender = _addresses(get(b"sender"))
    reply_to = _addresses(get(b"reply-to"))
    return b"(%b %b %b %b %b %b %b %b %b %b)" % (
        nstring(get(b"date")),
        nstring(subject.replace(b"\t", b" ") if subject else subject),  # folds were often made with tabs
        originators,
        # RFC 3501 §7.4.2: absent or empty Sender and Reply-To are those of From
        originators if sender == b"NIL" else sender,
        originators if reply_to == b"NIL" else reply_to,
        _addresses(get(b"to")),
        _addresses(get(b"cc")),
        _addresses(get(b"bcc")),
        nstring(get(b"in-reply-to")),
        nstring(get(b"message-id")),
    )


MAX_COMMON = 320  # octets; the quick form below may look twice at each of them
# The common forms of one address, alone in its field: a@b · Name <a@b> · "Name" <a@b>
_ONE = re.compile(
    rb'(?:(?:"([^"\\\x00-\x1f\x7f-\xff]*)"|([^"\\<>,;:()@\x00-\x1f\x7f-\xff]*?))[ \t]*<([^"\\<>,;:()@\s\x7f-\xff]+)@'
    rb'([^"\\<>,;:()@\s\x7f-\xff]+)>|([^"\\<>,;:()@\s\x7f-\xff]+)@([^"\\<>,;:()@\s\x7f-\xff]+))\Z'
)


def _addresses(body: bytes | None) -> bytes:
    if not body:
        return b"NIL"
    match = _ONE.match(body) if len(body) <= MAX_COMMON else None
    if match is None:
        entries = _AddressReader(body).entries
        return b"(" + b"".join(entries) + b")" if entries else b"NIL"
    quoted, name, local_part, domain, bare_local, bare_domain = match.groups()
    if bare_local is not None:
        return b'((NIL NIL "%b" "%b"))' % (bare_local, bare_domain)
    shown = quoted or name
    return b'((%b NIL "%b" "%b"))' % (b'"' + shown + b'"' if shown else b"NIL", local_part, domain)


_TOKEN = re.compile(
    rb'(?P<blank>[ \t\r\n]++)|"(?P<quoted>(?:[^"\\]++|\\.)*)(?:"|\\?\Z)|(?P<mark>[()<>,;:])'
    rb'|(?P<word>[^ \t\r\n()<>,;:"]++)',
    re.DOTALL,
)
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)


class _AddressReader:
    """Reads an address list of any quality in one pass (RFC 5322 §3.4, obsolete forms, and worse)."""

    def __init__(self, body: bytes) -> None:
        self.entries: list[bytes] = []
        self._words: list[bytes] = []  # display name, or the address when there are no brackets
        self._comment: list[bytes] = []
        self._angle: list[bytes] | None = None
        self._spaced = False
        depth = 0
        for match in _TOKEN.finditer(body):
            text = match.group()
            if depth or text == b"(":
                depth += (text == b"(") - (text == b")")
                if depth and (depth > 1 or text != b"("):
                    self._comment.append(text)
            elif len(self.entries) >= MAX_SHOWN_ADDRESSES:
                return
            else:
                self._token(match.lastgroup or "", text, match)
        self._flush()

    def _token(self, kind: str, text: bytes, match: re.Match[bytes]) -> None:
        if kind == "mark":
            self._mark(text)
        elif kind == "blank":
            self._spaced = True
        else:
            if kind == "quoted":
                text = _QUOTED_PAIR.sub(rb"\1", match["quoted"])
            self._add(text)

    def _add(self, text: bytes) -> None:
        words = self._words if self._angle is None else self._angle
        if self._spaced and words:
            words.append(b" ")
        self._spaced = False
        words.append(text)

    def _mark(self, mark: bytes) -> None:
        match mark:
            case b",":
                if self._angle is None:
                    self._flush()
                else:
                    self._angle.append(mark)
            case b"<" if self._angle is None:
                self._angle = []
                self._spaced = False
            case b">" if self._angle is not None:
                self._flush()
            case b":" if self._angle is None:
                # RFC 3501 §7.4.2: a group begins with its name and a NIL host, and ends with NIL NIL
                name = b"".join(self._words)
                self._clear()
                self.entries.append(b"(NIL NIL " + nstring(name) + b" NIL)")
            case b";" if self._angle is None:
                self._flush()
                self.entries.append(b"(NIL NIL NIL NIL)")
            case _:
                self._add(mark)

    def _flush(self) -> None:
        if self._angle is not None:
            self._entry(b"".join(self._words) or None, b"".join(self._angle))
        elif self._words:
            self._entry(b"".join(self._comment) or None, b"".join(self._words))
        self._clear()

    def _clear(self) -> None:
        self._words, self._comment, self._angle, self._spaced = [], [], None, False

    def _entry(self, name: bytes | None, address: bytes) -> None:
        route = None
        if address.startswith(b"@") and b":" in address:  # RFC 5322 §4.4: obs-route
            route, _, address = address.partition(b":")
        local_part, _, domain = address.rpartition(b"@")
        if not local_part:
            local_part, domain = domain, b""
        # A NIL host would begin a group, so a missing half is named, in the words that Dovecot made common.
        shown = nstring(local_part or b"MISSING_MAILBOX"), nstring(domain or b"MISSING_DOMAIN")
        self.entries.append(b"(%b %b %b %b)" % (nstring(name), nstring(route), *shown))
