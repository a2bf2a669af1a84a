"""COMPRESS=DEFLATE: the same conversation in fewer octets, however it is cut; bombs and garbage end it."""

from __future__ import annotations

import asyncio
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.testing.memory_channel import MemoryChannel
from mta.imap.deflate import GRACE, PIECE, Deflater, InflateFailed, Inflater


class Client:
    """The other end of a compressed connection."""

    def __init__(self, channel: MemoryChannel) -> None:
        self.channel = channel
        self._out = zlib.compressobj(9, zlib.DEFLATED, -15)
        self._in = zlib.decompressobj(-15)
        self.heard = b""

    def written(self, octets: bytes) -> bytes:
        return self._out.compress(octets) + self._out.flush(zlib.Z_SYNC_FLUSH)

    async def until(self, ending: bytes) -> bytes:
        while not self.heard.endswith(ending):
            self.heard += self._in.decompress(await self.channel.receive_exactly(1))
        told, self.heard = self.heard, b""
        return told


async def compressed(space: Any) -> Client:
    channel = await space.open()
    assert await space.ask(channel, "z COMPRESS DEFLATE") == b"z OK DEFLATE active\r\n"
    return Client(channel)


@pytest.mark.parametrize("cut", [1, 3, 50, 10_000])
async def test_a_conversation_is_the_same_however_it_is_cut(space: Any, cut: int) -> None:
    await space.deliver()
    client = await compressed(space)
    octets = client.written(
        b"a FETCH 1 BODY.PEEK[TEXT]\r\nb APPEND INBOX {18+}\r\nSubject: x\r\n\r\nabcd\r\n"
        b"c IDLE\r\nDONE\r\nd COMPRESS DEFLATE\r\n"
    )
    for start in range(0, len(octets), cut):
        await client.channel.send(octets[start : start + cut])
    told = await client.until(b"est deja actif / DEFLATE is active already\r\n")
    assert b"* 1 FETCH (BODY[TEXT] {11}\r\nbody text\r\n)\r\na OK" in told
    assert b"b OK [APPENDUID" in told
    assert b"+ idling\r\nc OK" in told
    assert b"d NO [COMPRESSIONACTIVE]" in told


async def test_what_is_sent_behind_the_command_is_compressed_already(space: Any) -> None:
    client = Client(await space.open())
    await client.channel.send(b"z COMPRESS DEFLATE\r\n" + client.written(b"a NOOP\r\n"))
    assert await client.channel.receive_line() == b"z OK DEFLATE active\r\n"
    assert await client.until(b"completed\r\n") == b"a OK NOOP completed\r\n"


async def test_a_large_letter_comes_whole(space: Any) -> None:
    client = await compressed(space)
    body = b"".join(b"line %d\r\n" % number for number in range(20_000))
    letter = b"Subject: large\r\n\r\n" + body
    await client.channel.send(client.written(b"a APPEND INBOX {%d+}\r\n%b\r\n" % (len(letter), letter)))
    assert b"* 1 EXISTS" in await client.until(b"APPEND completed\r\n")
    await client.channel.send(client.written(b"b FETCH 1 BODY.PEEK[]\r\n"))
    assert letter in await client.until(b"b OK FETCH completed\r\n")
    assert sum(client.channel.writes) < len(letter) // 2


async def test_garbage_ends_the_connection(space: Any) -> None:
    client = await compressed(space)
    await client.channel.send(b"\xff" * 100)
    await client.channel.wait_closed()


async def test_a_bomb_costs_little_memory_and_ends(space: Any) -> None:
    client = await compressed(space)
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = stream.compress(b"a NOOP" + b"x" * (2 * GRACE)) + stream.flush(zlib.Z_SYNC_FLUSH)
    tracemalloc.start()
    await client.channel.send(bomb)
    await client.channel.wait_closed()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20
    assert all(task.done() for task in space.tasks) or await settled(space)


async def settled(space: Any) -> bool:
    await asyncio.sleep(0)
    return not space.shared.sessions


@given(st.lists(st.binary(max_size=300), max_size=8), st.data())
def test_both_directions_agree_on_any_octets_and_any_cut(pieces: list[bytes], data: st.DataObject) -> None:
    deflater, inflater = Deflater(), Inflater()
    octets = b"".join(deflater.deflated(piece) for piece in pieces)
    clear = b""
    while octets:
        cut = data.draw(st.integers(1, len(octets)))
        inflater.feed(octets[:cut])
        octets = octets[cut:]
        while piece := inflater.take():
            clear += piece
    assert clear == b"".join(pieces)


@given(st.binary(max_size=500))
def test_any_octets_are_inflated_or_refused(octets: bytes) -> None:
    inflater = Inflater()
    inflater.feed(octets)
    try:
        while piece := inflater.take():
            assert len(piece) <= PIECE
    except InflateFailed:
        pass


def test_a_letter_of_zeros_may_pass_and_a_bomb_may_not() -> None:
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    inflater = Inflater()
    inflater.feed(stream.compress(b"\0" * (GRACE // 2)) + stream.flush(zlib.Z_SYNC_FLUSH))
    assert sum(len(piece) for piece in iter(inflater.take, b"")) == GRACE // 2
    inflater.feed(stream.compress(b"\0" * GRACE) + stream.flush(zlib.Z_SYNC_FLUSH))
    with pytest.raises(InflateFailed):
        sum(len(piece) for piece in iter(inflater.take, b""))


def test_a_stream_that_ends_ends_the_connection() -> None:
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    inflater = Inflater()
    inflater.feed(stream.compress(b"a") + stream.flush())
    with pytest.raises(InflateFailed):
        inflater.take()
