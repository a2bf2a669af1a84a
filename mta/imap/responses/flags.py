"""Flags on the wire (RFC 3501 §7.2.6, §7.4.2), each set of them written once."""

from __future__ import annotations

from collections.abc import Iterable

from core.folder import SYSTEM_FLAGS

MAX_REMEMBERED = 4096  # sets of flags; a hostile client could make any number
_ORDER = {name: position for position, name in enumerate(SYSTEM_FLAGS)}
_SYSTEM = {name.lower(): name for name in SYSTEM_FLAGS}
_written: dict[frozenset[str], bytes] = {}


def canonical(flag: str, known: dict[str, str]) -> str:
    """The one spelling of a flag: the standard's for system flags, the folder's first for keywords."""
    lower = flag.lower()
    return _SYSTEM.get(lower) or known.get(lower) or flag


def is_system(flag: str) -> bool:
    """Whether RFC 3501 §2.3.2 names it."""
    return flag.lower() in _SYSTEM


def ordered(flags: Iterable[str]) -> list[str]:
    """System flags in the standard's order, then keywords by name."""
    return sorted(flags, key=lambda flag: (_ORDER.get(flag, len(_ORDER)), flag))


def flag_text(flags: frozenset[str]) -> bytes:
    """The flags with blanks between, without parentheses."""
    text = _written.get(flags)
    if text is None:
        text = " ".join(ordered(flags)).encode("ascii", "replace")
        if len(_written) >= MAX_REMEMBERED:
            _written.clear()
        _written[flags] = text
    return text
