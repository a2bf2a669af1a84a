"""The witness outside the database: a signing key and a file that only grows.

What it is: `CheckpointFile` (one JSON line a checkpoint, fsynced) and `SigningKey` (Ed25519, mode 0600, with its
public half beside it). What it is not: what a checkpoint says (`vaguemestre.observability.audit_chain`).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from core.errors import ConfigurationError, FatalStoreError
from vaguemestre.observability.audit_chain import Checkpoint, CheckpointReader, Verify, line_digest

_FORBIDDEN_MODE = 0o077
READ_BACK = 64 * 1024  # ours: octets read at a time to find the last line


class SigningKey:
    """The key with which this node vouches for its trail."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = private.public_key()
        self.key_id = key_id_of(self.public)

    @classmethod
    def open(cls, path: Path) -> SigningKey:
        """Read it. Raises ConfigurationError: a key that is gone is never replaced by another on the way."""
        try:
            if path.stat().st_mode & _FORBIDDEN_MODE:
                raise ConfigurationError(f"others may read the audit signing key: run `chmod 600 {path}`")
            private = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except FileNotFoundError as error:
            raise ConfigurationError(
                f"the audit signing key {path} is not there: put its copy back, "
                "or run `vaguemestre init` for a new operator"
            ) from error
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"the audit signing key {path} cannot be read") from error
        if not isinstance(private, Ed25519PrivateKey):
            raise ConfigurationError(f"the audit signing key {path} is not an Ed25519 key")
        return cls(private)

    @classmethod
    def create(cls, path: Path) -> SigningKey:
        """Make it, durably, mode 0600, and its `.pub`. Raises ConfigurationError when it is there already."""
        private = Ed25519PrivateKey.generate()
        try:
            cls._write(path, private)
        except OSError as error:
            raise ConfigurationError(f"the audit signing key {path} cannot be made") from error
        return cls(private)

    @staticmethod
    def _write(path: Path, private: Ed25519PrivateKey) -> None:
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
    """Appends signed checkpoints. Blocking: call it in a thread.

    A command and a serving process may both append: each takes the file's lock and follows the last line.
    """

    def __init__(self, path: Path, key: SigningKey) -> None:
        self._path = path
        self._key = key

    def open(self) -> None:
        """Make the file durable in its folder. Raises ConfigurationError."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path.touch(mode=0o600, exist_ok=True)
            _sync_folder(self._path.parent)
        except OSError as error:
            raise ConfigurationError(f"the checkpoint file {self._path} cannot be opened") from error

    def append(self, at: float, heads: Mapping[str, tuple[int, bytes]]) -> tuple[int, bytes]:
        """Sign, append, fsync; gives (number, line). Raises FatalStoreError: an fsync is never tried twice."""
        try:
            descriptor = os.open(self._path, os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                return self._append(descriptor, at, heads)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise FatalStoreError("the checkpoint file cannot be written") from error

    def _append(
        self, descriptor: int, at: float, heads: Mapping[str, tuple[int, bytes]]
    ) -> tuple[int, bytes]:
        last = _last_line(descriptor)
        checkpoint = Checkpoint(
            number=_number_of(last) + 1,
            at=at,
            heads=dict(heads),
            previous=line_digest(last) if last else bytes(32),
            key_id=self._key.key_id,
        )
        line = checkpoint.line(self._key.sign(checkpoint.signed_octets()))
        _write_through(descriptor, line + b"\n")
        return checkpoint.number, line


def _last_line(descriptor: int) -> bytes:
    """The last whole line; what a crash left behind it was never vouched for and is removed."""
    end = os.lseek(descriptor, 0, os.SEEK_END)
    tail = b""
    start = end
    while start > 0 and tail.count(b"\n") < 2:
        start = max(0, start - READ_BACK)
        tail = os.pread(descriptor, end - start, start)
    whole = tail[: tail.rfind(b"\n") + 1]
    if len(whole) != len(tail):
        os.ftruncate(descriptor, start + len(whole))
    os.lseek(descriptor, start + len(whole), os.SEEK_SET)
    return whole[:-1].rpartition(b"\n")[2]


def _number_of(line: bytes) -> int:
    try:
        return int(json.loads(line)["number"])
    except (ValueError, KeyError, TypeError):
        return 0  # nothing before, or a line that is damaged: verification tells it


def read_file(path: Path, verify: Verify) -> CheckpointReader:
    """Every checkpoint of a file, with what does not fit. Raises ConfigurationError when it cannot be read."""
    reader = CheckpointReader(verify)
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                # A last line without its end was never vouched for: a crash, or it is being written.
                if line.endswith(b"\n"):
                    reader.feed(number, line[:-1])
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
