"""The secret index of a box: which messages hold a text, without reading them. Implements `core.ports.LetterSearch`.

What it is: `SecretIndex`. Blocks of words are sealed under the box's key, each bound to its box and number, and
opened in memory for a few minutes. Delivery does nothing for it: `tend` indexes in the background what came, a search
indexes what it would have to read, and what is not indexed is a candidate that must be read. So an answer never
depends on how far the index is. What it is not: what the words of a letter are (given as `texts`), nor the packing
(`mailstore.index_block`). Start at `verdicts`.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from core.clock import Clock
from core.errors import NotStored, PermanentError, StoreError
from core.ports import Verdicts
from core.unit_of_work import Committer, UnitOfWork
from mailstore.index_block import BLOCK_BITS, BLOCK_MESSAGES, Block, Needle, block_of, load
from mailstore.reading import ReadDatabase
from mailstore.records import UID_BITS, place_of, uid_of
from mailstore.sealing import SealBroken, open_sealed, seal
from mailstore.storage import boxes
from mailstore.storage import index as sql

Texts = Callable[[bytes], tuple[Iterable[str], Iterable[str]]]
"""(whole message) → the folded texts of its header and of its body: the very texts that a scan compares."""

MEMORY = 96 * 1024 * 1024  # ours: octets of open blocks of all boxes; 60 boxes of 1,000 letters
KEPT_SECONDS = 300.0  # threat model, keys at rest: what a key opens is no longer in memory than the key
AT_ONCE_OCTETS = 256 * 1024 * 1024  # as mta.imap.settings: what one search reads; the rest are candidates
MANY = 64  # ours: so many new letters are worth rewriting a block
SETTLED_SECONDS = 600  # ours: fewer wait so long for it; also how long the words of a removed letter may stay
BOXES_AT_ONCE = 50  # ours: boxes indexed after one look
BOXES_SEEN = 1000  # ours: boxes of one look
IN_THREAD = 128 * 1024  # octets of a letter from which on it is read in a thread
MAX_LETTER = 64 * 1024 * 1024  # ours: a larger letter is not indexed
PAUSE = 1.0  # ours: after each slice of background work, so many times its duration of rest
_SLICE = 16  # letters between two pauses: about 15 ms
_ALL = (1 << BLOCK_MESSAGES) - 1

_log = structlog.get_logger()


class LetterOctets(Protocol):
    """What the index asks of the store."""

    async def octets(self, folder_id: int, uid: int, start: int = 0, end: int | None = None) -> bytes:
        """See `core.ports.MailStore.octets`."""
        ...

    async def many_octets(self, folder_id: int, spans: Mapping[int, tuple[int, int]]) -> Mapping[int, bytes]:
        """See `core.ports.MailStore.many_octets`."""
        ...


class BoxCiphers(Protocol):
    """Who opens a box's key. Raises NotStored when it was erased."""

    async def cipher_of(self, bal_id: int) -> AESGCM:
        """The cipher of the box's key."""
        ...


@dataclass(slots=True)
class _Open:
    block: Block
    used_at: float


Rest = Callable[[], Awaitable[None]]


async def _no_rest() -> None:
    """Nobody to wait for."""


class SecretIndex:
    """See the module."""

    def __init__(
        self,
        database: ReadDatabase,
        committer: Committer,
        clock: Clock,
        *,
        keys: BoxCiphers,
        letters: LetterOctets,
        texts: Texts,
    ) -> None:
        self._database = database
        self._committer = committer
        self._clock = clock
        self._keys = keys
        self._letters = letters
        self._texts = texts
        self._open: OrderedDict[tuple[int, int], _Open] = OrderedDict()
        self._adding = asyncio.Lock()
        self._seen: dict[int, tuple[sql.Mark, float]] = {}
        """Boxes with news that moved between the last two looks, and since when."""

    # --- asking ----------------------------------------------------------------------------------------------
    async def verdicts(self, folder_id: int, text: str, *, with_header: bool) -> Verdicts:
        """See `core.ports.LetterSearch.verdicts`. Raises NotStored."""
        async with self._database.read() as connection:
            bal_id = await boxes.bal_of(connection, folder_id)
            ids = await sql.folder_ids(connection, folder_id)
        by_block: dict[int, list[tuple[int, int, int]]] = {}
        for row in ids:
            by_block.setdefault(block_of(row[1]), []).append(row)
        blocks = await self._blocks(bal_id, sorted(by_block))
        await self._add_missing(bal_id, by_block, blocks)
        needle = Needle.of(text)
        sure: list[int] = []
        candidates: list[int] = []
        for number, members in by_block.items():
            _sort_out(members, blocks[number], needle, with_header=with_header, into=(sure, candidates))
            await asyncio.sleep(0)
        return Verdicts(sure=frozenset(sure), candidates=frozenset(candidates))

    async def _add_missing(
        self, bal_id: int, by_block: Mapping[int, list[tuple[int, int, int]]], blocks: dict[int, Block]
    ) -> None:
        """Index what the background did not yet: it would have to be read for this answer anyway."""
        left = AT_ONCE_OCTETS
        for number, members in by_block.items():
            block = blocks[number]
            missing = [row for row in members if not block.known & block.bit(row[1])]
            for start in range(0, len(missing), _SLICE):
                part = missing[start : start + _SLICE]
                left -= sum(size for _, _, size in part)
                if left < 0:
                    return
                await self._add_all(block, part)
            if block.waiting >= MANY:
                blocks[number] = await self._keep(bal_id, block, _ALL)

    # --- open blocks -----------------------------------------------------------------------------------------
    async def _blocks(self, bal_id: int, numbers: Sequence[int]) -> dict[int, Block]:
        """Every block of these numbers, empty where there is none yet. Raises NotStored for an erased box."""
        cipher = await self._keys.cipher_of(bal_id)
        now = self._clock.monotonic()
        found: dict[int, Block] = {}
        absent = []
        for number in numbers:
            kept = self._open.get((bal_id, number))
            if kept is None:
                absent.append(number)
                continue
            kept.used_at = now
            self._open.move_to_end((bal_id, number))
            found[number] = kept.block
        for number in absent:  # one at a time: a block may be some megabytes
            async with self._database.read() as connection:
                sealed = (await sql.sealed_blocks(connection, bal_id, [number])).get(number)
            block = Block(number) if sealed is None else await self._opened(cipher, bal_id, number, sealed)
            # Another task may have been quicker; what it has already added must not be lost.
            kept = self._open.setdefault((bal_id, number), _Open(block, now))
            found[number] = kept.block
        self._make_room()
        return found

    async def _opened(self, cipher: AESGCM, bal_id: int, number: int, sealed: bytes) -> Block:
        def work() -> Block:
            block = load(open_sealed(cipher, sealed, _place(bal_id, number)))
            if block.number != number:
                raise SealBroken("a block of the index has another number")
            return block

        try:
            return await asyncio.to_thread(work)
        except SealBroken:
            # The letters are the truth: an index that was altered is made again from them.
            _log.error("search-block-broken", component="mailstore")
            return Block(number)

    def _make_room(self) -> None:
        total = sum(kept.block.octets for kept in self._open.values())
        while total > MEMORY and len(self._open) > 1:
            _, kept = self._open.popitem(last=False)
            total -= kept.block.octets

    def forget_old(self) -> None:
        """Drop what nobody asked for in five minutes."""
        before = self._clock.monotonic() - KEPT_SECONDS
        for key in [key for key, kept in self._open.items() if kept.used_at < before]:
            del self._open[key]

    # --- indexing --------------------------------------------------------------------------------------------
    async def _add_all(self, block: Block, letters: Sequence[tuple[int, int, int]]) -> int:
        """Index these (place, message id, octets) of a block: how many were read."""
        async with self._adding:
            wanted = [row for row in letters if not block.known & block.bit(row[1])]
            together = await self._read_together([row for row in wanted if row[2] <= IN_THREAD])
            for place, message_id, size in wanted:
                if size > MAX_LETTER:
                    block.refuse(message_id)
                    continue
                whole = together.get(place)
                if whole is None:
                    whole = await self._read_alone(block, place, message_id)
                if whole is not None:
                    await self._add(block, message_id, whole)
                await asyncio.sleep(0)
        return len(wanted)

    async def _read_together(self, letters: Sequence[tuple[int, int, int]]) -> dict[int, bytes]:
        """By place, the octets of small letters; nothing when one of them cannot be read."""
        spans: dict[int, dict[int, tuple[int, int]]] = {}
        for place, _, size in letters:
            spans.setdefault(place >> UID_BITS, {})[uid_of(place)] = (0, size)
        found: dict[int, bytes] = {}
        for folder_id, wanted in spans.items():
            try:
                read = await self._letters.many_octets(folder_id, wanted)
            except (NotStored, StoreError, PermanentError):
                continue
            found.update({place_of(folder_id, uid): octets for uid, octets in read.items()})
        return found

    async def _read_alone(self, block: Block, place: int, message_id: int) -> bytes | None:
        """One letter; None when it is gone meanwhile or cannot be read."""
        try:
            return await self._letters.octets(place >> UID_BITS, uid_of(place))
        except (NotStored, StoreError):
            return None
        except PermanentError:
            block.refuse(message_id)  # it does not open: whoever reads it is told so
            return None

    async def _add(self, block: Block, message_id: int, whole: bytes) -> None:
        try:
            if len(whole) > IN_THREAD:
                header, body = await asyncio.to_thread(self._listed, whole)
                block.add(message_id, header, body)
            else:
                block.add(message_id, *self._texts(whole))
        except Exception as error:  # noqa: BLE001 - one letter's bug must not stop the index of all boxes
            _log.error("letter-not-indexed", component="mailstore", error=type(error).__name__)
            block.refuse(message_id)

    def _listed(self, whole: bytes) -> tuple[list[str], list[str]]:
        header, body = self._texts(whole)
        return list(header), list(body)

    async def catch_up(self, bal_id: int, *, pause: float = 0.0, rest: Rest = _no_rest) -> int:
        """Index every letter of a box, forget those that are gone: how many letters were read.

        `pause`: rest so many times the duration of each slice; `rest` is awaited before each. Raises NotStored
        for an erased box.
        """
        async with self._database.read(snapshot=True) as connection:
            present = await sql.box_ids(connection, bal_id)
            kept_numbers = await sql.block_numbers(connection, bal_id)
        existing: dict[int, int] = {}
        for message_id in present:
            number = block_of(message_id)
            existing[number] = existing.get(number, 0) | 1 << (message_id & ((1 << BLOCK_BITS) - 1))
        count = 0
        for number in sorted({*existing, *kept_numbers}):
            bits = existing.get(number, 0)
            block = (await self._blocks(bal_id, [number]))[number]
            missing = _ids(number, bits & ~block.known)
            for start in range(0, len(missing), _SLICE):
                await rest()
                began = self._clock.monotonic()
                part = [(present[one][0], one, present[one][1]) for one in missing[start : start + _SLICE]]
                count += await self._add_all(block, part)
                await asyncio.sleep(pause * max(0.0, self._clock.monotonic() - began))
            if block.is_changed or block.known & ~bits:
                await self._keep(bal_id, block, bits)
        return count

    async def _keep(self, bal_id: int, block: Block, existing: int) -> Block:
        """Pack and write a block without what is not in `existing`; the packed one."""
        cipher = await self._keys.cipher_of(bal_id)
        async with self._adding:
            packed = await asyncio.to_thread(block.packed, existing)
            self._open[bal_id, block.number] = _Open(packed, self._clock.monotonic())
        sealed: bytes | None = None
        if packed.known:
            place = _place(bal_id, block.number)
            sealed = await asyncio.to_thread(lambda: seal(cipher, packed.dump(), place))
        unit = UnitOfWork()
        unit.add(sql.KeepBlocks(bal_id=bal_id, blocks={block.number: sealed}))
        await self._committer.commit(unit)
        self._make_room()
        return packed

    async def tend(self, *, pause: float = PAUSE, rest: Rest = _no_rest) -> int:
        """Look once for boxes with news and index them: how many letters were read. For the clockwork.

        `rest` is awaited before each slice, so that letters at the doors come first.
        """
        self.forget_old()
        now = int(self._clock.now().timestamp())
        async with self._database.read() as connection:
            waiting = await sql.waiting_boxes(
                connection, many=MANY, before=now - SETTLED_SECONDS, limit=BOXES_SEEN
            )
        count = 0
        for mark in self._settled(waiting):
            try:
                count += await self.catch_up(mark.bal_id, pause=pause, rest=rest)
            except NotStored:
                continue  # erased meanwhile
            unit = UnitOfWork()
            unit.add(sql.KeepMark(mark=mark, marked_at=now))
            await self._committer.commit(unit)
        return count

    def _settled(self, waiting: Sequence[sql.Mark]) -> list[sql.Mark]:
        """The boxes that did not move since the last look, or that move without end: others are left in peace."""
        now = self._clock.monotonic()
        seen, self._seen = self._seen, {}
        settled: list[sql.Mark] = []
        for mark in waiting:
            earlier, since = seen.get(mark.bal_id, (None, now))
            if (earlier == mark or now - since >= SETTLED_SECONDS) and len(settled) < BOXES_AT_ONCE:
                settled.append(mark)
            else:
                self._seen[mark.bal_id] = (mark, since)
        return settled


def _sort_out(
    members: Sequence[tuple[int, int, int]],
    block: Block,
    needle: Needle,
    *,
    with_header: bool,
    into: tuple[list[int], list[int]],
) -> None:
    sure, candidates = into
    found = block.find(needle, with_header=with_header)
    unknown = found.candidates | ~block.covered
    for place, message_id, _ in members:
        bit = block.bit(message_id)
        if found.sure & bit:
            sure.append(uid_of(place))
        elif unknown & bit:
            candidates.append(uid_of(place))


def _ids(number: int, bits: int) -> list[int]:
    """The message ids of these bits of a block, in order."""
    ids = []
    while bits:
        lowest = bits & -bits
        ids.append((number << BLOCK_BITS) + lowest.bit_length() - 1)
        bits ^= lowest
    return ids


def _place(bal_id: int, number: int) -> bytes:
    """What a sealed block is bound to."""
    return b"search-block\0%d\0%d" % (bal_id, number)
