"""Limits and races of the store: each has a name, an error of ours, and leaves nothing half-done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import FatalStoreError, LocalProtocolError, NotStored, PermanentError, StoreError
from core.ports import FlagChange
from mailstore import keys as keys_module
from mailstore.files import BlobFiles, DiskOperations
from mailstore.keys import FileKek, KeyVault
from mailstore.messages import SMALL_OCTETS, SealedBlobs
from mailstore.records import MAX_UID
from mailstore.storage import boxes
from vaguemestre.database import Database, OutcomeUnknown

BAL = 31


@pytest.fixture
def box(mail: Any, await_now: Any) -> Any:
    """A mail room with one box."""
    await_now(mail.store.create_box(BAL, 0))
    return mail


async def test_a_box_has_at_most_so_many_folders(box: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boxes, "MAX_FOLDERS", 8)
    await box.store.create_folder(BAL, "A/B")
    with pytest.raises(PermanentError):
        await box.store.create_folder(BAL, "C")
    await box.store.rename_folder(BAL, "A", "C")  # as many as before
    with pytest.raises(PermanentError):
        await box.store.rename_folder(BAL, "C", "D/E")
    assert len(await box.store.folders(BAL)) == 8


async def test_a_folder_without_uids_left_refuses(box: Any) -> None:
    inbox = await box.folder_id(BAL, "INBOX")
    await box.sql(f"UPDATE folder SET uid_next = {MAX_UID} WHERE folder_id = {inbox}")
    assert (await box.put(BAL, inbox, b"last")).uid == MAX_UID
    assert await box.store.octets(inbox, MAX_UID) == b"last"
    assert (await box.store.status(inbox)).messages == 1
    with pytest.raises(PermanentError):
        await box.put(BAL, inbox, b"one too many")
    assert [row.uid for row in (await box.store.changes(inbox)).rows] == [MAX_UID]


async def test_neighbouring_folders_do_not_touch(box: Any) -> None:
    inbox = await box.folder_id(BAL, "INBOX")
    await box.put(BAL, inbox, b"x")
    await box.sql(f"UPDATE folder SET uid_next = {MAX_UID} WHERE folder_id = {inbox}")
    await box.put(BAL, inbox, b"end of this one")
    sent = next(f.folder_id for f in await box.store.folders(BAL) if f.folder_id == inbox + 1)
    await box.put(BAL, sent, b"begin of the next")
    assert (await box.store.status(inbox)).messages == 2
    assert (await box.store.status(sent)).messages == 1
    assert [row.uid for row in (await box.store.changes(sent)).rows] == [1]


async def test_a_flag_change_of_an_unknown_kind_is_our_bug(box: Any) -> None:
    inbox = await box.folder_id(BAL, "INBOX")
    await box.put(BAL, inbox, b"x")
    with pytest.raises(LocalProtocolError):
        await box.store.store_flags(inbox, [1], FlagChange(operation="flip", flags=frozenset()))


async def test_of_two_that_make_the_same_folder_one_succeeds(box: Any) -> None:
    results = await asyncio.gather(
        *(box.store.create_folder(BAL, "Same") for _ in range(4)), return_exceptions=True
    )
    assert len([result for result in results if isinstance(result, PermanentError)]) == 3
    assert len([f for f in await box.store.folders(BAL) if f.name == "Same"]) == 1


async def test_of_two_that_delete_the_same_folder_one_succeeds(box: Any) -> None:
    results = await asyncio.gather(
        *(box.store.delete_folder(BAL, "Junk") for _ in range(2)), return_exceptions=True
    )
    assert {type(result) for result in results} == {type(None), NotStored}


async def test_a_folder_deleted_meanwhile_is_not_renamed(box: Any) -> None:
    results = await asyncio.gather(
        box.store.delete_folder(BAL, "Junk"),
        box.store.rename_folder(BAL, "Junk", "Spam"),
        return_exceptions=True,
    )
    # Whoever comes first wins, and the other finds no folder of that name.
    assert {type(result) for result in results} == {type(None), NotStored}
    was_renamed = results[1] is None
    assert (await box.store.folder(BAL, "Spam") is not None) is was_renamed
    assert await box.store.folder(BAL, "Junk") is None


async def test_a_delivery_into_a_folder_deleted_meanwhile_is_refused_alone(box: Any) -> None:
    junk, inbox = await box.folder_id(BAL, "Junk"), await box.folder_id(BAL, "INBOX")
    await box.store.delete_folder(BAL, "Junk")
    results = await asyncio.gather(
        box.put(BAL, junk, b"late"), box.put(BAL, inbox, b"in time"), return_exceptions=True
    )
    assert isinstance(results[0], NotStored)
    assert results[1].uid == 1


async def test_a_large_letter_whose_fsync_fails_ends_the_program(mail: Any, tmp_path: Path) -> None:
    class NoSync(DiskOperations):
        def fsync(self, descriptor: int) -> None:
            raise OSError(5, "as told")

    ended: list[FatalStoreError] = []
    blobs = SealedBlobs(
        mail.database,
        mail.committer,
        mail.clock,
        BlobFiles(tmp_path / "blobs", NoSync()),
        on_fatal=ended.append,
    )
    await blobs.seal(bytes(SMALL_OCTETS))
    with pytest.raises(FatalStoreError):
        await blobs.seal(bytes(SMALL_OCTETS + 1))
    assert len(ended) == 1


async def test_a_key_of_an_unknown_key_encryption_key_is_said(mail: Any, kek: FileKek) -> None:
    await mail.vault.key("bal:1")
    await mail.sql("UPDATE vault_key SET kek_id = 'lost' WHERE name = 'bal:1'")
    other = KeyVault(mail.database, mail.committer, mail.clock, kek)
    with pytest.raises(PermanentError, match="not configured"):
        await other.key("bal:1")


async def test_the_keys_in_memory_are_bounded(mail: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys_module, "CACHE_KEYS", 3)
    keys = {f"bal:{number}": await mail.vault.key(f"bal:{number}") for number in range(8)}
    for name, key in keys.items():
        assert mail.vault.unwrap(key, mail.vault.wrap(key, b"x", b"p"), b"p") == b"x"
        assert await mail.vault.key(name) == key
    assert len(mail.vault._cache) <= 3
    assert len(mail.vault._ciphers) <= 3


async def test_a_commit_that_fails_is_in_doubt_and_leaves_nothing_here(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing: Callable[..., Any]
    if database.is_sqlite:
        from vaguemestre.sqlite_connection import SqliteConnection

        async def failing(self: SqliteConnection) -> None:
            raise OSError("the machine hiccups")

        monkeypatch.setattr(SqliteConnection, "commit", failing)
    else:
        from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_connection

        def refusing(self: Any) -> None:
            raise OSError("the network hiccups")

        monkeypatch.setattr(AsyncAdapt_asyncpg_connection, "commit", refusing)
    insert = "INSERT INTO vault_key VALUES ('a', 'k', 'x', 1)"
    with pytest.raises(OutcomeUnknown) as caught:
        await database.run(lambda c: c.exec_driver_sql(insert))
    assert isinstance(caught.value, StoreError)
    monkeypatch.undo()
    async with database.read() as connection:
        assert (await connection.exec_driver_sql("SELECT count(*) FROM vault_key")).scalar() == 0
    await database.run(lambda c: c.exec_driver_sql(insert))
