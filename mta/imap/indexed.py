"""A SEARCH key with what the secret index knows put in the place of its texts.

What it is: `narrowed`: TEXT and BODY become "one of these, or one of those and the text", header fields "one of these
and the field", so that only candidates are read. The key means the same as before. What it is not: the index
(`core.ports.LetterSearch`), or the reading (`handlers.search`).
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import groupby

from core.ports import LetterSearch, Verdicts
from mta.imap.commands import search
from mta.imap.sequence import SequenceSet

MAX_ASKED = 32  # ours: different texts of one SEARCH that the index is asked for; more are read as before


async def narrowed(key: search.Key, index: LetterSearch | None, folder_id: int) -> search.Key:
    """The key for this folder. Raises NotStored, StoreError."""
    if index is None:
        return key
    return await _Asking(index, folder_id).of(key)


class _Asking:
    """One search: each text is asked for once."""

    def __init__(self, index: LetterSearch, folder_id: int) -> None:
        self._index = index
        self._folder_id = folder_id
        self._known: dict[tuple[str, bool], Verdicts] = {}

    async def of(self, key: search.Key) -> search.Key:
        """The key, narrowed."""
        match key:
            case search.Text(text, with_header):
                known = await self._verdicts(text, with_header=with_header)
                if known is not None:
                    return search.Or(_among(known.sure), search.And((_among(known.candidates), key)))
            case search.Field(text=text):
                # The header's texts hold what any field of it holds; which field it was is still to be read.
                known = await self._verdicts(text, with_header=True)
                if known is not None:
                    return search.And((_among(known.sure | known.candidates), key))
            case search.Not(inner):
                return search.Not(await self.of(inner))
            case search.Or(one, other):
                return search.Or(await self.of(one), await self.of(other))
            case search.And(keys):
                return search.And(tuple([await self.of(inner) for inner in keys]))
            case _:
                pass
        return key

    async def _verdicts(self, text: str, *, with_header: bool) -> Verdicts | None:
        wanted = (text, with_header)
        if wanted not in self._known:
            if len(self._known) >= MAX_ASKED:
                return None
            self._known[wanted] = await self._index.verdicts(self._folder_id, text, with_header=with_header)
        return self._known[wanted]


def _among(uids: Collection[int]) -> search.Messages:
    """The messages of these UIDs."""
    ranges = []
    for _, run in groupby(enumerate(sorted(uids)), lambda pair: pair[1] - pair[0]):
        numbers = [uid for _, uid in run]
        ranges.append((numbers[0], numbers[-1]))
    return search.Messages(SequenceSet(tuple(ranges)), by_uid=True)
