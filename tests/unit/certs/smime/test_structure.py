"""Structures at their bounds: what is too many, too new, or of a kind that is never ours."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from asn1crypto import cms

from certs.certificate import parse_certificate
from certs.chain import ChainVerifier
from certs.keystore import Identity
from certs.smime import certificates, structure
from certs.smime.capabilities import CannotRead, choose_reading
from certs.smime.decrypt import DecryptionFailed, decrypt
from certs.smime.der import oid, sequence, set_of, tlv
from certs.smime.encrypt import encrypt
from certs.smime.entity import NotBase64, root_of, sealed_octets
from certs.smime.sign import Signer
from certs.smime.structure import CmsMalformed, read_envelope, read_signed
from certs.smime.verdict import SealReason, SignatureInvalid
from certs.smime.verify import verify_cms, verify_letter
from certs.verdict import CertificateRefused
from core.testing.seal_space import NOW, SealSpace


@pytest.fixture
def envelope(seals: SealSpace, entity: bytes) -> bytes:
    reading = choose_reading(seals.reader().certificate)
    assert not isinstance(reading, CannotRead)
    return sealed_octets(encrypt(entity, [reading]))


@pytest.fixture
def signed(seals: SealSpace, entity: bytes) -> bytes:
    return Signer(seals.signer().identity).cms(entity, at=NOW, opaque=True)


def changed(octets: bytes, change: Callable[[cms.ContentInfo], object]) -> bytes:
    info = cms.ContentInfo.load(octets)
    change(info["content"])
    return bytes(info.dump(force=True))


def test_versions_that_nobody_wrote_yet_are_refused(signed: bytes, envelope: bytes) -> None:
    def version(data: cms.ContentInfo) -> None:
        data["version"] = "v2"

    def of_signer(data: cms.ContentInfo) -> None:
        data["signer_infos"][0]["version"] = "v3"

    for change in (version, of_signer):
        with pytest.raises(CmsMalformed):
            read_signed(changed(signed, change))
    with pytest.raises(CmsMalformed):
        read_envelope(changed(envelope, version))


def test_certificates_have_a_number_and_a_kind(signed: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(structure, "MAX_CERTIFICATES", 1)
    with pytest.raises(CmsMalformed):
        read_signed(signed)


def test_what_is_too_large_is_not_read(
    signed: bytes, envelope: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(structure, "MAX_ATTRIBUTES", 2)
    with pytest.raises(CmsMalformed):
        read_signed(signed)
    monkeypatch.setattr(structure, "MAX_RECIPIENTS", 0)
    with pytest.raises(CmsMalformed):
        read_envelope(envelope)
    monkeypatch.setattr(structure, "MAX_SEALED", 100)
    with pytest.raises(CmsMalformed):
        read_signed(signed)


def test_many_readers_in_one_agreement_are_counted(envelope: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def twice(data: cms.ContentInfo) -> None:
        keys = data["recipient_infos"][0].chosen["recipient_encrypted_keys"]
        keys.append(keys[0].copy())

    octets = changed(envelope, twice)
    assert len(read_envelope(octets).recipients) == 2
    monkeypatch.setattr(structure, "MAX_RECIPIENTS", 1)
    with pytest.raises(CmsMalformed):
        read_envelope(octets)


def test_an_envelope_without_content_is_none(envelope: bytes) -> None:
    def empty(data: cms.ContentInfo) -> None:
        del data["auth_encrypted_content_info"]["encrypted_content"]

    with pytest.raises(CmsMalformed):
        read_envelope(changed(envelope, empty))


def test_passwords_and_static_originators_are_never_ours(seals: SealSpace, envelope: bytes) -> None:
    def password(data: cms.ContentInfo) -> None:
        info = tlv(0xA3, b"\x02\x01\x00", sequence(oid("1.2.3")), b"\x04\x01x")
        data["recipient_infos"] = cms.RecipientInfos.load(set_of(info))

    octets = changed(envelope, password)
    assert read_envelope(octets).recipients == ()
    with pytest.raises(DecryptionFailed):
        decrypt(octets, [seals.reader().identity])


def test_a_certificate_whose_issuer_cannot_be_read_is_refused(
    seals: SealSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError

    monkeypatch.setattr(certificates.asn1_x509.Certificate, "load", fail)
    fresh = seals.issue("ec-p256", next(iter(certificates_profiles())), "CN=x,C=FR").certificate
    with pytest.raises(CertificateRefused):
        certificates.names_of(fresh)


def certificates_profiles() -> list[object]:
    from certs.profiles import ProfileName

    return [ProfileName.SIGN]


def test_garbage_instead_of_a_certificate(signed: bytes, chain: ChainVerifier) -> None:
    data = read_signed(signed)
    broken = signed.replace(data.certificates[0][30:60], bytes(30))
    with pytest.raises(SignatureInvalid) as caught:
        verify_cms(broken, None, chain=chain, now=NOW)
    assert caught.value.reason in (SealReason.CERTIFICATE, SealReason.NO_CERTIFICATE)


def test_bodies_that_are_no_cms_part(chain: ChainVerifier, signed: bytes, entity: bytes) -> None:
    head = b"Content-Type: application/pkcs7-mime; smime-type=signed-data\r\n"
    binary = head + b"Content-Transfer-Encoding: binary\r\n\r\n" + signed
    assert verify_letter(binary, chain=chain, now=NOW).entity == entity
    with pytest.raises(NotBase64):
        sealed_octets(head + b"\r\nx")
    with pytest.raises(SignatureInvalid):
        sealed_octets(b"Subject: x\r\n\r\nx")
    assert root_of(b"Content-Type: application/pkcs7-mime\r\n\r\nx").value == "encrypted"


def test_keys_on_other_curves_read_nothing(seals: SealSpace) -> None:
    assert isinstance(choose_reading(_on_p521()), CannotRead)
    assert Signer(seals.signer().identity).identity is seals.signer().identity


def _on_p521() -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding

    key = ec.generate_private_key(ec.SECP521R1())
    name = x509.Name.from_rfc4514_string("CN=x,C=FR")
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    dated = builder.serial_number(1).not_valid_before(NOW).not_valid_after(NOW.replace(year=2027))
    octets = dated.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
    assert Identity(parse_certificate(octets), key).is_rsa is False
    return octets
