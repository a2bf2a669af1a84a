"""An enveloped XML signature over a whole document, in the one shape that the trust list has.

What it is: `sign_enveloped`. What it is not: a choice; Reference URI="", exclusive C14N, RSA-SHA256, the
signer's certificate in KeyInfo. Who calls: the maker of the trust list of private spaces.
"""

from __future__ import annotations

import base64
import hashlib

from lxml import etree

from certs.keystore import Identity
from certs.xml.parser import Element, parse_xml
from certs.xml.signature import DS, ENVELOPED, EXCLUSIVE_C14N, RSA_SHA256, SHA256, SIGNATURE, canonical
from core.errors import LocalProtocolError

BASE64_LINE = 76  # RFC 2045 §6.8, as the field's documents are folded


def sign_enveloped(octets: bytes, identity: Identity) -> bytes:
    """The document with a ds:Signature as last child of its root, UTF-8, with an XML declaration.

    Raises `XmlRefused` for octets that are not XML, `LocalProtocolError` for a document that is signed
    already or a key that is not RSA.
    """
    if not identity.is_rsa:
        raise LocalProtocolError("the trust list is signed with an RSA key")
    # Serialising the root alone drops what stands beside it: a whole-document digest would cover it.
    root = parse_xml(etree.tostring(parse_xml(octets), encoding="UTF-8"))
    if root.find(f".//{SIGNATURE}") is not None:
        raise LocalProtocolError("this document is signed already")
    # XML-DSig §6.6.4: the digest is over the document without the Signature.
    digest = hashlib.sha256(canonical(root)).digest()
    signature = etree.SubElement(root, SIGNATURE, nsmap={"ds": DS})
    signed_info = _signed_info(signature, digest)
    value = identity.sign_sha256(canonical(signed_info))
    _text(signature, "SignatureValue", _folded(value))
    data = _text(_text(signature, "KeyInfo"), "X509Data")
    _text(data, "X509Certificate", _folded(identity.certificate_der()))
    body: bytes = etree.tostring(root, encoding="UTF-8")
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + body + b"\n"


def _signed_info(signature: Element, digest: bytes) -> Element:
    info = _text(signature, "SignedInfo")
    _text(info, "CanonicalizationMethod").set("Algorithm", EXCLUSIVE_C14N)
    _text(info, "SignatureMethod").set("Algorithm", RSA_SHA256)
    reference = _text(info, "Reference")
    reference.set("URI", "")
    transforms = _text(reference, "Transforms")
    _text(transforms, "Transform").set("Algorithm", ENVELOPED)
    _text(transforms, "Transform").set("Algorithm", EXCLUSIVE_C14N)
    _text(reference, "DigestMethod").set("Algorithm", SHA256)
    _text(reference, "DigestValue", base64.b64encode(digest).decode("ascii"))
    return info


def _text(parent: Element, name: str, text: str | None = None) -> Element:
    child = etree.SubElement(parent, f"{{{DS}}}{name}")
    child.text = text
    return child


def _folded(octets: bytes) -> str:
    text = base64.b64encode(octets).decode("ascii")
    return "\n".join(text[start : start + BASE64_LINE] for start in range(0, len(text), BASE64_LINE))
