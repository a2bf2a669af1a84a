"""From a certificate and what its holder declares to what is written for it, with the reason."""

from __future__ import annotations

import pytest

from certs.profiles import ProfileName
from certs.seals import SealAlgorithm as Word
from certs.smime.capabilities import (
    CannotRead,
    ContentCipher,
    KeyManagement,
    Reading,
    ReadingReason,
    capabilities_in,
    choose_reading,
    declared_by,
)
from certs.smime.sign import OUR_CAPABILITIES
from certs.verdict import CertificateRefused
from core.testing.seal_space import RIVAGE, SealSpace

GCM, SMALL, CBC = ContentCipher.AES_256_GCM, ContentCipher.AES_128_GCM, ContentCipher.AES_256_CBC


@pytest.mark.parametrize(
    ("kind", "declared", "permit", "expected"),
    [
        ("rsa-2048", (), False, (KeyManagement.RSA_OAEP, GCM, ReadingReason.ASSUMED)),
        ("ec-p256", (), False, (KeyManagement.ECDH_P256, GCM, ReadingReason.ASSUMED)),
        ("ec-p384", (), True, (KeyManagement.ECDH_P384, GCM, ReadingReason.ASSUMED)),
        ("x25519", (Word.X25519,), False, (KeyManagement.X25519, GCM, ReadingReason.DECLARED)),
        ("ec-p256", (Word.AES_128_GCM,), False, (KeyManagement.ECDH_P256, SMALL, ReadingReason.DECLARED)),
        (
            "ec-p256",
            (Word.AES_256_CBC, Word.AES_128_GCM),
            True,
            (KeyManagement.ECDH_P256, SMALL, ReadingReason.DECLARED),
        ),
        (
            "ec-p256",
            (Word.AES_256_CBC,),
            True,
            (KeyManagement.ECDH_P256, CBC, ReadingReason.LEGACY_PERMITTED),
        ),
        (
            "rsa-2048",
            (Word.RSA_PKCS1, Word.AES_256_GCM),
            True,
            (KeyManagement.RSA_PKCS1, GCM, ReadingReason.LEGACY_PERMITTED),
        ),
        (
            "rsa-2048",
            (Word.RSA_PKCS1, Word.RSA_OAEP),
            True,
            (KeyManagement.RSA_OAEP, GCM, ReadingReason.DECLARED),
        ),
    ],
)
def test_the_best_that_both_know(
    seals: SealSpace,
    kind: str,
    declared: tuple[Word, ...],
    permit: bool,
    expected: tuple[KeyManagement, ContentCipher, ReadingReason],
) -> None:
    reading = choose_reading(seals.reader(kind).certificate, frozenset(declared), permit_legacy=permit)
    assert isinstance(reading, Reading)
    assert (reading.key_management, reading.cipher, reading.reason) == expected
    assert reading.cipher.key_size in (16, 32)


@pytest.mark.parametrize("declared", [(Word.AES_256_CBC,), (Word.RSA_PKCS1,)])
def test_what_proves_no_integrity_is_not_written_unasked(
    seals: SealSpace, declared: tuple[Word, ...]
) -> None:
    refused = choose_reading(seals.reader("rsa-2048").certificate, frozenset(declared))
    assert refused == CannotRead(ReadingReason.NO_COMMON_ALGORITHM)


def test_a_certificate_for_signing_reads_nothing(seals: SealSpace) -> None:
    for profile in (ProfileName.SIGN, ProfileName.SSL_SERV):
        member = seals.issue("ec-p256", profile, RIVAGE)
        assert choose_reading(member.certificate) == CannotRead(ReadingReason.NOT_FOR_ENCRYPTION)
    with pytest.raises(CertificateRefused):
        choose_reading(b"no certificate")


def test_what_a_signature_declares_is_read_and_garbage_is_nothing() -> None:
    words = declared_by(capabilities_in(OUR_CAPABILITIES))
    assert words == {Word.AES_256_GCM, Word.AES_128_GCM, Word.AES_256_CBC, Word.RSA_OAEP}
    assert capabilities_in(b"") == capabilities_in(b"\x30\x05abc") == ()
