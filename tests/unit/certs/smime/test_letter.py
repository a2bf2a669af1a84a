"""A letter sealed and opened: its fields travel inside, its octets come out as they went in."""

from __future__ import annotations

import pytest

from certs.chain import ChainVerifier
from certs.seals import SealAlgorithm
from certs.smime.capabilities import CannotRead, Reading, choose_reading
from certs.smime.encrypt import encrypt
from certs.smime.letter import open_letter, seal_letter
from certs.smime.protection import HeaderPolicy, protect, restore
from certs.smime.sign import Signer
from certs.smime.verdict import DecryptionFailed, Integrity, SealReason
from core.errors import LocalProtocolError
from core.message import Message, check_header
from core.testing.seal_space import NOW, Member, SealSpace

LETTER = (
    b"Received: from a by b; Mon, 2 Mar 2026 08:00:00 +0000\r\n"
    b"From: Anne TEST-RIVAGE <anne.test-rivage@ch-rivage.mssante.example>\r\n"
    b"To: paul.test-dune@cabinet.mssante.example\r\nBcc: hidden@cabinet.mssante.example\r\n"
    b"Subject: Compte rendu de\r\n Louise TEST-GOELAND\r\nDate: Mon, 2 Mar 2026 08:00:00 +0000\r\n"
    b"Message-ID: <1@ch-rivage.mssante.example>\r\nKeywords: cardiologie\r\nX-MSS-Test: 1\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8;\r\nContent-Transfer-Encoding: 8bit\r\n"
    b"\r\n" + "Résultat : CONFIDENTIEL.\r\n".encode()
)


def read(member: Member, **more: bool) -> Reading:
    declared = frozenset({SealAlgorithm.AES_256_CBC}) if more else frozenset[SealAlgorithm]()
    reading = choose_reading(member.certificate, declared, **more)
    assert not isinstance(reading, CannotRead)
    return reading


@pytest.fixture
def signer(seals: SealSpace) -> Signer:
    return Signer(seals.signer().identity)


@pytest.fixture
def paul(seals: SealSpace) -> Member:
    return seals.reader()


def values(letter: bytes, name: bytes) -> list[bytes]:
    return [field.unfolded for field in Message(letter).all(name)]


def test_sealed_and_opened_a_letter_is_the_same(
    seals: SealSpace, chain: ChainVerifier, signer: Signer, paul: Member
) -> None:
    sealed = seal_letter(LETTER, signer=signer, readings=[read(paul)], at=NOW)
    check_header(sealed)
    assert values(sealed, b"subject") == [b"[...]"]
    for secret in (b"GOELAND", b"cardiologie", b"X-MSS-Test", b"CONFIDENTIEL"):
        assert secret not in sealed
    opened = open_letter(sealed, keys=[paul.identity], chain=chain, now=NOW)
    check_header(opened.letter)
    assert opened.integrity is Integrity.AUTHENTICATED
    assert opened.seal is not None
    assert opened.seal.signer.fingerprint == seals.signer().identity.fingerprint
    assert (opened.failure, opened.from_differs) == (None, False)
    assert Message(opened.letter).body == Message(LETTER).body
    for name in (b"from", b"to", b"subject", b"date", b"message-id", b"keywords", b"x-mss-test", b"received"):
        assert values(opened.letter, name) == values(LETTER, name), name
    assert values(opened.letter, b"hp-outer") == []
    assert b'hp="cipher"' in values(opened.letter, b"content-type")[0]
    assert "GOELAND" not in repr(opened)


def test_what_was_shown_outside_is_told_inside(seals: SealSpace) -> None:
    payload = protect(LETTER, is_encrypted=True).payload
    assert b"Subject: [...]" in b" ".join(values(payload, b"hp-outer"))
    assert len(values(payload, b"hp-outer")) == 5  # From, To, Subject, Date, Message-ID
    assert values(payload, b"bcc") == values(payload, b"received") == []


def test_software_that_reads_the_subject_finds_it(signer: Signer, paul: Member) -> None:
    sealed = seal_letter(LETTER, signer=signer, readings=[read(paul)], at=NOW, policy=HeaderPolicy.READABLE)
    assert values(sealed, b"subject") == values(LETTER, b"subject")
    assert values(sealed, b"x-mss-test") == [b"1"]


def test_signed_in_clear_the_fields_are_covered(chain: ChainVerifier, signer: Signer) -> None:
    plain = LETTER.replace("é".encode(), b"e")
    sealed = seal_letter(plain, signer=signer, at=NOW)
    assert values(sealed, b"subject") == values(LETTER, b"subject")
    assert b"multipart/signed" in values(sealed, b"content-type")[0]
    forged = sealed.replace(b"Subject: Compte rendu de", b"Subject: Faux", 1)
    opened = open_letter(forged, keys=[], chain=chain, now=NOW)
    assert opened.seal is not None
    assert values(opened.letter, b"subject") == values(LETTER, b"subject")
    assert opened.integrity is None


@pytest.mark.parametrize("body", ["é\r\n".encode(), b"x" * 1200 + b"\r\n"])
def test_what_would_break_on_the_way_is_signed_inside(
    chain: ChainVerifier, signer: Signer, body: bytes
) -> None:
    letter = b"From: a@ch-rivage.mssante.example\r\n\r\n" + body
    sealed = seal_letter(letter, signer=signer, at=NOW)
    assert b"smime-type=signed-data" in sealed
    assert max(map(len, sealed.split(b"\r\n"))) <= 998
    opened = open_letter(sealed, keys=[], chain=chain, now=NOW)
    assert opened.seal is not None
    assert Message(opened.letter).body == body
    assert b"text/plain" in values(opened.letter, b"content-type")[0]


def test_a_signature_of_a_person_stays_on_the_letter(
    chain: ChainVerifier, signer: Signer, paul: Member, entity: bytes
) -> None:
    own = b"From: anne.test-rivage@ch-rivage.mssante.example\r\nMIME-Version: 1.0\r\n" + signer.detached(
        entity, at=NOW
    )
    opened = open_letter(own, keys=[], chain=chain, now=NOW)
    assert opened.letter == own
    assert opened.seal is not None
    inside = b"From: a@b.example\r\n" + encrypt(signer.detached(entity, at=NOW), [read(paul)])
    opened = open_letter(inside, keys=[paul.identity], chain=chain, now=NOW)
    assert opened.seal is not None
    assert b"multipart/signed" in values(opened.letter, b"content-type")[0]


def test_a_bad_signature_is_told_and_the_letter_keeps_it(
    chain: ChainVerifier, signer: Signer, paul: Member
) -> None:
    sealed = seal_letter(LETTER.replace("é".encode(), b"e"), signer=signer, at=NOW)
    broken = sealed.replace(b"CONFIDENTIEL", b"CONFIDENTIEl")
    opened = open_letter(broken, keys=[paul.identity], chain=chain, now=NOW)
    assert (opened.seal, opened.failure, opened.letter) == (None, SealReason.DIGEST, broken)


def test_a_from_that_differs_does_not_replace_the_one_outside(
    chain: ChainVerifier, signer: Signer, paul: Member
) -> None:
    sealed = seal_letter(LETTER, signer=signer, readings=[read(paul)], at=NOW)
    other = sealed.replace(b"anne.test-rivage@ch-rivage", b"paule.test-dune@cabinet", 1)
    opened = open_letter(other, keys=[paul.identity], chain=chain, now=NOW)
    assert opened.from_differs
    assert b"paule.test-dune@cabinet" in values(opened.letter, b"from")[0]
    nobody = restore(b"From: (\r\nX-Way: 1\r\n\r\n", protect(LETTER, is_encrypted=True).payload)
    assert nobody.from_differs
    assert values(nobody.letter, b"x-way") == [b"1"]


def test_fields_added_outside_a_protected_letter_are_not_shown(
    chain: ChainVerifier, signer: Signer, paul: Member
) -> None:
    sealed = b"Reply-To: x@evil.example\r\nX-Added: 1\r\n" + seal_letter(
        LETTER, signer=signer, readings=[read(paul)], at=NOW
    )
    opened = open_letter(sealed, keys=[paul.identity], chain=chain, now=NOW)
    assert values(opened.letter, b"reply-to") == []
    assert values(opened.letter, b"x-added") == [b"1"]


def test_an_entity_without_protection_keeps_the_fields_outside(
    chain: ChainVerifier, paul: Member, entity: bytes
) -> None:
    inside = b"Subject: false\r\n" + entity
    letter = b"From: a@b.example\r\nSubject: outside\r\n" + encrypt(inside, [read(paul)])
    opened = open_letter(letter, keys=[paul.identity], chain=chain, now=NOW)
    assert values(opened.letter, b"subject") == [b"outside"]
    assert (opened.seal, opened.failure) == (None, None)


def test_line_ends_that_no_door_saw_are_made_whole(chain: ChainVerifier, paul: Member) -> None:
    inside = b"Content-Type: text/plain\n\nfalse end\n.\nMAIL FROM:<x>\rx\r\n"
    letter = b"From: a@b.example\r\n" + encrypt(inside, [read(paul)])
    opened = open_letter(letter, keys=[paul.identity], chain=chain, now=NOW)
    assert opened.letter.count(b"\n") == opened.letter.count(b"\r\n") == opened.letter.count(b"\r")


def test_without_integrity_a_letter_must_be_signed(
    chain: ChainVerifier, signer: Signer, paul: Member
) -> None:
    old = read(paul, permit_legacy=True)
    with pytest.raises(LocalProtocolError):
        seal_letter(LETTER, signer=None, readings=[old], at=NOW)
    with pytest.raises(LocalProtocolError):
        seal_letter(LETTER, signer=None, at=NOW)
    sealed = seal_letter(LETTER, signer=signer, readings=[old], at=NOW)
    opened = open_letter(sealed, keys=[paul.identity], chain=chain, now=NOW)
    assert opened.integrity is Integrity.NONE
    assert opened.seal is not None


def test_what_does_not_open_releases_nothing(
    seals: SealSpace, chain: ChainVerifier, signer: Signer, paul: Member
) -> None:
    sealed = seal_letter(LETTER, signer=signer, readings=[read(paul)], at=NOW)
    with pytest.raises(DecryptionFailed):
        open_letter(sealed, keys=[seals.reader("rsa-2048").identity], chain=chain, now=NOW)


def test_a_letter_without_body_or_types_is_sealed_too(
    chain: ChainVerifier, signer: Signer, paul: Member
) -> None:
    letter = b"From: a@ch-rivage.mssante.example"
    sealed = seal_letter(letter, signer=signer, readings=[read(paul)], at=NOW)
    opened = open_letter(sealed, keys=[paul.identity], chain=chain, now=NOW)
    assert values(opened.letter, b"from") == [b"a@ch-rivage.mssante.example"]
