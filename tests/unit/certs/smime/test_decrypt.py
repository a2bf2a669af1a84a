"""What is opened is whole and authenticated; everything else is one error, after the same work."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from asn1crypto import cms
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap

from certs.keystore import AgreementFailed, Identity
from certs.seals import SealAlgorithm
from certs.smime import algorithms as names
from certs.smime.agreement import derive
from certs.smime.capabilities import CannotRead, Reading, choose_reading
from certs.smime.decrypt import decrypt, decrypt_letter, names_a_key_of
from certs.smime.der import OCTET_STRING, sequence, tlv
from certs.smime.encrypt import encrypt, encrypt_without_integrity
from certs.smime.entity import encode_lines, pkcs7_mime, sealed_octets
from certs.smime.verdict import DecryptionFailed, Integrity
from core.errors import LocalProtocolError
from core.testing.seal_space import DUNES, READERS, RIVAGE, Member, SealSpace

OLD = frozenset({SealAlgorithm.AES_256_CBC, SealAlgorithm.RSA_PKCS1})


def read(member: Member, *declared: SealAlgorithm) -> Reading:
    reading = choose_reading(member.certificate, frozenset(declared), permit_legacy=bool(declared))
    assert not isinstance(reading, CannotRead)
    return reading


@pytest.mark.parametrize("kind", READERS)
def test_each_kind_of_key_opens_what_is_written_for_it(seals: SealSpace, entity: bytes, kind: str) -> None:
    member = seals.reader(kind)
    letter = encrypt(entity, [read(member)])
    assert names_a_key_of(letter, [member.identity])
    assert b"CONFIDENTIEL" not in letter
    opened = decrypt_letter(letter, [member.identity])
    assert (opened.entity, opened.integrity) == (entity, Integrity.AUTHENTICATED)
    assert "CONFIDENTIEL" not in repr(opened)


@pytest.mark.parametrize("kind", READERS)
def test_old_readers_get_cbc_and_it_is_marked(seals: SealSpace, entity: bytes, kind: str) -> None:
    member = seals.reader(kind)
    opened = decrypt_letter(encrypt_without_integrity(entity, [read(member, *OLD)]), [member.identity])
    assert (opened.entity, opened.integrity) == (entity, Integrity.NONE)


def test_many_readers_of_all_kinds_open_one_letter(seals: SealSpace, entity: bytes) -> None:
    members = [seals.reader(kind, subject) for kind in READERS for subject in (RIVAGE, DUNES)]
    letter = encrypt(entity, [read(one) for one in members])
    for member in members:
        assert decrypt_letter(letter, [member.identity]).entity == entity
    envelope = cms.ContentInfo.load(sealed_octets(letter))["content"]
    # RFC 5753 §3.1.1: one ephemeral key for the two readers of each curve.
    assert sorted(one.name for one in envelope["recipient_infos"]) == ["kari"] * 3 + ["ktri"] * 2


def test_two_letters_share_no_key_nonce_or_ephemeral_key(seals: SealSpace, entity: bytes) -> None:
    first, second = (sealed_octets(encrypt(entity, [read(seals.reader())])) for _ in range(2))
    assert first != second
    assert not {first[i : i + 24] for i in range(len(first) - 120, len(first) - 24)} & {
        second[i : i + 24] for i in range(len(second) - 120, len(second) - 24)
    }


def test_the_writer_refuses_what_it_must_not_write(seals: SealSpace, entity: bytes) -> None:
    new, old = read(seals.reader()), read(seals.reader("rsa-2048"), *OLD)
    for wrong in (
        lambda: encrypt(entity, []),
        lambda: encrypt(entity, [new, old]),
        lambda: encrypt(entity, [old]),
        lambda: encrypt_without_integrity(entity, [new]),
        lambda: encrypt(entity, [new] * 1001),
    ):
        with pytest.raises(LocalProtocolError):
            wrong()


def test_a_letter_for_somebody_else_is_not_ours(seals: SealSpace, entity: bytes) -> None:
    letter = encrypt(entity, [read(seals.reader("ec-p256", RIVAGE))])
    other = [seals.reader("ec-p256", DUNES).identity]
    assert not names_a_key_of(letter, other)
    assert not names_a_key_of(b"Subject: x\r\n\r\nx", other)
    assert not names_a_key_of(b"Content-Type: application/pkcs7-mime\r\n\r\n%", other)
    with pytest.raises(DecryptionFailed):
        decrypt_letter(letter, other)
    with pytest.raises(DecryptionFailed):
        decrypt_letter(letter, [])


def test_x25519_follows_rfc_8418_step_by_step(seals: SealSpace, entity: bytes) -> None:
    """An own reading of the letter: asn1crypto for the structure, the primitives, the words of the RFC."""
    member = seals.reader("x25519")
    envelope = cms.ContentInfo.load(sealed_octets(encrypt(entity, [read(member)])))["content"]
    info = envelope["recipient_infos"][0].chosen
    algorithm = info["key_encryption_algorithm"]
    assert algorithm["algorithm"].dotted == names.ECDH_HKDF_SHA256
    point = info["originator"].chosen.contents[-32:]
    assert isinstance(member.key, x25519.X25519PrivateKey)
    secret = member.key.exchange(x25519.X25519PublicKey.from_public_bytes(point))
    shared = bytes.fromhex("3015300b060960864801650304012da206040400000100")
    key = aes_key_unwrap(
        HKDF(hashes.SHA256(), 32, None, shared).derive(secret),
        info["recipient_encrypted_keys"][0]["encrypted_key"].native,
    )
    content = envelope["auth_encrypted_content_info"]
    nonce = content["content_encryption_algorithm"]["parameters"].native
    nonce = next(iter(nonce.values()))
    sealed = content["encrypted_content"].native + envelope["mac"].native
    assert AESGCM(key).decrypt(nonce, sealed, None) == entity


def test_the_user_keying_material_takes_part() -> None:
    plain = derive(names.AGREEMENTS[names.ECDH_SHA256_KDF], b"s" * 32, wrap=b"\x30\x00", size=32)
    other = derive(names.AGREEMENTS[names.ECDH_SHA256_KDF], b"s" * 32, wrap=b"\x30\x00", size=32, ukm=b"u")
    assert plain != other


def test_a_key_that_does_not_fit_agrees_on_nothing(seals: SealSpace) -> None:
    elliptic = seals.reader("ec-p256").identity
    new = seals.reader("x25519").identity
    with pytest.raises(AgreementFailed):
        elliptic.agree(seals.reader("ec-p384").identity.certificate.public_key())  # type: ignore[arg-type]
    with pytest.raises(AgreementFailed):
        new.agree(elliptic.certificate.public_key())  # type: ignore[arg-type]
    with pytest.raises(AgreementFailed):  # RFC 7748 §6.1
        new.agree(x25519.X25519PublicKey.from_public_bytes(bytes(32)))
    assert elliptic.unwrap(b"x" * 256, padding.PKCS1v15(), b"fallback") == b"fallback"


# --- failures -----------------------------------------------------------------------------------------------
def changed(letter: bytes, change: Callable[[cms.ContentInfo], None]) -> bytes:
    info = cms.ContentInfo.load(sealed_octets(letter))
    change(info)
    return pkcs7_mime(info.dump(force=True), b"authEnveloped-data")


def _key(info: cms.ContentInfo) -> None:
    one = info["content"]["recipient_infos"][0].chosen
    target = one if "encrypted_key" in one._field_map else one["recipient_encrypted_keys"][0]
    octets = target["encrypted_key"].native
    target["encrypted_key"] = octets[:-1] + bytes((octets[-1] ^ 1,))


def _short_key(info: cms.ContentInfo) -> None:
    one = info["content"]["recipient_infos"][0].chosen
    target = one if "encrypted_key" in one._field_map else one["recipient_encrypted_keys"][0]
    target["encrypted_key"] = target["encrypted_key"].native[:-8]


def _tag(info: cms.ContentInfo) -> None:
    octets = info["content"]["mac"].native
    info["content"]["mac"] = bytes((octets[0] ^ 1,)) + octets[1:]


def _short_tag(info: cms.ContentInfo) -> None:
    info["content"]["mac"] = info["content"]["mac"].native[:4]


def _content(info: cms.ContentInfo) -> None:
    inner = info["content"]["auth_encrypted_content_info"]
    octets = inner["encrypted_content"].native
    inner["encrypted_content"] = bytes((octets[0] ^ 1,)) + octets[1:]


def _transport(info: cms.ContentInfo) -> None:
    info["content"]["recipient_infos"][0].chosen["key_encryption_algorithm"]["algorithm"] = "1.2.3.4"


def _content_type(info: cms.ContentInfo) -> None:
    info["content"]["auth_encrypted_content_info"]["content_type"] = "signed_data"


CHANGES = [_key, _short_key, _tag, _short_tag, _content, _transport, _content_type]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", READERS)
def test_whatever_is_wrong_there_is_one_answer(
    seals: SealSpace, entity: bytes, kind: str, change: Callable[[cms.ContentInfo], None]
) -> None:
    member = seals.reader(kind)
    letter = changed(encrypt(entity, [read(member)]), change)
    with pytest.raises(DecryptionFailed) as caught:
        decrypt_letter(letter, [member.identity])
    assert str(caught.value) == "the letter cannot be opened"
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_oaep_with_a_label_or_an_unknown_mask_is_not_opened(seals: SealSpace, entity: bytes) -> None:
    member = seals.reader("rsa-2048")
    letter = encrypt(entity, [read(member)])

    def label(info: cms.ContentInfo) -> None:
        algorithm = info["content"]["recipient_infos"][0].chosen["key_encryption_algorithm"]
        algorithm["parameters"]["p_source_algorithm"] = {"algorithm": "p_specified", "parameters": b"label"}

    with pytest.raises(DecryptionFailed):
        decrypt_letter(changed(letter, label), [member.identity])


@pytest.mark.parametrize("kind", ["rsa-2048", "ec-p256"])
def test_cbc_with_bad_padding_or_key_is_not_opened(seals: SealSpace, entity: bytes, kind: str) -> None:
    member = seals.reader(kind)
    letter = encrypt_without_integrity(entity, [read(member, *OLD)])

    def last_block(info: cms.ContentInfo) -> None:
        inner = info["content"]["encrypted_content_info"]
        octets = bytearray(inner["encrypted_content"].native)
        octets[-17] ^= 0xFF
        inner["encrypted_content"] = bytes(octets)

    for change in (last_block, _key):
        with pytest.raises(DecryptionFailed):
            decrypt_letter(changed(letter, change), [member.identity])


def test_an_initial_vector_or_nonce_of_another_size_is_refused(seals: SealSpace, entity: bytes) -> None:
    member = seals.reader()
    octets = sealed_octets(encrypt(entity, [read(member)]))
    at = octets.index(names.algorithm(names.AES_256_GCM)[2:13]) + 11
    shorter = sequence(tlv(OCTET_STRING, bytes(8)), b"\x02\x01\x10", tlv(OCTET_STRING, b"xy"))
    assert len(shorter) == octets[at + 1] + 2
    with pytest.raises(DecryptionFailed):
        decrypt(octets[:at] + shorter + octets[at + len(shorter) :], [member.identity])
    old = sealed_octets(encrypt_without_integrity(entity, [read(member, *OLD)]))
    at = old.index(names.algorithm(names.AES_256_CBC)[2:13]) + 11
    with pytest.raises(DecryptionFailed):
        decrypt(old[:at] + b"\x04\x0f\x05\x00" + old[at + 4 :], [member.identity])
    for garbage in (b"", b"\x30\x00", b"\xff" * 50, b"\x30\x80\x00\x00"):
        with pytest.raises(DecryptionFailed):
            decrypt(garbage, [member.identity])
        with pytest.raises(DecryptionFailed):
            decrypt_letter(pkcs7_mime(garbage, b"enveloped-data"), [member.identity])
    with pytest.raises(DecryptionFailed):
        decrypt_letter(
            b"Content-Type: application/pkcs7-mime\r\n\r\n" + encode_lines(octets), [member.identity]
        )


@pytest.mark.parametrize("kind", ["rsa-2048", "ec-p256"])
def test_all_failures_take_the_same_time(seals: SealSpace, entity: bytes, kind: str) -> None:
    member = seals.reader(kind)
    good = encrypt(entity * 100, [read(member)])
    start = good.index(b"\r\n\r\n") + 4
    broken = good[:start] + b"AAAA" + good[start + 4 :]
    letters = [broken, *(changed(good, change) for change in (_key, _short_key, _tag, _content))]
    spent: list[list[float]] = [[] for _ in letters]
    for _ in range(25):
        for index, letter in enumerate(letters):
            spent[index].append(_time_of(letter, member.identity))
    least = [min(one) for one in spent]  # the work itself, without what else the machine did
    assert max(least) - min(least) < 0.001, least  # seconds


def _time_of(letter: bytes, identity: Identity) -> float:
    begin = time.thread_time()
    with pytest.raises(DecryptionFailed):
        decrypt_letter(letter, [identity])
    return time.thread_time() - begin
