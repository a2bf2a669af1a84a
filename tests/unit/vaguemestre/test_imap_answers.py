"""What other IMAP servers say, read as RFC 3501 lets them say it."""

from __future__ import annotations

import pytest

from vaguemestre.imap_source import RemoteFolder, Server, date_of, fetched, flags_of, listed_folders


def test_folders_of_every_writing() -> None:
    lines = [
        b'(\\HasNoChildren \\Sent) "." "INBOX.Envoy&AOk-s"',
        b'(\\Noselect) "." INBOX.Rien',
        b'(\\NonExistent) "." INBOX.Parti',
        b'(\\HasChildren) "." inbox',
        b'() "." {9}',
        bytearray(b'INBOX.a"b'),
        b"(\\Marked) NIL Seul",
        b'() "\\\\" "dessus\\\\dessous"',
        b"LIST completed",
    ]
    assert listed_folders(lines, b"INBOX.") == [
        RemoteFolder(b"inbox", "INBOX", ""),
        RemoteFolder(b"INBOX.Envoy&AOk-s", "Envoyés", "\\Sent"),
        RemoteFolder(b"Seul", "Seul", ""),
        RemoteFolder(b'INBOX.a"b', 'a"b', ""),
        RemoteFolder(b"dessus\\dessous", "dessus/dessous", ""),
    ]


@pytest.mark.parametrize("wire", [b"a/b", b"a..b", b"&&&", b"\xff\xfe"])
def test_names_that_cannot_be_folders(wire: bytes) -> None:
    (folder,) = listed_folders([b'() "." "' + wire + b'"'])
    assert folder.name is None


def test_a_letter_and_the_news_of_others() -> None:
    lines = [
        b"3 FETCH (UID 7 FLAGS (\\Seen \\Recent $x) BODY[] {2}",
        bytearray(b"ok"),
        b")",
        b"FETCH completed",
    ]
    octets, told = fetched(lines, 7)
    assert octets == b"ok"
    assert flags_of(told) == {"\\Seen", "$x"}
    assert fetched(lines, 8) == (None, b"")
    assert fetched([b"FETCH completed"], 7) == (None, b"")
    assert flags_of(b"") == frozenset()


def test_dates() -> None:
    assert date_of(b'INTERNALDATE " 2-Mar-2026 09:00:00 +0100"') == 1_772_438_400
    assert date_of(b'INTERNALDATE "hier"') == 0
    assert date_of(b"") == 0


def test_a_server_does_not_print_its_password() -> None:
    server = Server(host="imap.mssante.example", port=993, user="louise", password="houle-grise")
    assert repr(server) == "Server(imap.mssante.example:993)"
