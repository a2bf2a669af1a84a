"""Command lines become values or replies; nothing else, whatever comes."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core import reply
from core.address import Mailbox
from core.envelope import NULL_REVERSE_PATH, ForwardPath, Notify, Return
from mta.smtp import commands
from mta.smtp.commands import (
    Auth,
    Data,
    Ehlo,
    Expn,
    Helo,
    Help,
    Mail,
    Noop,
    Quit,
    Rcpt,
    Rset,
    StartTls,
    Vrfy,
    parse,
)

ANNE = Mailbox.parse("anne.test-rivage@ch-rivage.mssante.example")
PAUL = Mailbox.parse("paul.test-dune@cabinet.mssante.example")


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"EHLO poste.example\r\n", Ehlo("poste.example")),
        (b"ehlo  poste.example \r\n", Ehlo("poste.example")),
        (b"HELO [192.0.2.1]\r\n", Helo("[192.0.2.1]")),
        (b"MAIL FROM:<>\r\n", Mail(reverse_path=NULL_REVERSE_PATH)),
        (b"mail from: <anne.test-rivage@ch-rivage.mssante.example> \r\n", Mail(reverse_path=ANNE)),
        (
            b"MAIL FROM:<anne.test-rivage@ch-rivage.mssante.example> SIZE=7 BODY=8bitmime RET=full ENVID=a+2Bb"
            b" SMTPUTF8 AUTH=<>\r\n",
            Mail(
                reverse_path=ANNE,
                declared_size=7,
                body_8bit=True,
                smtputf8=True,
                ret=Return.FULL,
                envelope_id="a+b",
                has_parameters=True,
                has_authorised_originator=True,
            ),
        ),
        (
            b"MAIL FROM:<> BODY=7BIT AUTH=e+3Dmc2@x.example\r\n",
            Mail(reverse_path=NULL_REVERSE_PATH, has_parameters=True, has_authorised_originator=True),
        ),
        (b"RCPT TO:<paul.test-dune@cabinet.mssante.example>\r\n", Rcpt(path=ForwardPath(PAUL))),
        (
            b"RCPT TO:<paul.test-dune@cabinet.mssante.example> NOTIFY=NEVER ORCPT=rfc822;x\r\n",
            Rcpt(path=ForwardPath(PAUL, Notify.NEVER, "rfc822;x"), has_parameters=True),
        ),
        (b"DATA\r\n", Data()),
        (b"STARTTLS\r\n", StartTls()),
        (b"AUTH PLAIN\r\n", Auth(mechanism="PLAIN")),
        (b"auth plain =\r\n", Auth(mechanism="PLAIN", initial_response=b"=")),
        (b"RSET \r\n", Rset()),
        (b"NOOP a b c\r\n", Noop()),
        (b"QUIT\r\n", Quit()),
        (b"VRFY x\r\n", Vrfy()),
        (b"EXPN x\r\n", Expn()),
        (b"HELP\r\n", Help()),
    ],
)
def test_lines_that_are_commands(line: bytes, command: commands.Command) -> None:
    assert parse(line) == command


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (b"\r\n", reply.UNKNOWN_COMMAND),
        (b" NOOP\r\n", reply.UNKNOWN_COMMAND),
        (b"BDAT 5 LAST\r\n", reply.UNKNOWN_COMMAND),
        (b"X" * 511 + b"\r\n", reply.LINE_TOO_LONG),
        (b"NOOP\n", reply.BARE_LINE_END),
        (b"DATA x\r\n", reply.SYNTAX),
        (b"VRFY\r\n", reply.SYNTAX),
        (b"MAIL FROM:anne@b.example\r\n", reply.BAD_ORIGINATOR_SYNTAX),
        (b"RCPT TO:anne@b.example\r\n", reply.BAD_MAILBOX_SYNTAX),
        (b"RCPT FROM:<a@b.example>\r\n", reply.SYNTAX),
        (b"MAIL FROM:<@a.example,@b.example:c@d.example>\r\n", reply.BAD_ORIGINATOR_SYNTAX),
        ("MAIL FROM:<é@b.example>\r\n".encode(), reply.NEEDS_SMTPUTF8),
        ("MAIL FROM:<a@é.example>\r\n".encode(), reply.NEEDS_SMTPUTF8),
        (b"MAIL FROM:<> SMTPUTF8=1\r\n", reply.SYNTAX),
        (b"MAIL FROM:<> AUTH=a=b\r\n", reply.SYNTAX),
        (b"MAIL FROM:<> AUTH=+\r\n", reply.SYNTAX),
        (b"MAIL FROM:<> FOO=1\r\n", reply.UNKNOWN_PARAMETER),
        (b"RCPT TO:<a@b.example> FOO\r\n", reply.UNKNOWN_PARAMETER),
        ("AUTH PLAIN é\r\n".encode(), reply.SYNTAX),
        (b"AUTH\r\n", reply.SYNTAX),
    ],
)
def test_lines_that_are_refused(line: bytes, answer: reply.Reply) -> None:
    assert parse(line) is answer


@pytest.mark.parametrize(
    ("start", "longest"),
    [
        (b"NOOP ", 512),
        (b"MAIL FROM:<> ENVID=", 1165),
        (b"RCPT TO:<a@b.example> X=", 1022),
        (b"AUTH PLAIN ", 12_288),
        (b"VRFY ", 522),
    ],
)
def test_each_command_has_its_length(start: bytes, longest: int) -> None:
    assert parse(start + b"x" * (longest - len(start) - 2) + b"\r\n") is not reply.LINE_TOO_LONG
    assert parse(start + b"x" * (longest - len(start) - 1) + b"\r\n") is reply.LINE_TOO_LONG


def test_utf8_recipients_are_marked_for_the_conversation_to_judge() -> None:
    command = parse("RCPT TO:<rené@b.example>\r\n".encode())
    assert isinstance(command, Rcpt)
    assert command.needs_smtputf8


def test_credentials_do_not_print() -> None:
    assert "c2VjcmV0" not in repr(parse(b"AUTH PLAIN c2VjcmV0\r\n"))


@given(st.binary(max_size=600))
@example(b"MAIL FROM:<" + b'"' * 500)
@example(b"RCPT TO:<a@b.example> " + b"A=" * 200 + b"\r\n")
def test_garbage_is_refused_and_never_raises(octets: bytes) -> None:
    assert isinstance(parse(octets), reply.Reply | commands.Command)


@given(st.sampled_from(sorted(commands.VERBS)), st.text(max_size=200))
def test_garbage_after_a_verb_is_refused_and_never_raises(verb: str, rest: str) -> None:
    said = parse(f"{verb} {rest}\r\n".encode("utf-8", "replace"))
    assert isinstance(said, reply.Reply) or verb == said.VERB
