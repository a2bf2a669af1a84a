"""The letters of the benchmark are what they claim to be."""

from __future__ import annotations

from email import message_from_bytes, policy

import pytest

from bench.letters import LETTER_SIZE, letter_form, mailbox_letter

ADDRESS = "poste-01-sdbox@ch-rivage.mssante.example"


@pytest.mark.parametrize("address", [ADDRESS, "a@ch-rivage.mssante.example"])
def test_a_letter_has_exactly_its_size_and_ends_with_the_end_of_data(address: str) -> None:
    letter = letter_form(address).letter(7)
    assert len(letter) == LETTER_SIZE + 3
    assert letter.endswith(b"\r\n.\r\n")
    assert letter.count(b"\r\n.") == 1
    assert b"\n" not in letter.replace(b"\r\n", b"")
    assert max(map(len, letter.splitlines())) <= 78


def test_each_letter_is_another_one() -> None:
    form = letter_form(ADDRESS)
    assert len({form.letter(number) for number in range(50)}) == 50


def test_a_letter_reads_as_the_prose_it_carries() -> None:
    message = message_from_bytes(letter_form(ADDRESS).letter(7)[:-3], policy=policy.default)
    assert message.defects == []
    assert message["From"] == message["To"] == ADDRESS
    assert message["Subject"].startswith("Compte rendu n°")
    assert "tension artérielle à 128/74 mmHg" in message.get_content()


def test_every_second_message_of_a_large_mailbox_carries_a_document() -> None:
    plain = message_from_bytes(mailbox_letter(ADDRESS, 1), policy=policy.default)
    mixed = message_from_bytes(mailbox_letter(ADDRESS, 2), policy=policy.default)
    assert not plain.is_multipart()
    text, document = mixed.iter_parts()
    assert document.get_filename() == "résultats.pdf"
    assert "tension" in text.get_content()
    assert mixed["Message-ID"] != plain["Message-ID"]
    assert mixed.defects == []
