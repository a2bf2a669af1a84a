"""What rests is sealed: no octet, name, subject or flagged alteration passes, and nothing opens elsewhere."""

from __future__ import annotations

import base64
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from core.errors import PermanentError
from core.folder import NewMessage, Summary
from core.unit_of_work import UnitOfWork
from mailstore.keys import CACHE_SECONDS
from mailstore.messages import SMALL_OCTETS

BAL = 21
SECRETS = ("GOELAND", "Bilan sanguin", "louise.test-goeland", "258042A00400078", "Réseau ville")


@pytest.fixture
def box(mail: Any, await_now: Any) -> Any:
    """A mail room with one box."""
    await_now(mail.store.create_box(BAL, 0))
    return mail


def _letter(size: int = 0) -> bytes:
    text = "Subject: Bilan sanguin de GOELAND\r\nTo: louise.test-goeland@x\r\n\r\n258042A00400078 Réseau ville\r\n"
    return text.encode() + b"258042A00400078 GOELAND " * (size // 24)


async def _fill(box: Any) -> int:
    folder = await box.store.create_folder(BAL, "Réseau ville/GOELAND")
    summary = Summary(
        envelope=b'("date" "Bilan sanguin" (("GOELAND" NIL "louise.test-goeland" "x")))',
        body=b"GOELAND",
        body_structure=b"GOELAND",
        parts=b"GOELAND",
        header_size=1,
        sent_date=2,
    )
    for size in (0, SMALL_OCTETS + 100):
        await box.put(
            BAL,
            folder.folder_id,
            _letter(size),
            summary=summary,
            prefix=b"Return-Path: <louise.test-goeland@x>\r\n",
        )
    await box.store.subscribe(BAL, "Réseau ville/Later", True)
    return int(folder.folder_id)


async def test_nothing_that_rests_can_be_read(
    box: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    await _fill(box)
    found = _octets_of(tmp_path)
    if not box.database.is_sqlite:
        ((name,),) = await box.sql("SELECT current_database()")
        found += _dump(request.getfixturevalue("postgresql"), name)
        assert b"COPY public.message" in found
    assert len(found) > SMALL_OCTETS
    for secret in SECRETS:
        plain = secret.encode()
        for form in (plain, plain.upper(), plain.hex().encode(), base64.b64encode(plain).rstrip(b"=")[:-1]):
            assert form not in found


def _octets_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def _dump(server: Any, name: str) -> bytes:
    command = ["/usr/lib/postgresql/15/bin/pg_dump", "-h", str(server.folder), "-U", "postgres", name]
    return subprocess.run(command, check=True, capture_output=True).stdout


@pytest.mark.parametrize(
    ("table", "column"),
    [("message_sealed", "wrapped_key"), ("message_sealed", "summary"), ("folder", "name_sealed"),
     ("vault_key", "wrapped"), ("subscription", "name_sealed")],
)  # fmt: skip
async def test_a_flipped_byte_in_any_sealed_column_is_found(box: Any, table: str, column: str) -> None:
    folder_id = await _fill(box)
    mark = "?" if box.database.is_sqlite else "$1"
    ((before,),) = (await box.sql(f"SELECT {column} FROM {table} LIMIT 1")) or [(b"",)]
    for position in (0, 9, len(before) // 2, len(before) - 1):
        altered = bytearray(before)
        altered[position] ^= 0x40
        await box.sql(f"UPDATE {table} SET {column} = {mark}", bytes(altered))
        box.clock.advance(CACHE_SECONDS)
        with pytest.raises(PermanentError):
            await _read_all(box, folder_id)


async def _read_all(box: Any, folder_id: int) -> None:
    await box.store.folders(BAL)
    await box.store.subscriptions(BAL)
    await box.store.summaries(folder_id, [1, 2])
    await box.store.octets(folder_id, 1)


async def test_records_do_not_open_at_another_message(box: Any) -> None:
    folder_id = await _fill(box)
    await _read_all(box, folder_id)
    for column, read in (
        ("summary", lambda: box.store.summaries(folder_id, [2])),
        ("wrapped_key", lambda: box.store.octets(folder_id, 2)),
    ):
        await box.sql(
            f"UPDATE message_sealed SET {column} = (SELECT {column} FROM message_sealed"
            " ORDER BY place LIMIT 1)"
        )
        with pytest.raises(PermanentError):
            await read()


async def test_a_message_does_not_open_in_another_folder_or_box(box: Any) -> None:
    folder_id = await _fill(box)
    await box.store.create_box(BAL + 1, 0)
    for bal in (BAL, BAL + 1):
        target = await box.folder_id(bal, "Archive")
        for table in ("message", "message_sealed"):
            await box.sql(
                f"UPDATE {table} SET place = {target << 32 | 1} WHERE place = {folder_id << 32 | 1}"
            )
        with pytest.raises(PermanentError):
            await box.store.octets(target, 1)
        with pytest.raises(PermanentError):
            await box.store.summaries(target, [1])
        folder_id = target


async def test_another_blob_under_a_message_does_not_open(box: Any) -> None:
    inbox = await box.folder_id(BAL, "INBOX")
    await box.put(BAL, inbox, b"mine")
    await box.put(BAL, inbox, b"his!")
    await box.sql("UPDATE message SET blob_id = (SELECT blob_id FROM message ORDER BY place LIMIT 1)")
    assert await box.store.octets(inbox, 1) == b"mine"
    with pytest.raises(PermanentError):
        await box.store.octets(inbox, 2)


async def test_of_a_hundred_damaged_letters_each_is_found_and_none_served(box: Any, tmp_path: Path) -> None:
    # threat model F30: one flipped byte in each of 100 blobs.
    inbox = await box.folder_id(BAL, "INBOX")
    for number in range(100):
        await box.put(BAL, inbox, os.urandom(200 if number % 10 else SMALL_OCTETS + 1))
    mark = ("?", "?") if box.database.is_sqlite else ("$1", "$2")
    for blob_id, sealed in await box.sql("SELECT blob_id, sealed FROM blob_octets"):
        damaged = _flipped(bytes(sealed))
        await box.sql(
            f"UPDATE blob_octets SET sealed = {mark[0]} WHERE blob_id = {mark[1]}", damaged, blob_id
        )
    for path in (tmp_path / "blobs").rglob("*"):
        if path.is_file():
            path.write_bytes(_flipped(path.read_bytes()))
    for uid in range(1, 101):
        with pytest.raises(PermanentError):
            await box.store.octets(inbox, uid)


def _flipped(octets: bytes) -> bytes:
    position = int.from_bytes(octets[-2:], "big") % len(octets)
    return octets[:position] + bytes([octets[position] ^ 0x10]) + octets[position + 1 :]


async def test_reading_never_makes_a_key(box: Any) -> None:
    inbox = await box.folder_id(BAL, "INBOX")
    await box.put(BAL, inbox, b"x")
    await box.sql(f"DELETE FROM vault_key WHERE name = 'bal:{BAL}'")
    box.clock.advance(CACHE_SECONDS)
    unit = UnitOfWork()
    box.store.add(unit, await box_message(box, inbox))
    for attempt in (
        box.store.octets(inbox, 1),
        box.store.folders(BAL),
        box.store.copy(inbox, [1], inbox),
        box.committer.commit(unit),
    ):
        with pytest.raises(Exception, match="no key of this name"):
            await attempt
    assert await box.sql(f"SELECT count(*) FROM vault_key WHERE name = 'bal:{BAL}'") == [(0,)]


async def box_message(box: Any, folder_id: int) -> Any:
    """A new message for the folder, whose octets are kept already."""
    unit = UnitOfWork()
    stored = await box.blobs.seal(b"y")
    box.blobs.keep(unit, stored)
    await box.committer.commit(unit)
    summary = Summary(envelope=b"", body=b"", body_structure=b"", parts=b"", header_size=0, sent_date=0)
    return NewMessage(bal_id=BAL, folder_id=folder_id, octets=stored, summary=summary, internal_date=0)
