"""What strangers are refused is counted, not copied: few events, bounded memory, nobody's name."""

from __future__ import annotations

from typing import Any

import pytest

from core.audit import AuditKind
from core.errors import StoreError
from core.testing.audit import MemoryAuditTrail
from core.testing.clock import FakeClock
from mta.refusal_ledger import ELSEWHERE, MAX_LOGINS, MAX_PLACES, PERIOD, RefusalLedger, Refused


class Desk:
    def __init__(self) -> None:
        self.clock, self.audit = FakeClock(), MemoryAuditTrail()
        self.ledger = RefusalLedger(self.clock, lambda login: f"p-{login}")

    def note(self, count: int = 1, **changes: Any) -> None:
        values: dict[str, Any] = {
            "kind": AuditKind.REFUSED,
            "network": "192.0.2.7",
            "listener": "relay",
            "reply": "CERTIFICATE_REQUIRED",
            "reason": "peer-without-certificate",
        }
        for _ in range(count):
            self.ledger.note(Refused(**(values | changes)))

    def told(self) -> list[tuple[str, str]]:
        return [(event.facts["network"], event.facts["count"]) for event in self.audit.events]


async def test_a_flood_is_one_event_a_minute_and_names_nobody() -> None:
    desk = Desk()
    desk.note(2_000)
    await desk.ledger.tell(desk.audit)
    assert desk.told() == []
    desk.clock.advance(PERIOD)
    await desk.ledger.tell(desk.audit)
    await desk.ledger.tell(desk.audit)
    assert desk.told() == [("192.0.2.7", "2000")]
    (event,) = desk.audit.events
    assert (event.kind, event.persons) == (AuditKind.REFUSED, {})
    assert event.facts["reason"] == "peer-without-certificate"
    desk.note()
    desk.clock.advance(PERIOD)
    await desk.ledger.tell(desk.audit)
    assert desk.told()[1:] == [("192.0.2.7", "1")]


async def test_places_and_reasons_are_told_apart_and_hosts_of_one_site_together() -> None:
    desk = Desk()
    desk.note(network="2001:db8::1")
    desk.note(network="2001:db8::2")
    desk.note(network="192.0.2.8")
    desk.note(network="192.0.2.8", reply="CERTIFICATE_REFUSED", facts={"peer": "CN=x"})
    await desk.ledger.tell(desk.audit, everything=True)
    assert desk.told() == [("2001:db8::/64", "2"), ("192.0.2.8", "1"), ("192.0.2.8", "1")]
    assert desk.audit.events[2].facts["peer"] == "CN=x"


async def test_many_networks_cannot_make_many_events() -> None:
    desk = Desk()
    for number in range(3 * MAX_PLACES):
        desk.note(network=f"198.51.{number // 250}.{number % 250}", facts={"peer": "CN=x"})
    await desk.ledger.tell(desk.audit, everything=True)
    assert len(desk.audit.events) == MAX_PLACES + 1
    assert desk.told()[-1] == (ELSEWHERE, str(2 * MAX_PLACES))
    assert "peer" not in desk.audit.events[-1].facts


async def test_logins_are_pseudonyms_and_few() -> None:
    desk = Desk()
    for number in range(MAX_LOGINS + 3):
        desk.note(2, kind=AuditKind.LOGIN_REFUSED, login=f"Anne{number}")
    await desk.ledger.tell(desk.audit, everything=True)
    (event,) = desk.audit.events
    assert event.facts["logins"] == ",".join(f"p-anne{number}" for number in range(MAX_LOGINS))
    assert "Anne" not in str(event.facts)


async def test_what_could_not_be_written_is_told_later_with_what_came_meanwhile() -> None:
    desk = Desk()
    desk.note(3, login="a")

    class Away(MemoryAuditTrail):
        async def append(self, event: object) -> None:
            desk.note(2, login="b")
            raise StoreError("away")

    with pytest.raises(StoreError):
        await desk.ledger.tell(Away(), everything=True)
    desk.note()
    await desk.ledger.tell(desk.audit, everything=True)
    assert desk.told() == [("192.0.2.7", "6")]
    assert desk.audit.events[0].facts["logins"] == "p-a,p-b"
