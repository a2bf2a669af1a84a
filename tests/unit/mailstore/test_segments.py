"""Sealing in segments: any part reads back, any change is found, the format never moves."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailstore import segments
from mailstore.sealing import SealBroken
from mailstore.segments import FORMAT, open_octets, seal_octets, sealed_size, segments_of

KEY = bytes(range(32))
BLOB = "0123456789abcdef" * 2


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of 8 octets, so that a few octets make many."""
    monkeypatch.setattr(segments, "SEGMENT", 8)
    monkeypatch.setattr(segments, "SEALED_SEGMENT", 24)


def _open(sealed: bytes, size: int, start: int, end: int, blob_id: str = BLOB, key: bytes = KEY) -> bytes:
    return open_octets(
        key, blob_id, size, lambda offset, length: sealed[offset : offset + length], (start, end)
    )


@given(octets=st.binary(max_size=70), start=st.integers(0, 80), end=st.integers(0, 80))
def test_any_part_reads_back(octets: bytes, start: int, end: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "SEGMENT", 8)
        patch.setattr(segments, "SEALED_SEGMENT", 24)
        sealed = seal_octets(KEY, BLOB, octets)
        assert len(sealed) == sealed_size(len(octets))
        assert _open(sealed, len(octets), start, end) == octets[start:end]


@pytest.mark.usefixtures("small_segments")
def test_only_the_segments_of_the_part_are_read() -> None:
    octets = bytes(range(40))
    sealed = seal_octets(KEY, BLOB, octets)
    reads: list[tuple[int, int]] = []

    def read(offset: int, length: int) -> bytes:
        reads.append((offset, length))
        return sealed[offset : offset + length]

    assert open_octets(KEY, BLOB, 40, read, (17, 23)) == octets[17:23]
    assert reads == [(0, 4), (4 + 2 * 24, 24)]


@pytest.mark.usefixtures("small_segments")
def test_every_flipped_bit_every_cut_and_every_swap_is_found() -> None:
    octets = bytes(range(20))
    sealed = seal_octets(KEY, BLOB, octets)
    for position in range(len(sealed)):
        altered = bytearray(sealed)
        altered[position] ^= 0x80
        with pytest.raises(SealBroken):
            _open(bytes(altered), 20, 0, 20)
    for length in range(len(sealed)):
        with pytest.raises(SealBroken):
            _open(sealed[:length], 20, 0, 20)
    first, second, last = sealed[4:28], sealed[28:52], sealed[52:]
    for shuffled in (second + first + last, first + first + last, first + last):
        with pytest.raises(SealBroken):
            _open(FORMAT + shuffled, 20, 0, 20)
    # Cut at a segment's end, with a size that tells the same lie: the last flag is bound.
    with pytest.raises(SealBroken):
        _open(sealed[:52], 16, 0, 16)


def test_the_id_and_the_key_are_bound() -> None:
    sealed = seal_octets(KEY, BLOB, b"letter")
    with pytest.raises(SealBroken):
        _open(sealed, 6, 0, 6, blob_id="f" * 32)
    with pytest.raises(SealBroken):
        _open(sealed, 6, 0, 6, key=bytes(32))


@pytest.mark.parametrize(("size", "count"), [(0, 1), (1, 1), (262144, 1), (262145, 2), (524288, 2)])
def test_the_number_of_segments(size: int, count: int) -> None:
    assert segments_of(size) == count


def test_the_format_is_the_one_of_the_first_release() -> None:
    # What is stored today must open for ever: a change of these octets is a new FORMAT.
    sealed = seal_octets(KEY, BLOB, b"letter" * 50_000)
    assert (
        hashlib.sha256(sealed).hexdigest()
        == "019b48a5044440537829da172f1e9e0bf78162e969a778a822bb3378916961e4"
    )
