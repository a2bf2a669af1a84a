"""SASL exchanges: strict base64, one failure, nothing printed."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import reply
from core.errors import ReplyError
from mta.smtp import sasl
from mta.smtp.sasl import Challenge, Credentials, External, Login, Plain

ANNE = b"anne.test-rivage@ch-rivage.mssante.example"
GOOD = Credentials(ANNE.decode(), b"secret")


def encoded(message: bytes) -> bytes:
    return base64.b64encode(message)


def refusal(call: object, *arguments: object) -> reply.Reply:
    assert callable(call)
    with pytest.raises(ReplyError) as caught:
        call(*arguments)
    return caught.value.reply


@pytest.mark.parametrize("authzid", [b"", ANNE])
def test_plain_in_one_and_in_two_steps(authzid: bytes) -> None:
    message = encoded(authzid + b"\0" + ANNE + b"\0secret")
    assert Plain().begin(message) == GOOD
    assert Plain().begin(None) == Challenge(b"")
    assert Plain().answer(message) == GOOD


def test_an_empty_challenge_keeps_its_blank() -> None:
    assert Challenge(b"").wire() == b"334 \r\n"
    assert Challenge(b"VXNl").wire() == b"334 VXNl\r\n"


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"a",
        b"a\0b",
        b"\0a\0",
        b"\0\0b",
        b"x\0a\0b",
        b"\0a\0b\0c",
        b"\0\xff\0b",
        b"\0" + b"a" * 1025 + b"\0b",
    ],
)
def test_whatever_is_wrong_with_plain_reads_the_same(message: bytes) -> None:
    assert refusal(Plain().answer, encoded(message)) is reply.AUTHENTICATION_FAILED
    assert refusal(Plain().begin, encoded(message) or b"=") is reply.AUTHENTICATION_FAILED


def test_login_in_three_and_in_two_steps() -> None:
    for initial in (None, encoded(ANNE)):
        exchange = Login()
        step = exchange.begin(initial)
        assert step == (Challenge(b"UGFzc3dvcmQ6") if initial else Challenge(b"VXNlcm5hbWU6"))
        if initial is None:
            assert exchange.answer(encoded(ANNE)) == Challenge(b"UGFzc3dvcmQ6")
        assert exchange.answer(encoded(b"secret")) == GOOD


def test_login_without_a_name_or_a_password_fails() -> None:
    exchange = Login()
    assert exchange.begin(b"=") == Challenge(b"UGFzc3dvcmQ6")
    assert refusal(exchange.answer, encoded(b"secret")) is reply.AUTHENTICATION_FAILED
    exchange = Login()
    exchange.begin(encoded(ANNE))
    assert refusal(exchange.answer, b"") is reply.AUTHENTICATION_FAILED


@pytest.mark.parametrize("response", [b"!", b"AAA", b"AA=A", b"AAAA\t", b"AA==AA==", b" ", b"=", b"\xff"])
def test_base64_is_strict(response: bytes) -> None:
    assert refusal(sasl.decode, response) is reply.BAD_BASE64


def test_a_star_cancels() -> None:
    assert refusal(Login().answer, b"*") is reply.CANCELLED


def answer_to(exchange: Plain | Login, response: bytes) -> object:
    try:
        exchange.begin(response)
        return exchange.answer(response)
    except ReplyError as error:
        return error.reply.name


@given(st.binary(max_size=100))
def test_garbage_is_refused_and_never_raises_anything_else(response: bytes) -> None:
    for exchange in (Plain(), Login()):
        answer = answer_to(exchange, response)
        assert isinstance(answer, Credentials) or answer in (
            "BAD_BASE64",
            "CANCELLED",
            "AUTHENTICATION_FAILED",
        )


def test_response_lines() -> None:
    assert sasl.response_of(b"AAAA\r\n") == b"AAAA"
    assert sasl.response_of(b"A" * 12_286 + b"\r\n") == b"A" * 12_286
    assert refusal(sasl.response_of, b"A" * 12_287 + b"\r\n") is reply.LINE_TOO_LONG
    for line in (b"AAAA\n", b"AA\rAA\r\n", b"AA\0A\r\n", b"\n"):
        assert refusal(sasl.response_of, line) is reply.BARE_LINE_END


def test_external_names_an_identity_or_none() -> None:
    assert sasl.external(b"=") == External("")
    assert sasl.external(encoded(ANNE)) == External(ANNE.decode())
    for message in (b"a\0b", b"\xff", b"a" * 1025):
        assert refusal(sasl.external, encoded(message)) is reply.AUTHENTICATION_FAILED


def test_nothing_of_it_prints() -> None:
    text = repr(GOOD) + repr(External("anne")) + str(GOOD)
    assert "anne" not in text
    assert "secret" not in text
