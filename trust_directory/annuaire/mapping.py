"""From a row of the health directory's extract to a `DirectoryEntry`, and back; pure.

What it is: the names of columns with their aliases, and the meaning of each. What it is not: a reader of files
(`extract`) or a judge of people. Columns are found by their header, never by position: the publisher adds and
moves them. Start at `Columns.of` and `Columns.entry`.

The data is the professional directory that is published for everybody. A box on the *liste rouge* is known to
its correspondents and shown in no search (ANS annuaire, as-ext-mailbox-mss-metadata `listeRouge`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.address import AddressInvalid, Mailbox
from core.bal import BalKind
from core.errors import PermanentError
from core.identity import luhn_holds

MAX_VALUE = 255  # ours: the length of the columns that keep it; longer text is cut, addresses are refused


class NotAnExtract(PermanentError):
    """The file is not an extract of the directory; the message says what is missing."""


class RowRefused(PermanentError):
    """This row is not taken; the message names the column, never its value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryEntry:
    """One box as the directory publishes it. Empty text means: not said."""

    address: Mailbox
    kind: BalKind
    rpps: str = ""
    adeli: str = ""
    finess: str = ""
    siret: str = ""
    family_name: str = ""
    given_name: str = ""
    profession: str = ""
    speciality: str = ""
    structure: str = ""
    service: str = ""
    postal_code: str = ""
    city: str = ""
    is_red_listed: bool = False

    def __repr__(self) -> str:
        return f"DirectoryEntry({self.kind.value}, …@{self.address.domain.ascii})"


# Our field → the header names met so far, the first one is written by `export`. Sources: cardio75/adressesmssante
# (the names with "structure BAL"), ansforge/psc-rass-loader (the RASS names), ANS open-data notices.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "kind": ("Type de BAL", "Type BAL"),
    "address": ("Adresse BAL", "Adresse de la BAL", "BAL MSSanté", "Adresse MSSanté"),
    "pp_type": ("Type d'identifiant PP",),
    "pp_id": ("Identifiant PP",),
    "pp_national": ("Identification nationale PP",),
    "structure_type": ("Type identification structure", "Type d'identifiant structure"),
    "structure_id": ("Identification structure", "Identifiant structure"),
    "service": ("Service de rattachement",),
    "civility": ("Civilité d'exercice", "Libellé civilité d'exercice"),
    "family_name": ("Nom d'exercice", "Nom de famille", "Nom"),
    "given_name": ("Prénom d'exercice", "Prénoms", "Prénom"),
    "category": ("Catégorie professionnelle", "Libellé catégorie professionnelle"),
    "profession_code": ("Code profession",),
    "profession": ("Libellé profession", "Profession"),
    "speciality_code": ("Code savoir-faire",),
    "speciality": ("Libellé savoir-faire", "Savoir-faire"),
    "dematerialisation": ("Dématérialisation",),
    "structure": ("Raison Sociale structure BAL", "Raison sociale site", "Raison sociale structure"),
    "routing_line": ("L6LIGNEACHEMINEMENT structure BAL",),
    "postal_code": ("Code postal structure BAL", "Code postal (coord. structure)"),
    "city": ("Libellé commune (coord. structure)", "Bureau cedex (coord. structure)", "Commune"),
    "department": ("Département structure BAL",),
    "country": ("Pays structure BAL",),
    "red_list": ("Liste rouge", "Indicateur liste rouge"),
}
REQUIRED = ("address", "kind")
_YES = frozenset({"o", "oui", "1", "true", "vrai", "y", "yes"})
_NO = frozenset({"", "n", "non", "0", "false", "faux", "no"})
_RPPS_TYPE, _ADELI_TYPE = "8", "0"  # PSIdNat prefixes, ANS FSH PSIdNat


def header_key(text: str) -> str:
    """A header name without what varies: case, accents, blanks, the shape of the apostrophe."""
    plain = unicodedata.normalize("NFKD", text.replace("’", "'")).encode("ascii", "ignore").decode("ascii")
    return " ".join(plain.casefold().split())


_FIELD_OF = {header_key(name): field for field, names in ALIASES.items() for name in names}


@dataclass(frozen=True, slots=True)
class Columns:
    """Where each known field stands in the rows of one file, and how many columns its rows have."""

    position: Mapping[str, int]
    width: int
    strict: bool = False
    """Refuse identifiers whose Luhn key does not hold."""

    @classmethod
    def of(cls, header: Sequence[str], *, strict: bool = False) -> Columns:
        """Read the header line. Raises `NotAnExtract` when a needed column is missing or stands twice."""
        position: dict[str, int] = {}
        rank: dict[str, int] = {}
        for at, name in enumerate(header):
            field = _FIELD_OF.get(header_key(name))
            if field is None:
                continue
            preference = [header_key(alias) for alias in ALIASES[field]].index(header_key(name))
            if field in rank and rank[field] == preference:
                raise NotAnExtract(f"the column « {ALIASES[field][preference]} » stands twice in the header")
            if field not in rank or preference < rank[field]:
                position[field], rank[field] = at, preference
        missing = [ALIASES[field][0] for field in REQUIRED if field not in position]
        if missing:
            raise NotAnExtract(
                f"this is not an extract of the directory: no column « {' », « '.join(missing)} »"
            )
        return cls(position, len(header), strict)

    def entry(self, row: Sequence[str]) -> DirectoryEntry:
        """Read one row. Raises `RowRefused`."""
        if len(row) != self.width:
            raise RowRefused(f"{len(row)} columns instead of {self.width}")
        rpps, adeli = self._person(row)
        finess, siret = self._structure(row)
        postal_code, city = self._place(row)
        return DirectoryEntry(
            address=self._address(row),
            kind=self._kind(row),
            rpps=rpps,
            adeli=adeli,
            finess=finess,
            siret=siret,
            family_name=self._text(row, "family_name"),
            given_name=self._text(row, "given_name"),
            profession=self._text(row, "profession"),
            speciality=self._text(row, "speciality"),
            structure=self._text(row, "structure"),
            service=self._text(row, "service"),
            postal_code=postal_code,
            city=city,
            is_red_listed=self._flag(row, "red_list"),
        )

    def _text(self, row: Sequence[str], field: str) -> str:
        at = self.position.get(field)
        if at is None:
            return ""
        text = " ".join(unicodedata.normalize("NFC", row[at]).split())
        # Two steps because a million rows pass here and nearly all of them are printable.
        if not text.isprintable() and any(
            unicodedata.category(character) in ("Cc", "Cs") for character in text
        ):
            raise RowRefused(f"a control character in « {ALIASES[field][0]} »")
        return text[:MAX_VALUE]

    def _address(self, row: Sequence[str]) -> Mailbox:
        try:
            return Mailbox.parse(row[self.position["address"]].strip())
        except AddressInvalid as error:
            raise RowRefused("« Adresse BAL » is not an address") from error

    def _kind(self, row: Sequence[str]) -> BalKind:
        text = self._text(row, "kind").upper()
        if text == BalKind.CITOYENNE.value:
            raise RowRefused("a citizen's box has no place in the directory")
        try:
            return BalKind(text)
        except ValueError as error:
            raise RowRefused("« Type de BAL » is none of PER, ORG, APP, CAB") from error

    def _person(self, row: Sequence[str]) -> tuple[str, str]:
        kind, number = self._text(row, "pp_type"), self._text(row, "pp_id")
        national = self._text(row, "pp_national")
        if not number and national:
            kind, number = national[0], national[1:]
        if not number:
            return "", ""
        if not kind:
            kind = _RPPS_TYPE if len(number) == 11 else _ADELI_TYPE
        if kind == _RPPS_TYPE:
            return self._number(number, r"[0-9]{11}", "Identifiant PP"), ""
        return "", number if kind == _ADELI_TYPE else ""

    def _structure(self, row: Sequence[str]) -> tuple[str, str]:
        number = self._text(row, "structure_id").replace(" ", "")
        if not number:
            return "", ""
        if re.fullmatch(r"[0-9]{14}", number):
            return "", number
        # ANS PSIdNat: a structure is "1" + FINESS; "F" + FINESS is the technical identifier of extracts.
        bare = number[1:] if len(number) == 10 and number[0] in "1F" else number
        if self._text(row, "structure_type") in ("", "1", "FINESS") or len(bare) == 9:
            return self._number(bare, r"[0-9](?:[0-9]|A|B)[0-9]{7}", "Identification structure"), ""
        return "", ""

    def _number(self, text: str, shape: str, column: str) -> str:
        if not re.fullmatch(shape, text):
            raise RowRefused(f"« {column} » does not have the form of its kind of number")
        if self.strict and not (text.isdigit() and luhn_holds(text)):
            raise RowRefused(f"the key of « {column} » does not hold")
        return text

    def _place(self, row: Sequence[str]) -> tuple[str, str]:
        postal_code, city = self._text(row, "postal_code"), self._text(row, "city")
        line = re.match(r"(?P<code>[0-9AB]{5}) +(?P<city>.+)", self._text(row, "routing_line"))
        if line:  # NF Z10-011: line 6 is the postal code and the town
            postal_code, city = postal_code or line["code"], city or line["city"]
        return postal_code[:10], city

    def _flag(self, row: Sequence[str], field: str) -> bool:
        text = self._text(row, field).casefold()
        if text not in _YES | _NO:
            raise RowRefused(f"« {ALIASES[field][0]} » is neither O nor N")
        return text in _YES


WRITTEN = (
    "kind", "address", "pp_type", "pp_id", "pp_national", "structure_type", "structure_id", "service",
    "family_name", "given_name", "profession", "speciality", "structure", "routing_line", "postal_code",
    "department", "red_list",
)  # fmt: skip


def row_of(entry: DirectoryEntry) -> list[str]:
    """The row of an entry, in the order of `WRITTEN`."""
    person_type = _RPPS_TYPE if entry.rpps else _ADELI_TYPE if entry.adeli else ""
    person = entry.rpps or entry.adeli
    values = {
        "kind": entry.kind.value,
        "address": str(entry.address),
        "pp_type": person_type,
        "pp_id": person,
        "pp_national": person_type + person,
        "structure_type": "1" if entry.finess else "3" if entry.siret else "",
        "structure_id": f"1{entry.finess}" if entry.finess else entry.siret,
        "service": entry.service,
        "family_name": entry.family_name,
        "given_name": entry.given_name,
        "profession": entry.profession,
        "speciality": entry.speciality,
        "structure": entry.structure,
        "routing_line": f"{entry.postal_code} {entry.city}".strip(),
        "postal_code": entry.postal_code,
        "department": entry.postal_code[:2],
        "red_list": "O" if entry.is_red_listed else "N",
    }
    return [values[field].replace("|", "/") for field in WRITTEN]
