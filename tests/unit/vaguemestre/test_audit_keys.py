"""The audit signing key and the witness file: what is refused, with a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from core.errors import ConfigurationError, FatalStoreError
from vaguemestre.observability.audit_checkpoints import (
    CheckpointFile,
    SigningKey,
    load_public,
    read_file,
    verifier_of,
)


def test_a_key_is_made_once_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "audit.pem"
    first, second = SigningKey.create(path), SigningKey.open(path)
    with pytest.raises(ConfigurationError, match="cannot be made"):
        SigningKey.create(path)
    assert first.key_id == second.key_id
    assert path.stat().st_mode & 0o777 == 0o600
    octets = b"checkpoint"
    for public in (load_public(path), load_public(tmp_path / "audit.pem.pub")):
        assert verifier_of(public)(first.sign(octets), octets)
        assert not verifier_of(public)(first.sign(octets), b"other")


def test_keys_that_are_not_keys_are_refused(tmp_path: Path) -> None:
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_bytes(b"rubbish")
    rubbish.chmod(0o600)
    other = tmp_path / "ec.pem"
    private = ec.generate_private_key(ec.SECP256R1())
    other.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    other.chmod(0o600)
    public = tmp_path / "ec.pub"
    public.write_bytes(
        private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    for path in (rubbish, other, tmp_path / "no folder" / "audit.pem"):
        with pytest.raises(ConfigurationError, match=path.name):
            SigningKey.open(path)
    for path in (rubbish, public, tmp_path / "absent.pub"):
        with pytest.raises(ConfigurationError, match=path.name):
            load_public(path)
    other.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        SigningKey.open(other)


def test_a_file_that_cannot_be_written_is_fatal_and_one_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    key = SigningKey(Ed25519PrivateKey.generate())
    file = CheckpointFile(tmp_path / "audit" / "checkpoints.jsonl", key)
    file.open()
    (tmp_path / "audit" / "checkpoints.jsonl").unlink()
    with pytest.raises(FatalStoreError):
        file.append(0.0, {})
    with pytest.raises(ConfigurationError):
        read_file(tmp_path / "absent.jsonl", verifier_of(key.public))
    (tmp_path / "blocked").write_bytes(b"")
    with pytest.raises(ConfigurationError):
        CheckpointFile(tmp_path / "blocked" / "checkpoints.jsonl", key).open()


def test_a_damaged_last_line_does_not_stop_the_witness(tmp_path: Path) -> None:
    key = SigningKey(Ed25519PrivateKey.generate())
    path = tmp_path / "checkpoints.jsonl"
    path.write_bytes(b"not json\n")
    file = CheckpointFile(path, key)
    file.open()
    assert file.append(0.0, {})[0] == 1
    findings = read_file(path, verifier_of(key.public)).findings
    assert [finding.sentence.split(" of ")[0] for finding in findings] == ["line 1"]
