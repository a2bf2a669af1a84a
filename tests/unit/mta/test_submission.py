"""What is added to a submitted letter, octet by octet, and that nothing else is touched."""

from datetime import UTC, datetime

import pytest

from core.address import Domain
from core.errors import LocalProtocolError
from mta.submission import complete

NOW = datetime(2025, 11, 14, 8, 12, 0, tzinfo=UTC)
DOMAIN = Domain.parse("ch-rivage.mssante.example")
DATE = b"Date: Fri, 14 Nov 2025 08:12:00 +0000\r\n"
MESSAGE_ID = b"Message-ID: <01J0@ch-rivage.mssante.example>\r\n"
FROM = b"From: anne.test-rivage@ch-rivage.mssante.example\r\n"
SIGNED = (
    b'Content-Type: multipart/signed; boundary="b";\r\n\tmicalg=sha-256\r\n\r\n'
    b"--b\r\nBcc: inside@cabinet.mssante.example\r\n\r\ntrailing blanks \t \r\n\xff\xfe odd octets\r\n"
    b"--b--\r\n\r\n\r\n"
)


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (FROM + SIGNED, DATE + MESSAGE_ID + FROM + SIGNED),
        (b"date: x\r\n" + FROM + SIGNED, MESSAGE_ID + b"date: x\r\n" + FROM + SIGNED),
        (b"MESSAGE-ID:\r\n <x>\r\n" + FROM + SIGNED, DATE + b"MESSAGE-ID:\r\n <x>\r\n" + FROM + SIGNED),
        (DATE + MESSAGE_ID + FROM + SIGNED, DATE + MESSAGE_ID + FROM + SIGNED),
        (
            DATE + b"Bcc: a@b.example,\r\n c@d.example\r\n" + MESSAGE_ID + b"BCC:\r\nresent-bcc : x\r\n" + FROM
            + SIGNED,
            DATE + MESSAGE_ID + FROM + SIGNED,
        ),
        (DATE + MESSAGE_ID + b"X-Bcc: kept\r\n" + FROM, DATE + MESSAGE_ID + b"X-Bcc: kept\r\n" + FROM),
        (b"\r\nbody", DATE + MESSAGE_ID + b"\r\nbody"),
        (b"Bcc: a@b.example\r\n\r\nDate: body\r\n", DATE + MESSAGE_ID + b"\r\nDate: body\r\n"),
        (b"", DATE + MESSAGE_ID),
    ],
)  # fmt: skip
def test_only_what_is_missing_is_added_and_only_bcc_removed(octets: bytes, expected: bytes) -> None:
    done = complete(octets, now=NOW, message_id_domain=DOMAIN, spool_id="01J0")
    assert done == expected
    assert complete(done, now=NOW, message_id_domain=DOMAIN, spool_id="other") == done


@pytest.mark.parametrize("spool_id", ["", "a b", "a>\r\nBcc: x", "é", ".a", "a..b", "a@b"])
def test_a_spool_id_that_cannot_stand_in_a_message_id(spool_id: str) -> None:
    with pytest.raises(LocalProtocolError):
        complete(FROM, now=NOW, message_id_domain=DOMAIN, spool_id=spool_id)
