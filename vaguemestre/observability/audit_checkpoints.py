"""The witness outside the database: a signing key and a file that only grows.

What it is: `CheckpointFile` (one JSON line a checkpoint, fsynced) and `SigningKey` (Ed25519, mode 0600, with its
public half beside it). What it is not: what a checkpoint says (`vaguemestre.observability.audit_chain`).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from core.errors import ConfigurationError, FatalStoreError
from vaguemestre.observability.audit_chain import Checkpoint, CheckpointReader, Verify, line_digest

_FORBIDDEN_MODE = 0o077


class SigningKey:
    """The key with which this node vouches for its trail."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = private.public_key()
        self.key_id = key_id_of(self.public)

    @classmethod
    def open(cls, path: Path) -> SigningKey:
        """Read it, or make it and its `.pub`. Raises ConfigurationError."""
        try:
            if not path.exists():
                return cls._create(path)
            if path.stat().st_mode & _FORBIDDEN_MODE:
                raise ConfigurationError(f"others may read the audit signing key: run `chmod 600 {path}`")
            private = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"the audit signing key {path} cannot be read or made") from error
        if not isinstance(private, Ed25519PrivateKey):
            raise ConfigurationError(f"the audit signing key {path} is not an Ed25519 key")
        return cls(private)

    @classmethod
    def _create(cls, path: Path) -> SigningKey:
        private = Ed25519PrivateKey.generate()
        pem = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            _write_through(file.fileno(), pem)
        public = private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        path.with_name(path.name + ".pub").write_bytes(public)
        _sync_folder(path.parent)
        return cls(private)

    def sign(self, octets: bytes) -> bytes:
        """The Ed25519 signature (RFC 8032)."""
        return self._private.sign(octets)


def key_id_of(public: Ed25519PublicKey) -> str:
    """The name under which checkpoints cite a key."""
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()[:16]


def load_public(path: Path) -> Ed25519PublicKey:
    """Read a `.pub`, or the public half of a private key. Raises ConfigurationError."""
    try:
        octets = path.read_bytes()
        if b"PRIVATE" in octets:
            return SigningKey.open(path).public
        public = serialization.load_pem_public_key(octets)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"the audit key {path} cannot be read") from error
    if not isinstance(public, Ed25519PublicKey):
        raise ConfigurationError(f"the audit key {path} is not an Ed25519 key")
    return public


def verifier_of(public: Ed25519PublicKey) -> Verify:
    """Whether a signature is of this key."""

    def verify(signature: bytes, octets: bytes) -> bool:
        try:
            public.verify(signature, octets)
        except InvalidSignature:
            return False
        return True

    return verify


class CheckpointFile:
    """Appends signed checkpoints. `open` reads where the file stands. Blocking: call it in a thread."""

    def __init__(self, path: Path, key: SigningKey) -> None:
        self._path = path
        self._key = key
        self._number = 0
        self._previous = bytes(32)

    def open(self) -> None:
        """Find the last line; a line that was not finished by a crash was never vouched for and is removed."""
        try:
            self._path.touch(mode=0o600, exist_ok=True)
            octets = self._path.read_bytes()
            whole = octets[: octets.rfind(b"\n") + 1]
            if len(whole) != len(octets):
                os.truncate(self._path, len(whole))
            _sync_folder(self._path.parent)
        except OSError as error:
            raise ConfigurationError(f"the checkpoint file {self._path} cannot be opened") from error
        reader = CheckpointReader(verifier_of(self._key.public))
        lines = whole.splitlines()
        for number, line in enumerate(lines[-1:], len(lines)):
            reader.feed(number, line)
        if lines:
            self._previous = line_digest(lines[-1])
            self._number = reader.checkpoints[-1].number if reader.checkpoints else len(lines)

    def append(self, at: float, heads: Mapping[str, tuple[int, bytes]]) -> tuple[int, bytes]:
        """Sign, append, fsync; gives (number, line). Raises FatalStoreError: an fsync is never tried twice."""
        checkpoint = Checkpoint(
            number=self._number + 1,
            at=at,
            heads=dict(heads),
            previous=self._previous,
            key_id=self._key.key_id,
        )
        line = checkpoint.line(self._key.sign(checkpoint.signed_octets()))
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND)
            try:
                _write_through(descriptor, line + b"\n")
            finally:
                os.close(descriptor)
        except OSError as error:
            raise FatalStoreError("the checkpoint file cannot be written") from error
        self._number, self._previous = checkpoint.number, line_digest(line)
        return checkpoint.number, line


def read_file(path: Path, verify: Verify) -> CheckpointReader:
    """Every checkpoint of a file, with what does not fit. Raises ConfigurationError when it cannot be read."""
    reader = CheckpointReader(verify)
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                reader.feed(number, line.rstrip(b"\n"))
    except OSError as error:
        raise ConfigurationError(f"the checkpoint file {path} cannot be read") from error
    return reader


def _write_through(descriptor: int, octets: bytes) -> None:
    view = memoryview(octets)
    while view:
        view = view[os.write(descriptor, view) :]
    os.fsync(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
