"""Signature spoofing ("Johnny, you are fired", USENIX Security 2019): never sealed by whom it is not."""

from __future__ import annotations

import pytest
from asn1crypto import cms
from asn1crypto import x509 as asn1_x509

from certs.authority import Authority, Request
from certs.profiles import ProfileName
from certs.smime.entity import encode_lines, multipart_signed, pkcs7_mime, signed_parts
from certs.smime.letter import open_letter
from certs.smime.sign import Signer
from certs.smime.verdict import SealReason, SignatureInvalid
from certs.smime.verify import verify_letter
from core.testing.seal_space import DUNES, NOW, seal_space

SPACE = seal_space()
CHAIN = SPACE.chain()
SIGNER = Signer(SPACE.signer().identity)
GOOD = b"Content-Type: text/plain\r\n\r\nPrendre un comprime par jour.\r\n"
FALSE = b"Content-Type: text/plain\r\n\r\nPrendre dix comprimes par jour.\r\n"
HEAD = b"From: anne.test-rivage@ch-rivage.mssante.example\r\nMIME-Version: 1.0\r\n"


def refused(letter: bytes) -> SealReason:
    with pytest.raises(SignatureInvalid) as caught:
        verify_letter(letter, chain=CHAIN, now=NOW)
    opened = open_letter(letter, keys=[], chain=CHAIN, now=NOW)
    assert opened.seal is None
    return caught.value.reason


def signature_of(entity: bytes) -> bytes:
    return SIGNER.cms(entity, at=NOW, opaque=False)


def dressed(entity: bytes, signature: bytes) -> bytes:
    return HEAD + multipart_signed(entity, signature, micalg=b"sha-256", boundary=b"b")


def test_the_honest_letter_is_sealed() -> None:
    assert verify_letter(dressed(GOOD, signature_of(GOOD)), chain=CHAIN, now=NOW).entity == GOOD


def test_a_signature_over_another_entity() -> None:
    assert refused(dressed(FALSE, signature_of(GOOD))) is SealReason.DIGEST


def test_an_opaque_signature_beside_another_content() -> None:
    """The signature is good over its own content, which is not what is shown."""
    assert refused(dressed(FALSE, SIGNER.cms(GOOD, at=NOW, opaque=True))) is SealReason.CONTENT


def test_a_signature_of_nobody_over_anything() -> None:
    info = cms.ContentInfo.load(signature_of(FALSE))
    info["content"]["signer_infos"] = cms.SignerInfos([])
    assert refused(dressed(FALSE, info.dump(force=True))) is SealReason.SIGNERS


def test_a_good_signer_beside_a_bad_one() -> None:
    info = cms.ContentInfo.load(signature_of(FALSE))
    other = cms.ContentInfo.load(signature_of(GOOD))["content"]["signer_infos"][0]
    info["content"]["signer_infos"].append(other)
    assert refused(dressed(FALSE, info.dump(force=True))) is SealReason.SIGNERS


def test_a_good_letter_carried_inside_a_false_one() -> None:
    honest = dressed(GOOD, signature_of(GOOD)).removeprefix(HEAD)
    for kind in (b"mixed", b"alternative", b"related"):
        letter = (
            HEAD
            + b"Content-Type: multipart/"
            + kind
            + b"; boundary=w\r\n\r\n--w\r\n"
            + FALSE
            + b"\r\n--w\r\n"
            + honest
            + b"\r\n--w--\r\n"
        )
        assert refused(letter) is SealReason.NOT_SIGNED
    forwarded = HEAD + b"Content-Type: message/rfc822\r\n\r\n" + honest
    assert refused(forwarded) is SealReason.NOT_SIGNED


def test_a_third_part_and_words_around() -> None:
    honest = dressed(GOOD, signature_of(GOOD))
    for letter in (
        honest.replace(b"--b--", b"--b\r\n" + FALSE + b"--b--"),
        honest.replace(b"--b\r\n", b"--b\r\n" + FALSE + b"\r\n--b\r\n", 1),
        honest + FALSE,
        honest.replace(b"\r\n\r\n--b", b"\r\n\r\nPrendre dix compri\xe9s\r\n--b", 1),
        honest.replace(b"--b--\r\n", b""),
    ):
        assert refused(letter) is SealReason.UNEXPECTED_SHAPE


def test_two_readings_of_the_root() -> None:
    honest = dressed(GOOD, signature_of(GOOD))
    html = b"Content-Type: text/html\r\n"
    assert refused(html + honest) in (SealReason.NOT_SIGNED, SealReason.UNEXPECTED_SHAPE)
    assert (
        refused(honest.replace(b"\r\n\r\n--b", b"\r\n" + html + b"\r\n--b", 1)) is SealReason.UNEXPECTED_SHAPE
    )
    assert refused(honest.replace(b'boundary="b"', b'boundary="b"; boundary="c"')) is not None
    assert refused(honest.replace(b"signed;", b"signed (;);")) is SealReason.UNEXPECTED_SHAPE


def test_a_stranger_with_the_same_name() -> None:
    stranger = Signer(seal_space(90).signer().identity)
    letter = HEAD + stranger.detached(FALSE, at=NOW)
    assert refused(letter) is SealReason.CERTIFICATE


def test_the_certificate_of_another_with_the_same_key() -> None:
    """The name of the signer is not signed by CMS itself; the attribute of RFC 5035 binds it."""
    member = SPACE.signer()
    space = SPACE.authority
    twin = Authority(space.root, space.organisations, clock=SPACE.clock, keys=lambda _: member.key)  # type: ignore[arg-type, return-value]
    other = twin.issue(Request(subject=DUNES, profile=ProfileName.SIGN))
    info = cms.ContentInfo.load(signature_of(GOOD))
    parsed = asn1_x509.Certificate.load(other.der)
    info["content"]["certificates"] = cms.CertificateSet([cms.CertificateChoices({"certificate": parsed})])
    sid = info["content"]["signer_infos"][0]["sid"].chosen
    sid["issuer"], sid["serial_number"] = parsed.issuer, parsed.serial_number
    assert refused(dressed(GOOD, info.dump(force=True))) is SealReason.ATTRIBUTES


def test_a_chain_that_is_not_there() -> None:
    """A certificate that the signer issued to himself, below his own."""
    member = SPACE.signer()
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    from certs.keystore import Identity

    key = ec.generate_private_key(ec.SECP256R1())
    own = member.identity.certificate
    issued = (
        x509.CertificateBuilder()
        .subject_name(x509.Name.from_rfc4514_string(DUNES))
        .issuer_name(own.subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(own.not_valid_before_utc)
        .not_valid_after(own.not_valid_after_utc)
        .sign(member.key, hashes.SHA256())  # type: ignore[arg-type]
    )
    signer = Signer(Identity(issued, key, (own,)))
    assert refused(HEAD + signer.detached(FALSE, at=NOW)) is SealReason.CERTIFICATE


def test_an_opaque_letter_whose_type_promises_something_else() -> None:
    octets = SIGNER.cms(GOOD, at=NOW, opaque=True)
    for kind in (b"enveloped-data", b"certs-only", b"compressed-data"):
        assert refused_or_unopened(HEAD + pkcs7_mime(octets, kind))
    detached = HEAD + pkcs7_mime(signature_of(GOOD), b"signed-data")
    assert refused(detached) is SealReason.CONTENT


def refused_or_unopened(letter: bytes) -> bool:
    with pytest.raises(SignatureInvalid):
        verify_letter(letter, chain=CHAIN, now=NOW)
    return True


def test_a_false_delimiter_inside_the_signed_part() -> None:
    entity = b"Content-Type: text/plain\r\n\r\n--bonjour\r\nfalse\r\n"
    assert refused(dressed(entity, signature_of(entity))) is SealReason.UNEXPECTED_SHAPE


def test_trailing_octets_behind_the_signature() -> None:
    honest = dressed(GOOD, signature_of(GOOD))
    (_, end), octets = signed_parts(honest)
    head, _, _ = honest[end:].partition(b"\r\n\r\n")
    letter = honest[:end] + head + b"\r\n\r\n" + encode_lines(octets + b"\x05\x00") + b"--b--\r\n"
    assert refused(letter) is SealReason.MALFORMED
