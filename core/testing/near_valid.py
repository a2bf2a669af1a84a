"""Input that is nearly right: a valid sample with a few cuts, copies and insertions.

What it is: hypothesis strategies for the files of `tests/fuzz`. What it is not: random octets, which a reader
refuses at the first of them and which therefore test little.
"""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

MAX_EDITS = 6
MAX_CUT = 40  # octets that one edit removes or repeats


@st.composite
def near_valid(draw: st.DrawFn, samples: Sequence[bytes], pieces: Sequence[bytes]) -> bytes:
    """One of the samples, edited; `pieces` are what the format takes for special."""
    octets = draw(st.sampled_from(samples))
    insertion = st.one_of(st.sampled_from(pieces), st.binary(max_size=4))
    for _ in range(draw(st.integers(0, MAX_EDITS))):
        at = draw(st.integers(0, len(octets)))
        end = min(len(octets), at + draw(st.integers(0, MAX_CUT)))
        match draw(st.sampled_from(("insert", "cut", "repeat", "replace", "end"))):
            case "insert":
                octets = octets[:at] + draw(insertion) + octets[at:]
            case "cut":
                octets = octets[:at] + octets[end:]
            case "repeat":
                octets = octets[:end] + octets[at:end] * draw(st.integers(1, 4)) + octets[end:]
            case "replace":
                octets = octets[:at] + draw(insertion) + octets[end:]
            case _:
                octets = octets[: max(at, 1)]
    return octets


@st.composite
def splits(draw: st.DrawFn, octets: bytes) -> list[bytes]:
    """The same octets in parts, as a network delivers them."""
    cuts = sorted(draw(st.lists(st.integers(0, len(octets)), max_size=12)))
    return [octets[start:end] for start, end in zip([0, *cuts], [*cuts, len(octets)], strict=True)]
