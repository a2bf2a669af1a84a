"""The watch under strace against two tiny servers: one that syncs before its 250, one that says 250 first."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.durability import Durability, watch_letters
from bench.ground import make_certificate
from bench.keeper import Keeper
from bench.servers import Account, Running, Variant, free_ports, wait_for_ports

SERVER = """
import os, socket, ssl, sys
port, certificate, key, spool, honest = int(sys.argv[1]), *sys.argv[2:5], sys.argv[5] == "honest"
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); context.load_cert_chain(certificate, key)
listener = socket.create_server(("127.0.0.1", port))
while True:
    plain, _ = listener.accept()
    try: connection = context.wrap_socket(plain, server_side=True)
    except OSError: continue
    connection.sendall(b"220 tiny\\r\\n"); lines = connection.makefile("rb")
    while (line := lines.readline()):
        if line.startswith(b"AUTH"): connection.sendall(b"235 yes\\r\\n")
        elif line.startswith(b"QUIT"): connection.sendall(b"221 bye\\r\\n"); break
        elif not line.startswith(b"DATA"): connection.sendall(b"250 yes\\r\\n")
        else:
            connection.sendall(b"354 go\\r\\n"); letter = b""
            while (line := lines.readline()) != b".\\r\\n": letter += line
            file = os.open(spool, os.O_WRONLY | os.O_CREAT | os.O_APPEND); os.write(file, letter)
            if honest: os.fsync(file)
            connection.sendall(b"250 kept\\r\\n")
            if not honest: os.fsync(file)
            os.close(file)
"""
BOX = Account(address="poste-01@ch-rivage.mssante.example", login="poste-01", password="p")


def watched(folder: Path, manner: str) -> Durability:
    tls = make_certificate(folder)
    (port,) = free_ports(1)
    keeper = Keeper(
        [
            sys.executable,
            "-c",
            SERVER,
            str(port),
            str(tls.certificate),
            str(tls.key),
            str(folder / "spool"),
            manner,
        ],
        log=folder / "log",
    )
    server = Running(
        name=manner, submissions=port, imaps=port, keepers=(keeper,), authority=tls.authority,
        variants=(Variant(name="tiny", senders=(BOX,), reader=BOX),),
    )  # fmt: skip
    try:
        wait_for_ports([keeper], [port])
        return watch_letters(server, folder / "strace", letters=2)
    finally:
        keeper.stop()


@pytest.mark.parametrize(("manner", "holds"), [("honest", True), ("hasty", False)])
def test_a_server_is_seen_to_sync_before_or_after_it_acknowledges(
    tmp_path: Path, manner: str, holds: bool
) -> None:
    found = watched(tmp_path, manner)
    assert [letter.holds for letter in found.letters] == [holds, holds]
    assert found.holds is holds
    assert found.blind_calls == 0
    names = [Path(file.path).name for letter in found.letters for file in letter.synced]
    assert names == (["spool", "spool"] if holds else [])
