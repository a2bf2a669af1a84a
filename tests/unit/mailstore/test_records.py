"""The small records: what is packed comes out again, flags keep their bits, places are told apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import PermanentError
from core.folder import SYSTEM_FLAGS, StoredOctets, Summary
from mailstore import records
from mailstore.sealing import SealBroken

_OCTETS = st.binary(max_size=40)


@given(
    summary=st.builds(
        Summary,
        envelope=_OCTETS,
        body=_OCTETS,
        body_structure=_OCTETS,
        parts=_OCTETS,
        header_size=st.integers(0, 2**32 - 1),
        sent_date=st.integers(-(2**62), 2**62),
    )
)
def test_a_summary_comes_out_as_it_went_in(summary: Summary) -> None:
    assert records.unpacked_summary(records.packed_summary(summary)) == summary


@given(prefix=_OCTETS, size=st.integers(0, 2**40))
def test_a_key_record_comes_out_as_it_went_in(prefix: bytes, size: int) -> None:
    stored = StoredOctets("b", bytes(range(32)), size, bytes(range(32, 64)))
    record = records.unpacked_key(records.packed_key(stored, prefix))
    assert record.stored("b") == stored
    assert record.prefix == prefix
    assert "range" not in repr(record)
    assert repr(record) == f"KeyRecord({size} octets)"


def test_records_of_another_version_are_refused() -> None:
    summary = Summary(envelope=b"", body=b"", body_structure=b"", parts=b"", header_size=0, sent_date=0)
    key = records.packed_key(StoredOctets("b", bytes(32), 0, bytes(32)), b"")
    with pytest.raises(SealBroken):
        records.unpacked_summary(b"\x02" + records.packed_summary(summary)[1:])
    with pytest.raises(SealBroken):
        records.unpacked_key(b"\x02" + key[1:])


@given(flags=st.frozensets(st.sampled_from([*SYSTEM_FLAGS, "$Junk", "work", "a"])))
def test_flags_come_out_as_they_went_in(flags: frozenset[str]) -> None:
    assert records.unpacked_flags(*records.packed_flags(flags)) == flags


def test_the_bits_of_flags_never_move() -> None:
    packed = [records.packed_flags(frozenset({flag})) for flag in SYSTEM_FLAGS]
    assert packed == [(1, ""), (2, ""), (4, ""), (8, ""), (16, "")]
    assert (records.SEEN, records.DELETED) == (1, 8)


@pytest.mark.parametrize(
    "flags",
    [{"\\Recent"}, {"a b"}, {""}, {"\x7f"}, {"é"}, {"k" * 129}, {f"k{number}" for number in range(65)}],
)
def test_flags_that_cannot_be_stored(flags: set[str]) -> None:
    with pytest.raises(PermanentError):
        records.packed_flags(frozenset(flags))


def test_the_shared_flag_sets_stay_few() -> None:
    for number in range(5000):
        assert records.unpacked_flags(1, f"k{number}") == {"\\Seen", f"k{number}"}
    assert len(records._unpacked) <= 4097


def test_places_are_told_apart() -> None:
    assert records.place_of(3, 7) == 3 * 2**32 + 7
    assert records.uid_of(records.place_of(3, records.MAX_UID)) == records.MAX_UID
    assert records.places_of(3) == (3 * 2**32, 4 * 2**32 - 1)
    bound = {
        records.summary_place(1), records.key_place(1), records.summary_place(2), records.key_place(2),
        records.folder_place(1, "x"), records.folder_place(2, "x"), records.folder_place(1, "y"),
    }  # fmt: skip
    assert len(bound) == 7
