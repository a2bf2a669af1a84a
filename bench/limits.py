"""The physical limits of this minute: what no server on this machine could beat.

What it is: small loops of a fraction of a second each: syncing the disk, signing, encrypting, and the floor of a
letter (10 kB over an established TLS connection of the loopback, nothing done with it). What it is not: a
benchmark of the machine; the figures are there so that rows of different days and machines can be read.
"""

from __future__ import annotations

import json
import os
import re
import resource
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from bench.letters import LETTER_SIZE
from bench.servers import HOST, TlsFiles
from bench.statistics import median

WINDOW_SECONDS = 0.5
ECHO_LETTERS = 10_000
TLS_RECORD = 16_384  # RFC 8446 §5.1: the largest plaintext of one record
PAGE = 4_096


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit: its name, its unit, and its value before and after the rounds."""

    name: str
    unit: str
    runs: tuple[float, ...]

    @property
    def value(self) -> float:
        """The median of the runs."""
        return median(self.runs)


def measure_limits(folder: Path, tls: TlsFiles) -> list[Limit]:
    """All limits; about four seconds. `folder` must be on the disk that the servers use."""
    found: list[tuple[str, str, float | None]] = [
        ("append 4 KiB + fsync", "/s", _syncs(folder, PAGE, os.fsync)),
        ("append 4 KiB + fdatasync", "/s", _syncs(folder, PAGE, os.fdatasync)),
        ("append 10 kB + fdatasync", "/s", _syncs(folder, LETTER_SIZE, os.fdatasync)),
        ("new file of 10 kB + fsync", "/s", _new_files(folder)),
        ("RSA-2048 signatures", "/CPU s", _signatures(_rsa_signer())),
        ("P-256 signatures", "/CPU s", _signatures(_p256_signer())),
        ("TLS bulk, Python ssl, both ends", "MB/CPU s", _tls_bulk(tls)),
        ("AES-256-GCM, openssl speed, 16 KiB", "MB/CPU s", _openssl_bulk()),
    ]
    receiving, both = _echo(tls)
    found.append(("10 kB letter over TLS and one reply, receiving end", "CPU ms", receiving))
    found.append(("10 kB letter over TLS and one reply, both ends", "CPU ms", both))
    return [Limit(name, unit, (value,)) for name, unit, value in found if value is not None]


def _rate(step: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    count, began = 0, clock()
    while (spent := clock() - began) < WINDOW_SECONDS:
        step()
        count += 1
    return count / spent


def _syncs(folder: Path, size: int, sync: Callable[[int], None]) -> float:
    data = os.urandom(size)
    path = folder / "sync.limit"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def step() -> None:
        os.write(descriptor, data)
        sync(descriptor)

    try:
        return _rate(step)
    finally:
        os.close(descriptor)
        path.unlink()


def _new_files(folder: Path) -> float:
    data = os.urandom(LETTER_SIZE)
    made: list[Path] = []

    def step() -> None:
        made.append(folder / f"file-{len(made)}.limit")
        descriptor = os.open(made[-1], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(descriptor, data)
        os.fsync(descriptor)
        os.close(descriptor)

    try:
        return _rate(step)
    finally:
        for path in made:
            path.unlink()


def _signatures(sign: Callable[[], object]) -> float:
    sign()
    return _rate(sign, time.process_time)


def _rsa_signer() -> Callable[[], object]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return lambda: key.sign(b"letter", padding.PKCS1v15(), hashes.SHA256())


def _p256_signer() -> Callable[[], object]:
    key = ec.generate_private_key(ec.SECP256R1())
    return lambda: key.sign(b"letter", ec.ECDSA(hashes.SHA256()))


def _server_context(tls: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate, tls.key)
    return context


def _tls_bulk(tls: TlsFiles) -> float:
    """Megabytes a CPU second through two SSL objects in memory: one encryption and one decryption."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = _server_context(tls).wrap_bio(to_server, to_client, server_side=True)
    client = ssl.create_default_context(cafile=str(tls.authority)).wrap_bio(
        to_client, to_server, server_hostname="localhost"
    )
    pending = {client, server}
    while pending:
        for end in tuple(pending):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            pending.discard(end)
    data = os.urandom(TLS_RECORD)

    def step() -> None:
        client.write(data)
        server.read(TLS_RECORD)

    return _rate(step, time.process_time) * TLS_RECORD / 1e6


def _openssl_bulk() -> float | None:
    """Megabytes a CPU second of `openssl speed`, one direction; None when it is not there."""
    try:
        done = subprocess.run(
            ["openssl", "speed", "-seconds", "1", "-bytes", str(TLS_RECORD), "-evp", "aes-256-gcm"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return None
    found = re.search(r"AES-256-GCM\s+([0-9.]+)k", done.stdout)
    return float(found.group(1)) / 1000 if found else None


def _echo(tls: TlsFiles) -> tuple[float, float]:
    """CPU ms a letter of a receiver that does nothing but answer, and of both ends together."""
    listener = socket.create_server((HOST, 0))
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            os.write(writing, json.dumps(_receive_all(listener, tls)).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    try:
        sending = _send_all(listener.getsockname()[1], tls)
        receiving = float(json.loads(os.read(reading, 100)))
    finally:
        listener.close()
        os.close(reading)
        os.waitpid(child, 0)
    return receiving * 1000 / ECHO_LETTERS, (receiving + sending) * 1000 / ECHO_LETTERS


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _receive_all(listener: socket.socket, tls: TlsFiles) -> float:
    connection = _server_context(tls).wrap_socket(listener.accept()[0], server_side=True)
    connection.sendall(b"220\r\n")
    began = _cpu_seconds()
    for _ in range(ECHO_LETTERS):
        left = LETTER_SIZE
        while left:
            data = connection.recv(left)
            if not data:
                raise ConnectionError("the other end left")
            left -= len(data)
        connection.sendall(b"250\r\n")
    return _cpu_seconds() - began


def _send_all(port: int, tls: TlsFiles) -> float:
    context = ssl.create_default_context(cafile=str(tls.authority))
    data = os.urandom(LETTER_SIZE)
    with (
        socket.create_connection((HOST, port)) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        plain_reply = 5
        connection.recv(plain_reply)
        began = _cpu_seconds()
        for _ in range(ECHO_LETTERS):
            connection.sendall(data)
            connection.recv(plain_reply)
        return _cpu_seconds() - began
