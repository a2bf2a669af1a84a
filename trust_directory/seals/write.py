"""Make a signed annuaire des sceaux, for demos, tests and private spaces.

What it is: `render` (entries to XML) and `publish` (the same, signed). What it is not: the decision what stands
in it, which is the operator's (`vaguemestre seals`).
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from lxml import etree

from certs.certificate import to_der
from certs.keystore import Identity
from certs.seals import MAX_CERTIFICATES, MAX_OPENPGP_KEYS, Seal
from certs.xml.sign import sign_enveloped
from core.errors import LocalProtocolError
from trust_directory.list_xml import write_date
from trust_directory.seals.parse import CONF, DATE, MAX_KEY, NAMESPACE, ROOT, SEAL, SEALS, SIGN


def publish(entries: Iterable[Seal], *, generated_at: datetime, signer: Identity) -> bytes:
    """The signed list. Raises `LocalProtocolError` for entries that no reader would take."""
    return sign_enveloped(render(entries, generated_at=generated_at), signer)


def render(entries: Iterable[Seal], *, generated_at: datetime) -> bytes:
    """The list without signature, UTF-8, in the order given. Raises as `publish`."""
    default: dict[Any, str] = {None: NAMESPACE}
    root = etree.Element(ROOT, nsmap=default)
    _add(root, DATE, write_date(generated_at))
    seals = etree.SubElement(root, SEALS)
    written = set()
    for entry in entries:
        if entry.domain in written:
            raise LocalProtocolError("a domain has one entry in the annuaire des sceaux")
        written.add(entry.domain)
        _add_seal(seals, entry)
    etree.indent(root, space=" ")
    octets: bytes = etree.tostring(root, encoding="UTF-8", xml_declaration=True)
    return octets


def _add_seal(parent: etree._Element, seal: Seal) -> None:
    if (
        max(len(seal.signing), len(seal.encryption)) > MAX_CERTIFICATES
        or len(seal.openpgp) > MAX_OPENPGP_KEYS
    ):
        raise LocalProtocolError("an entry of the annuaire des sceaux holds too many keys")
    element = etree.SubElement(parent, SEAL)
    for name, text in (
        ("Domaine", seal.domain.ascii),
        ("Capacite", seal.capability.value),
        ("ValableDu", write_date(seal.not_before)),
        ("ValableAu", write_date(seal.not_after)),
        ("Algorithmes", " ".join(sorted(algorithm.value for algorithm in seal.algorithms))),
        ("ObjetLisible", "true" if seal.subject_readable else "false"),
    ):
        _add(element, f"{{{NAMESPACE}}}{name}", text)
    for usage, certificates in ((SIGN, seal.signing), (CONF, seal.encryption)):
        for certificate in certificates:
            _add_key(element, "Certificat", to_der(certificate)).set("usage", usage)
    for key, fingerprint in zip(seal.openpgp, seal.openpgp_fingerprints, strict=True):
        _add_key(element, "CleOpenPGP", key).set("empreinte", fingerprint)


def _add_key(parent: etree._Element, name: str, octets: bytes) -> etree._Element:
    if len(octets) > MAX_KEY:
        raise LocalProtocolError("a key of the annuaire des sceaux is too large; leave its signatures out")
    return _add(parent, f"{{{NAMESPACE}}}{name}", base64.b64encode(octets).decode("ascii"))


def _add(parent: etree._Element, tag: str, text: str) -> etree._Element:
    element = etree.SubElement(parent, tag)
    element.text = text
    return element
