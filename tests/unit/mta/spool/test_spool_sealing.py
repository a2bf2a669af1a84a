"""The sealed form of an item is read back as it was, and nothing else is taken for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.address import Domain, Mailbox
from core.envelope import NULL_REVERSE_PATH, Envelope, ForwardPath, Notify, Return
from core.folder import StoredOctets
from core.outcome import RemoteAnswer
from mta.spool import sealing
from mta.spool.item import INTERNAL_ORIGIN, Origin, OriginKind, SpoolItem, State
from mta.spool.seen import seen_key

RIVAGE = Domain("ch-rivage.mssante.example")
DOCTOR = Mailbox("anne.test-rivage", RIVAGE)
DUNE = Mailbox("paul.test-dune", Domain("cabinet.mssante.example"))


def item(**values: object) -> SpoolItem:
    envelope = Envelope(
        reverse_path=DOCTOR,
        forward_paths=(
            ForwardPath(DUNE, Notify.SUCCESS | Notify.DELAY, "rfc822;paul@cabinet.mssante.example"),
        ),
        envelope_id="an id",
        ret=Return.HEADERS,
        smtputf8=True,
        body_8bit=True,
        declared_size=77,
    )
    whole: dict[str, object] = {
        "spool_id": "s1",
        "envelope": envelope,
        "octets": StoredOctets("b1", bytes(range(32)), 1234, bytes(32)),
        "message_id": "<é\udcff@x>",
        "accepted_at": 12.5,
        "origin": Origin(OriginKind.PEER, "CN=mss.ch-rivage.mssante.example"),
    }
    return SpoolItem(**{**whole, **values})  # type: ignore[arg-type]


def test_an_item_comes_back_as_it_was() -> None:
    before = item()
    after = sealing.item_from_octets(sealing.item_to_octets(before), spool_id="s1", accepted_at=12.5)
    assert after == before
    assert str(after.envelope.reverse_path) == str(DOCTOR)
    assert after.octets.data_key == before.octets.data_key


def test_the_null_reverse_path_comes_back() -> None:
    envelope = Envelope(reverse_path=NULL_REVERSE_PATH, forward_paths=(ForwardPath(DOCTOR),))
    before = item(envelope=envelope, origin=INTERNAL_ORIGIN)
    after = sealing.item_from_octets(sealing.item_to_octets(before), spool_id="s1", accepted_at=12.5)
    assert after.envelope.reverse_path == NULL_REVERSE_PATH
    assert after.envelope_id == "vaguemestre-s1"


@given(st.binary(max_size=60))
def test_other_octets_are_refused_by_name(octets: bytes) -> None:
    with pytest.raises(sealing.SpoolFormUnknown):
        sealing.item_from_octets(octets, spool_id="s1", accepted_at=0)


def test_a_later_form_is_refused() -> None:
    later = sealing.item_to_octets(item()).replace(b'"v":1', b'"v":2')
    with pytest.raises(sealing.SpoolFormUnknown):
        sealing.item_from_octets(later, spool_id="s1", accepted_at=0)


def test_an_answer_comes_back_and_rubbish_does_not() -> None:
    answer = RemoteAnswer(550, "5.1.1", "no <paul@x>\nhere", "mx.cabinet.mssante.example")
    assert sealing.answer_from_octets(sealing.answer_to_octets(answer)) == answer
    for rubbish in (b"", b"[1]", b"\xff", b"{}x"):
        with pytest.raises(sealing.SpoolFormUnknown):
            sealing.answer_from_octets(rubbish)


def test_ends_are_ends() -> None:
    assert [state for state in State if state.is_end] == [State.DELIVERED, State.FAILED, State.EXPIRED]


def test_a_letter_is_recognised_by_all_four_things_and_not_by_case() -> None:
    values: dict[str, object] = {
        "peer_name": "CN=a",
        "envelope_id": "e",
        "octets_sha256": b"\1" * 32,
        "recipient": DUNE,
    }

    def key(**other: object) -> bytes:
        return seen_key(b"secret", **{**values, **other})  # type: ignore[arg-type]

    assert key() == key(recipient=Mailbox("PAUL.Test-Dune", DUNE.domain))
    others = [
        key(peer_name="CN=b"),
        key(envelope_id=""),
        key(octets_sha256=b"\2" * 32),
        key(recipient=DOCTOR),
        # the four are framed: what moves from one to its neighbour makes another key
        key(peer_name="CN=ae", envelope_id=""),
        seen_key(b"other", **values),  # type: ignore[arg-type]
    ]
    assert len({key(), *others}) == 7
