"""Read an `AnnuaireDesSceaux`: XML octets to entries (the format: docs/adr/0006-annuaire-des-sceaux.md).

What it is: pure reading of octets whose signature was verified before (`verify`). What it is not: a judge of the
list as a whole, nor of the certificates (`certs.chain`). An entry that cannot be read is left out whole and
reported: its domain then has no seal, and a peer for whom seals are required gets no letter in the open.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from cryptography import x509

from certs.certificate import parse_certificate
from certs.seals import MAX_CERTIFICATES, MAX_OPENPGP_KEYS, Seal, SealAlgorithm
from certs.verdict import CertificateRefused
from certs.xml.parser import Limits, XmlRefused, parse_xml
from core.address import AddressInvalid, Domain
from core.plan import SealKind
from trust_directory.list_xml import child_elements, leaf_text, only_child, parse_date
from trust_directory.trusted_domains.reasons import Reason, TrustListRefused

NAMESPACE = "urn:vaguemestre:annuaire-des-sceaux:1"
MAX_LIST = 32 * 1024 * 1024  # ours, as the liste blanche: 2,000 domains with two certificates each are 12 MB
MAX_ENTRIES = 10_000  # ours: the octets bound it before
MAX_WORD = 255  # ours, as the liste blanche: characters of a field that holds no key
MAX_KEY = 24 * 1024  # octets of one certificate or key; a certificate of IGC-Santé has 3 kB
LIMITS = Limits(octets=MAX_LIST, namespaces=64)

ROOT = f"{{{NAMESPACE}}}AnnuaireDesSceaux"
DATE = f"{{{NAMESPACE}}}DateDeGeneration"
SEALS = f"{{{NAMESPACE}}}ListeSceaux"
SEAL = f"{{{NAMESPACE}}}Sceau"
SINGLE_FIELDS = ("Domaine", "Capacite", "ValableDu", "ValableAu", "Algorithmes", "ObjetLisible")
SIGN, CONF = "SIGN", "CONF"  # the values of Certificat/@usage: the field's names of the two profiles


class Problem(Enum):
    """Why one entry is left out."""

    MISSING_FIELD = "missing-field"
    REPEATED_FIELD = "repeated-field"
    REPEATED_DOMAIN = "repeated-domain"
    UNKNOWN_FIELD = "unknown-field"
    FIELD_TOO_LONG = "field-too-long"
    BAD_DOMAIN = "bad-domain"
    BAD_CAPABILITY = "bad-capability"
    BAD_DATES = "bad-dates"
    BAD_FLAG = "bad-flag"
    BAD_KEY = "bad-key"
    TOO_MANY_KEYS = "too-many-keys"
    KEYS_DO_NOT_FIT = "keys-do-not-fit"


@dataclass(frozen=True, slots=True)
class EntryProblem:
    """The entry at `position` (from 1) was left out."""

    position: int
    problem: Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class SealsList:
    """A list as read: its date, its entries in order, the entries left out."""

    generated_at: datetime
    entries: tuple[Seal, ...]
    problems: tuple[EntryProblem, ...] = ()


class _LeftOut(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.value)
        self.problem = problem


def parse_seals(octets: bytes) -> SealsList:
    """Read the list. Raises `TrustListRefused` (UNREADABLE, WRONG_FORMAT, TOO_LARGE)."""
    if len(octets) > MAX_LIST:
        raise TrustListRefused(Reason.TOO_LARGE)
    try:
        root = parse_xml(octets, LIMITS)
    except XmlRefused as error:
        raise TrustListRefused(Reason.UNREADABLE, str(error)) from error
    if root.tag != ROOT:
        raise TrustListRefused(Reason.WRONG_FORMAT, "root")
    generated_at = parse_date(leaf_text(only_child(root, DATE)))
    if generated_at is None:
        raise TrustListRefused(Reason.WRONG_FORMAT, "DateDeGeneration")
    found: list[tuple[int, Seal]] = []
    problems: list[EntryProblem] = []
    for position, element in enumerate(only_child(root, SEALS).iterchildren(SEAL), start=1):
        if position > MAX_ENTRIES:
            raise TrustListRefused(Reason.TOO_LARGE, "entries")
        try:
            found.append((position, _seal(element)))
        except _LeftOut as reason:
            problems.append(EntryProblem(position, reason.problem))
    # Two entries of one domain are two readings: neither is taken.
    count = Counter(seal.domain for _, seal in found)
    problems += [EntryProblem(at, Problem.REPEATED_DOMAIN) for at, seal in found if count[seal.domain] > 1]
    return SealsList(
        generated_at=generated_at,
        entries=tuple(seal for _, seal in found if count[seal.domain] == 1),
        problems=tuple(sorted(problems, key=lambda problem: problem.position)),
    )


def _seal(element: Any) -> Seal:
    fields, keys = _fields(element)
    for name in ("Domaine", "Capacite", "ValableDu", "ValableAu"):
        if not fields.get(name):
            raise _LeftOut(Problem.MISSING_FIELD)
    try:
        domain = Domain.parse(fields["Domaine"])
    except AddressInvalid as error:
        raise _LeftOut(Problem.BAD_DOMAIN) from error
    try:
        capability = SealKind(fields["Capacite"])
    except ValueError as error:
        raise _LeftOut(Problem.BAD_CAPABILITY) from error
    not_before, not_after = parse_date(fields["ValableDu"]), parse_date(fields["ValableAu"])
    if not_before is None or not_after is None or not_before >= not_after:
        raise _LeftOut(Problem.BAD_DATES)
    if fields.get("ObjetLisible", "false") not in ("true", "false"):
        raise _LeftOut(Problem.BAD_FLAG)
    seal = Seal(
        domain=domain,
        capability=capability,
        not_before=not_before,
        not_after=not_after,
        algorithms=_algorithms(fields.get("Algorithmes", "")),
        signing=tuple(map(_certificate, keys[SIGN])),
        encryption=tuple(map(_certificate, keys[CONF])),
        openpgp=tuple(octets for octets, _ in keys["CleOpenPGP"]),
        openpgp_fingerprints=tuple(fingerprint for _, fingerprint in keys["CleOpenPGP"]),
        subject_readable=fields.get("ObjetLisible") == "true",
    )
    return _demand_keys(seal)


_Keys = dict[str, list[tuple[bytes, str]]]


def _fields(element: Any) -> tuple[dict[str, str], _Keys]:
    """The words of an entry, and its keys by kind as (octets, fingerprint)."""
    fields: dict[str, str] = {}
    keys: _Keys = {SIGN: [], CONF: [], "CleOpenPGP": []}
    for child in child_elements(element):
        name = str(child.tag).removeprefix(f"{{{NAMESPACE}}}")
        text = leaf_text(child)
        if name == "Certificat":
            kind = child.get("usage", "")
            if kind not in (SIGN, CONF):
                raise _LeftOut(Problem.BAD_KEY)
            keys[kind].append((_octets(text), ""))
        elif name == "CleOpenPGP":
            keys[name].append((_octets(text), _fingerprint(child.get("empreinte", ""))))
        elif name not in SINGLE_FIELDS:
            raise _LeftOut(Problem.UNKNOWN_FIELD)  # a word we do not know might restrict what we read
        elif name in fields:
            raise _LeftOut(Problem.REPEATED_FIELD)
        elif len(text) > MAX_WORD:
            raise _LeftOut(Problem.FIELD_TOO_LONG)
        else:
            fields[name] = text
    too_many = max(len(keys[SIGN]), len(keys[CONF])) > MAX_CERTIFICATES
    if too_many or len(keys["CleOpenPGP"]) > MAX_OPENPGP_KEYS:
        raise _LeftOut(Problem.TOO_MANY_KEYS)
    return fields, keys


def _octets(text: str) -> bytes:
    compact = "".join(text.split())
    if not compact or len(compact) > MAX_KEY * 4 // 3 + 4:
        raise _LeftOut(Problem.BAD_KEY)
    try:
        return base64.b64decode(compact, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _LeftOut(Problem.BAD_KEY) from error


# RFC 4880 §12.2: a version 4 fingerprint has 20 octets; RFC 9580 §5.5.4.3: a version 6 fingerprint has 32
_FINGERPRINT = re.compile(r"(?:[0-9A-F]{40}|[0-9A-F]{64})\Z")


def _fingerprint(text: str) -> str:
    compact = "".join(text.split()).upper()
    if not _FINGERPRINT.match(compact):
        raise _LeftOut(Problem.BAD_KEY)
    return compact


def _certificate(found: tuple[bytes, str]) -> x509.Certificate:
    try:
        return parse_certificate(found[0])
    except CertificateRefused as error:
        raise _LeftOut(Problem.BAD_KEY) from error


def _algorithms(text: str) -> frozenset[SealAlgorithm]:
    """The words that we know; one that we do not know names something that we never write."""
    known = {algorithm.value: algorithm for algorithm in SealAlgorithm}
    return frozenset(known[word] for word in text.split() if word in known)


def _demand_keys(seal: Seal) -> Seal:
    """What the capability promises must be there: a seal that nobody can open is none."""
    match seal.capability:
        case SealKind.SMIME if not seal.encryption:
            raise _LeftOut(Problem.KEYS_DO_NOT_FIT)
        case SealKind.OPENPGP if not seal.openpgp:
            raise _LeftOut(Problem.KEYS_DO_NOT_FIT)
    return seal
