"""Small readings that the signed lists share: the one child, the text of a leaf, a date.

What it is: pure reading of elements that the hardened parser made. What it is not: a parser (`certs.xml.parser`)
nor what any list means. Who calls: `trusted_domains.parse` and `seals.parse`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from trust_directory.trusted_domains.reasons import Reason, TrustListRefused


def only_child(parent: Any, tag: str) -> Any:
    """The one child of that name. Raises `TrustListRefused(WRONG_FORMAT)` when there is none, or several."""
    found = list(parent.iterchildren(tag))
    if len(found) != 1:
        raise TrustListRefused(Reason.WRONG_FORMAT, tag.rpartition("}")[2])
    return found[0]


def child_elements(parent: Any) -> Iterator[Any]:
    """The children that are elements; comments and instructions are passed over."""
    return (child for child in parent.iterchildren() if isinstance(child.tag, str))


def leaf_text(element: Any) -> str:
    """The text of a leaf; an element that has children has no text for us."""
    return "" if len(element) else (element.text or "").strip()


def parse_date(text: str) -> datetime | None:
    """A date of a list, in UTC: `2026-04-20T08:00:00Z`, `2026-04-20 08:00:00` or `2026-04-20Z`; else None.

    A date without zone is taken as UTC.
    """
    cleaned = text.strip()
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}Z", cleaned):  # xs:date with a zone
        cleaned = cleaned[:-1] + "T00:00:00Z"
    try:
        value = datetime.fromisoformat(cleaned)
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def write_date(at: datetime) -> str:
    """The form in which a list says when: UTC, milliseconds, Z."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
