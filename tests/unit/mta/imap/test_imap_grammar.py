"""The words of the grammar and the commands made of them."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mta.imap.commands import connection, fetch, folders, listing, messages, search, sort
from mta.imap.commands.table import Command, CommandUnknown, parse
from mta.imap.grammar import Cursor, SyntaxInvalid
from mta.imap.literals import CommandReader, LiteralBudget, LiteralWanted, Received
from mta.imap.responses.fetch import internal_date
from mta.imap.responses.strings import literal, string
from mta.imap.sequence import STAR, SequenceSet


def parsed(line: str | bytes) -> Command:
    octets = line.encode() if isinstance(line, str) else line
    reader = CommandReader(LiteralBudget(1 << 20), 1 << 20)
    reader.authenticated = True
    reader.feed(b"t " + octets + b"\r\n")
    event = reader.next_command()
    while isinstance(event, LiteralWanted):
        event = reader.next_command()
    assert isinstance(event, Received)
    return parse(event)


@given(st.binary(max_size=2000).filter(lambda octets: b"\0" not in octets))
def test_what_is_written_as_a_string_is_read_as_it_was(octets: bytes) -> None:
    wire = string(octets)
    cut = wire.index(b"\r\n") + 2 if wire.startswith(b"{") else len(wire)
    cursor = Cursor(wire[:cut], (wire[cut:],))
    assert cursor.string() == octets
    assert cursor.at_end


def test_a_long_string_is_a_literal() -> None:
    assert string(b"x" * 2000) == literal(b"x" * 2000)
    assert string(b'a"\\') == b'"a\\"\\\\"'


@given(st.integers(0, 4_102_444_799))
def test_an_internal_date_is_read_as_it_was_written(seconds: int) -> None:
    assert Cursor(internal_date(seconds)).date_time() == seconds


def test_zones_and_dates() -> None:
    expected = int(datetime(1994, 2, 8, 5, 52, 25, tzinfo=UTC).timestamp())
    assert Cursor(b'" 7-Feb-1994 21:52:25 -0800"').date_time() == expected
    assert Cursor(b"1-Mar-2026").date() == Cursor(b'"01-mar-2026"').date() == date(2026, 3, 1).toordinal()


@pytest.mark.parametrize(
    "text",
    [b"30-Feb-2026", b"1-Foo-2026", b"1-Mar-0000", b'"1-Mar-2026', b"2026-03-01", b"1-Mar-26"],
)
def test_days_that_do_not_exist(text: bytes) -> None:
    with pytest.raises(SyntaxInvalid):
        Cursor(text).date()


@pytest.mark.parametrize(
    "text",
    [b'"01-Mar-2026 24:00:00 +0000"', b'"01-Mar-2026 00:60:00 +0000"', b'"01-Mar-2026 00:00:00 +9900"'],
)
def test_times_that_do_not_exist(text: bytes) -> None:
    with pytest.raises(SyntaxInvalid):
        Cursor(text).date_time()


def test_sequence_sets() -> None:
    assert Cursor(b"1,3:5,*:7").sequence_set() == SequenceSet(((1, 1), (3, 5), (STAR, 7)))
    for text in (b"0", b"4294967296", b"1:", b",1", b"a", b"-1"):
        with pytest.raises(SyntaxInvalid):
            _only_a_set(Cursor(text))


def _only_a_set(cursor: Cursor) -> None:
    cursor.sequence_set()
    cursor.end()


READ: list[tuple[str, Command]] = [
    ("noop", connection.Noop()),
    ("ID NIL", connection.Identify()),
    ('ID ("name" NIL)', connection.Identify(((b"name", b""),))),
    ("AUTHENTICATE plain", connection.Authenticate(b"PLAIN")),
    ("AUTHENTICATE PLAIN =", connection.Authenticate(b"PLAIN", b"=")),
    ("ENABLE CONDSTORE x", connection.Enable((b"CONDSTORE", b"X"))),
    ('SELECT "a b"', folders.Select(b"a b")),
    ("EXAMINE inbox", folders.Select(b"inbox", read_only=True)),
    ("CREATE a (USE (\\Sent))", folders.Create(b"a", ("\\Sent",))),
    ("RENAME a b", folders.Rename(b"a", b"b")),
    ("STATUS a (messages UIDNEXT messages)", folders.Status(b"a", (b"MESSAGES", b"UIDNEXT"))),
    ("UNSUBSCRIBE a", folders.Subscribe(b"a", subscribed=False)),
    ('LIST "" *', listing.List(reference=b"", patterns=(b"*",))),
    ("LSUB a %", listing.Lsub(b"a", b"%")),
    ("SELECT a (condstore)", folders.Select(b"a", condstore=True)),
    (
        "EXAMINE a (CONDSTORE QRESYNC (7 9 1:5 (1 2)))",
        folders.Select(b"a", True, True, folders.Resync(7, 9, SequenceSet(((1, 5),)))),
    ),
    ("SELECT a (QRESYNC (7 9 (1:2 1:2)))", folders.Select(b"a", resync=folders.Resync(7, 9))),
    ("SEARCH RETURN () ALL", search.Search(search.All(), False, frozenset({b"ALL"}))),
    (
        "UID SEARCH RETURN (min save) CHARSET UTF-8 $",
        search.Search(
            search.Messages(SequenceSet((), is_saved=True), False), True, frozenset({b"MIN", b"SAVE"}), True
        ),
    ),
    ("SEARCH YOUNGER 5", search.Search(search.Age(5, older=False), False)),
    (
        "APPEND a (\\Seen) UTF8 (~{1+}\r\nx)",
        messages.Append(target=b"a", letters=(messages.Letter(flags=("\\Seen",), octets=b"x"),)),
    ),
    (
        "SORT (REVERSE DATE SUBJECT) utf-8 SEEN ALL",
        sort.Sort(
            ((b"DATE", True), (b"SUBJECT", False)), search.And((search.Flag("\\Seen"), search.All())), False
        ),
    ),
    ("UID THREAD references US-ASCII ALL", sort.Thread(search.All(), True)),
    ("SEARCH MODSEQ 0", search.Search(search.Modified(0), False)),
    ("UNSELECT", messages.Close(expunge=False)),
    ("UID EXPUNGE 1:2", messages.Expunge(SequenceSet(((1, 2),)))),
    (
        "STORE 1 -flags.silent \\Seen x",
        messages.Store(
            messages=SequenceSet(((1, 1),)),
            by_uid=False,
            operation="remove",
            silent=True,
            flags=("\\Seen", "x"),
        ),
    ),
    ("UID MOVE 1 a", messages.Copy(messages=SequenceSet(((1, 1),)), by_uid=True, target=b"a", move=True)),
    (
        "APPEND a {1+}\r\nx",
        messages.Append(target=b"a", letters=(messages.Letter(octets=b"x"),)),
    ),
    ("SEARCH ALL", search.Search(search.All(), False)),
    (
        "UID SEARCH NOT (SEEN DELETED)",
        search.Search(search.Not(search.And((search.Flag("\\Seen"), search.Flag("\\Deleted")))), True),
    ),
    ("SEARCH SENTBEFORE 1-Jan-2026", search.Search(search.Day("before", 739_617, sent=True), False)),
    ('SEARCH HEADER X-A "B"', search.Search(search.Field(b"x-a", "b"), False)),
]


@pytest.mark.parametrize(("line", "command"), READ, ids=[line for line, _ in READ])
def test_commands_as_values(line: str, command: Command) -> None:
    assert parsed(line) == command


@pytest.mark.parametrize(
    "line",
    [
        "FETCH 1 BODY[MIME]",
        "FETCH 1 BODY[0]",
        "FETCH 1 BODY[1.]",
        "FETCH 1 BODY[1.HEADER.FIELDS]",
        "FETCH 1 BODY[HEADER.FIELDS ()]",
        'FETCH 1 BODY[HEADER.FIELDS ("a b")]',
        "FETCH 1 BODY[HEADER.FIELDS (a:b)]",
        "FETCH 1 BODY[]<0.0>",
        "FETCH 1 BODY[]<5>",
        "FETCH 1 BODY[NONSENSE]",
        "FETCH 1 RFC822[1]",
        "FETCH 1 ()",
        "FETCH 1 (FLAGS",
        "FETCH 1 (FLAGS))",
        "FETCH 1 (ALL)",
        "FETCH 1 (" + "UID " * 70 + "FLAGS)",
        "FETCH 1 BODY[" + "1." * 40 + "TEXT]",
        "STORE 1 FLAGS",
        "STORE 1 X-FLAGS (a)",
        "STORE 1 FLAGS (" + "x" * 65 + ")",
        "STORE 1 FLAGS (" + " ".join(f"k{n}" for n in range(65)) + ")",
        "CREATE a (FOO (\\Sent))",
        "CREATE a (USE (\\Sent)",
        'ID ("a")',
        "ID x",
        "ID (" + " ".join('"a" "b"' for _ in range(31)) + ")",
        "SEARCH",
        "SEARCH LARGER x",
        "SEARCH HEADER a",
        "SEARCH SUBJECT " + "x" * 1025,
        "SEARCH " + "NOT " * 40 + "ALL",
        "SEARCH " + "(" * 40 + "ALL" + ")" * 40,
        "SEARCH " + "ALL " * 600 + "ALL",
        b"SEARCH SUBJECT {1+}\r\n\xff",
        "LIST a",
        'LIST "" (' + "* " * 40 + "*)",
        'LIST "" * RETURN',
        'LIST "" * SUBSCRIBED (x)',
        'LIST "" * RETURN (NONSENSE)',
        'LIST "" * RETURN x',
        "APPEND a UTF8 ({1+}\r\nx)",
        "APPEND a UTF8 (~{1+}\r\nx",
        "APPEND a UTF7 (~{1+}\r\nx)",
        "APPEND a ~{1+}\r\nx",
        "FETCH 1 (PREVIEW (LAZY UID)",
        "FETCH 1 (PREVIEW (LATER))",
        "FETCH 1 (PREVIEW LAZY)",
        "SORT () UTF-8 ALL",
        "SORT (DATE) UTF-8",
        "SORT (DATE REVERSE) UTF-8 ALL",
        "SORT (REVERSE REVERSE DATE) UTF-8 ALL",
        "SORT (" + "DATE " * 20 + "DATE) UTF-8 ALL",
        "SORT DATE UTF-8 ALL",
        "THREAD ORDEREDSUBJECT UTF-8 ALL",
        "THREAD REFERENCES UTF-8",
        "SEARCH RETURN ALL",
        "SEARCH RETURN (MIN",
        "SEARCH RETURN (MIN) ",
        "SEARCH RETURN (MIN)",
        "SEARCH RETURN (MIN MIN NONSENSE) ALL",
        "SEARCH $1",
        "SEARCH OLDER -5",
        "FETCH $:5 UID",
        "FETCH 1,$ UID",
        "SELECT a (QRESYNC (1 5 $))",
        "SELECT a (",
        "SELECT a ()",
        "SELECT a (NONSENSE)",
        "SELECT a (CONDSTORE",
        "SELECT a (QRESYNC 5)",
        "SELECT a (QRESYNC (1 0))",
        "SELECT a (QRESYNC (1 5 x))",
        "SELECT a (QRESYNC (1 5 1:2 3:4))",
        "SELECT a (QRESYNC (1 5 (1 2) (1 2)))",
        "SELECT a (QRESYNC (1 5 (1 2) 1))",
        "SELECT a (QRESYNC (1 9223372036854775808))",
        "SELECT a (QRESYNC (1 5) QRESYNC (1 5))",
        "FETCH 1 FLAGS ()",
        "FETCH 1 FLAGS CHANGEDSINCE 5",
        "FETCH 1 FLAGS (CHANGEDSINCE 5 CHANGEDSINCE 6)",
        "FETCH 1 FLAGS (CHANGEDSINCE -1)",
        "UID FETCH 1 FLAGS (VANISHED)",
        "UID FETCH 1 FLAGS (NONSENSE 5)",
        "STORE 1 (UNCHANGEDSINCE 5 FLAGS (a)",
        "STORE 1 (CHANGEDSINCE 5) FLAGS (a)",
        "STORE 1 () FLAGS (a)",
        "SEARCH MODSEQ x",
        'SEARCH MODSEQ "/flags/x" some 5',
        "UID",
        "UID EXPUNGE",
        "APPEND a x",
        "APPEND a",
        "LOGIN a",
        "AUTHENTICATE",
        "ENABLE",
        "GETQUOTA",
        "CAPABILITY x",
    ],
)
def test_what_is_not_of_the_grammar(line: str | bytes) -> None:
    with pytest.raises(SyntaxInvalid):
        parsed(line)


def test_unknown_commands_are_known_as_such() -> None:
    for line in ("XLIST a b", "UID NOOP"):
        with pytest.raises(CommandUnknown):
            parsed(line)


def test_fetch_sections() -> None:
    command = parsed("UID FETCH 1:* (BODY.PEEK[1.2.HEADER.FIELDS.NOT (A b)]<3.4> RFC822.HEADER)")
    assert isinstance(command, fetch.Fetch)
    assert command.items == (
        fetch.Item.UID,
        fetch.Section(
            label=b"BODY[1.2.HEADER.FIELDS.NOT (A b)]<3>",
            path=(1, 2),
            specifier="HEADER",
            fields=frozenset({b"a", b"b"}),
            exclude=True,
            partial=(3, 4),
            peek=True,
        ),
        fetch.Section(label=b"RFC822.HEADER", specifier="HEADER", peek=True),
    )
    assert not command.items[1].shows_content
    assert fetch.Section(label=b"").shows_content


def test_secrets_do_not_print() -> None:
    for command in (parsed("LOGIN a s3cret"), parsed("AUTHENTICATE PLAIN czNjcmV0")):
        assert "s3cret" not in repr(command)
        assert "czNjcmV0" not in repr(command)


_WORDS = st.sampled_from(
    b'FETCH|UID|SEARCH|STORE|LIST|1:*|(|)|BODY[|]|<0.5>|"a"|{1+}\r\nx|FLAGS|+FLAGS|\\Seen|NOT|OR|APPEND'.split(
        b"|"
    )
    + b"ID|STATUS|RETURN| | | |%*".split(b"|")
)


@settings(max_examples=500, deadline=None)
@given(st.lists(_WORDS, max_size=14).map(b"".join))
@example(b"FETCH 1 BODY[HEADER.FIELDS ({1+}\r\nx)]")
def test_any_words_are_a_command_or_a_syntax_error(line: bytes) -> None:
    reader = CommandReader(LiteralBudget(1 << 20), 1 << 20)
    reader.authenticated = True
    reader.feed(b"t " + line + b"\r\n")
    event: Any = reader.next_command()
    if isinstance(event, Received):
        with suppress(SyntaxInvalid, search.CharsetUnknown):
            parse(event)
