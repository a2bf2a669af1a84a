"""Next hops: order, routes, null MX, ourselves, and the memory of answers."""

from __future__ import annotations

import dns.rdata
import dns.rdataclass
import dns.rdatatype
import pytest

from core.address import Domain
from core.errors import TemporaryError
from core.testing.clock import FakeClock
from mta.delivery.dns_lookup import mx_answer
from mta.delivery.resolver import DomainTakesNoMail, MxAnswer, MxResolver
from routing.transport import NextHop, Routes

CABINET = Domain("cabinet.mssante.example")


class Dns:
    """Answers from a table and counts questions."""

    def __init__(self, *hosts: tuple[int, str], ttl: float = 300) -> None:
        self.answer = MxAnswer(hosts=hosts, ttl=ttl)
        self.questions = 0
        self.is_away = False

    async def __call__(self, domain: str) -> MxAnswer:
        self.questions += 1
        if self.is_away:
            raise TemporaryError("away")
        return self.answer


def resolver(
    lookup: Dns,
    clock: FakeClock | None = None,
    routes: Routes | None = None,
    own_hosts: frozenset[str] = frozenset(),
) -> MxResolver:
    return MxResolver(
        lookup=lookup,
        clock=clock or FakeClock(),
        routes=routes or Routes(),
        own_hosts=own_hosts,
        shuffle=lambda hosts: hosts.reverse(),
    )


async def test_lowest_preference_first_and_equals_mixed() -> None:
    lookup = Dns((20, "c.example"), (10, "a.example"), (10, "b.example"))
    hops = await resolver(lookup).next_hops(CABINET)
    assert hops == [("b.example", 25), ("a.example", 25), ("c.example", 25)]


async def test_without_mx_the_domain_itself() -> None:
    assert await resolver(Dns()).next_hops(CABINET) == [("cabinet.mssante.example", 25)]


async def test_null_mx_is_for_ever() -> None:
    with pytest.raises(DomainTakesNoMail):
        await resolver(Dns((0, ""))).next_hops(CABINET)


async def test_never_to_ourselves_nor_behind_us() -> None:
    lookup = Dns((10, "a.example"), (20, "us.example"), (30, "c.example"))
    chosen = resolver(lookup, own_hosts=frozenset({"us.example"}))
    assert await chosen.next_hops(CABINET) == [("a.example", 25)]


async def test_only_ourselves_is_a_doubt() -> None:
    with pytest.raises(TemporaryError):
        await resolver(Dns((10, "us.example")), own_hosts=frozenset({"us.example"})).next_hops(CABINET)


async def test_a_route_goes_before_dns_and_a_smart_host_too() -> None:
    lookup = Dns((10, "a.example"))
    routes = Routes(table={CABINET: NextHop("127.0.0.1", 2525)}, smart_host=NextHop("hub.example", 26))
    routed = resolver(lookup, routes=routes)
    assert await routed.next_hops(CABINET) == [("127.0.0.1", 2525)]
    assert await routed.next_hops(Domain("pharmacie.mssante.example")) == [("hub.example", 26)]
    assert lookup.questions == 0


async def test_an_answer_is_kept_for_its_time_and_a_doubt_is_not() -> None:
    clock, lookup = FakeClock(), Dns((10, "a.example"), ttl=60)
    cached = resolver(lookup, clock)
    await cached.next_hops(CABINET)
    clock.advance(59)
    lookup.is_away = True
    assert await cached.next_hops(CABINET) == [("a.example", 25)]
    clock.advance(2)
    with pytest.raises(TemporaryError):
        await cached.next_hops(CABINET)
    lookup.is_away = False
    assert await cached.next_hops(CABINET) == [("a.example", 25)]
    assert lookup.questions == 3


def test_records_of_dnspython_are_read() -> None:
    record = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.MX, "10 MX.Cabinet.mssante.example.")
    null = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.MX, "0 .")
    assert mx_answer([record], 60).hosts == ((10, "mx.cabinet.mssante.example"),)  # type: ignore[list-item]
    assert mx_answer([null], 60).hosts[0][1] in ("", ".")  # type: ignore[list-item]
