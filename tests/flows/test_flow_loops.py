"""Letters that go round (threat A42): a count of hops, and no way back out of a relay door."""

from __future__ import annotations

import ssl

import pytest

from vaguemestre.demo.cast import ANNE, HOSPITAL_DOMAIN, PAUL
from vaguemestre.demo.mail_clients import Answer, Conversation, operator_client
from vaguemestre.demo.space import Space

HOPS = 50  # ours, threat A42; RFC 5321 §6.3 wants at least 100 seen only where nothing else ends a loop


@pytest.fixture
def peer(space: Space) -> ssl.SSLContext:
    """The city's operator as a client."""
    good = space.folder / "city" / "keys" / "operator.pem"
    return operator_client(space.ca, good, good.with_suffix(".key"))


def _offer(space: Space, peer: ssl.SSLContext, hops: int) -> Answer:
    talk = Conversation(space.operators["hospital"].ports["relay"], peer)
    talk.command(b"MAIL FROM:<%s>" % PAUL.address.encode())
    talk.command(b"RCPT TO:<%s>" % ANNE.address.encode())
    talk.command(b"DATA")
    trace = b"Received: from a.example by b.example; Sat, 21 Nov 2026 10:00:00 +0100\r\n" * hops
    fields = b"From: %s\r\nDate: Sat, 21 Nov 2026 10:00:00 +0100\r\nMessage-ID: <boucle-%d@demo.example>\r\n\r\nx\r\n"
    talk.write(trace + fields % (PAUL.address.encode(), hops) + b".\r\n")
    answer = talk.answer()
    talk.close()
    return answer


def test_a_letter_that_travelled_too_far_is_refused(space: Space, peer: ssl.SSLContext) -> None:
    assert _offer(space, peer, HOPS).code == 250
    refused = _offer(space, peer, HOPS + 1)
    assert (refused.code, refused.enhanced) == (554, "5.4.6")


def test_what_came_from_an_operator_never_goes_to_another(space: Space, peer: ssl.SSLContext) -> None:
    talk = Conversation(space.operators["hospital"].ports["relay"], peer)
    assert talk.command(b"MAIL FROM:<%s>" % PAUL.address.encode()).code == 250
    for domain in ("cabinet.mssante.example", "autre.mssante.example", "exterieur.example"):
        refused = talk.command(b"RCPT TO:<quelqu.un@%s>" % domain.encode())
        assert (refused.code, refused.enhanced) == (550, "5.7.1"), domain
    source_route = talk.command(b"RCPT TO:<@%s:%s>" % (HOSPITAL_DOMAIN.encode(), PAUL.address.encode()))
    assert source_route.code == 501
    percent = talk.command(b"RCPT TO:<paul%%cabinet.mssante.example@%s>" % HOSPITAL_DOMAIN.encode())
    assert percent.code == 501  # the per cent hack is no address here
    talk.close()
