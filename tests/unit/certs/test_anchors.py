"""Trust begins with self-signed authorities of a configured path, and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs7

from certs.anchors import TrustAnchors
from core.errors import ConfigurationError


def test_a_file_with_root_and_intermediate(space: Any, tmp_path: Path) -> None:
    (tmp_path / "igc.pem").write_bytes(space.authority.anchors_pem())
    anchors = TrustAnchors.load(tmp_path / "igc.pem")
    assert anchors == space.anchors
    assert [len(anchors.roots), len(anchors.intermediates)] == [1, 1]
    assert anchors.pem().count("BEGIN CERTIFICATE") == 2


def test_a_folder_with_der_and_pkcs7(space: Any, tmp_path: Path) -> None:
    root, between = space.authority.root.certificate, space.authority.organisations.certificate
    (tmp_path / "ACR-EL.cer").write_bytes(root.public_bytes(serialization.Encoding.DER))
    for encoding, name in ((serialization.Encoding.DER, "a.p7b"), (serialization.Encoding.PEM, "b.p7b")):
        (tmp_path / name).write_bytes(pkcs7.serialize_certificates([root, between], encoding))
    (tmp_path / "README").write_text("not looked at")
    assert TrustAnchors.load(tmp_path).identity == space.anchors.identity


def test_identity_changes_with_the_set(space: Any) -> None:
    assert TrustAnchors.of([space.authority.root.certificate]).identity != space.anchors.identity


@pytest.mark.parametrize(
    "octets", [b"", b"noise", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]
)
def test_unreadable(tmp_path: Path, octets: bytes) -> None:
    (tmp_path / "a.pem").write_bytes(octets)
    with pytest.raises(ConfigurationError, match="no readable certificate"):
        TrustAnchors.load(tmp_path)


def test_absent_empty_and_huge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="cannot read"):
        TrustAnchors.load(tmp_path / "absent")
    with pytest.raises(ConfigurationError, match="no certificate"):
        TrustAnchors.load(tmp_path)
    monkeypatch.setattr("certs.anchors.MAX_ANCHOR_FILE", 3)
    (tmp_path / "a.pem").write_bytes(b"1234")
    with pytest.raises(ConfigurationError, match="too large"):
        TrustAnchors.load(tmp_path)


def test_an_intermediate_alone_is_no_anchor(space: Any) -> None:
    with pytest.raises(ConfigurationError, match="self-signed"):
        TrustAnchors.of([space.authority.organisations.certificate])


def test_a_server_certificate_is_no_anchor(space: Any) -> None:
    with pytest.raises(ConfigurationError, match="not an authority"):
        TrustAnchors.of([space.authority.root.certificate, space.issue().certificate])


def test_a_weak_root_is_refused(space: Any) -> None:
    from datetime import timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    from core.testing.keys import cached_key

    key, name = cached_key("rsa-1024", 0), x509.Name.from_rfc4514_string("CN=Weak,C=FR")
    now = space.clock.now()
    weak = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    with pytest.raises(ConfigurationError, match="too weak"):
        TrustAnchors.of([weak])


def test_the_name_of_a_root_without_its_signature_is_no_root(space: Any, foreign_space: Any) -> None:
    """An intermediate that bears its issuer's name: self-issued, not self-signed (RFC 5280 §3.2)."""
    from datetime import timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    root = space.authority.root
    now = space.clock.now()
    self_issued = (
        x509.CertificateBuilder()
        .subject_name(root.certificate.subject)
        .issuer_name(root.certificate.subject)
        .public_key(foreign_space.authority.root.key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(root.key, hashes.SHA256())
    )
    assert TrustAnchors.of([root.certificate, self_issued]).intermediates == (self_issued,)
