"""Invariant: any octets, cut anywhere, give the same commands and refusals, within the limits, and no error."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from core.testing.near_valid import near_valid, splits
from mta.imap.commands.search import CharsetUnknown
from mta.imap.commands.table import parse
from mta.imap.grammar import SyntaxInvalid
from mta.imap.literals import (
    MAX_LINE,
    MAX_LITERALS,
    MAX_SKIPPED_LINE,
    CommandReader,
    Event,
    LiteralBudget,
    LiteralWanted,
    Received,
    Refused,
)

SESSIONS = [
    b'a1 LOGIN "paul" {5}\r\ndunes\r\na2 SELECT INBOX\r\n', b"a LOGIN {4+}\r\npaul {5+}\r\ndunes\r\nb NOOP\r\n",
    b"a FETCH 1:*,3 (UID FLAGS BODY.PEEK[1.2.HEADER.FIELDS (From {2}\r\nTo)]<0.20> ENVELOPE)\r\n",
    b'a APPEND "INBOX" (\\Seen $Label) "21-Nov-2026 10:00:00 +0100" {11+}\r\nSubject: x\r\n\r\n',
    b'a SEARCH CHARSET UTF-8 OR (SINCE 1-Jan-2026 NOT SEEN) HEADER X {3}\r\n\xc3\xa9a UID 1:5\r\n',
    b"a UID STORE 1,2:9 -FLAGS.SILENT (\\Deleted)\r\nb UID COPY * Archive\r\nc UID EXPUNGE 1\r\n",
    b'a LIST "" "%" RETURN (SUBSCRIBED STATUS (MESSAGES))\r\nb LSUB "" *\r\nc STATUS x (UIDNEXT)\r\n',
    b"a AUTHENTICATE PLAIN AGEAYg==\r\nb IDLE\r\nDONE\r\n",
    b'a ID ("name" "x" "version" NIL)\r\nb ENABLE CONDSTORE\r\n',
    b"a SELECT x (QRESYNC (7 9 1:5 (1,2 3,4)))\r\nb FETCH $ FLAGS (CHANGEDSINCE 9)\r\n",
    b'a UID STORE 1 (UNCHANGEDSINCE 9) FLAGS ()\r\nb UID SEARCH RETURN (MIN SAVE) MODSEQ "/x" all 9 OLDER 5\r\n',
    b"a SORT (DATE) UTF-8 ALL\r\nb RENAME {1}\r\nx y\r\nc CREATE &AOk-\r\n",
]  # fmt: skip
PIECES = [
    b"{", b"}", b"{3}\r\n", b"{3+}\r\n", b"{0}\r\n", b"{99999999}\r\n", b"{18446744073709551617}\r\n", b"\r\n", b"\n",
    b"\r", b"\x00", b'"', b"\\", b'\\"', b"(", b")", b"[", b"]", b"<", b">", b"*", b"%", b"+", b" ", b"  ", b"NIL",
    b"\xff", b"\xc3\xa9", b"4294967296", b"0", b"a UID UID ", b"x" * 300, b"(" * 60, b"BODY[", b".", b"~{3}\r\n",
]  # fmt: skip
BUDGET = 100_000


def events(parts: list[bytes], *, authenticated: bool) -> list[Event]:
    budget = LiteralBudget(BUDGET)
    reader = CommandReader(budget, max_message_octets=50_000)
    reader.authenticated = authenticated
    found: list[Event] = []
    for part in parts:
        reader.feed(part)
        while (event := reader.next_command()) is not None:
            found.append(event)
            if isinstance(event, Refused) and event.close:
                reader.drop()
                assert budget.free == BUDGET
                return found
        assert 0 <= budget.free <= BUDGET
        assert reader.buffered <= MAX_LINE + MAX_LITERALS + 50_000 + MAX_SKIPPED_LINE
    reader.drop()
    assert budget.free == BUDGET  # a connection that ends gives back what it held
    return found


@given(st.data(), st.booleans())
def test_cuts_change_nothing(data: st.DataObject, authenticated: bool) -> None:
    stream = data.draw(near_valid(SESSIONS, PIECES))
    whole = events([stream], authenticated=authenticated)
    assert events(data.draw(splits(stream)), authenticated=authenticated) == whole
    assert events([bytes((octet,)) for octet in stream], authenticated=authenticated) == whole


@given(near_valid(SESSIONS, PIECES))
def test_any_command_is_read_or_refused(stream: bytes) -> None:
    for event in events([stream], authenticated=True):
        if isinstance(event, LiteralWanted | Refused):
            continue
        assert isinstance(event, Received)
        with contextlib.suppress(SyntaxInvalid, CharsetUnknown):
            parse(event)
