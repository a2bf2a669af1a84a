"""The words of XML-DSig that we write and read: namespaces, algorithms, canonical form, strict base64.

What it is: what `certs.xml.sign` and `certs.xml.verify` share. What it is not: a choice of algorithms; there
is one for each step.
"""

from __future__ import annotations

import base64
import binascii

from lxml import etree

from certs.xml.parser import Element, XmlRefused

DS = "http://www.w3.org/2000/09/xmldsig#"
ENVELOPED = DS + "enveloped-signature"  # XML-DSig §6.6.4
EXCLUSIVE_C14N = "http://www.w3.org/2001/10/xml-exc-c14n#"  # XML-DSig §6.5.2, without comments
RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"  # RFC 9231 §2.3.2
SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"  # RFC 9231 §2.1

SIGNATURE = f"{{{DS}}}Signature"


def canonical(element: Element) -> bytes:
    """Exclusive canonical form without comments of an element and what is below it. Raises `XmlRefused`.

    A relative namespace name has no canonical form (XML-C14N §1.3).
    """
    try:
        octets: bytes = etree.tostring(element, method="c14n", exclusive=True, with_comments=False)
    except etree.LxmlError as error:
        raise XmlRefused("the XML has no canonical form") from error
    return octets


def decode_base64(text: str | None) -> bytes:
    """Strict base64: blanks between, but only the one canonical text for given octets.

    RFC 4648 §3.5: trailing bits that are not zero would give one value several texts.
    """
    compact = "".join((text or "").split())
    try:
        octets = base64.b64decode(compact, validate=True)
    except (binascii.Error, ValueError) as error:
        raise XmlRefused("the signature holds something that is not base64") from error
    if not octets or base64.b64encode(octets).decode("ascii") != compact:
        raise XmlRefused("the signature holds something that is not base64")
    return octets
