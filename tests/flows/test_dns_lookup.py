"""MX questions over real UDP to a name server that a test plays."""

from __future__ import annotations

import asyncio
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from core.errors import TemporaryError
from mta.delivery import dns_lookup
from mta.delivery.dns_lookup import DnsMxLookup


class NameServer(asyncio.DatagramProtocol):
    """Answers every question with the same records, or with an error code, or not at all."""

    def __init__(self, records: tuple[str, ...], rcode: dns.rcode.Rcode | None) -> None:
        self.records, self.rcode = records, rcode
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        if self.rcode is None:
            return
        question = dns.message.from_wire(data)
        answer = dns.message.make_response(question)
        answer.flags |= dns.flags.RA
        answer.set_rcode(self.rcode)
        if self.records:
            answer.answer.append(
                dns.rrset.from_text(question.question[0].name, 120, "IN", "MX", *self.records)
            )
        self.transport.sendto(answer.to_wire(), address)


async def ask(*records: str, rcode: dns.rcode.Rcode | None = dns.rcode.NOERROR) -> dns_lookup.MxAnswer:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: NameServer(records, rcode), local_addr=("127.0.0.1", 0)
    )
    try:
        port = transport.get_extra_info("sockname")[1]
        return await DnsMxLookup(["127.0.0.1"], port)("cabinet.mssante.example")
    finally:
        transport.close()


async def test_records_and_their_time() -> None:
    answer = await ask("20 mx2.cabinet.mssante.example.", "10 mx1.cabinet.mssante.example.")
    assert sorted(answer.hosts) == [(10, "mx1.cabinet.mssante.example"), (20, "mx2.cabinet.mssante.example")]
    assert answer.ttl == 120


async def test_no_mx_is_an_answer() -> None:
    assert (await ask()).hosts == ()


@pytest.mark.parametrize("rcode", [dns.rcode.NXDOMAIN, dns.rcode.SERVFAIL, dns.rcode.REFUSED, None])
async def test_everything_else_is_a_doubt(
    rcode: dns.rcode.Rcode | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dns_lookup, "LOOKUP_TIMEOUT", 0.2)
    with pytest.raises(TemporaryError):
        await ask(rcode=rcode)
