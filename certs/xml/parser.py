"""The one XML parser of the product: no DTD, no entities, no network, bounded.

What it is: `parse_xml`, which every reader of foreign XML calls (the trust list here, other packages through
a port). What it is not: a validator. Refused before libxml2 sees a byte: too many octets, encodings that are
no superset of ASCII (the word `<!DOCTYPE` could hide in them), any DOCTYPE, a crowd of namespace
declarations. libxml2 itself bounds depth (256) and the length of one text (10 MB).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lxml import etree

from core.errors import PermanentError

Element = etree._Element

MAX_XML = 32 * 1024 * 1024  # ours: the trust list of 9,000 entries has some 5 MB
MAX_NAMESPACES = 4096  # ours: each start tag searches the declarations in scope
ENCODINGS = frozenset({"utf-8", "us-ascii", "iso-8859-1", "iso-8859-15", "windows-1252"})

_DECLARATION = re.compile(rb"\A<\?xml\s[^>]*?\?>")
_ENCODING = re.compile(rb"""encoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")


class XmlRefused(PermanentError):
    """Not XML that we read. The message says why in a few words and never repeats the input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a reader is willing to take."""

    octets: int = MAX_XML
    namespaces: int = MAX_NAMESPACES


DEFAULT_LIMITS = Limits()


def parse_xml(octets: bytes, limits: Limits = DEFAULT_LIMITS) -> Element:
    """The root element. Raises `XmlRefused`."""
    if len(octets) > limits.octets:
        raise XmlRefused("the XML is too large")
    _demand_plain_encoding(octets)
    if b"<!DOCTYPE" in octets or b"<!ENTITY" in octets:  # OWASP XXE: no document type, whatever it holds
        raise XmlRefused("the XML has a document type declaration")
    if octets.count(b"xmlns") > limits.namespaces:
        raise XmlRefused("the XML has too many namespace declarations")
    parser = etree.XMLParser(
        resolve_entities=False,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        no_network=True,
        huge_tree=False,
        recover=False,
        strip_cdata=True,
    )
    try:
        root = etree.fromstring(octets, parser)
    except (etree.LxmlError, ValueError, LookupError) as error:
        raise XmlRefused("the XML is not well formed") from error
    if root is None or root.getroottree().docinfo.internalDTD is not None:
        raise XmlRefused("the XML has a document type declaration")
    return root


def _demand_plain_encoding(octets: bytes) -> None:
    if b"\x00" in octets[:1024] or octets[:2] in (b"\xfe\xff", b"\xff\xfe"):
        raise XmlRefused("the XML is not in an encoding that we read")
    declaration = _DECLARATION.match(octets.removeprefix(b"\xef\xbb\xbf"))
    if declaration is None:
        return
    named = _ENCODING.search(declaration.group())
    if named is not None and named.group(1).decode("ascii").lower() not in ENCODINGS:
        raise XmlRefused("the XML is not in an encoding that we read")
