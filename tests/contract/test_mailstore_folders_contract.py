"""Boxes and folders on both engines: names, UIDVALIDITY, what goes with a folder."""

from __future__ import annotations

import os
from typing import Any

import pytest

from core.errors import NotStored, PermanentError
from core.folder import SPECIAL_USES
from core.ports import FlagChange
from mailstore.messages import SMALL_OCTETS

BAL = 11
OTHER = 12


@pytest.fixture
def box(mail: Any, await_now: Any) -> Any:
    """A mail room with two boxes without limit."""
    await_now(mail.store.create_box(BAL, 0))
    await_now(mail.store.create_box(OTHER, 0))
    return mail


def _flags(operation: str, *flags: str, since: int | None = None) -> FlagChange:
    return FlagChange(operation=operation, flags=frozenset(flags), unchanged_since=since)


async def _uids(mail: Any, folder_id: int) -> list[int]:
    return [row.uid for row in (await mail.store.changes(folder_id)).rows]


# --- boxes and folders --------------------------------------------------------------------------------------
async def test_a_new_box_has_its_folders_subscribed_inbox_first(box: Any) -> None:
    folders = await box.store.folders(BAL)
    assert [folder.name for folder in folders] == ["INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash"]
    assert {folder.special_use for folder in folders} == {"", *SPECIAL_USES}
    assert all(folder.subscribed and folder.bal_id == BAL and folder.uid_next == 1 for folder in folders)
    assert list(await box.store.subscriptions(BAL)) == sorted(folder.name for folder in folders)


async def test_making_a_box_twice_changes_nothing(box: Any) -> None:
    before = await box.store.folders(BAL)
    await box.store.create_box(BAL, 99)
    assert await box.store.folders(BAL) == before
    assert await box.store.quota(BAL) == (0, 0)


async def test_a_box_that_is_not_there_has_nothing(box: Any) -> None:
    assert list(await box.store.folders(99)) == []
    assert await box.store.folder(99, "INBOX") is None
    assert list(await box.store.subscriptions(99)) == []
    with pytest.raises(NotStored):
        await box.store.quota(99)
    with pytest.raises(NotStored):
        await box.store.set_quota(99, 1)
    with pytest.raises(NotStored):
        await box.store.create_folder(99, "A")


async def test_inbox_is_found_in_any_case_other_names_in_theirs(box: Any) -> None:
    assert (await box.store.folder(BAL, "iNbOx")).name == "INBOX"
    assert await box.store.folder(BAL, "sent") is None
    assert await box.store.folder(BAL, "Sent//x") is None


async def test_a_folder_is_made_with_those_above_it(box: Any) -> None:
    folder = await box.store.create_folder(BAL, "Réseau/2026/Été")
    assert (folder.name, folder.uid_next, folder.subscribed) == ("Réseau/2026/Été", 1, False)
    names = [each.name for each in await box.store.folders(BAL)]
    assert names[4:7] == ["Réseau", "Réseau/2026", "Réseau/2026/Été"]
    assert await box.store.folder(OTHER, "Réseau") is None


@pytest.mark.parametrize(
    "name", ["", "/", "a//b", "a/", "/a", "a\x00b", "a\nb", "x" * 1001, "/".join("a" * 40)]
)
async def test_a_name_that_cannot_be_is_refused(box: Any, name: str) -> None:
    with pytest.raises(PermanentError):
        await box.store.create_folder(BAL, name)


async def test_a_folder_that_is_there_is_not_made_again(box: Any) -> None:
    for name in ("inbox", "Sent"):
        with pytest.raises(PermanentError):
            await box.store.create_folder(BAL, name)


async def test_a_folder_made_again_never_has_an_old_uidvalidity(box: Any) -> None:
    seen = {folder.uid_validity for folder in await box.store.folders(BAL)}
    assert len(seen) == 6
    for turn in range(3):
        folder = await box.store.create_folder(BAL, "Again")
        assert folder.uid_validity > max(seen)
        seen.add(folder.uid_validity)
        await box.store.delete_folder(BAL, "Again")
        box.clock.jump(-86_400 * turn)  # the clock going back changes nothing


async def test_a_folder_is_renamed_with_what_is_below_it(box: Any) -> None:
    await box.store.create_folder(BAL, "A/B/C")
    await box.store.create_folder(BAL, "AB")
    old = await box.store.folder(BAL, "A/B/C")
    await box.put(BAL, old.folder_id, b"letter")
    await box.store.rename_folder(BAL, "A", "X/Y")
    names = [folder.name for folder in await box.store.folders(BAL)]
    assert names[-5:] == ["Trash", "X", "X/Y", "X/Y/B", "X/Y/B/C"]
    assert "AB" in names
    new = await box.store.folder(BAL, "X/Y/B/C")
    assert (new.folder_id, new.uid_validity) == (old.folder_id, old.uid_validity)
    assert await box.store.octets(new.folder_id, 1) == b"letter"


async def test_a_rename_that_cannot_be_is_refused_and_changes_nothing(box: Any) -> None:
    await box.store.create_folder(BAL, "A/B")
    before = await box.store.folders(BAL)
    for name, new_name in (("A", "A/B/C"), ("A", "Sent"), ("A/B", "A")):
        with pytest.raises(PermanentError):
            await box.store.rename_folder(BAL, name, new_name)
    with pytest.raises(NotStored):
        await box.store.rename_folder(BAL, "None", "Some")
    assert await box.store.folders(BAL) == before


async def test_renaming_inbox_moves_its_messages(box: Any) -> None:
    inbox = await box.folder_id(BAL, "INBOX")
    await box.put(BAL, inbox, b"one")
    await box.put(BAL, inbox, b"two")
    await box.store.create_folder(BAL, "INBOX/Below")
    await box.store.rename_folder(BAL, "inbox", "Old")
    assert await _uids(box, inbox) == []
    assert await _uids(box, await box.folder_id(BAL, "Old")) == [1, 2]
    assert await box.store.folder(BAL, "INBOX/Below") is not None
    await box.put(BAL, inbox, b"three")
    assert await _uids(box, inbox) == [3]


async def test_a_deleted_folder_takes_its_messages_and_nothing_else(box: Any) -> None:
    folder = await box.store.create_folder(BAL, "A/B")
    parent, inbox = await box.folder_id(BAL, "A"), await box.folder_id(BAL, "INBOX")
    await box.put(BAL, parent, b"here and there")
    await box.put(BAL, parent, os.urandom(SMALL_OCTETS + 1))
    await box.put(BAL, inbox, b"stays")
    await box.store.copy(parent, [1], inbox)
    await box.store.store_flags(parent, [2], _flags("add", "\\Seen"))
    await box.store.delete_folder(BAL, "A")
    assert await box.store.folder(BAL, "A") is None
    assert (await box.store.folder(BAL, "A/B")).folder_id == folder.folder_id
    assert [await box.store.octets(inbox, uid) for uid in (1, 2)] == [b"stays", b"here and there"]
    assert await box.sql("SELECT count(*) FROM blob") == [(2,)]
    assert (await box.store.quota(BAL))[1] == len(b"stays" + b"here and there")
    for gone in (box.store.status(parent), box.store.changes(parent), box.store.octets(parent, 1)):
        with pytest.raises(NotStored):
            await gone


async def test_inbox_is_not_deleted_and_what_is_absent_neither(box: Any) -> None:
    with pytest.raises(PermanentError):
        await box.store.delete_folder(BAL, "Inbox")
    with pytest.raises(NotStored):
        await box.store.delete_folder(BAL, "None")


async def test_a_subscription_outlives_its_folder(box: Any) -> None:
    await box.store.subscribe(BAL, "Later", True)
    await box.store.subscribe(BAL, "Later", True)
    await box.store.subscribe(BAL, "Sent", False)
    await box.store.delete_folder(BAL, "Junk")
    names = list(await box.store.subscriptions(BAL))
    assert names == ["Archive", "Drafts", "INBOX", "Junk", "Later", "Trash"]
    assert not (await box.store.folder(BAL, "Sent")).subscribed


async def test_an_erased_box_leaves_nothing_and_its_key_is_gone(box: Any) -> None:
    inbox = await box.folder_id(BAL, "INBOX")
    await box.put(BAL, inbox, b"letter")
    await box.put(BAL, inbox, os.urandom(SMALL_OCTETS + 1))
    await box.store.erase_box(BAL)
    assert list(await box.store.folders(BAL)) == []
    for table in ("message", "message_sealed", "blob", "blob_octets"):
        assert await box.sql(f"SELECT count(*) FROM {table}") == [(0,)]
    assert await box.sql(f"SELECT count(*) FROM vault_key WHERE name = 'bal:{BAL}'") == [(0,)]
    assert len(await box.store.folders(OTHER)) == 6
