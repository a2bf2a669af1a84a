"""Enveloped signatures: ours against another implementation, and every shape but one refused."""

from __future__ import annotations

import re
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from lxml import etree

from certs.profiles import ProfileName, Purpose
from certs.verdict import CertificateRefused, Reason
from certs.xml.parser import XmlRefused, parse_xml
from certs.xml.sign import sign_enveloped
from certs.xml.signature import decode_base64
from certs.xml.verify import SignatureInvalid, SignatureReason, VerifiedXml, verify_enveloped
from core.errors import LocalProtocolError

DOCUMENT = b'<r xmlns="urn:r"><a>un</a>\n<!-- seen by nobody --><b c="d">Finist\xc3\xa8re</b></r>'


@pytest.fixture
def signed(space: Any) -> bytes:
    return sign_enveloped(DOCUMENT, space.issue(ProfileName.LIST_SIGNER).identity())


def verified(space: Any, octets: bytes) -> VerifiedXml:
    def judge(certificate: bytes, others: tuple[bytes, ...]) -> Any:
        return space.verifier().verify(
            certificate, purpose=Purpose.LIST_SIGNER, at=space.clock.now(), presented=others
        )

    return verify_enveloped(octets, judge)


def reason_of(space: Any, octets: bytes) -> SignatureReason:
    with pytest.raises(SignatureInvalid) as caught:
        verified(space, octets)
    return caught.value.reason


def test_only_what_was_signed_is_handed_out(space: Any, signed: bytes) -> None:
    result = verified(space, signed)
    assert str(result.signer.subject).startswith("CN=mss.ch-rivage.mssante.example,")
    assert b"Signature" not in result.octets
    assert b"seen by nobody" not in result.octets
    assert parse_xml(result.octets).findtext("{urn:r}b") == "Finistère"


def test_another_implementation_verifies_ours(space: Any, signed: bytes) -> None:
    from signxml.verifier import XMLVerifier

    root = space.authority.anchors_pem().decode("ascii")
    leaf = re.search(rb"<ds:X509Certificate>(.*?)</ds:X509Certificate>", signed, re.DOTALL)
    assert leaf is not None
    pem = b"-----BEGIN CERTIFICATE-----\n" + leaf.group(1) + b"\n-----END CERTIFICATE-----\n"
    assert root
    result = XMLVerifier().verify(signed, x509_cert=pem.decode("ascii"))
    assert result.signed_xml is not None


def test_ours_verifies_another_implementation(space: Any) -> None:
    from signxml import CanonicalizationMethod, SignatureConstructionMethod
    from signxml.signer import XMLSigner

    issued = space.issue(ProfileName.LIST_SIGNER)
    signer = XMLSigner(
        method=SignatureConstructionMethod.enveloped,
        c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
    )
    signer.excise_empty_xmlns_declarations = True
    tree = signer.sign(
        parse_xml(DOCUMENT),
        key=issued.key,
        cert=[issued.certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")],
    )
    assert verified(space, etree.tostring(tree)).signer.subject == issued.identity().subject


class TestChanged:
    @pytest.mark.parametrize(
        ("old", "new", "reason"),
        [
            (b"<a>un</a>", b"<a>deux</a>", SignatureReason.DIGEST),
            (b'c="d"', b'c="e"', SignatureReason.DIGEST),
            (b"<a>un</a>", b"<a>un</a><a>de plus</a>", SignatureReason.DIGEST),
            (b"<a>un</a>", b"", SignatureReason.DIGEST),
            (b"rsa-sha256", b"rsa-sha1", SignatureReason.ALGORITHM),
            (b"xmldsig-more#rsa-sha256", b"xmldsig-more#hmac-sha256", SignatureReason.ALGORITHM),
            (b"xmlenc#sha256", b"xmldsig#sha1", SignatureReason.ALGORITHM),
            (b"#enveloped-signature", b"#base64", SignatureReason.ALGORITHM),
            (b"xml-exc-c14n#", b"xml-exc-c14n#WithComments", SignatureReason.ALGORITHM),
            (b'URI=""', b'URI="#a"', SignatureReason.UNEXPECTED_SHAPE),
            (b'URI=""', b'URI="" Id="x"', SignatureReason.UNEXPECTED_SHAPE),
            (b'URI=""', b'URI="http://127.0.0.1/"', SignatureReason.UNEXPECTED_SHAPE),
            (b"</ds:KeyInfo>", b"</ds:KeyInfo><ds:Object/>", SignatureReason.UNEXPECTED_SHAPE),
            (b"<ds:KeyInfo>", b"word<ds:KeyInfo>", SignatureReason.UNEXPECTED_SHAPE),
            (b"<ds:X509Data>", b"word<ds:X509Data>", SignatureReason.UNEXPECTED_SHAPE),
            (b"<ds:SignedInfo>", b"<!-- c --><ds:SignedInfo>", SignatureReason.UNEXPECTED_SHAPE),
            (b"<ds:SignatureValue>", b'<ds:SignatureValue Id="x">', SignatureReason.UNEXPECTED_SHAPE),
            (b"<ds:SignatureValue>", b"<ds:SignatureValue>AAAA", SignatureReason.VALUE),
            (b"<ds:DigestValue>", b"<ds:DigestValue>*", SignatureReason.NOT_XML),
            (b"</ds:Signature>", b"", SignatureReason.NOT_XML),
            (b'version="1.0" encoding', b'version="1.1" encoding', SignatureReason.UNEXPECTED_SHAPE),
            (b"?>\n<r", b"?>\n<?pi?><r", SignatureReason.UNEXPECTED_SHAPE),
            (b"</r>", b"</r><!-- after -->", SignatureReason.UNEXPECTED_SHAPE),
        ],
    )
    def test_each_change_has_its_reason(
        self, space: Any, signed: bytes, old: bytes, new: bytes, reason: SignatureReason
    ) -> None:
        assert old in signed
        assert reason_of(space, signed.replace(old, new)) is reason

    def test_a_relative_namespace_has_no_canonical_form(self, space: Any, signed: bytes) -> None:
        for old, new in (
            (b'xmlns="urn:r"', b'xmlns="r"'),
            (b"<ds:SignedInfo>", b'<ds:SignedInfo xmlns:x="r" x:y="z">'),
        ):
            assert reason_of(space, signed.replace(old, new)) is SignatureReason.NOT_XML

    def test_unsigned(self, space: Any) -> None:
        assert reason_of(space, DOCUMENT) is SignatureReason.UNSIGNED

    def test_a_digest_of_something_else(self, space: Any, signed: bytes) -> None:
        other = re.sub(rb"(<ds:DigestValue>)..", rb"\1QQ", signed)
        assert reason_of(space, other) is SignatureReason.VALUE

    def test_transform_parameters(self, space: Any, signed: bytes) -> None:
        namespaces = b'exc-c14n#"><x:InclusiveNamespaces xmlns:x="urn:x" PrefixList="a"/>'
        changed = signed.replace(
            b'exc-c14n#"/></ds:Transforms>', namespaces + b"</ds:Transform></ds:Transforms>"
        )
        assert changed != signed
        assert reason_of(space, changed) is SignatureReason.ALGORITHM

    def test_elements_inside_the_value(self, space: Any, signed: bytes) -> None:
        changed = signed.replace(b"</ds:SignatureValue>", b"<x/></ds:SignatureValue>")
        assert reason_of(space, changed) is SignatureReason.UNEXPECTED_SHAPE

    def test_no_certificate_and_too_many(self, space: Any, signed: bytes) -> None:
        block = re.search(rb"<ds:X509Certificate>.*?</ds:X509Certificate>", signed, re.DOTALL)
        assert block is not None
        for many in (0, 5):
            changed = signed.replace(block.group(), block.group() * many)
            assert reason_of(space, changed) is SignatureReason.UNEXPECTED_SHAPE

    def test_a_bare_key_is_not_believed(self, space: Any, signed: bytes) -> None:
        changed = re.sub(
            rb"<ds:X509Data>.*</ds:X509Data>", b"<ds:KeyName>alb</ds:KeyName>", signed, flags=re.DOTALL
        )
        assert reason_of(space, changed) is SignatureReason.UNEXPECTED_SHAPE

    def test_an_elliptic_signer(self, space: Any, signed: bytes, algorithms: Any) -> None:
        import base64

        other = space.issue(ProfileName.LIST_SIGNER, algorithm=algorithms.EC_P256).der
        replaced = b"<ds:X509Certificate>" + base64.b64encode(other) + b"</ds:X509Certificate>"
        changed = re.sub(rb"<ds:X509Certificate>.*?</ds:X509Certificate>", replaced, signed, flags=re.DOTALL)
        assert reason_of(space, changed) is SignatureReason.ALGORITHM

    def test_a_certificate_that_is_none(self, space: Any, signed: bytes) -> None:
        replaced = b"<ds:X509Certificate>QUJD</ds:X509Certificate>"
        changed = re.sub(rb"<ds:X509Certificate>.*?</ds:X509Certificate>", replaced, signed, flags=re.DOTALL)
        with pytest.raises(CertificateRefused) as caught:
            verified(space, changed)
        assert caught.value.reason is Reason.UNREADABLE


class TestSigning:
    def test_a_signed_document_is_not_signed_again(self, space: Any, signed: bytes) -> None:
        with pytest.raises(LocalProtocolError):
            sign_enveloped(signed, space.issue(ProfileName.LIST_SIGNER).identity())

    def test_only_rsa_signs(self, space: Any, algorithms: Any) -> None:
        with pytest.raises(LocalProtocolError):
            sign_enveloped(DOCUMENT, space.issue(algorithm=algorithms.EC_P256).identity())

    def test_what_stands_beside_the_root_is_dropped(self, space: Any) -> None:
        octets = sign_enveloped(
            b"<!-- a --><?pi b?>" + DOCUMENT, space.issue(ProfileName.LIST_SIGNER).identity()
        )
        assert b"<?pi" not in octets
        assert verified(space, octets)


@pytest.mark.parametrize("text", [None, "", "QQ", "QR==", "Q Q==\u00e9", "QQ==QQ==", "*"])
def test_base64_has_one_text_for_each_value(text: str | None) -> None:
    with pytest.raises(XmlRefused):
        decode_base64(text)


def test_base64_may_be_folded() -> None:
    assert decode_base64(" Q\nQ== ") == b"A"
