"""The plan before the seal: never in the open where a seal is required, never a hand on what the client made."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import reply
from core.address import Domain
from core.plan import KeySource, LeaveAsIs, Reason, Refuse, SealKind, SealWith
from routing.client_seal import client_seal_of
from routing.explain import SENTENCES, explain_seal
from routing.sealing import (
    ClientSeal,
    KeyFacts,
    KeyState,
    LetterToSeal,
    PeerFacts,
    SealPolicy,
    SealProfile,
    plan_seals,
    seal_for,
    sealed_size,
)

DUNES = Domain.parse("cabinet.mssante.example")
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
OURS = {SealKind.SMIME: "aa" * 32, SealKind.OPENPGP: "BB" * 20}
LETTER = LetterToSeal(client_seal=ClientSeal.NONE, size=10_000, signing=OURS)


def key(name: str = "c0", **more: Any) -> KeyFacts:
    facts: dict[str, Any] = {
        "kind": SealKind.SMIME,
        "fingerprint": name * 32,
        "source": KeySource.SEALS_LIST,
        "state": KeyState.VALID,
        "not_before": BEGAN,
    }
    return KeyFacts(**(facts | more))


PEER = PeerFacts(domain=DUNES, declared=SealKind.SMIME, keys=(key(),))


def sealed(peer: PeerFacts, letter: LetterToSeal = LETTER) -> SealWith:
    decision = seal_for(letter, peer)
    assert isinstance(decision, SealWith), decision
    return decision


class TestWhichKey:
    def test_what_the_peer_declares(self) -> None:
        assert sealed(PEER) == SealWith(
            kind=SealKind.SMIME,
            domain=DUNES,
            signing=OURS[SealKind.SMIME],
            recipient="c0" * 32,
            source=KeySource.SEALS_LIST,
            subject_readable=False,
            reason=Reason.SEAL_POSSIBLE,
        )

    def test_a_box_whose_software_reads_the_subject(self) -> None:
        assert sealed(replace(PEER, subject_readable=True)).subject_readable

    def test_of_two_certificates_the_one_that_began_last(self) -> None:
        new = key("d0", not_before=BEGAN + timedelta(days=1))
        assert sealed(replace(PEER, keys=(new, key()))).recipient == new.fingerprint
        expired = replace(new, state=KeyState.EXPIRED)
        assert sealed(replace(PEER, keys=(expired, key()))).recipient == key().fingerprint

    def test_what_the_operator_configured_wins_and_outlives_the_list(self) -> None:
        own = key("e0", source=KeySource.CONFIGURED, not_before=BEGAN - timedelta(days=9))
        assert sealed(replace(PEER, keys=(key(), own))).source is KeySource.CONFIGURED
        stale = replace(PEER, keys=(key(), own), list_is_stale=True)
        assert sealed(stale).recipient == own.fingerprint

    def test_the_kind_that_is_declared(self) -> None:
        pgp = key("f0", kind=SealKind.OPENPGP)
        peer = replace(PEER, declared=SealKind.OPENPGP, keys=(key(), pgp))
        assert sealed(peer).kind is SealKind.OPENPGP
        assert sealed(peer).signing == OURS[SealKind.OPENPGP]

    def test_recipients_in_their_order(self) -> None:
        own = PeerFacts(domain=DUNES, is_own_domain=True)
        decisions = plan_seals(LETTER, (own, PEER)).decisions
        assert decisions == (LeaveAsIs(Reason.SEAL_STAYS_AT_HOME), sealed(PEER))


NOTHING = replace(PEER, declared=None, keys=(), profile=SealProfile.PRIVATE)
CASES: list[tuple[PeerFacts, Reason, reply.Reply]] = [
    (NOTHING, Reason.SEAL_NOT_DECLARED, reply.SEAL_IMPOSSIBLE),
    (replace(NOTHING, list_is_stale=True), Reason.SEAL_LIST_STALE, reply.SEAL_NOT_NOW),
    (replace(PEER, declared=SealKind.NONE), Reason.SEAL_DECLARED_NONE, reply.SEAL_IMPOSSIBLE),
    (replace(PEER, list_is_stale=True), Reason.SEAL_LIST_STALE, reply.SEAL_NOT_NOW),
    (replace(PEER, entry_in_dates=False), Reason.SEAL_ENTRY_OUT_OF_DATES, reply.SEAL_IMPOSSIBLE),
    (replace(PEER, keys=()), Reason.SEAL_NO_KEY, reply.SEAL_IMPOSSIBLE),
    (replace(PEER, keys=(key(state=KeyState.EXPIRED),)), Reason.SEAL_KEY_EXPIRED, reply.SEAL_IMPOSSIBLE),
    (replace(PEER, keys=(key(state=KeyState.REFUSED),)), Reason.SEAL_KEY_REFUSED, reply.SEAL_IMPOSSIBLE),
    (replace(PEER, keys=(key(state=KeyState.REVOKED),)), Reason.SEAL_KEY_REVOKED, reply.SEAL_IMPOSSIBLE),
    (
        replace(PEER, keys=(key(state=KeyState.UNKNOWN), key("d0", state=KeyState.REVOKED))),
        Reason.SEAL_REVOCATION_UNKNOWN,
        reply.SEAL_NOT_NOW,
    ),
    (
        replace(PEER, declared=SealKind.NONE, keys=(key(source=KeySource.CONFIGURED),)),
        Reason.SEAL_DECLARED_NONE,
        reply.SEAL_IMPOSSIBLE,
    ),
    (replace(PEER, size_limit=sealed_size(10_000) - 1), Reason.SEAL_TOO_BIG, reply.TOO_BIG_FOR_PEER),
]


class TestWhyNone:
    @pytest.mark.parametrize(("peer", "reason", "answer"), CASES)
    def test_left_as_it_is_when_possible_refused_when_required(
        self, peer: PeerFacts, reason: Reason, answer: reply.Reply
    ) -> None:
        assert seal_for(LETTER, peer) == LeaveAsIs(reason)
        assert seal_for(LETTER, replace(peer, policy=SealPolicy.REQUIRED)) == Refuse(answer, reason)

    def test_no_key_of_ours(self) -> None:
        letter = replace(LETTER, signing={SealKind.OPENPGP: "x", SealKind.SMIME: ""})
        assert seal_for(letter, PEER) == LeaveAsIs(Reason.SEAL_NO_OWN_KEY)
        required = replace(PEER, policy=SealPolicy.REQUIRED)
        assert seal_for(letter, required) == Refuse(reply.SEAL_NOT_NOW, Reason.SEAL_NO_OWN_KEY)

    def test_off(self) -> None:
        assert seal_for(LETTER, replace(PEER, policy=SealPolicy.OFF)) == LeaveAsIs(Reason.SEAL_OFF)

    def test_the_profile_mssante_is_off_for_who_declares_nothing(self) -> None:
        peer = replace(NOTHING, profile=SealProfile.MSSANTE, keys=(key(source=KeySource.CONFIGURED),))
        assert seal_for(LETTER, peer) == LeaveAsIs(Reason.SEAL_OFF_BY_PROFILE)
        assert seal_for(LETTER, replace(peer, list_is_stale=True)) == LeaveAsIs(Reason.SEAL_LIST_STALE)
        assert sealed(replace(peer, policy=SealPolicy.REQUIRED)).source is KeySource.CONFIGURED
        assert sealed(replace(peer, profile=SealProfile.PRIVATE)).source is KeySource.CONFIGURED

    def test_a_letter_that_fits_exactly(self) -> None:
        assert sealed(replace(PEER, size_limit=sealed_size(10_000)))


class TestClientMade:
    def test_what_the_client_encrypted_passes(self) -> None:
        letter = replace(LETTER, client_seal=ClientSeal.ENCRYPTED)
        for policy in SealPolicy:
            peer = replace(PEER, policy=policy)
            assert seal_for(letter, peer) == LeaveAsIs(Reason.SEAL_MADE_BY_CLIENT)

    def test_what_the_client_signed_passes_or_goes_whole_into_a_seal(self) -> None:
        letter = replace(LETTER, client_seal=ClientSeal.SIGNED)
        assert seal_for(letter, PEER) == LeaveAsIs(Reason.SEAL_SIGNED_BY_CLIENT)
        required = replace(PEER, policy=SealPolicy.REQUIRED)
        assert sealed(required, letter).reason is Reason.SEAL_AROUND_CLIENT_SIGNATURE


_KEYS = st.builds(
    KeyFacts,
    kind=st.sampled_from([SealKind.SMIME, SealKind.OPENPGP]),
    fingerprint=st.sampled_from(["01", "02", "03"]),
    source=st.sampled_from(KeySource),
    state=st.sampled_from(KeyState),
    not_before=st.sampled_from([BEGAN, BEGAN + timedelta(days=1)]),
)
_PEERS = st.builds(
    PeerFacts,
    domain=st.just(DUNES),
    is_own_domain=st.booleans(),
    policy=st.sampled_from(SealPolicy),
    profile=st.sampled_from(SealProfile),
    list_is_stale=st.booleans(),
    declared=st.none() | st.sampled_from(SealKind),
    entry_in_dates=st.booleans(),
    subject_readable=st.booleans(),
    keys=st.lists(_KEYS, max_size=4).map(tuple),
    size_limit=st.sampled_from([0, 1, 10**9]),
)
_LETTERS = st.builds(
    LetterToSeal,
    client_seal=st.sampled_from(ClientSeal),
    size=st.integers(0, 10**7),
    signing=st.dictionaries(
        st.sampled_from([SealKind.SMIME, SealKind.OPENPGP]), st.sampled_from(["", "aa"]), max_size=2
    ),
)


@given(_LETTERS, _PEERS)
@settings(max_examples=600, deadline=None)
def test_the_promises_hold_whatever_the_facts(letter: LetterToSeal, peer: PeerFacts) -> None:
    decision = seal_for(letter, peer)
    leaves = not peer.is_own_domain
    is_plain = isinstance(decision, LeaveAsIs) and letter.client_seal is not ClientSeal.ENCRYPTED
    assert not (leaves and peer.policy is SealPolicy.REQUIRED and is_plain)
    if letter.client_seal is ClientSeal.ENCRYPTED:
        assert isinstance(decision, LeaveAsIs)
    if letter.client_seal is ClientSeal.SIGNED and peer.policy is not SealPolicy.REQUIRED:
        assert isinstance(decision, LeaveAsIs)
    if isinstance(decision, Refuse):
        assert peer.policy is SealPolicy.REQUIRED
    if isinstance(decision, SealWith):
        assert leaves
        assert peer.policy is not SealPolicy.OFF
        (chosen, *_) = [one for one in peer.keys if one.fingerprint == decision.recipient]
        assert any(
            one.state is KeyState.VALID and one.kind is decision.kind and one.source is decision.source
            for one in peer.keys
            if one.fingerprint == chosen.fingerprint
        )
        assert decision.signing
    told = explain_seal(decision)
    assert told.english != told.french


def test_every_reason_has_its_two_sentences() -> None:
    assert set(SENTENCES) == set(Reason)
    assert len({sentence.english for sentence in SENTENCES.values()}) == len(Reason)
    assert len({sentence.french for sentence in SENTENCES.values()}) == len(Reason)


def test_every_reason_of_a_seal_can_happen() -> None:
    planned = {reason for _, reason, _ in CASES} | {
        Reason.SEAL_REQUIRED, Reason.SEAL_POSSIBLE, Reason.SEAL_AROUND_CLIENT_SIGNATURE, Reason.SEAL_OFF,
        Reason.SEAL_MADE_BY_CLIENT, Reason.SEAL_SIGNED_BY_CLIENT, Reason.SEAL_STAYS_AT_HOME,
        Reason.SEAL_OFF_BY_PROFILE, Reason.SEAL_NO_OWN_KEY,
    }  # fmt: skip
    assert planned == {reason for reason in Reason if reason.name.startswith("SEAL_")}
    assert sealed(replace(PEER, policy=SealPolicy.REQUIRED)).reason is Reason.SEAL_REQUIRED


def test_a_seal_is_told_with_its_key_and_where_it_was_found() -> None:
    told = explain_seal(sealed(replace(PEER, subject_readable=True)))
    assert told.english == (
        "sealed by S/MIME for cabinet.mssante.example (key c0c0c0c0c0c0c0c0, from the annuaire des sceaux): "
        "this domain opens a seal; the subject stays readable"
    )
    assert "l'objet reste lisible" in told.french


# --- what the client did ------------------------------------------------------------------------------------
ENVELOPED = bytes.fromhex("3080") + bytes.fromhex("06092a864886f70d010703") + b"\xa0\x80"
AUTH_ENVELOPED = bytes.fromhex("30820400") + bytes.fromhex("060b2a864886f70d0109100117") + b"\xa0"
SIGNED = bytes.fromhex("30820400") + bytes.fromhex("06092a864886f70d010702") + b"\xa0"


def cms(body: bytes, smime_type: bytes = b"", encoding: bytes = b"base64") -> bytes:
    import base64

    written = base64.encodebytes(body) if encoding == b"base64" else body
    return (
        b"From: a@b.example\r\nContent-Type: application/pkcs7-mime; smime-type=" + smime_type + b"\r\n"
        b"Content-Transfer-Encoding: " + encoding + b"\r\n\r\n" + written
    )


def pgp(body: bytes, control: bytes = b"application/pgp-encrypted", parts: int = 2) -> bytes:
    second = b"--b\r\nContent-Type: application/octet-stream\r\n\r\n" + body + b"\r\n"
    return (
        b'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary=b\r\n\r\n'
        b"--b\r\nContent-Type: " + control + b"\r\n\r\nVersion: 1\r\n" + second * (parts - 1) + b"--b--\r\n"
    )


ARMOURED = b"-----BEGIN PGP MESSAGE-----\r\n\r\nhQ\r\n-----END PGP MESSAGE-----"


@pytest.mark.parametrize(
    ("letter", "expected"),
    [
        (b"From: a@b.example\r\n\r\nBonjour\r\n", ClientSeal.NONE),
        (b"", ClientSeal.NONE),
        (cms(ENVELOPED, b"enveloped-data"), ClientSeal.ENCRYPTED),
        (cms(AUTH_ENVELOPED, b"authEnveloped-data"), ClientSeal.ENCRYPTED),
        (cms(AUTH_ENVELOPED, b"x", b"binary"), ClientSeal.ENCRYPTED),
        (cms(SIGNED, b"signed-data"), ClientSeal.SIGNED),
        (cms(SIGNED, b"enveloped-data"), ClientSeal.SIGNED),
        (cms(b"Bonjour, en clair", b"enveloped-data"), ClientSeal.NONE),
        (cms(b"0", b"enveloped-data"), ClientSeal.NONE),
        (cms(b"", b"enveloped-data"), ClientSeal.NONE),
        (pgp(ARMOURED), ClientSeal.ENCRYPTED),
        (pgp(b"Bonjour, en clair"), ClientSeal.NONE),
        (pgp(ARMOURED, control=b"text/plain"), ClientSeal.NONE),
        (pgp(ARMOURED, parts=3), ClientSeal.NONE),
        (
            b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b\r\n\r\ny\r\n--b--\r\n",
            ClientSeal.SIGNED,
        ),
        (b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n", ClientSeal.NONE),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n" + ARMOURED, ClientSeal.NONE),
    ],
)
def test_what_the_client_did_is_read_from_octets_not_from_labels(letter: bytes, expected: ClientSeal) -> None:
    assert client_seal_of(letter) is expected


@given(st.binary(max_size=400))
@settings(max_examples=100, deadline=None)
def test_reading_a_client_seal_never_raises(octets: bytes) -> None:
    assert client_seal_of(b"Content-Type: application/pkcs7-mime\r\n" + octets) in ClientSeal
