"""Trace fields say what is true of us, nothing that a stranger wrote, and cannot be injected into."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.address import Domain, Mailbox
from core.envelope import NULL_REVERSE_PATH
from core.errors import LocalProtocolError
from core.message import Message, check_header
from mta.trace import (
    Hop,
    Verdict,
    count_hops,
    date_text,
    field,
    received_field,
    return_path_field,
    security_fields,
    strip_foreign,
)

MX = Domain.parse("mx.ch-rivage.mssante.example")
AT = datetime(2025, 11, 14, 9, 12, 0, tzinfo=timezone(timedelta(hours=1)))
DN = "CN=mss.cabinet.mssante.example,OU=1990000010,O=CABINET TEST,ST=Finistère (29),C=FR"
FROM = b"From: anne.test-rivage@ch-rivage.mssante.example\r\n"


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (AT, "Fri, 14 Nov 2025 09:12:00 +0100"),
        (datetime(2025, 3, 2, 4, 5, 6, tzinfo=UTC), "Sun, 2 Mar 2025 04:05:06 +0000"),
        (datetime(2025, 1, 1, tzinfo=timezone(timedelta(hours=-3, minutes=-30))), "Wed, 1 Jan 2025 00:00:00 -0330"),
    ],
)  # fmt: skip
def test_dates_are_written_with_their_zone(at: datetime, text: str) -> None:
    assert date_text(at) == text


def test_a_time_without_zone_is_a_fault_of_ours() -> None:
    with pytest.raises(LocalProtocolError):
        date_text(datetime(2025, 1, 1))


# --- Received -----------------------------------------------------------------------------------------------
def test_received_of_a_relay_names_the_peer() -> None:
    hop = Hop(
        by=MX, spool_id="01J0", client_name="mx.cabinet.mssante.example", network="192.0.2.7",
        tls_version="TLSv1.3", tls_cipher="TLS_AES_256_GCM_SHA384",
    )  # fmt: skip
    assert received_field(hop, AT) == (
        b"Received: from mx.cabinet.mssante.example ([192.0.2.7])\r\n"
        b" by mx.ch-rivage.mssante.example\r\n"
        b" with ESMTPS (using TLSv1.3 cipher TLS_AES_256_GCM_SHA384) id 01J0;\r\n"
        b" Fri, 14 Nov 2025 09:12:00 +0100\r\n"
    )


def test_received_of_a_submission_tells_nothing_of_the_client() -> None:
    hop = Hop(
        by=MX, spool_id="01J0", is_submission=True, client_name="anne-laptop", network="10.1.2.3",
        tls_version="TLSv1.3", smtputf8=True,
    )  # fmt: skip
    text = received_field(hop, AT)
    assert text == (
        b"Received: from mua.invalid by mx.ch-rivage.mssante.example\r\n"
        b" with UTF8SMTPSA (using TLSv1.3) id 01J0; Fri, 14 Nov 2025 09:12:00 +0100\r\n"
    )
    assert b"anne" not in text
    assert b"10.1" not in text


@pytest.mark.parametrize(
    ("name", "network", "expected"),
    [
        ("[192.0.2.7]", "192.0.2.7", b"from [192.0.2.7] ([192.0.2.7]) by"),
        ("a", "2001:db8::1", b"from a ([IPv6:2001:db8::1]) by"),
        ("a", "", b"from a by"),
        ("a", "x\r\n", b"from a by"),
        ("", "192.0.2.7", b"from unknown.invalid ([192.0.2.7])"),
        ("a\r\nBcc: b", "", b"from unknown.invalid by"),
        ("a(b", "", b"from unknown.invalid by"),
        ("é.example", "", b"from unknown.invalid by"),
        ("a" * 300, "", b"from unknown.invalid by"),
    ],
)
def test_what_a_client_calls_itself_is_checked(name: str, network: str, expected: bytes) -> None:
    text = received_field(Hop(by=MX, spool_id="01J0", client_name=name, network=network), AT)
    assert expected in text.replace(b"\r\n ", b" ")
    assert b"with ESMTP id" in text.replace(b"\r\n ", b" ")
    assert len(check_header(FROM + text + b"\r\n").from_mailboxes) == 1


@pytest.mark.parametrize(
    "hop",
    [
        Hop(by=MX, spool_id="a b"),
        Hop(by=MX, spool_id="a\r\nBcc: b"),
        Hop(by=MX, spool_id=""),
        Hop(by=MX, spool_id="a", tls_version="TLS\r\n"),
        Hop(by=MX, spool_id="a", tls_version="TLSv1.3", tls_cipher="x) (y"),
    ],
)
def test_values_of_ours_that_may_not_stand_there(hop: Hop) -> None:
    with pytest.raises(LocalProtocolError):
        received_field(hop, AT)


def test_return_path() -> None:
    assert return_path_field(NULL_REVERSE_PATH) == b"Return-Path: <>\r\n"
    assert (
        return_path_field(Mailbox.parse("zoé@é.example")) == "Return-Path: <zoé@xn--9ca.example>\r\n".encode()
    )


# --- verdicts -----------------------------------------------------------------------------------------------
def test_the_verdict_names_the_peer_in_ascii() -> None:
    fields = security_fields(MX, Verdict(kind="transport-only", peer=DN, tls_version="TLSv1.3"))
    escaped = b"ST=Finist\\\\C3\\\\A8re (29)"  # RFC 4514 §2.4, and RFC 5322 §3.2.4 over it
    assert fields.isascii()
    assert fields == (
        b"X-Vaguemestre-Security: transport-only;\r\n"
        b' peer="CN=mss.cabinet.mssante.example,OU=1990000010,O=CABINET TEST,' + escaped + b',C=FR";\r\n'
        b" tls=TLSv1.3\r\n"
        b"Authentication-Results: mx.ch-rivage.mssante.example; x-mutual-tls=pass\r\n"
        b' policy.peer="CN=mss.cabinet.mssante.example,OU=1990000010,O=CABINET TEST,'
        + escaped
        + b',C=FR"\r\n'
    )


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (Verdict(kind="submitted", tls_version="TLSv1.2"), b"submitted; tls=TLSv1.2\r\nAR; auth=pass\r\n"),
        (Verdict(kind="transport-only"), b"transport-only\r\nAR; none\r\n"),
    ],
)
def test_other_verdicts(verdict: Verdict, expected: bytes) -> None:
    start = b"X-Vaguemestre-Security: "
    written = expected.replace(b"AR", b"Authentication-Results: mx.ch-rivage.mssante.example")
    assert security_fields(MX, verdict) == start + written


def test_a_name_without_end_is_cut() -> None:
    fields = security_fields(MX, Verdict(kind="transport-only", peer="CN=" + "\\" * 10_000))
    assert b'..."' in fields
    assert all(len(line) <= 998 for line in fields.split(b"\r\n"))


@settings(deadline=None, max_examples=150)
@given(st.text(max_size=900))
def test_no_name_injects_a_field(peer: str) -> None:
    octets = security_fields(MX, Verdict(kind="transport-only", peer=f"CN={peer}", tls_version="TLSv1.3"))
    fields = Message(octets + FROM + b"\r\n").fields
    assert [found.name for found in fields] == [b"x-vaguemestre-security", b"authentication-results", b"from"]
    assert all(len(line) <= 998 for line in octets.split(b"\r\n"))
    check_header(octets + FROM + b"\r\n")
    # What was put before is also what is cut out again, whatever stood in it.
    assert strip_foreign(octets + FROM + b"\r\n", frozenset({MX.ascii})) == FROM + b"\r\n"


# --- strip_foreign ------------------------------------------------------------------------------------------
OURS = frozenset({"mx.ch-rivage.mssante.example", "mx2.é.example"})
BODY = b"\r\nX-Vaguemestre-Security: in the body\r\n"


@pytest.mark.parametrize(
    "claim",
    [
        b"X-Vaguemestre-Security: transport-only\r\n",
        b"x-VAGUEMESTRE-anything:\r\n folded\r\n\tmore\r\n",
        b"X-Vaguemestre-Security : transport-only\r\n",
        b"X-Vaguemestre-Security\t:x\r\n",
        b"Authentication-Results: mx.ch-rivage.mssante.example; auth=pass\r\n",
        b"authentication-results:MX.CH-RIVAGE.MSSANTE.EXAMPLE;auth=pass\r\n",
        b"Authentication-Results:\r\n mx.ch-rivage.mssante.example 1;\r\n auth=pass\r\n",
        b"Authentication-Results : mx.ch-rivage.mssante.example\r\n",
        b"Authentication-Results: mx.ch-rivage.mssante.example.; none\r\n",
        b"Authentication-Results: mx.ch-rivage.mssante.example/1; none\r\n",
        b"Authentication-Results: (a (comment) \\) here) mx.ch-rivage.mssante.example (x); none\r\n",
        b'Authentication-Results: "mx.ch-rivage.mssante.example"; none\r\n',
        b'Authentication-Results: "mx\\.ch-rivage.mssante.example"; none\r\n',
        b'Authentication-Results: mx."ch-rivage".mssante.example; none\r\n',
        "Authentication-Results: mx2.É.example; none\r\n".encode(),
        b"Authentication-Results: mx2.xn--9ca.example; none\r\n",
        # no reading, or two
        b"Authentication-Results:\r\n",
        b"Authentication-Results: ; auth=pass\r\n",
        b"Authentication-Results: (unfinished mx.cabinet.mssante.example; none\r\n",
        b"Authentication-Results: mx.cabinet.mssante.example) x; none\r\n",
        b"Authentication-Results: mx\\.cabinet; none\r\n",
    ],
)
def test_what_claims_to_be_ours_is_cut_out(claim: bytes) -> None:
    octets = b"Received: x\r\n" + claim + FROM + claim + BODY
    assert strip_foreign(octets, OURS) == b"Received: x\r\n" + FROM + BODY


@pytest.mark.parametrize(
    "kept",
    [
        b"Authentication-Results: mx.cabinet.mssante.example; auth=pass\r\n",
        b"Authentication-Results: mx.cabinet.mssante.example; auth=pass (by mx.ch-rivage.mssante.example)\r\n",
        b"Authentication-Results: mx.cabinet.mssante.example; auth=pass (never closed\r\n",
        b"Authentication-Results: relay; none\r\n",
        b"X-MSS-MES: FIN\r\n",
        b"X-Vague: x\r\n",
        b"Subject: x\r\n X-Vaguemestre-Security: y\r\n",
    ],
)
def test_what_others_say_of_themselves_stays(kept: bytes) -> None:
    octets = kept + FROM + BODY
    assert strip_foreign(octets, OURS) is octets


def test_hops_are_counted() -> None:
    assert count_hops(Message(b"Received: a\r\nRECEIVED:b\r\nX-Received: c\r\n\r\nReceived: d\r\n")) == 2


# --- field --------------------------------------------------------------------------------------------------
def test_fields_are_folded_between_words() -> None:
    folded = field("X", ["a" * 40, "b" * 40, "c"])
    assert folded == b"X: " + b"a" * 40 + b"\r\n " + b"b" * 40 + b" c\r\n"
    assert field("X", ["a" * 200]) == b"X: " + b"a" * 200 + b"\r\n"


@pytest.mark.parametrize("word", ["", "a\r\nb", "a\nb", "é", "a\x00", "a" * 999])
def test_words_that_may_not_stand_in_a_field(word: str) -> None:
    with pytest.raises(LocalProtocolError):
        field("X", [word])
