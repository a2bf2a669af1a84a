"""By what SORT and THREAD compare letters: values out of a stored ENVELOPE, and base subjects (RFC 5256 §2).

What it is: pure functions; an ENVELOPE is read as it was written at delivery (`mta.imap.envelope`). What it is not:
the sorting (`handlers.sort`) or the threads (`threads`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from core.message import decode_words, fold

MAX_SUBJECT = 1000  # ours: characters of a subject that are compared
_TOKEN = re.compile(rb'[ ]|(\()|(\))|NIL|"((?:[^"\\]|\\.)*)"|\{([0-9]{1,10})\}\r\n')
_ESCAPED = re.compile(rb"\\(.)")
_BLANKS = re.compile(r"\s+")
# RFC 5256 §5: subj-trailer = "(fwd)" / WSP
_TRAILER = re.compile(r"(?:\s*\(fwd\))+\s*\Z")
# RFC 5256 §5: subj-leader = (*subj-blob subj-refwd) / WSP; subj-refwd = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":"
_LEADER = re.compile(r"\s*(?:\[[^\[\]]*\]\s*)*(?:re|fwd?)\s*(?:\[[^\[\]]*\]\s*)?:")
_BLOB = re.compile(r"\s*\[[^\[\]]*\]\s*(?=\S)")


@dataclass(frozen=True, slots=True)
class Compared:
    """What is compared of one letter. Texts are folded."""

    subject: str = ""  # the base subject
    is_reply: bool = False
    sender: str = ""  # the local part of the first From
    to: str = ""
    cc: str = ""
    message_id: bytes = b""
    in_reply_to: bytes = b""


def compared(envelope: bytes) -> Compared:
    """The values of a stored ENVELOPE; empty ones for what cannot be read. Never raises."""
    values = _values(envelope)
    if len(values) != 10:
        return Compared()
    subject, is_reply = base_subject(_text(values[1]))
    return Compared(
        subject=subject,
        is_reply=is_reply,
        sender=_local_part(values[2]),
        to=_local_part(values[5]),
        cc=_local_part(values[6]),
        in_reply_to=_octets(values[8]),
        message_id=_octets(values[9]),
    )


def base_subject(subject: str) -> tuple[str, bool]:
    """(what remains without Re: and its like, folded; whether there was one). RFC 5256 §2.1."""
    text = _BLANKS.sub(" ", fold(subject[:MAX_SUBJECT])).strip()
    is_reply = False
    while True:
        shorter = _TRAILER.sub("", text)
        is_reply = is_reply or shorter != text
        text = shorter
        while True:
            match = _LEADER.match(text)
            is_reply = is_reply or match is not None
            match = match or _BLOB.match(text)
            if match is None:
                break
            text = text[match.end() :]
        text = text.strip()
        if not (text.startswith("[fwd:") and text.endswith("]")):
            return text, is_reply
        text, is_reply = text[5:-1], True


def _values(envelope: bytes) -> list[object]:
    """The ten values of an ENVELOPE: octets, None, or lists of lists."""
    stack: list[list[object]] = [[]]
    position = 0
    while position < len(envelope):
        match = _TOKEN.match(envelope, position)
        if match is None:
            return []
        position = match.end()
        if match[1]:
            stack.append([])
        elif match[2]:
            if len(stack) < 2:
                return []
            inner = stack.pop()
            stack[-1].append(inner)
        elif match[4]:
            stack[-1].append(envelope[position : position + int(match[4])])
            position += int(match[4])
        elif match[3] is not None:
            stack[-1].append(_ESCAPED.sub(rb"\1", match[3]))
        elif match.group() == b"NIL":
            stack[-1].append(None)
    outer = stack[0][0] if stack[0] else []
    return outer if isinstance(outer, list) else []


def _octets(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""


def _text(value: object) -> str:
    return decode_words(_octets(value))


def _local_part(addresses: object) -> str:
    """RFC 5256 §3: addr-mailbox of the first address; a group's name when it is one."""
    first = addresses[0] if isinstance(addresses, list) and addresses else None
    return fold(_text(first[2])) if isinstance(first, list) and len(first) == 4 else ""
