"""Invariant: in a header that the door takes, no other reader finds an author whom we did not find.

The other readers are the two of the standard library, which the product itself never asks. They are lenient and
differ from each other: what they see in a text that we take must be a part of what we see.
"""

import contextlib
import email
import email.policy
import email.utils

from hypothesis import given, settings
from hypothesis import strategies as st

from core.message import HeaderMalformed, check_header

PIECES = [
    *(b"a@b.example", b"c@d.example", b"<a@b.example>", b"<c@d.example>"),
    *(b"<", b">", b"(", b")", b'"', b",", b":", b";"),
    *(b" ", b"\t", b"\\", b"x", b"Anne", b"\r\n ", b"\r\n \r\n ", b"@", b".", b"[", b"]", b"'", b"="),
    *(b"=?utf-8?q?a=40b.example?=", b"=?utf-8?q?a=40b.example=3E=00?=", b"=?utf-7?q?a&AEA-evil&ACw-?=", b"\x00"),
    *(b"\r\nFrom: c@d.example", b"\r\nFrom : c@d.example", b"\r\nX", b"%", b"!", b"\r", b"\n", b'"a@b.example"'),
]  # fmt: skip


def others(octets: bytes) -> set[str]:
    """Every address that a reader of the standard library finds in any From field."""
    lenient = email.message_from_bytes(octets)
    values = [str(value).replace("\r\n", "") for value in lenient.get_all("From") or []]
    found = {address for _, address in email.utils.getaddresses(values)}
    with contextlib.suppress(AttributeError):  # it fails on a name that ends with a dot, and sees nobody
        for field in email.message_from_bytes(octets, policy=email.policy.default).get_all("From") or []:
            found |= {address.addr_spec for address in field.addresses}
    return {address.lower() for address in found if "@" in address}


@settings(deadline=None)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=9))
def test_no_other_reader_sees_another_author(pieces: list[bytes]) -> None:
    octets = b"From: " + b"".join(pieces) + b"\r\nTo: z@z.example\r\n\r\nFrom: body@z.example\r\n"
    try:
        ours = check_header(octets)
    except HeaderMalformed:
        return
    assert others(octets) <= {mailbox.canonical for mailbox in ours.from_mailboxes}
