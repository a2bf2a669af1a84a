"""Plays `.dialogue` files: one conversation per file, readable by a mail administrator.

What it is: a parser and a player for any protocol of lines (SMTP, IMAP, MLLP ...). What it is not: a client;
the bytes go through a `Peer` that the test gives. Start at `play_text`. The format, one line each:

    # a comment, or an empty line
    C: a1 NOOP                  the client sends this line and CR LF
    C| {raw octets\\r\\n\\x00}     the client sends these octets, escapes as in Python, nothing added
    S: a1 OK Done               the server answers exactly this line
    S: /a1 OK .*/               ... or a line that this regular expression matches whole
    S: ...                      ... or any number of lines until the next `S:` line holds
    S| some octets\\r\\n           the server answers exactly these octets
    @ tls                       an action that the test defines (start TLS, wait, expect the end ...)

`C2:`, `S2:`, `C2|`, `S2|`, `@2` speak for a second conversation, and so on up to 9; without a number it is 1.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

_STEP = re.compile(r"(?P<kind>[CS@])(?P<who>[1-9]?)(?P<form>[:|]?) ?(?P<text>.*)\Z", re.DOTALL)
MAX_SKIPPED_LINES = 10_000


class Peer(Protocol):
    """The other end of one conversation, as the test sees it."""

    async def send(self, octets: bytes) -> None:
        """Give these octets to the server."""
        ...

    async def receive_line(self) -> bytes:
        """The next line of the server with its line end; b"" when it closed."""
        ...

    async def receive_exactly(self, count: int) -> bytes:
        """The next `count` octets of the server."""
        ...

    async def act(self, action: str) -> None:
        """Carry out a line of the form `@ action`; raises when it fails or is not known."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a dialogue."""

    number: int
    who: int
    kind: str  # "send", "expect", "expect octets", "skip", "act"
    text: str = ""
    octets: bytes = b""


class DialogueBroken(AssertionError):
    """What was said is not what the file says."""


def parse(text: str) -> list[Step]:
    """The steps of a dialogue file. Raises ValueError with the line's number."""
    steps = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            steps.append(_step(number, line))
    return steps


def _step(number: int, line: str) -> Step:
    match = _STEP.match(line)
    if match is None or (match["kind"] != "@" and not match["form"]):
        raise ValueError(f"line {number} is none of C: C| S: S| @ or a comment")
    who, said = int(match["who"] or 1), match["text"]
    if match["kind"] == "@":
        return Step(number, who, "act", said.strip())
    if match["form"] == "|":
        kind = "send" if match["kind"] == "C" else "expect octets"
        return Step(number, who, kind, said, _unescape(said))
    if match["kind"] == "C":
        return Step(number, who, "send", said, said.encode() + b"\r\n")
    return Step(number, who, "skip" if said == "..." else "expect", said)


def _unescape(text: str) -> bytes:
    simple = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\"}
    out = bytearray()
    for plain, escape in re.findall(r"([^\\]+)|\\(x[0-9a-fA-F]{2}|.)", text):
        if plain:
            out += plain.encode()
        elif len(escape) == 3:
            out.append(int(escape[1:], 16))
        else:
            out += simple[escape]
    return bytes(out)


def _holds(expected: str, line: bytes) -> bool:
    said = line.removesuffix(b"\r\n").decode("utf-8", "surrogateescape")
    if len(expected) > 1 and expected[0] == expected[-1] == "/":
        return re.fullmatch(expected[1:-1], said) is not None
    return said == expected


async def play(steps: list[Step], peer_of: Callable[[int], Peer]) -> None:
    """Play the steps; `peer_of(number)` gives the peer of each conversation, made when first asked for.

    Raises DialogueBroken at the first line that differs.
    """
    peers: dict[int, Peer] = {}
    skipping: set[int] = set()
    for step in steps:
        if step.who not in peers:
            peers[step.who] = peer_of(step.who)
        peer = peers[step.who]
        match step.kind:
            case "send":
                await peer.send(step.octets)
            case "act":
                await peer.act(step.text)
            case "skip":
                skipping.add(step.who)
            case "expect octets":
                await _expect_octets(step, peer)
            case _:
                await _expect_line(step, peer, skip=step.who in skipping)
                skipping.discard(step.who)


async def _expect_octets(step: Step, peer: Peer) -> None:
    octets = await peer.receive_exactly(len(step.octets))
    if octets != step.octets:
        raise DialogueBroken(f"line {step.number}: expected {step.octets!r}, the server said {octets!r}")


async def _expect_line(step: Step, peer: Peer, *, skip: bool) -> None:
    heard: list[bytes] = []
    while len(heard) <= (MAX_SKIPPED_LINES if skip else 0):
        line = await peer.receive_line()
        if line.endswith(b"\r\n") and _holds(step.text, line):
            return
        heard.append(line)
        if not line:
            break
    raise DialogueBroken(f"line {step.number}: expected {step.text!r}, the server said {heard[-3:]!r}")


async def play_text(name: str, text: str, peer_of: Callable[[int], Peer]) -> None:
    """`play` for the text of a file; its name stands in the error."""
    try:
        await play(parse(text), peer_of)
    except DialogueBroken as error:
        raise DialogueBroken(f"{name}, {error}") from error
