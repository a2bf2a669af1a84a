"""Passwords read the same from every keyboard, weak ones are refused, each check costs one hash."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from core.address import Mailbox
from trust_directory.passwords import (
    DevicePassword,
    PasswordHashes,
    PasswordRefused,
    TooManyLogins,
    check_policy,
    device_form,
    generate,
    normalise,
)

DOCTOR = Mailbox.parse("anne.test-rivage@ch-rivage.mssante.example")


@pytest.fixture
def hashes() -> Iterator[PasswordHashes]:
    made = PasswordHashes()
    yield made
    made.close()


def test_composed_and_decomposed_accents_are_one_password() -> None:
    assert normalise("été à la mer".encode()) == normalise("été à la mer".encode())


def test_other_blanks_are_blanks_and_invisible_characters_go() -> None:
    assert normalise("un\u00a0mot\u00ad de\u200b passe".encode()) == b"un mot de passe"


@pytest.mark.parametrize("octets", [b"", b"\xff\xfe", b"a\x00b", b"a\nb", b"x" * 1025, "\u00ad".encode()])
def test_what_no_password_may_hold_is_refused_and_never_repeated(octets: bytes) -> None:
    with pytest.raises(PasswordRefused) as refusal:
        normalise(octets)
    assert octets.decode("latin-1") not in str(refusal.value) or not octets


@pytest.mark.parametrize(
    ("password", "word"),
    [
        ("onze lettre", "12"),
        ("aaaaaaaaaaaaaa", "different"),
        ("Anne.Test-Rivage 2026", "address"),
        ("j'aime ch-rivage.mssante.example", "address"),
        ("k7mq-3fad-9xyz-bcde-fghj-kmnp-qrst-uvwx", "generated"),
    ],
)
def test_weak_passwords_are_refused_with_the_reason(password: str, word: str) -> None:
    with pytest.raises(PasswordRefused, match=word):
        check_policy(password.encode(), DOCTOR)


def test_twelve_characters_of_a_sentence_are_taken() -> None:
    assert check_policy("la marée monte".encode(), DOCTOR) == "la marée monte".encode()


def test_a_generated_password_is_long_readable_and_never_the_same() -> None:
    made = {generate().text for _ in range(50)}
    assert len(made) == 50
    for text in made:
        groups = text.split("-")
        assert [len(group) for group in groups] == [4] * 8
        assert not set(text) & set("ilo01")


def test_a_generated_password_is_read_as_people_type_it() -> None:
    made = generate()
    for typed in (made.text, made.text.upper(), made.text.replace("-", " "), made.text.replace("-", "")):
        assert device_form(typed.encode()) == made
    assert made.credential_id == made.text[:4]
    assert made.text[5:9] not in repr(made)


@pytest.mark.parametrize(
    "octets", [b"", b"la maree monte", b"\xc3\xa9" * 16, b"abcd-" * 40, b"a" * 31, b"i" * 32]
)
def test_other_texts_are_no_generated_passwords(octets: bytes) -> None:
    assert device_form(octets) is None


async def test_the_right_password_matches_and_no_other(hashes: PasswordHashes) -> None:
    encoded = await hashes.make(b"la maree monte")
    assert encoded.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await hashes.verify(encoded, b"la maree monte")
    assert not await hashes.verify(encoded, b"la maree descend")
    assert not await hashes.verify("not a hash", b"la maree monte")


async def test_nobody_matches_nothing(hashes: PasswordHashes) -> None:
    assert not await hashes.verify(None, b"la maree monte")


async def test_beyond_the_queue_attempts_are_turned_away() -> None:
    hashes = PasswordHashes(threads=1, waiting=2)
    results = await asyncio.gather(*(hashes.verify(None, b"x") for _ in range(4)), return_exceptions=True)
    hashes.close()
    assert [type(result) for result in results] == [bool, bool, TooManyLogins, TooManyLogins]


def test_a_device_password_never_prints() -> None:
    assert repr(DevicePassword("abcd-efgh")) == "DevicePassword(…)"
