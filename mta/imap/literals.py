"""Framing: cuts the octets of a client into whole commands with their literals (RFC 3501 §4.3, §7.5).

What it is: a pure reader; any split of the same octets gives the same events, and it never holds more than
its limits. What it is not: the grammar of the commands (`grammar`, `commands`). Start at
`CommandReader.next_command`; `Received.text` keeps each `{n}` CRLF marker in its place, so that the parser
takes the literals in their order.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

MAX_LINE = 64 * 1024  # RFC 2683 §3.2.1.5 asks for 8000 octets; long UID sets need more
MAX_LINE_BEFORE_LOGIN = 8 * 1024  # RFC 2683 §3.2.1.5
MAX_SKIPPED_LINE = 4 * 1024 * 1024  # ours: a longer line ends the connection
MAX_LITERALS_BEFORE_LOGIN = 4 * 1024  # ours: octets of a login's literals
MAX_LITERALS = 64 * 1024  # ours: octets of all literals of a command other than APPEND
MAX_LITERAL_COUNT = 256  # ours: literals of one command
MAX_TAG = 64  # ours: RFC 3501 §2.2.1 gives no limit; clients use 4 to 10
CRLF = b"\r\n"

# RFC 3501 §9: tag = 1*<any ASTRING-CHAR except "+">; ASTRING-CHAR = ATOM-CHAR / resp-specials
_TAG = re.compile(rb'[^\x00-\x20(){%*"\\+\x7f-\xff]{1,64}(?= )')
# RFC 3501 §9: command = tag SP (command-any / ...)
_NAME = re.compile(rb" ([A-Za-z][A-Za-z0-9-]{0,31})(?= |\Z)")
# RFC 3501 §9: literal = "{" number "}" CRLF *CHAR8; RFC 7888 §8: literal = "{" number ["+" / "-"] "}"
_MARKER = re.compile(rb"\{([0-9]{1,20})(\+?)\}\Z")
_FORBIDDEN = re.compile(rb"[\x00\r\n]")


class Refusal(enum.Enum):
    """Why a command was not even given to the parser."""

    GARBAGE = "garbage"
    LINE_TOO_LONG = "line-too-long"
    LITERAL_TOO_LARGE = "literal-too-large"
    TOO_MANY_LITERALS = "too-many-literals"
    NO_ROOM = "no-room"


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A whole command. `name` is upper case, `text` is what follows the name and one space."""

    tag: bytes
    name: bytes
    text: bytes = b""
    literals: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class LiteralWanted:
    """Answer with a continuation request; the client then sends its literal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Answer BAD (or NO) to this tag (`*` when there is none); when `close`, say BYE and end."""

    tag: bytes
    why: Refusal
    close: bool = False


Event = Received | LiteralWanted | Refused


class LiteralBudget:
    """The octets of literals that all connections of a process may hold at one time."""

    def __init__(self, octets: int) -> None:
        self._free = octets

    @property
    def free(self) -> int:
        """Octets that may still be taken."""
        return self._free

    def take(self, count: int) -> bool:
        """Whether `count` octets were free; then they are taken."""
        if count > self._free:
            return False
        self._free -= count
        return True

    def give(self, count: int) -> None:
        """Give them back."""
        self._free += count


class CommandReader:
    """Feed it what arrives; ask it for commands, or for bare lines (IDLE's DONE, AUTHENTICATE's answer)."""

    def __init__(self, budget: LiteralBudget, max_message_octets: int) -> None:
        self.authenticated = False
        """Set by the session after login: the limits grow then."""
        self._budget = budget
        self._max_message = max_message_octets
        self._buffer = bytearray()
        self._scanned = 0
        self._skipped = 0  # octets of an overlong line that were thrown away
        self._skip_tail = b""
        self._held = 0
        self._begin()

    def _begin(self) -> None:
        self._budget.give(self._held)
        self._held = 0
        self._text = bytearray()
        self._literals: list[bytes] = []
        self._tag = b""
        self._name = b""
        self._refusal: Refusal | None = None
        self._declared = 0  # octets of literals that this command announced
        self._literal: bytearray | None = None
        self._missing = 0  # octets of the current literal still to come

    @property
    def buffered(self) -> int:
        """Octets that arrived and were not asked for yet."""
        return len(self._buffer)

    @property
    def is_within_command(self) -> bool:
        """Whether some octets of a command are here but not its end (for the deadline of a command)."""
        return bool(self._buffer or self._text or self._missing or self._skipped)

    @property
    def declared_octets(self) -> int:
        """What the literals of the command under way announced (a command may take longer for it)."""
        return self._declared

    def feed(self, octets: bytes) -> None:
        """Octets as they arrived."""
        self._buffer += octets

    def take_buffered(self) -> bytes:
        """What came behind the last command, given back unread: from there on it is written otherwise."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        self._scanned = 0
        return rest

    def drop(self) -> None:
        """Forget everything that is buffered and end the command under way."""
        self._buffer.clear()
        self._scanned = self._skipped = 0
        self._begin()

    def next_line(self) -> bytes | Refused | None:
        """One bare line without its end, or None when it is not whole yet."""
        line = self._take_line(MAX_LINE_BEFORE_LOGIN)
        if isinstance(line, Refused):
            return Refused(tag=b"*", why=line.why, close=line.close)
        return line

    def next_command(self) -> Event | None:
        """The next event, or None when more octets are needed. A command's literals live until the next call."""
        if not (self._text or self._missing or self._skipped):
            self._begin()
        while True:
            if self._missing:
                if not self._read_literal():
                    return None
                self._text += CRLF
            limit = (MAX_LINE if self.authenticated else MAX_LINE_BEFORE_LOGIN) - len(self._text)
            line = self._take_line(max(limit, 0))
            if line is None:
                return None
            event = line if isinstance(line, Refused) else self._line(line)
            if isinstance(event, (Refused, Received)):
                self._text = bytearray()
            if event is not None:
                return event

    # --- lines ----------------------------------------------------------------------------------------------
    def _take_line(self, limit: int) -> bytes | Refused | None:
        end = self._buffer.find(CRLF, max(self._scanned - 1, 0))
        if end < 0:
            self._scanned = len(self._buffer)
            if self._skipped or len(self._buffer) > limit + 1:
                return self._skip(max(len(self._buffer) - 1, 0), ended=False)
            return None
        self._scanned = 0
        if self._skipped or end > limit:
            return self._skip(end, ended=True)
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _skip(self, count: int, *, ended: bool) -> Refused | None:
        """Throw away the start of a line that is too long; the event comes when the line ends."""
        if not self._skipped:
            self._note_head(bytes(self._text[: MAX_TAG + 1]) + bytes(self._buffer[: MAX_TAG + 1]))
        tail = self._skip_tail + bytes(self._buffer[max(count - 32, 0) : count])
        self._skip_tail = tail[-32:]
        self._skipped += count
        del self._buffer[: count + 2 if ended else count]
        self._scanned = 0
        if not ended and self._skipped <= MAX_SKIPPED_LINE:
            return None
        # RFC 7888 §4: a literal that will be sent at once behind a refused line cannot be told from commands.
        marker = _MARKER.search(self._skip_tail)
        close = self._skipped > MAX_SKIPPED_LINE or (marker is not None and marker[2] == b"+")
        self._skipped, self._skip_tail = 0, b""
        refused = Refused(tag=self._tag or b"*", why=Refusal.LINE_TOO_LONG, close=close)
        self._begin()
        return refused

    def _note_head(self, head: bytes) -> None:
        if self._tag:
            return
        match = _TAG.match(head)
        self._tag = match.group() if match else b""

    def _line(self, line: bytes) -> Event | None:
        """One line of a command, the first or one behind a literal."""
        if not self._tag:
            self._first_line(line)
        if self._refusal is None and _FORBIDDEN.search(line):
            self._refusal = Refusal.GARBAGE  # RFC 3501 §9: CHAR = %x01-7F, and TEXT-CHAR has no CR or LF
        self._text += line
        marker = _MARKER.search(line)
        if marker is not None:
            return self._announce(int(marker[1]), synchronising=not marker[2])
        if self._refusal is not None:
            return self._refuse(self._refusal)
        text = bytes(self._text[len(self._tag) + 1 + len(self._name) :]).removeprefix(b" ")
        return Received(tag=self._tag, name=self._name.upper(), text=text, literals=tuple(self._literals))

    def _first_line(self, line: bytes) -> None:
        match = _TAG.match(line)
        name = _NAME.match(line, match.end()) if match else None
        self._tag = match.group() if match else b"*"
        if name is None:
            self._refusal = Refusal.GARBAGE
        else:
            self._name = name[1]

    def _refuse(self, why: Refusal, *, close: bool = False) -> Refused:
        refused = Refused(tag=self._tag, why=why, close=close)
        self._begin()
        return refused

    # --- literals -------------------------------------------------------------------------------------------
    def _largest(self) -> int:
        if not self.authenticated:
            return MAX_LITERALS_BEFORE_LOGIN
        return self._max_message + MAX_LITERALS if self._name.upper() == b"APPEND" else MAX_LITERALS

    def _announce(self, count: int, *, synchronising: bool) -> Event | None:
        """A line ended with a literal's marker: wait for the literal, or refuse it."""
        self._declared += count
        if self._refusal is None and self._declared > self._largest():
            self._refusal = Refusal.LITERAL_TOO_LARGE
        elif self._refusal is None and len(self._literals) >= MAX_LITERAL_COUNT:
            self._refusal = Refusal.TOO_MANY_LITERALS
        if self._refusal is not None:
            if synchronising:
                return self._refuse(self._refusal)  # RFC 3501 §7.5: the client waits and hears the refusal
            if self._declared > 2 * (self._max_message if self.authenticated else MAX_LITERALS_BEFORE_LOGIN):
                return self._refuse(self._refusal, close=True)
        self._missing = count
        self._literal = bytearray() if self._refusal is None else None
        if count == 0:
            self._literals.append(b"")
            self._text += CRLF
        return LiteralWanted() if synchronising else None

    def _read_literal(self) -> bool:
        """Move octets of the literal; whether it is whole. Octets are dropped when the command is refused."""
        piece = self._buffer[: self._missing]
        del self._buffer[: len(piece)]
        self._scanned = 0
        self._missing -= len(piece)
        if self._literal is not None:
            if self._budget.take(len(piece)):
                self._held += len(piece)
                self._literal += piece
            else:
                self._refusal, self._literal = Refusal.NO_ROOM, None
        if self._missing:
            return False
        if self._literal is not None:
            self._literals.append(bytes(self._literal))
        self._literal = None
        return True
