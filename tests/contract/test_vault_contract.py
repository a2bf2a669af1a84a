"""The vault on both engines: one durable key for a name, whoever asks, and nothing that opens elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from core.errors import ConfigurationError, LocalProtocolError, NotStored, PermanentError
from mailstore.keys import CACHE_SECONDS, FileKek, KeyVault
from mailstore.sealing import SealBroken


async def test_many_askers_at_once_get_one_key(mail: Any) -> None:
    keys = await asyncio.gather(*(mail.vault.key("spool") for _ in range(20)))
    assert len(set(keys)) == 1
    assert len(keys[0]) == 32
    assert await mail.sql("SELECT count(*) FROM vault_key WHERE name = 'spool'") == [(1,)]


async def test_two_programs_that_ask_at_once_get_the_same_key(
    mail: Any, another_room: Callable[..., Any], kek: FileKek
) -> None:
    other = another_room(kek)
    first, second = await asyncio.gather(mail.vault.key("bal:7"), other.vault.key("bal:7"))
    assert first == second


async def test_keys_and_pseudonyms_survive_the_program(
    mail: Any, another_room: Callable[..., Any], kek: FileKek
) -> None:
    key, pseudonym = await mail.vault.key("spool"), mail.vault.pseudonym("louise@example")
    other = another_room(kek)
    await other.vault.open()
    assert await other.vault.key("spool") == key
    assert other.vault.pseudonym("louise@example") == pseudonym
    assert other.vault.pseudonym("paul@example") != pseudonym


async def test_another_key_encryption_key_opens_nothing(mail: Any, another_room: Callable[..., Any]) -> None:
    other = another_room(FileKek(bytes(32)))
    with pytest.raises(ConfigurationError):
        await other.vault.open()


async def test_a_sealed_value_opens_only_with_its_key_at_its_place(mail: Any) -> None:
    key, other = await mail.vault.key("bal:1"), await mail.vault.key("bal:2")
    sealed = mail.vault.wrap(key, b"secret", b"here")
    assert sealed.startswith(b"A256GCM:")
    assert b"secret" not in sealed
    assert mail.vault.unwrap(key, sealed, b"here") == b"secret"
    for wrong_key, wrong_place in ((other, b"here"), (key, b"there")):
        with pytest.raises(SealBroken):
            mail.vault.unwrap(wrong_key, sealed, wrong_place)


async def test_every_flipped_byte_of_a_sealed_value_is_found(mail: Any) -> None:
    key = await mail.vault.key("bal:1")
    sealed = mail.vault.wrap(key, b"secret", b"here")
    for position in range(len(sealed)):
        altered = bytearray(sealed)
        altered[position] ^= 1
        with pytest.raises(PermanentError):
            mail.vault.unwrap(key, bytes(altered), b"here")


async def test_a_wrapped_key_moved_to_another_name_does_not_open(mail: Any) -> None:
    await mail.vault.key("bal:1")
    await mail.vault.key("bal:2")
    await mail.sql(
        "UPDATE vault_key SET wrapped = (SELECT wrapped FROM vault_key WHERE name = 'bal:1') WHERE name = 'bal:2'"
    )
    mail.clock.advance(CACHE_SECONDS)
    with pytest.raises(SealBroken):
        await mail.vault.key("bal:2")


async def test_a_key_is_in_memory_for_five_minutes_only(mail: Any) -> None:
    await mail.vault.key("bal:1")
    await mail.sql("DELETE FROM vault_key WHERE name = 'bal:1'")
    mail.clock.advance(CACHE_SECONDS - 1)
    await mail.vault.existing_key("bal:1")
    mail.clock.advance(1)
    with pytest.raises(NotStored):
        await mail.vault.existing_key("bal:1")


async def test_an_erased_key_is_gone_at_once_and_a_new_one_is_another(mail: Any) -> None:
    key = await mail.vault.key("subject:x")
    await mail.vault.erase("subject:x")
    with pytest.raises(NotStored):
        await mail.vault.existing_key("subject:x")
    assert await mail.vault.key("subject:x") != key


async def test_rotation_rewraps_every_key_and_the_old_one_is_needed_no_more(
    mail: Any, another_room: Callable[..., Any], kek: FileKek
) -> None:
    keys = {f"bal:{n}": await mail.vault.key(f"bal:{n}") for n in range(5)}
    pseudonym = mail.vault.pseudonym("x")
    new = FileKek(bytes(range(1, 33)))
    rotating = KeyVault(mail.database, mail.committer, mail.clock, new, older_keks=[kek])
    await rotating.open()
    assert {name: await rotating.key(name) for name in keys} == keys
    assert await rotating.rewrap_all() == 6  # five boxes and the key of pseudonyms
    assert await rotating.rewrap_all() == 0
    only_new = another_room(new)
    await only_new.vault.open()
    assert {name: await only_new.vault.key(name) for name in keys} == keys
    assert only_new.vault.pseudonym("x") == pseudonym


async def test_a_vault_that_is_not_open_gives_no_pseudonym(
    mail: Any, another_room: Callable[..., Any], kek: FileKek
) -> None:
    with pytest.raises(LocalProtocolError):
        another_room(kek).vault.pseudonym("x")


async def test_an_asker_that_goes_away_does_not_stop_the_others(mail: Any) -> None:
    first = asyncio.ensure_future(mail.vault.key("bal:9"))
    second = asyncio.ensure_future(mail.vault.key("bal:9"))
    await asyncio.sleep(0)
    first.cancel()
    assert len(await second) == 32
