"""Invariant: any line is a command or a row of the reply table, never an error, and a command says it again alike."""

from hypothesis import example, given
from hypothesis import strategies as st

from core.address import Mailbox
from core.reply import TABLE, Reply
from core.testing.near_valid import near_valid
from mta.smtp import commands, grammar
from mta.smtp.commands import Mail, Rcpt, parse
from mta.smtp.letter import xtext

LINES = [
    b"EHLO poste.ch-rivage.mssante.example\r\n", b"HELO [192.0.2.1]\r\n", b"EHLO [IPv6:2001:db8::1]\r\n",
    b"MAIL FROM:<anne.test-rivage@ch-rivage.mssante.example> SIZE=1000 BODY=8BITMIME SMTPUTF8 RET=HDRS "
    b"ENVID=QQ+2B1 AUTH=<>\r\n",
    b"MAIL FROM:<>\r\n", b'MAIL FROM:<"a b"@x.example>\r\n', b"mail from: <@a,@b:c@d.example>\r\n",
    b"RCPT TO:<paul.test-dune@cabinet.mssante.example> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;p+2Bx@y\r\n",
    "RCPT TO:<zoé@été.example> ORCPT=utf-8;zo\\x{E9}@x\r\n".encode(), b"RCPT TO:<Postmaster>\r\n",
    b"DATA\r\n", b"RSET\r\n", b"NOOP x\r\n", b"QUIT\r\n", b"STARTTLS\r\n", b"VRFY x\r\n", b"HELP\r\n",
    b"AUTH PLAIN AGEAYg==\r\n", b"AUTH LOGIN\r\n", b"AUTH PLAIN =\r\n",
]  # fmt: skip
PIECES = [
    b"<", b">", b"@", b":", b";", b",", b"=", b"+", b"+0A", b"+00", b"+2B", b"\r", b"\n", b"\r\n", b"\x00", b"\x7f",
    b" ", b"\t", b'"', b"\\", b"[", b"]", b".", b"..", b"\xc3\xa9", b"\xff", b"\xe2\x80\xae", b"xn--", b"SIZE=",
    b" NOTIFY=NEVER", b" BODY=", b"A" * 600, b"%", b"!", b"NOTIFY=NEVER,SUCCESS",
]  # fmt: skip
POSTMASTER = Mailbox.parse("postmaster@ch-rivage.mssante.example")


@given(near_valid(LINES, PIECES))
@example(b"")
@example(b"\r\n")
def test_any_line_is_a_command_or_a_reply(line: bytes) -> None:
    found = parse(line, postmaster=POSTMASTER)
    if isinstance(found, Reply):
        assert TABLE[found.name] is found
        return
    assert line.endswith(b"\r\n")
    assert not set(line[:-2]) & {0, 10, 13}
    assert len(line) <= commands.MAX_AUTH_LINE
    if isinstance(found, Mail):
        assert found.envelope_id.isprintable() or not found.envelope_id
        assert found.envelope_id.isascii()
        again = parse(b"MAIL FROM:<%s> SMTPUTF8\r\n" % str(found.reverse_path).encode())
        assert isinstance(again, Mail)
        assert again.reverse_path == found.reverse_path
    if isinstance(found, Rcpt):
        assert "\n" not in found.path.original_recipient
        again_to = parse(b"RCPT TO:<%s>\r\n" % str(found.path.mailbox).encode(), postmaster=POSTMASTER)
        assert isinstance(again_to, Rcpt)
        assert again_to.path.mailbox == found.path.mailbox


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60))
def test_xtext_gives_back_what_it_was_given(text: str) -> None:
    assert grammar.xtext(xtext(text).decode("ascii")) == text


@given(near_valid([b"QQ314159", b"+41+42", b"rfc822;a+2Bb@c"], PIECES))
def test_xtext_is_printable_ascii_or_refused(octets: bytes) -> None:
    text = octets.decode("utf-8", "replace")
    for read in (grammar.xtext, grammar.envelope_id, grammar.original_recipient):
        try:
            decoded = read(text)
        except grammar.ReplyError:
            continue
        assert not any(character < " " or character == "\x7f" for character in decoded)
