"""Read a `ListeBlancheMSSante`: XML octets to entries.

What it is: pure reading of octets whose signature was verified before (`verify`). What it is not: a judge of
the list as a whole (`snapshot.accept_next`). One entry that cannot be read is left out and reported: it grants
nothing, and eight thousand operators do not wait for it. Facts: ANS MSS liste blanche, as seen in the field:
mixed case, one domain under several names, letters outside ASCII, a newline inside a contact.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from certs.xml.parser import Limits, XmlRefused, parse_xml
from core.address import AddressInvalid, Domain
from core.identity import DistinguishedName, IdentityInvalid
from trust_directory.list_xml import child_elements, leaf_text, only_child, parse_date
from trust_directory.trusted_domains.reasons import Reason, TrustListRefused

NAMESPACE = "https://listeblanche.mssante.fr/schema"
MAX_FIELD = 255  # the admin tool of the list: text fields of at most 255 characters
MAX_ENTRIES = 200_000  # ours: twenty times the list of 2026
MAX_LIST = 32 * 1024 * 1024  # ours: 9,000 entries are some 5 MB
LIMITS = Limits(octets=MAX_LIST, namespaces=64)

ROOT = f"{{{NAMESPACE}}}ListeBlancheMSSante"
DATE = f"{{{NAMESPACE}}}DateDeGeneration"
DOMAINS = f"{{{NAMESPACE}}}ListeDomaines"
DOMAIN = f"{{{NAMESPACE}}}Domaine"


class Problem(Enum):
    """Why one entry is left out."""

    MISSING_FIELD = "missing-field"
    REPEATED_FIELD = "repeated-field"
    FIELD_TOO_LONG = "field-too-long"
    BAD_DOMAIN = "bad-domain"
    BAD_NAME = "bad-name"


@dataclass(frozen=True, slots=True)
class EntryProblem:
    """The entry at `position` (from 1) was left out."""

    position: int
    problem: Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the list: this certificate name may speak for this domain.

    `as_written` is the domain as the list writes it. Contacts are people: they stay out of logs.
    """

    domain: Domain
    name: DistinguishedName
    as_written: str = ""
    description: str = ""
    responsible: str = ""
    support: str = ""
    updated_at: datetime | None = None

    def __repr__(self) -> str:
        return f"Entry({self.domain.ascii}, {self.name})"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustList:
    """A list as read: its date, its entries in order, the entries left out."""

    generated_at: datetime
    entries: tuple[Entry, ...]
    problems: tuple[EntryProblem, ...] = ()


def parse_list(octets: bytes) -> TrustList:
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
    entries: list[Entry] = []
    problems: list[EntryProblem] = []
    names: dict[str, DistinguishedName] = {}
    for position, element in enumerate(only_child(root, DOMAINS).iterchildren(DOMAIN), start=1):
        if position > MAX_ENTRIES:
            raise TrustListRefused(Reason.TOO_LARGE, "entries")
        found = _entry(element, names)
        if isinstance(found, Problem):
            problems.append(EntryProblem(position, found))
        else:
            entries.append(found)
    return TrustList(generated_at=generated_at, entries=tuple(entries), problems=tuple(problems))


def _entry(element: Any, names: dict[str, DistinguishedName]) -> Entry | Problem:
    fields: dict[str, str] = {}
    for child in child_elements(element):
        field = str(child.tag).removeprefix(f"{{{NAMESPACE}}}")
        if field in fields:
            return Problem.REPEATED_FIELD  # two readings of one entry: neither is taken
        fields[field] = leaf_text(child)
    domain_text, name_text = fields.get("Nom", ""), fields.get("DNCertificatOperateur", "")
    if not domain_text or not name_text:
        return Problem.MISSING_FIELD
    if len(domain_text) > MAX_FIELD or len(name_text) > MAX_FIELD:
        return Problem.FIELD_TOO_LONG
    try:
        domain = Domain.parse(domain_text)
    except AddressInvalid:
        return Problem.BAD_DOMAIN
    name = names.get(name_text)
    if name is None:
        try:
            name = names[name_text] = DistinguishedName.parse(name_text)
        except IdentityInvalid:
            return Problem.BAD_NAME
    return Entry(
        domain=domain,
        name=name,
        as_written=domain_text,
        description=_note(fields, "Description"),
        responsible=_note(fields, "ResponsableContact"),
        support=_note(fields, "SupportContact"),
        updated_at=parse_date(fields.get("DateMAJ", "")),
    )


def _note(fields: dict[str, str], name: str) -> str:
    """A field for people: blanks (also the newline seen inside a contact) become one, the rest is cut."""
    return " ".join(fields.get(name, "").split())[:MAX_FIELD]
