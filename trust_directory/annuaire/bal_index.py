"""Find boxes in the local copy of the health directory, and warn of those that are easily mistaken.

What it is: lookups by address, RPPS, FINESS and name, and the homonym finder. What it is not: an answer to "may
we write there" (`trust_directory.directory`). Start at `BalIndex`; `similar_given_names` is pure.

Red-listed boxes are found by who knows their address or number, never by name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from core.address import Mailbox
from core.identity import Finess, Rpps
from trust_directory.annuaire.mapping import DirectoryEntry
from trust_directory.annuaire.storage import ENTRY, DirectoryReader, DirectoryState

MAX_FOUND = 200  # ours: a person reads no more, and an application asks by number
MAX_NAMESAKES = 5_000  # ours: bearers of the commonest family name in the directory


class BalIndex:
    """Asks the generation in force. Raises StoreError when the database does not answer."""

    def __init__(self, reader: DirectoryReader) -> None:
        self._reader = reader

    async def state(self) -> DirectoryState | None:
        """The generation in force, None before the first import."""
        return await self._reader.state()

    async def by_address(self, mailbox: Mailbox) -> Sequence[DirectoryEntry]:
        """The entries of an address: several when its holder works in several structures."""
        return await self._reader.find(ENTRY.c.address == mailbox.canonical, MAX_FOUND)

    async def by_rpps(self, rpps: Rpps) -> Sequence[DirectoryEntry]:
        """The boxes of a professional."""
        return await self._reader.find(ENTRY.c.rpps == rpps.value, MAX_FOUND)

    async def by_finess(self, finess: Finess) -> Sequence[DirectoryEntry]:
        """The boxes of a structure and of those who work there."""
        return await self._reader.find(ENTRY.c.finess == finess.value, MAX_FOUND)

    async def by_family_name(self, name: str) -> Sequence[DirectoryEntry]:
        """The boxes of bearers of a family name, whatever its accents and case; none that is red-listed."""
        condition = (ENTRY.c.family_key == name_key(name)) & ~ENTRY.c.is_red_listed
        return await self._reader.find(condition, MAX_FOUND) if name_key(name) else ()

    async def homonyms(self, entry: DirectoryEntry) -> Sequence[DirectoryEntry]:
        """Boxes of *other* professionals whose names are taken for this one; none that is red-listed."""
        if not entry.rpps or not name_key(entry.family_name):
            return ()
        condition = (
            (ENTRY.c.family_key == name_key(entry.family_name))
            & (ENTRY.c.rpps != entry.rpps)
            & (ENTRY.c.rpps != "")
            & ~ENTRY.c.is_red_listed
        )
        namesakes = await self._reader.find(condition, MAX_NAMESAKES)
        alike = [found for found in namesakes if similar_given_names(found.given_name, entry.given_name)]
        return alike[:MAX_FOUND]


def name_key(name: str) -> str:
    """A name without what people vary: case, accents, hyphens, blanks, apostrophes."""
    folded = unicodedata.normalize("NFKD", name.casefold().replace("œ", "oe").replace("æ", "ae"))
    return " ".join(re.sub(r"[^a-z0-9 ]", " ", _without_accents(folded)).split())


def _without_accents(folded: str) -> str:
    return "".join(character for character in folded if not unicodedata.combining(character))


def similar_given_names(one: str, other: str) -> bool:
    """Whether two given names are mistaken for each other: Paul and Paule, Jean and Jean-Pierre, Anne and Ann."""
    first, second = name_key(one), name_key(other)
    if not first or not second:
        return True  # a name that is not said may be any name
    if first == second or first.split()[0] == second.split()[0]:
        return True
    return _at_most_one_edit(first, second)


def _at_most_one_edit(one: str, other: str) -> bool:
    """One letter put, left out, replaced, or two neighbours exchanged."""
    if len(one) > len(other):
        one, other = other, one
    if len(other) - len(one) > 1:
        return False
    same = next((at for at in range(len(one)) if one[at] != other[at]), len(one))
    if len(one) < len(other):
        return one[same:] == other[same + 1 :]
    if one[same + 1 :] == other[same + 1 :]:
        return True
    swapped = other[same : same + 2][::-1]
    return one[same : same + 2] == swapped and one[same + 2 :] == other[same + 2 :]
