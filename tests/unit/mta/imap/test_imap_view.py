"""The selected folder as a session was told of it, the table of states, the cache, and three-valued search."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.folder import Folder, FolderChanges, MessageRow, Summary
from mta.imap import matching
from mta.imap.commands import search
from mta.imap.commands.table import _ALONE, _BY_UID, _PARSERS
from mta.imap.handlers.table import HANDLERS
from mta.imap.matching import Candidate, compile_key, needs
from mta.imap.record_cache import RecordCache
from mta.imap.row_table import RowTable
from mta.imap.sequence import STAR, SequenceSet
from mta.imap.session import PERMITTED, Session, State
from mta.imap.view import FolderView

FOLDER = Folder(
    folder_id=7, bal_id=1, name="INBOX", uid_validity=9, uid_next=1, highest_modseq=1, recent_floor=1
)


def row(uid: int, *flags: str, modseq: int = 1) -> MessageRow:
    return MessageRow(
        uid=uid,
        message_id=uid,
        flags=frozenset(flags),
        internal_date=uid * 86_400,
        size=uid * 10,
        modseq=modseq,
    )


def changes(*rows: MessageRow, vanished: tuple[int, ...] = (), modseq: int = 2) -> FolderChanges:
    uid_next = max((one.uid for one in rows), default=0) + 1
    return FolderChanges(rows=rows, vanished=vanished, highest_modseq=modseq, uid_next=uid_next)


def view_of(*rows: MessageRow, read_only: bool = False, recent_floor: int = 100) -> FolderView:
    view = FolderView(FOLDER, read_only=read_only, recent_floor=recent_floor)
    view.absorb(changes(*rows))
    view.opening_lines()
    return view


def test_arrivals_are_told_once() -> None:
    view = view_of(row(1), row(5))
    view.absorb(changes(row(6)))
    assert view.announce(may_expunge=False) == b"* 3 EXISTS\r\n* 0 RECENT\r\n"
    assert view.announce(may_expunge=True) == b""
    assert view.saw_arrivals


def test_flags_of_others_are_told_and_equal_ones_are_not() -> None:
    view = view_of(row(1), row(5), recent_floor=5)
    view.absorb(changes(row(1), row(5, "\\Seen", modseq=3), modseq=3))
    assert view.announce(may_expunge=False) == b"* 2 FETCH (FLAGS (\\Seen \\Recent))\r\n"
    view.absorb_rows([row(1, "\\Flagged")])
    assert view.announce(may_expunge=True) == b""
    assert view.modseq == 3


def test_removals_wait_until_they_may_be_told_and_count_down() -> None:
    view = view_of(*(row(uid) for uid in range(1, 7)))
    view.absorb(changes(row(7), vanished=(2, 5, 99)))
    assert view.announce(may_expunge=False) == b"* 7 EXISTS\r\n* 0 RECENT\r\n"
    assert view.is_gone(5)
    assert not view.is_gone(6)
    assert view.announce(may_expunge=True) == b"* 5 EXPUNGE\r\n* 2 EXPUNGE\r\n"
    assert list(view.uids) == [1, 3, 4, 6, 7]


def test_a_message_that_came_and_went_untold_is_never_told() -> None:
    view = view_of(row(1))
    view.absorb(changes(row(2), row(3)))
    view.absorb(changes(vanished=(2,)))
    assert view.announce(may_expunge=True) == b"* 2 EXISTS\r\n* 0 RECENT\r\n"
    assert list(view.uids) == [1, 3]


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30), st.booleans()), max_size=40))
def test_a_client_that_follows_what_is_told_always_has_the_same_list(
    acts: list[tuple[int, int, bool]],
) -> None:
    """The client's model: EXISTS grows, EXPUNGE n shifts. Its count always equals the view's told count."""
    view, told, uid = view_of(), 0, 0
    for kind, which, may_expunge in acts:
        if kind == 0:
            uid += 1
            view.absorb(changes(row(uid)))
        elif kind == 1 and view.uids:
            view.absorb(changes(vanished=(view.uids[which % len(view.uids)],)))
        elif kind == 2 and view.uids:
            view.vanish([view.uids[which % len(view.uids)]])
        for line in view.announce(may_expunge=may_expunge).split(b"\r\n"):
            if line.endswith(b"EXISTS"):
                assert int(line.split()[1]) >= told
                told = int(line.split()[1])
            elif line.endswith(b"EXPUNGE"):
                assert 1 <= int(line.split()[1]) <= told
                told -= 1
        assert told == len(view)


def test_new_keywords_are_announced_first_and_keep_their_first_spelling() -> None:
    view = view_of(row(1))
    view.absorb(changes(row(1, "$Label1", modseq=5)))
    assert view.has_new_keywords
    lines = view.announce(may_expunge=False).split(b"\r\n")
    assert lines[0] == b"* FLAGS (\\Seen \\Answered \\Flagged \\Deleted \\Draft $Label1)"
    assert lines[2] == b"* 1 FETCH (FLAGS ($Label1))"
    assert view.keywords == {"$label1": "$Label1"}


def test_opening_lines_of_an_empty_folder_have_no_unseen() -> None:
    view = FolderView(FOLDER, read_only=True, recent_floor=1)
    view.absorb(changes())
    assert b"UNSEEN" not in view.opening_lines()
    assert not view.saw_arrivals


# --- the table of rows --------------------------------------------------------------------------------------
def test_rows_in_columns() -> None:
    table = RowTable()
    table.extend([row(1), row(3, "\\Seen"), row(9)])
    assert (len(table), table.position_of(3), table.position_of(4), table.position_of(99)) == (
        3,
        1,
        None,
        None,
    )
    assert table.flags(1) == {"\\Seen"}
    assert table.date(2) == 9 * 86_400
    assert not table.change(0, row(1))
    assert table.change(0, row(1, "\\Draft"))
    table.remove([1])
    assert list(table.uids) == [1, 9]
    assert list(table.sizes) == [10, 90]
    assert [table.flags(position) for position in range(2)] == [{"\\Draft"}, frozenset()]


def test_sets_of_flags_that_no_message_has_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mta.imap.row_table.SPARE_SETS", 4)
    table = RowTable()
    table.extend([row(1), row(2, "keep")])
    for number in range(100):
        table.change(0, row(1, f"k{number}"))
    assert len(table.flag_sets) < 12
    assert (table.flags(0), table.flags(1)) == ({"k99"}, {"keep"})


# --- the table of states ------------------------------------------------------------------------------------
def test_every_command_has_a_state_and_a_handler() -> None:
    assert PERMITTED.keys() == HANDLERS.keys()
    assert {type(command) for command in _ALONE.values()} <= PERMITTED.keys()
    assert len(_PARSERS) + len(_ALONE) + len(_BY_UID) == 43


def test_capabilities_follow_the_state() -> None:
    session = Session(session_id="s", network="n", listener="imap", is_tls=False, max_message_octets=5)
    assert "LOGINDISABLED" in session.capabilities
    assert "AUTH=" not in session.capabilities
    session.tls_started()
    assert "AUTH=PLAIN" in session.capabilities
    assert "STARTTLS" not in session.capabilities
    session.state = State.AUTHENTICATED
    assert session.capabilities.endswith("APPENDLIMIT=5")
    assert "AUTH=" not in session.capabilities


# --- the cache ----------------------------------------------------------------------------------------------
def summary(size: int) -> Summary:
    return Summary(envelope=b"e" * size, body=b"", body_structure=b"", parts=b"", header_size=0, sent_date=5)


def test_the_cache_forgets_what_was_used_least_recently() -> None:
    cache = RecordCache(3 * 1500)
    cache.put_many(1, {1: summary(1000), 2: summary(1000), 3: summary(1000)})
    cache.get_many(1, [1])
    cache.put_many(1, {4: summary(1000), 1: summary(1)})
    assert [found is not None for found in cache.get_many(1, [1, 2, 3, 4])] == [True, False, True, True]
    assert cache.get_many(2, [1]) == [None]
    assert 0 < cache.octets <= 3 * 1500


def test_a_record_larger_than_the_cache_is_not_kept() -> None:
    cache = RecordCache(100)
    cache.put_many(1, {1: summary(1000)})
    assert cache.octets == 0


# --- search -------------------------------------------------------------------------------------------------
LETTER = b"From: anne@ch-rivage.mssante.example\r\nSubject: =?utf-8?b?w6l0w6k=?=\r\n\r\nBonjour \xc3\x89t\xc3\xa9\r\n"


def verdict(key: search.Key, **known: object) -> bool | None:
    view = view_of(row(1), row(2, "\\Seen"), row(3), recent_floor=3)
    candidate = dataclasses.replace(Candidate(1, view.rows), **known)  # type: ignore[arg-type]
    return compile_key(key, view)(candidate)


def test_what_rows_decide() -> None:
    assert verdict(search.All())
    assert verdict(search.Flag("\\Seen"))
    assert not verdict(search.Flag("\\Seen", present=False))
    assert not verdict(search.Recent())
    assert verdict(search.Recent(recent=False))
    assert verdict(search.Size(19, larger=True))
    assert not verdict(search.Size(20, larger=True))
    assert verdict(search.Size(21, larger=False))
    assert verdict(search.Messages(SequenceSet(((2, 2),)), by_uid=True))
    assert not verdict(search.Messages(SequenceSet(((STAR, STAR),)), by_uid=False))
    day = 719_163 + 2
    assert verdict(search.Day("on", day))
    assert not verdict(search.Day("before", day))
    assert verdict(search.Day("since", day))


def test_what_must_be_read_is_not_known_before() -> None:
    field, text = search.Field(b"subject", "ete"), search.Text("bonjour e", with_header=False)
    assert verdict(field) is None
    assert verdict(field, header=LETTER) is True
    assert verdict(search.Field(b"subject", "hiver"), header=LETTER) is False
    assert verdict(search.Day("on", 719_163, sent=True)) is None
    assert verdict(search.Day("on", 719_163, sent=True), sent_day=719_163) is True
    assert verdict(text) is None
    assert verdict(text, text=LETTER) is True
    assert verdict(search.Text("anne@", with_header=False), text=LETTER) is False
    assert verdict(search.Text("from: anne@", with_header=True), text=LETTER) is True


YES, NO, UNKNOWN = search.All(), search.Not(search.All()), search.Field(b"x", "y")


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (search.Not(UNKNOWN), None),
        (search.Or(YES, UNKNOWN), True),
        (search.Or(UNKNOWN, YES), True),
        (search.Or(NO, UNKNOWN), None),
        (search.Or(UNKNOWN, NO), None),
        (search.Or(NO, NO), False),
        (search.And((YES, UNKNOWN)), None),
        (search.And((UNKNOWN, NO)), False),
        (search.And((YES, YES)), True),
    ],
)
def test_not_known_is_the_third_value(key: search.Key, expected: bool | None) -> None:
    assert verdict(key) is expected


def test_needs() -> None:
    key = search.And((search.Not(UNKNOWN), search.Or(search.Text("x", True), search.Day("on", 1, sent=True))))
    assert needs(key) == matching.Needs(summary=True, header=True, text=True)
    assert needs(search.All()) == matching.Needs()
