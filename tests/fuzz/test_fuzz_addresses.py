"""Invariant: an address list is read to mailboxes that read back alike, or refused as a whole; so is one address."""

from hypothesis import given

from core.address import AddressInvalid, Domain, Mailbox, mailboxes_of
from core.testing.near_valid import near_valid

LISTS = [
    b"Anne TEST-RIVAGE <anne.test-rivage@ch-rivage.mssante.example>, paul@cabinet.mssante.example",
    b'"TEST, Anne" (comment) <a@b.example>, groupe: c@d.example, <e@f.example>;', b"undisclosed-recipients:;",
    b"=?utf-8?q?Zo=C3=A9?= <a@b.example>\r\n , x@y.example", "Zoé <zoé@été.example>".encode(),
    b'"a\\"b"@x.example, (c (d)) e@f.example', b"a@[192.0.2.1]",
]  # fmt: skip
PIECES = [
    b"<", b">", b"(", b")", b'"', b",", b";", b":", b"@", b"\\", b".", b"..", b"\r\n ", b"\x00", b"\xff", b"\xc3\xa9",
    b"=?utf-8?q?=40?=", b"xn--", b"-", b" ", b"(" * 20, b"\xe2\x80\xae", b"a@b.example", b"[", b"]", b"%", b"!",
]  # fmt: skip


def reads_back(mailbox: Mailbox) -> None:
    again = Mailbox.parse(str(mailbox))
    assert again == mailbox
    assert again.canonical == mailbox.canonical
    assert Domain.parse(mailbox.domain.ascii) == mailbox.domain
    assert not any(character.isspace() and character != " " for character in str(mailbox))
    assert len(str(mailbox).encode()) <= 600


@given(near_valid(LISTS, PIECES))
def test_lists(body: bytes) -> None:
    try:
        found = mailboxes_of(body)
    except AddressInvalid:
        return
    assert len(found) <= body.count(b"@")
    for named in found:
        reads_back(named.mailbox)
    alone = b", ".join(b"<%s>" % str(named.mailbox).encode() for named in found)
    assert [n.mailbox for n in mailboxes_of(alone)] == [n.mailbox for n in found]


@given(
    near_valid(
        [b"anne.test-rivage@ch-rivage.mssante.example", "zoé@été.example".encode(), b'"a b"@c.example'],
        PIECES,
    )
)
def test_one(octets: bytes) -> None:
    try:
        mailbox = Mailbox.parse(octets.decode("utf-8", "replace"))
    except AddressInvalid:
        return
    reads_back(mailbox)
