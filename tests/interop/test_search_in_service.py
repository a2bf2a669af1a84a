"""The secret index in a serving process: what a client of the standard library finds, before and after a removal."""

from __future__ import annotations

import imaplib

from vaguemestre.demo.cast import EHPAD
from vaguemestre.demo.mail_clients import trusting
from vaguemestre.demo.space import OperatorProcess, Space


def test_a_client_finds_what_people_read(space: Space, hospital: OperatorProcess) -> None:
    client = imaplib.IMAP4_SSL(
        "127.0.0.1", hospital.ports["imaps"], ssl_context=trusting(space.ca), timeout=30
    )
    try:
        client.login(EHPAD.address, space.password_of(EHPAD))
        client.create("Recherche")
        for text in ("=C3=A9paule gauche", "=C3=89PAULE droite", "genou"):
            letter = f"Subject: x\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{text}\r\n"
            assert client.append("Recherche", "", "", letter.encode())[0] == "OK"
        client.select("Recherche")

        def found(*keys: str) -> list[int]:
            return [int(word) for word in client.uid("search", *keys)[1][0].split()]

        assert found("TEXT", "epaule") == [1, 2]
        assert found("TEXT", '"paule d"') == [2]
        assert found("NOT", "BODY", "paul", "SUBJECT", "x") == [3]
        client.uid("store", "1", "+FLAGS.SILENT", "(\\Deleted)")
        client.expunge()
        assert found("OR", "BODY", "epaule", "BODY", "GENOU") == [2, 3]
    finally:
        client.logout()
