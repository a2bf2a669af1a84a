"""One address parser: what it takes, what it refuses, and that it never sees two mailboxes in one text."""

import unicodedata

import idna
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.address import (
    MAX_HEADER_MAILBOXES,
    AddressInvalid,
    Domain,
    Mailbox,
    mailboxes_of,
    parse_local_part,
)

GOOD = "anne.test-rivage@ch-rivage.mssante.example"


# --- domains ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "ascii_form"),
    [
        ("ch-rivage.mssante.example", "ch-rivage.mssante.example"),
        ("CH-Rivage.MSSante.EXAMPLE", "ch-rivage.mssante.example"),
        ("ch-rivage.mssante.example.", "ch-rivage.mssante.example"),
        ("é.example", "xn--9ca.example"),
        ("É.example", "xn--9ca.example"),
        ("e\u0301.example", "xn--9ca.example"),
        ("XN--9CA.example", "xn--9ca.example"),
        ("hôpital-été.example", "xn--hpital-t-h1ab6i.example"),
        ("r3---sn.example", "r3---sn.example"),
        ("日本.example", "xn--wgv71a.example"),
    ],
)
def test_a_domain_has_one_form(text: str, ascii_form: str) -> None:
    assert Domain.parse(text).ascii == ascii_form
    assert str(Domain.parse(text)) == ascii_form


def test_the_unicode_form_is_for_people() -> None:
    assert Domain.parse("xn--9ca.Mssante.example").unicode == "é.mssante.example"


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "..", "example", "-a.example", "a-.example", "a..example", ".a.example", "a.example.."),
        *("a_b.example", "a b.example", " a.example", "a.example ", "a.example\n", "a\x00.example"),
        *("127.0.0.1", "[127.0.0.1]", "a.example.1", "[IPv6:::1]"),
        *("a\u3002example.example\u3002fr", "a\uff0eexample", "a\uff61example"),
        *("stra\u00dfe.example", "\u03c2.example", "a\u200db.example", "a\u00adb.example", "\u0301e.example"),
        *("a\u2010b.example", "a\u2013b.example", "a\u3164b.example", "a\u115fb.example", "a\ufe0fb.example"),
        *("é-.example", "-é.example", "ab--é.example", "\u05d0.example", "a\u05d0.example", "ﬁ.example"),
        *("xn--.example", "xn--abc-.example", "xn--a.example", "xn--é.example", "xn--99999999999.example"),
        *("xn--strae-oqa.example", "xn--xn---epa.example", "xn---.example", "xn--a-ecp.example"),
        *("a" * 64 + ".example", "é" * 60 + ".example", ".".join(["a" * 60] * 5), "x" * 100_000),
    ],
)
def test_what_is_no_domain_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(AddressInvalid) as refused:
        Domain.parse(text)
    assert len(text) < 3 or text not in str(refused.value)


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x2FFFF), min_size=1, max_size=12))
@example("\u212a")
@example("K")
def test_what_we_take_is_what_idna_2008_takes(label: str) -> None:
    try:
        domain = Domain.parse(f"{label}.example")
    except AddressInvalid:
        return
    normal = unicodedata.normalize("NFC", unicodedata.normalize("NFC", label).lower())
    for part, ours in zip(f"{normal}.example".split("."), domain.ascii.split("."), strict=True):
        # RFC 5890 §2.3.1: what is all ASCII is a plain host name label, which the library may call reserved
        assert ours == (part if part.isascii() else idna.encode(part).decode())
    assert Domain.parse(domain.unicode) == domain
    assert Domain.parse(domain.ascii) == domain


# --- mailboxes ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "written"),
    [
        (GOOD, GOOD),
        ("Anne.Test@CABINET.mssante.example", "Anne.Test@cabinet.mssante.example"),
        ('"anne.test"@cabinet.mssante.example', "anne.test@cabinet.mssante.example"),
        ('"a\\n\\ne"@cabinet.mssante.example', "anne@cabinet.mssante.example"),
        ('"a..b"@cabinet.mssante.example', '"a..b"@cabinet.mssante.example'),
        ('"a\\.\\.b"@cabinet.mssante.example', '"a..b"@cabinet.mssante.example'),
        ('"a\\"b"@cabinet.mssante.example', '"a\\"b"@cabinet.mssante.example'),
        ("258042a00400078@patient.mssante.example", "258042a00400078@patient.mssante.example"),
        ("srs0=ab=cd+x/y@cabinet.mssante.example", "srs0=ab=cd+x/y@cabinet.mssante.example"),
        ("hélène@é.example", "hélène@xn--9ca.example"),
        ("a" * 64 + "@cabinet.mssante.example", "a" * 64 + "@cabinet.mssante.example"),
    ],
)
def test_a_mailbox_has_one_form(text: str, written: str) -> None:
    assert str(Mailbox.parse(text)) == written


def test_equality_is_of_the_canonical_form() -> None:
    composed, decomposed = (
        Mailbox.parse("Hélène@é.example"),
        Mailbox.parse("he\u0301le\u0300ne@XN--9CA.example"),
    )
    assert composed == decomposed
    assert hash(composed) == hash(decomposed)
    assert composed.canonical == "hélène@xn--9ca.example"
    assert composed.needs_smtputf8
    assert not Mailbox.parse(GOOD).needs_smtputf8
    assert Mailbox.parse(GOOD) != GOOD
    assert Mailbox.parse("paul.test-dune@cabinet.mssante.example") != Mailbox.parse(
        "paule.test-dune@cabinet.mssante.example"
    )


def test_a_mailbox_does_not_print_its_local_part() -> None:
    assert "test" not in repr(Mailbox.parse(GOOD))


HOSTILE = [
    *("", "@", "a@", "@b.example", "a", "a@b", "a@b.example.", "a@@b.example", "a@b@c.example"),
    *(" a@b.example", "a@b.example ", "a @b.example", "a@ b.example", "a\t@b.example", "a@b.example\r\n"),
    *(".a@b.example", "a.@b.example", "a..b@b.example", '""@b.example', '"a"b@b.example', '"a@b.example'),
    # quoted local parts that hold an @, blanks, controls
    *(
        '"a@good.example"@evil.example',
        '"a\\@good.example"@evil.example',
        '"a b"@b.example',
        '"a\x01"@b.example',
    ),
    # routes, in all their forms
    *(
        "@a.example:b@c.example",
        "<a@b.example>",
        "a%good.example@evil.example",
        "good.example!a@evil.example",
    ),
    *('"a%b.example"@c.example', '"a\\!b"@c.example', "@a.example,@b.example:c@d.example"),
    # comments
    *("a(x)@b.example", "a@b.example(x)", "(x)a@b.example", "a@(x)b.example"),
    # encoded words in an addr-spec
    *("=?utf-8?q?a=40evil.example=3e=00?=foo@good.example", "=?x?q?a?=@good.example"),
    *("=?utf-7?q?a&AEA-evil&ACw-?=foo@good.example", '"=?utf-8?b?YQ==?="@good.example'),
    # controls, blanks and look-alikes outside ASCII
    *("a\x00@b.example", "a\x7f@b.example", "a\x85@b.example", "a\u00a0b@b.example", "a\u200b@b.example"),
    *(
        "a\u202eb@b.example",
        "a\u2028b@b.example",
        "a\ufeff@b.example",
        "\udcff@b.example",
        "a\uff20b@c.example",
    ),
    *("a\u0140evil@good.example", "\u212aelvin@good.example", "\u0301a@good.example", "a\u3164@good.example"),
    *("a\ufe6bb@good.example", "a€@good.example", "ﬁ@good.example"),
    # sizes
    *("a" * 65 + "@b.example", "é" * 33 + "@b.example", "a@" + "b" * 60 + ".example" * 30, "a" * 1_000_000),
    *("a@127.0.0.1", "a@[127.0.0.1]", "a@[IPv6:::1]", "a@stra\u00dfe.example", "postmaster"),
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:40])
def test_the_hostile_are_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(AddressInvalid) as refused:
        Mailbox.parse(text)
    assert len(text) < 4 or text not in str(refused.value)


@settings(max_examples=400, deadline=None)
@given(st.text(st.sampled_from('aA.1"\\@%! ()<>,:;=?éß\u212a\u0301\u0140\x00-'), max_size=12))
def test_a_mailbox_that_exists_reads_back_as_itself_everywhere(local_part: str) -> None:
    text = f"{local_part}@cabinet.mssante.example"
    try:
        mailbox = Mailbox.parse(text)
    except AddressInvalid:
        # Blanks beside the angle brackets belong to the field, not to the address; nothing else is forgiven.
        if text == text.strip():
            with pytest.raises(AddressInvalid):
                mailboxes_of(f"<{text}>".encode())
        return
    again = Mailbox.parse(str(mailbox))
    assert (again, str(again)) == (mailbox, str(mailbox))
    assert Mailbox.parse(mailbox.canonical) == mailbox
    assert Mailbox.parse(mailbox.canonical).canonical == mailbox.canonical
    assert parse_local_part(mailbox.local_part) == mailbox.local_part
    for header in (str(mailbox), f"<{mailbox}>", f"Anne <{mailbox}>", f'"x" <{mailbox}>', f"x: {mailbox};"):
        assert [named.mailbox for named in mailboxes_of(header.encode())] == [mailbox]


# --- header fields ------------------------------------------------------------------------------------------
B = "b@cabinet.mssante.example"


@pytest.mark.parametrize(
    ("body", "count", "name"),
    [
        (b"b@cabinet.mssante.example", 1, b""),
        (b" <b@cabinet.mssante.example>\r\n", 1, b""),
        (b"< b@cabinet.mssante.example >", 1, b""),
        (b"Paul\r\n TEST-DUNE <b@cabinet.mssante.example>", 1, b"Paul TEST-DUNE"),
        (b'"Dune, Paul" <b@cabinet.mssante.example> (Dr)', 1, b'"Dune, Paul"'),
        (b"b@cabinet.mssante.example (Paul (Dr\\)) TEST)", 1, b""),
        (b"(x) b@cabinet.mssante.example", 1, b""),
        (b"b@cabinet.mssante.example <b@Cabinet.mssante.example>", 1, b"b@cabinet.mssante.example"),
        (b"=?utf-8?q?Zo=C3=A9?= <b@cabinet.mssante.example>", 1, b"=?utf-8?q?Zo=C3=A9?="),
        (b'"a@b.example" <b@cabinet.mssante.example>', 1, b'"a@b.example"'),
        (b"b@cabinet.mssante.example,, b@cabinet.mssante.example,", 2, b""),
        (
            b"team: b@cabinet.mssante.example, <b@cabinet.mssante.example>; , b@cabinet.mssante.example",
            3,
            b"",
        ),
        (b"undisclosed-recipients:;", 0, b""),
        (b"", 0, b""),
        (b" (nobody) ", 0, b""),
    ],
)
def test_address_lists_are_read(body: bytes, count: int, name: bytes) -> None:
    named = mailboxes_of(body)
    assert [entry.mailbox for entry in named] == [Mailbox.parse(B)] * count
    assert not named or named[0].display_name == name


@pytest.mark.parametrize(
    "body",
    [
        # CVE-2023-27043 and its family
        b"alice@good.example(<bob@evil.example>",
        b"alice@good.example)<bob@evil.example>",
        b"alice@good.example<bob@evil.example>",
        b"alice@good.example <bob@evil.example>",
        b"<alice@good.example> <bob@evil.example>",
        b"<alice@good.example>bob@evil.example",
        b"<alice@good.example,bob@evil.example>",
        b"alice@good.example bob@evil.example",
        b"<<alice@good.example>>",
        b"alice@good.example>",
        b"Alice <alice@good.example",
        b"Alice <>",
        b"Alice",
        b"<@good.example:bob@evil.example>",
        b"<@a.example,@b.example:bob@evil.example>",
        b"@good.example:bob@evil.example",
        b"alice@good.example:bob@evil.example;",
        b"<alice(x)@good.example>",
        b"<(x)alice@good.example>",
        b"<alice@good.example(x)>",
        b"<alice @good.example>",
        b"alice(x)@good.example",
        b"alice@(x)good.example",
        b'"alice@good.example"@evil.example',
        b'<"alice@good.example> "@evil.example>',
        b'"alice@good.example',
        # names and comments in which another reader found another address
        b"alice@good.example x <alice@good.example>",
        b"x alice@good.example <alice@good.example>",
        b"alice[ <bob@evil.example>",
        b"alice] <bob@evil.example>",
        b"alice\\ <bob@evil.example>",
        b".alice <bob@evil.example>",
        b"bob@evil.example (alice@good.example)",
        b"bob@evil.example (\r\n \r\n <alice')",
        b"group: alice@good.example",
        b"a: b: alice@good.example;;",
        b"alice@good.example;",
        b"(" * 17 + b")" * 17 + b"alice@good.example",
        b"(\\",
        b"=?utf-8?b?YWxpY2VAZ29vZC5leGFtcGxl?=@evil.example",
        b"<alice@good.example\x00>",
        b"<alice@good.example\x00@evil.example>",
        b"<al\xe9@good.example>",
        b",".join([b"alice@good.example"] * (MAX_HEADER_MAILBOXES + 1)),
    ],
    ids=lambda body: ascii(body)[:48],
)
def test_lists_with_two_readings_are_refused_whole(body: bytes) -> None:
    with pytest.raises(AddressInvalid):
        mailboxes_of(body)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from([b"a@b.example", b"<", b">", b"(", b")", b'"', b",", b":", b";", b" ", b"\\", b"x"])
    )
)
def test_a_mailbox_that_is_read_stands_in_the_text_as_it_is(pieces: list[bytes]) -> None:
    body = b"".join(pieces)
    try:
        named = mailboxes_of(body)
    except AddressInvalid:
        return
    assert all(str(entry.mailbox).encode() in body for entry in named)
    assert len(named) <= body.count(b"@")
