"""ESEARCH tells what SEARCH tells, in fewer words (RFC 4731 §3.1), for any folder and any result."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.folder import MessageRow
from mta.imap.commands.search import RESULT_OPTIONS, All, Search
from mta.imap.grammar import Cursor
from mta.imap.responses.search import esearch, kept, search
from mta.imap.row_table import RowTable

UIDS = st.sets(st.integers(1, 500), min_size=1, max_size=60).map(sorted)


@given(
    UIDS,
    st.data(),
    st.frozensets(st.sampled_from(sorted(RESULT_OPTIONS)), min_size=1),
    st.booleans(),
    st.booleans(),
)
def test_both_answers_agree(
    uids: list[int], data: st.DataObject, options: frozenset[bytes], by_uid: bool, asks_modseq: bool
) -> None:
    table = RowTable()
    table.extend([MessageRow(uid, uid, frozenset(), 0, 1, uid + 7) for uid in uids])
    found = sorted(data.draw(st.sets(st.integers(0, len(uids) - 1))))
    plain = search(table, found, Search(All(), by_uid), b"t", asks_modseq=asks_modseq)
    numbers = [int(word) for word in plain.partition(b"(")[0].split()[2:]]
    assert numbers == [uids[position] if by_uid else position + 1 for position in found]
    told = esearch(table, found, Search(All(), by_uid, options), b"t", asks_modseq=asks_modseq)
    if options == {b"SAVE"}:
        assert told == b""
        return
    assert told.startswith(b'* ESEARCH (TAG "t")')
    words = told.removesuffix(b"\r\n").split(b" ")[4:]
    assert (words[:1] == [b"UID"]) == by_uid
    items = dict(zip(words[by_uid::2], words[by_uid + 1 :: 2], strict=True))
    assert items.get(b"MIN") == (b"%d" % numbers[0] if numbers and b"MIN" in options else None)
    assert items.get(b"MAX") == (b"%d" % numbers[-1] if numbers and b"MAX" in options else None)
    assert items.get(b"COUNT") == (b"%d" % len(numbers) if b"COUNT" in options else None)
    if b"ALL" in items:
        spans = Cursor(items[b"ALL"]).sequence_set().spans(0)
        assert [number for first, last in spans for number in range(first, last + 1)] == numbers
    assert (b"ALL" in items) == (b"ALL" in options and bool(numbers))
    if found and asks_modseq:
        assert int(items[b"MODSEQ"]) == max(uids[position] + 7 for position in kept(found, options))


def test_what_is_saved_is_what_was_asked_for() -> None:
    found = [2, 5, 9]
    assert kept(found, frozenset({b"SAVE"})) == found
    assert kept(found, frozenset({b"SAVE", b"MIN"})) == [2]
    assert kept(found, frozenset({b"SAVE", b"MAX"})) == [9]
    assert kept(found, frozenset({b"SAVE", b"MIN", b"MAX"})) == [2, 9]
    assert kept(found, frozenset({b"SAVE", b"MIN", b"COUNT"})) == found
    assert kept([], frozenset({b"SAVE", b"MIN"})) == []
