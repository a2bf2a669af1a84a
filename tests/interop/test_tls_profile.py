"""What `openssl s_client` sees at each door: TLS 1.2 and 1.3, the suites of the profile, nothing older."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from vaguemestre.demo.space import OperatorProcess, Space

DOORS = {"submissions": (), "imaps": (), "submission": ("smtp",), "relay": ("smtp",), "imap": ("imap",)}
TLS12_SUITES = {  # ANS: référentiel MSSanté, annex on TLS
    "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "DHE-RSA-AES128-GCM-SHA256",
    "DHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-SHA256", "ECDHE-RSA-AES256-SHA384",
}  # fmt: skip
TLS13_SUITES = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}


def _look(space: Space, port: int, starttls: tuple[str, ...], *options: str) -> str:
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", str(space.ca), *options]
    if starttls:
        command += ["-starttls", *starttls]
    done = subprocess.run(
        command, input="", capture_output=True, text=True, errors="replace", timeout=30, check=False,
        # Debian forbids old versions to its own clients; a stranger's client may still offer them.
        env={**os.environ, "OPENSSL_CONF": "/dev/null"},
    )  # fmt: skip
    return done.stdout + done.stderr


def _negotiated(said: str) -> tuple[str, str] | None:
    found = re.search(r"New, (\S+), Cipher is (\S+)", said)
    return (found[1], found[2]) if found and found[2] != "(NONE)" else None


@pytest.mark.parametrize("door", DOORS)
def test_current_versions_are_taken(space: Space, hospital: OperatorProcess, door: str) -> None:
    for version, suites in (("-tls1_2", TLS12_SUITES), ("-tls1_3", TLS13_SUITES)):
        said = _look(space, hospital.ports[door], DOORS[door], version)
        found = _negotiated(said)
        assert found is not None, said
        assert found[1] in suites
        assert "Verify return code: 0 (ok)" in said


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_old_versions_are_refused(space: Space, hospital: OperatorProcess, door: str, version: str) -> None:
    said = _look(space, hospital.ports[door], DOORS[door], version, "-cipher", "ALL:@SECLEVEL=0")
    assert _negotiated(said) is None, said
    assert re.search(r"alert protocol version|unsupported protocol|wrong version|unexpected eof", said), said


@pytest.mark.parametrize(
    "suite",
    [
        "AES128-SHA",
        "AES256-GCM-SHA384",
        "ECDHE-RSA-AES128-SHA",
        "ECDHE-RSA-CHACHA20-POLY1305",
        "AECDH-AES128-SHA",
    ],
)
def test_other_suites_are_refused(space: Space, hospital: OperatorProcess, suite: str) -> None:
    """No static RSA, no SHA-1, nothing anonymous, and nothing good that the profile does not name."""
    for door in ("submissions", "imaps", "relay"):
        said = _look(space, hospital.ports[door], DOORS[door], "-tls1_2", "-cipher", f"{suite}:@SECLEVEL=0")
        assert _negotiated(said) is None, said
        # Twisted says why; asyncio hangs up. Both refuse.
        assert re.search("handshake failure|unexpected eof", said), said


def test_the_relay_door_asks_for_a_certificate(space: Space, hospital: OperatorProcess) -> None:
    said = _look(space, hospital.ports["relay"], ("smtp",))
    assert "No client certificate CA names sent" in said or "Acceptable client certificate CA names" in said
    assert "Requested Signature Algorithms" in said


def test_a_session_cannot_be_renegotiated(space: Space, hospital: OperatorProcess) -> None:
    said = _look(space, hospital.ports["submissions"], (), "-tls1_2")
    assert "Secure Renegotiation IS supported" in said  # RFC 5746: against prefix injection
    assert "Compression: NONE" in said  # CRIME
