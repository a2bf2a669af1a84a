"""The reader of commands: any split of the same octets gives the same events, within bounds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.imap import literals
from mta.imap.literals import (
    CommandReader,
    Event,
    LiteralBudget,
    LiteralWanted,
    Received,
    Refusal,
    Refused,
)

MAX_MESSAGE = 300_000


def reader(*, authenticated: bool = True, budget: int = 1 << 20) -> CommandReader:
    made = CommandReader(LiteralBudget(budget), MAX_MESSAGE)
    made.authenticated = authenticated
    return made


def events_of(octets: bytes, sizes: list[int], *, authenticated: bool = True) -> list[Event]:
    """All events until nothing is left or the connection would close, octets given in pieces."""
    made, events, position = reader(authenticated=authenticated), [], 0
    for size in [*sizes, len(octets)]:
        made.feed(octets[position : position + size])
        position += size
        while (event := made.next_command()) is not None:
            events.append(event)
            if isinstance(event, Refused) and event.close:
                return events
    return events


def test_a_plain_command() -> None:
    assert events_of(b"a1 noop\r\n", []) == [Received(tag=b"a1", name=b"NOOP")]


def test_a_command_keeps_the_place_of_its_literals() -> None:
    events = events_of(b"a LOGIN {3}\r\nx\r\n {2+}\r\nyz\r\n", [])
    text = b"{3}\r\n {2+}\r\n"
    assert events == [
        LiteralWanted(),
        Received(tag=b"a", name=b"LOGIN", text=text, literals=(b"x\r\n", b"yz")),
    ]


def test_an_empty_literal() -> None:
    assert events_of(b"a SELECT {0+}\r\n\r\n", [])[-1] == Received(
        tag=b"a", name=b"SELECT", text=b"{0+}\r\n", literals=(b"",)
    )


@pytest.mark.parametrize(
    ("octets", "tag"),
    [
        (b"\r\n", b"*"),
        (b"noop\r\n", b"*"),
        (b"a \r\n", b"a"),
        (b"+a NOOP\r\n", b"*"),
        (b"a NO\x00OP\r\n", b"a"),
        (b"a NOOP\rx\r\n", b"a"),
        (b"a NOOP\nb NOOP\r\n", b"a"),
        (b"\xff\xfe NOOP\r\n", b"*"),
        (b"x" * 65 + b" NOOP\r\n", b"*"),
    ],
)
def test_garbage_is_refused_with_its_tag_when_it_has_one(octets: bytes, tag: bytes) -> None:
    assert events_of(octets + b"z NOOP\r\n", []) == [
        Refused(tag=tag, why=Refusal.GARBAGE),
        Received(tag=b"z", name=b"NOOP"),
    ]


def test_a_line_that_is_too_long_is_skipped_and_the_next_command_is_read() -> None:
    octets = b"a SELECT " + b"x" * 1_000_000 + b"\r\nb NOOP\r\n"
    expected = [Refused(tag=b"a", why=Refusal.LINE_TOO_LONG), Received(tag=b"b", name=b"NOOP")]
    assert events_of(octets, [4096] * 300) == expected
    assert events_of(octets, []) == expected


def test_a_line_without_end_never_fills_the_memory_and_ends_the_connection() -> None:
    made = reader()
    for _ in range(100):
        made.feed(b"x" * 65536)
        event = made.next_command()
        assert made.buffered <= literals.MAX_LINE + 65536 + 2
        if event is not None:
            break
    assert event == Refused(tag=b"*", why=Refusal.LINE_TOO_LONG, close=True)


def test_a_too_long_line_that_announces_octets_at_once_ends_the_connection() -> None:
    octets = b"a SELECT " + b"x" * 100_000 + b"{10+}\r\n"
    assert events_of(octets, [])[0] == Refused(tag=b"a", why=Refusal.LINE_TOO_LONG, close=True)


def test_a_literal_that_is_too_large_is_refused_before_it_is_sent() -> None:
    expected = [Refused(tag=b"a", why=Refusal.LITERAL_TOO_LARGE), Received(tag=b"b", name=b"NOOP")]
    assert events_of(b"a SELECT {65537}\r\nb NOOP\r\n", []) == expected
    assert events_of(b"a APPEND x {999999999999}\r\nb NOOP\r\n", []) == expected


def test_a_literal_that_comes_anyhow_is_thrown_away() -> None:
    octets = b"a SELECT {65537+}\r\n" + b"b NOOP\r\n" * 9000
    events = events_of(octets[: len(b"a SELECT {65537+}\r\n") + 65537] + b"\r\nc NOOP\r\n", [])
    assert events == [Refused(tag=b"a", why=Refusal.LITERAL_TOO_LARGE), Received(tag=b"c", name=b"NOOP")]


def test_a_literal_that_would_have_to_be_thrown_away_for_ever_ends_the_connection() -> None:
    assert events_of(b"a SELECT {999999999+}\r\n", []) == [
        Refused(tag=b"a", why=Refusal.LITERAL_TOO_LARGE, close=True)
    ]


def test_append_may_bring_a_message_and_only_after_login() -> None:
    octets = b"a APPEND x {200000+}\r\n" + b"m" * 200_000 + b"\r\n"
    received = events_of(octets, [1000] * 50)[-1]
    assert isinstance(received, Received)
    assert received.literals == (b"m" * 200_000,)
    assert events_of(octets, [], authenticated=False)[0] == Refused(
        tag=b"a", why=Refusal.LITERAL_TOO_LARGE, close=True
    )


def test_too_many_literals() -> None:
    octets = b"a FETCH 1 " + b"{1+}\r\nx " * 300 + b"\r\n"
    assert events_of(octets, []) == [Refused(tag=b"a", why=Refusal.TOO_MANY_LITERALS)]


def test_literals_live_within_the_budget_of_the_process() -> None:
    budget = LiteralBudget(1000)
    one, other = CommandReader(budget, MAX_MESSAGE), CommandReader(budget, MAX_MESSAGE)
    one.authenticated = other.authenticated = True
    one.feed(b"a APPEND x {900+}\r\n" + b"m" * 900 + b"\r\n")
    assert isinstance(one.next_command(), Received)
    assert budget.free == 100
    other.feed(b"a APPEND x {900+}\r\n" + b"m" * 900 + b"\r\nb NOOP\r\n")
    assert other.next_command() == Refused(tag=b"a", why=Refusal.NO_ROOM)
    assert other.next_command() == Received(tag=b"b", name=b"NOOP")
    assert one.next_command() is None
    assert budget.free == 1000


def test_octets_of_a_connection_that_is_lost_are_given_back() -> None:
    budget = LiteralBudget(1000)
    made = CommandReader(budget, MAX_MESSAGE)
    made.authenticated = True
    made.feed(b"a APPEND x {900+}\r\n" + b"m" * 500)
    assert made.next_command() is None
    assert budget.free == 500
    assert made.is_within_command
    assert made.declared_octets == 900
    made.drop()
    assert budget.free == 1000
    assert not made.is_within_command


def test_bare_lines_for_idle_and_authenticate() -> None:
    made = reader()
    made.feed(b"DONE\r\nrest")
    assert made.next_line() == b"DONE"
    assert made.next_line() is None
    made.feed(b"x" * 9000 + b"\r\n")
    assert made.next_line() == Refused(tag=b"*", why=Refusal.LINE_TOO_LONG)


_PIECES = st.lists(st.integers(1, 12), max_size=60)
_COMMANDS = st.lists(
    st.sampled_from(
        [
            b"a NOOP\r\n",
            b"b LOGIN {3}\r\nx\r\n {2+}\r\nyz\r\n",
            b"c APPEND x () {5+}\r\na\r\n\r\n\r\n",
            b"d SELECT {70000+}\r\n",
            b"nonsense\r\n",
            b"\r\n",
            b"e \x00\r\n",
            b"f NOOP\rNOOP\r\n",
            b"g " + b"x" * 70_000 + b"\r\n",
            b"\xff" * 30,
            b"{5}\r\n",
            b"{5+}\r\n",
            b"\r",
            b"\n",
        ]
    ),
    max_size=8,
).map(b"".join)


@settings(max_examples=300, deadline=None)
@given(_COMMANDS, _PIECES, st.booleans())
def test_any_split_gives_the_same_events(octets: bytes, sizes: list[int], authenticated: bool) -> None:
    whole = events_of(octets, [], authenticated=authenticated)
    assert events_of(octets, sizes, authenticated=authenticated) == whole


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), _PIECES)
def test_random_octets_never_raise(octets: bytes, sizes: list[int]) -> None:
    for event in events_of(octets + b"\r\n", sizes):
        assert isinstance(event, Received | Refused | LiteralWanted)
