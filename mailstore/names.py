"""The names of folders: which are allowed, which is above which, and how they are hidden at rest.

What it is: pure rules over Unicode names with `/` between levels. What it is not: modified UTF-7 or LIST patterns
(`mta.imap`).
"""

from __future__ import annotations

import hashlib
import hmac
import unicodedata

from core.errors import PermanentError
from core.folder import INBOX

SEPARATOR = "/"
MAX_NAME_OCTETS = 1000  # ours: RFC 3501 gives no limit, clients show far less
MAX_LEVELS = 32  # ours


class FolderNameInvalid(PermanentError):
    """A folder may not be called this; the message never repeats the name."""


def folder_name(text: str) -> str:
    """The name in the form that is compared and stored. Raises FolderNameInvalid."""
    name = unicodedata.normalize("NFC", text)
    levels = name.split(SEPARATOR)
    if levels[0].upper() == INBOX:  # RFC 3501 §5.1: INBOX in any case
        levels[0] = INBOX
    if not all(levels) or len(levels) > MAX_LEVELS:
        raise FolderNameInvalid("a level of this folder name is empty, or there are too many")
    if len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_OCTETS:
        raise FolderNameInvalid("this folder name is too long")
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name):
        raise FolderNameInvalid("a folder name holds no control characters")
    return SEPARATOR.join(levels)


def ancestors(name: str) -> list[str]:
    """The names above, from the top."""
    levels = name.split(SEPARATOR)
    return [SEPARATOR.join(levels[:count]) for count in range(1, len(levels))]


def is_below(name: str, parent: str) -> bool:
    """Whether `name` is somewhere under `parent`."""
    return name.startswith(parent + SEPARATOR)


def name_key(box_key: bytes, name: str) -> str:
    """What stands in the table instead of the name, for uniqueness: keyed, so that it tells nothing."""
    return hmac.new(box_key, b"folder-name\0" + name.encode(), hashlib.sha256).hexdigest()[:32]


def in_listing_order(names: list[str]) -> list[str]:
    """INBOX first, then by name."""
    return sorted(names, key=lambda name: (name != INBOX, name))
