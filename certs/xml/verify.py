"""Verify an enveloped XML signature over a whole document, and hand out only what was signed.

What it is: `verify_enveloped`, written against one exact shape (see `certs.xml.sign`). What it is not: an
XML-DSig engine: no other transform, no other reference, no other algorithm, no Object, no key but the one of
an X.509 certificate. Against signature wrapping and comment tricks there are two walls: exactly one
Signature, child of the root; and the result is the canonical octets that were digested, which the caller
parses again, so that what is read is what was signed.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from certs.certificate import parse_certificate
from certs.verdict import VerifiedPeer
from certs.xml.parser import DEFAULT_LIMITS, Element, Limits, XmlRefused, parse_xml
from certs.xml.signature import (
    DS,
    ENVELOPED,
    EXCLUSIVE_C14N,
    RSA_SHA256,
    SHA256,
    SIGNATURE,
    canonical,
    decode_base64,
)
from core.errors import PermanentError

MAX_KEY_INFO_CERTIFICATES = 4  # ours: the signer and its chain


class SignatureReason(Enum):
    """Why a signed document is refused."""

    NOT_XML = "not-xml"
    UNSIGNED = "unsigned"
    SEVERAL_SIGNATURES = "several-signatures"
    UNEXPECTED_SHAPE = "unexpected-shape"
    ALGORITHM = "algorithm"
    DIGEST = "digest"
    VALUE = "value"


class SignatureInvalid(PermanentError):
    """The signature does not cover this document, or is not one. `detail` is for the log."""

    def __init__(self, reason: SignatureReason, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class VerifiedXml:
    """The signer and the canonical octets that were signed (no signature, no comments): read only these."""

    signer: VerifiedPeer
    octets: bytes


CertificateJudge = Callable[[bytes, tuple[bytes, ...]], VerifiedPeer]


def verify_enveloped(octets: bytes, judge: CertificateJudge, limits: Limits = DEFAULT_LIMITS) -> VerifiedXml:
    """Verify the document. `judge(certificate, others)` verifies the signer's certificate or raises.

    Raises `SignatureInvalid`, and what the judge raises. Nothing is returned before all four hold: shape,
    signer, signature value, digest.
    """
    _demand_plain_declaration(octets)
    try:
        root = parse_xml(octets, limits)
        signature = _only_signature(root)
        parts = _parts(signature)
        certificates = _certificates(parts.key_info)
        value = decode_base64(parts.value.text)
        expected = decode_base64(parts.digest.text)
        signed_info = canonical(parts.signed_info)
        content = _without(root, signature)
    except XmlRefused as error:
        raise SignatureInvalid(SignatureReason.NOT_XML, str(error)) from error
    signer = judge(certificates[0], certificates[1:])
    _demand_value(certificates[0], value, signed_info)
    if not hmac.compare_digest(hashlib.sha256(content).digest(), expected):
        raise SignatureInvalid(SignatureReason.DIGEST)
    return VerifiedXml(signer, content)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    signed_info: Element
    value: Element
    key_info: Element
    digest: Element


# The declaration is outside the signed node set: only its two usual spellings are taken.
_DECLARATION = re.compile(
    rb"""\A<\?xml version=(["'])1\.0\1"""
    rb"""(?: encoding=(["'])(?:UTF-8|utf-8)\2)?"""
    rb"""(?: standalone=(["'])(?:yes|no)\3)?\s?\?>"""
)


def _demand_plain_declaration(octets: bytes) -> None:
    head = octets.removeprefix(b"\xef\xbb\xbf")
    if head.startswith(b"<?xml") and not _DECLARATION.match(head):
        raise SignatureInvalid(SignatureReason.UNEXPECTED_SHAPE, "XML declaration")


def _only_signature(root: Element) -> Element:
    found = list(root.iter(SIGNATURE))
    if not found:
        raise SignatureInvalid(SignatureReason.UNSIGNED)
    if len(found) > 1:
        raise SignatureInvalid(SignatureReason.SEVERAL_SIGNATURES)
    signature: Element = found[0]
    if signature.getparent() is not root:
        raise SignatureInvalid(SignatureReason.UNEXPECTED_SHAPE, "the Signature is no child of the root")
    if any(True for _ in (*root.itersiblings(preceding=True), *root.itersiblings())):
        raise SignatureInvalid(SignatureReason.UNEXPECTED_SHAPE, "something stands beside the root")
    if any(not isinstance(node.tag, str) for node in signature.iter()):
        raise SignatureInvalid(SignatureReason.UNEXPECTED_SHAPE, "comments or instructions in the Signature")
    return signature


def _parts(signature: Element) -> _Parts:
    signed_info, value, key_info = _children(signature, "SignedInfo", "SignatureValue", "KeyInfo")
    method, signing, reference = _children(
        signed_info, "CanonicalizationMethod", "SignatureMethod", "Reference"
    )
    transforms, digest_method, digest = _children(reference, "Transforms", "DigestMethod", "DigestValue")
    enveloped, exclusive = _children(transforms, "Transform", "Transform")
    if _attributes(reference) != {"URI": ""}:
        raise SignatureInvalid(SignatureReason.UNEXPECTED_SHAPE, "Reference")
    for element, algorithm in (
        (method, EXCLUSIVE_C14N),
        (signing, RSA_SHA256),
        (enveloped, ENVELOPED),
        (exclusive, EXCLUSIVE_C14N),
        (digest_method, SHA256),
    ):
        # An empty element: parameters such as InclusiveNamespaces or HMACOutputLength change the meaning.
        if _attributes(element) != {"Algorithm": algorithm} or len(element) or (element.text or "").strip():
            raise SignatureInvalid(SignatureReason.ALGORITHM)
    if value.attrib or digest.attrib or len(value) or len(digest):
        raise SignatureInvalid(SignatureReason.UNEXPECTED_SHAPE, "SignatureValue")
    return _Parts(signed_info=signed_info, value=value, key_info=key_info, digest=digest)


def _attributes(element: Element) -> dict[str, str]:
    return {str(name): str(value) for name, value in element.attrib.items()}


def _children(parent: Element, *names: str) -> list[Element]:
    """The children, which must be exactly these in this order with nothing but blanks between."""
    children = list(parent)
    if [child.tag for child in children] != [f"{{{DS}}}{name}" for name in names]:
        raise SignatureInvalid(SignatureReason.UNEXPECTED_SHAPE, "children of the Signature")
    if (parent.text or "").strip() or any((child.tail or "").strip() for child in children):
        raise SignatureInvalid(SignatureReason.UNEXPECTED_SHAPE, "text in the Signature")
    return children


def _certificates(key_info: Element) -> tuple[bytes, ...]:
    """The certificates of KeyInfo, the signer's first; a bare KeyValue or KeyName is never believed."""
    found = tuple(decode_base64(element.text) for element in _certificate_elements(key_info))
    if not 1 <= len(found) <= MAX_KEY_INFO_CERTIFICATES:
        raise SignatureInvalid(SignatureReason.UNEXPECTED_SHAPE, "X509Certificate")
    return found


def _certificate_elements(key_info: Element) -> Iterator[Element]:
    for node in key_info.iter():
        if (node.tail or "").strip() or (len(node) and (node.text or "").strip()):
            raise SignatureInvalid(SignatureReason.UNEXPECTED_SHAPE, "text in KeyInfo")
        if node.tag == f"{{{DS}}}X509Certificate" and not len(node) and not node.attrib:
            yield node


def _demand_value(certificate: bytes, value: bytes, octets: bytes) -> None:
    key = _public_key(certificate)
    try:
        key.verify(value, octets, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature as error:
        raise SignatureInvalid(SignatureReason.VALUE) from error


def _public_key(octets: bytes) -> rsa.RSAPublicKey:
    key = parse_certificate(octets).public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        raise SignatureInvalid(SignatureReason.ALGORITHM, "the signer's key is not RSA")
    return key


def _without(root: Element, signature: Element) -> bytes:
    """The canonical octets of the document after the enveloped-signature transform."""
    tail = signature.tail or ""
    before = signature.getprevious()
    if before is None:
        root.text = (root.text or "") + tail
    else:
        before.tail = (before.tail or "") + tail
    root.remove(signature)
    return canonical(root)
