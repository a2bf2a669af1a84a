"""Names of folders: one form, one order, nothing told at rest."""

from __future__ import annotations

import pytest

from core.errors import PermanentError
from mailstore import names


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("inbox", "INBOX"),
        ("InBox/inbox", "INBOX/inbox"),
        ("Sent", "Sent"),
        ("e\u0301te\u0301", "\u00e9t\u00e9"),
        ("x" * 1000, "x" * 1000),
        (" a b ", " a b "),
    ],
)
def test_a_name_has_one_form(text: str, name: str) -> None:
    assert names.folder_name(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "a/",
        "/a",
        "a//b",
        "a\r\n",
        "a\x00",
        "a\x85b",
        "\u2028",
        "\ud800",
        "x" * 1001,
        "a/" * 32 + "a",
    ],
)
def test_a_name_that_cannot_be(text: str) -> None:
    with pytest.raises(PermanentError) as caught:
        names.folder_name(text)
    assert not text or text not in str(caught.value)


def test_above_and_below() -> None:
    assert names.ancestors("a/b/c") == ["a", "a/b"]
    assert names.ancestors("a") == []
    assert names.is_below("a/b", "a")
    assert not names.is_below("ab", "a")
    assert not names.is_below("a", "a")


def test_the_order_of_a_listing() -> None:
    assert names.in_listing_order(["b", "INBOX", "A", "a"]) == ["INBOX", "A", "a", "b"]


def test_the_key_of_a_name_is_stable_and_each_box_has_its_own() -> None:
    key = names.name_key(bytes(32), "Sent")
    assert key == names.name_key(bytes(32), "Sent")
    assert key != names.name_key(bytes(31) + b"\x01", "Sent")
    assert key != names.name_key(bytes(32), "Sen")
    assert len(key) == 32
