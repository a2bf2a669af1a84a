"""Make a signed list in the real format, for demos, tests and private spaces.

What it is: `render` (entries to XML) and `publish` (the same, signed). What it is not: ANS.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from lxml import etree

from certs.keystore import Identity
from certs.xml.sign import sign_enveloped
from core.errors import LocalProtocolError
from trust_directory.list_xml import write_date
from trust_directory.trusted_domains.parse import DATE, DOMAIN, DOMAINS, MAX_FIELD, NAMESPACE, ROOT, Entry


def publish(entries: Iterable[Entry], *, generated_at: datetime, signer: Identity) -> bytes:
    """The signed list. Raises `LocalProtocolError` for an entry that no list can hold."""
    return sign_enveloped(render(entries, generated_at=generated_at), signer)


def render(entries: Iterable[Entry], *, generated_at: datetime) -> bytes:
    """The list without signature, UTF-8, in the order given."""
    default: dict[Any, str] = {None: NAMESPACE}  # the list uses the default namespace
    root = etree.Element(ROOT, nsmap=default)
    _add(root, DATE, write_date(generated_at))
    domains = etree.SubElement(root, DOMAINS)
    for entry in entries:
        _add_entry(domains, entry)
    etree.indent(root, space=" ")
    octets: bytes = etree.tostring(root, encoding="UTF-8", xml_declaration=True)
    return octets


def _add_entry(parent: etree._Element, entry: Entry) -> None:
    element = etree.SubElement(parent, DOMAIN)
    updated = entry.updated_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if entry.updated_at else ""
    for name, text in (
        ("Nom", entry.as_written or entry.domain.ascii),
        ("Description", entry.description),
        ("DNCertificatOperateur", str(entry.name)),
        ("ResponsableContact", entry.responsible),
        ("SupportContact", entry.support),
        ("DateMAJ", updated),
    ):
        _add(element, f"{{{NAMESPACE}}}{name}", text)


def _add(parent: etree._Element, tag: str, text: str) -> None:
    if len(text) > MAX_FIELD:
        raise LocalProtocolError("a field of the trust list holds at most 255 characters")
    try:
        etree.SubElement(parent, tag).text = text
    except ValueError as error:
        raise LocalProtocolError("a field of the trust list holds no control characters") from error
