"""Private keys: read only from closed files, matched with their certificate, chosen by date, never shown."""

from __future__ import annotations

import pickle
import ssl
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding
from cryptography.hazmat.primitives.serialization import pkcs12
from OpenSSL import SSL

from certs.authority_folder import write_identity
from certs.keystore import Identity, IdentityFiles, KeyStore, load_identity
from core.errors import ConfigurationError
from core.testing.keys import cached_key


def test_pem_files(space: Any, tmp_path: Path) -> None:
    issued = space.issue()
    store = KeyStore.load([write_identity(issued, tmp_path, "operator")])
    identity = store.newest_valid(space.clock.now())
    assert str(identity.subject).startswith("CN=mss.ch-rivage.mssante.example,")
    assert identity.certificate_der() == issued.der
    assert identity.not_after == issued.certificate.not_valid_after_utc
    assert identity.days_left(space.clock.now()) == 1094
    assert store.identities == (identity,)


def test_pkcs12(space: Any, tmp_path: Path) -> None:
    issued = space.issue()
    octets = pkcs12.serialize_key_and_certificates(
        b"operator", issued.key, issued.certificate, [*issued.chain, space.authority.root.certificate],
        serialization.BestAvailableEncryption(b"secret"),
    )  # fmt: skip
    for name, content in (("a.p12", octets), ("pass", b"secret\n")):
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o600)
    files = IdentityFiles(
        certificate=tmp_path / "a.p12", key=tmp_path / "a.p12", passphrase=tmp_path / "pass"
    )
    assert load_identity(files).fingerprint == issued.identity().fingerprint
    (tmp_path / "pass").write_bytes(b"wrong")
    with pytest.raises(ConfigurationError, match="passphrase"):
        load_identity(files)


def test_pkcs12_without_a_key(space: Any, tmp_path: Path) -> None:
    octets = pkcs12.serialize_key_and_certificates(
        None, None, space.issue().certificate, None, serialization.NoEncryption()
    )
    (tmp_path / "a.p12").write_bytes(octets)
    (tmp_path / "a.p12").chmod(0o600)
    with pytest.raises(ConfigurationError):
        load_identity(IdentityFiles(certificate=tmp_path / "a.p12", key=tmp_path / "a.p12"))


def test_an_encrypted_key_asks_for_its_passphrase(space: Any, tmp_path: Path) -> None:
    files = write_identity(space.issue(), tmp_path, "a")
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(ConfigurationError, match="a passphrase is needed"):
        load_identity(files)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610])
def test_an_open_key_file_is_refused_with_the_remedy(space: Any, tmp_path: Path, mode: int) -> None:
    files = write_identity(space.issue(), tmp_path, "a")
    files.key.chmod(mode)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        load_identity(files)


def test_a_key_of_another_certificate(space: Any, tmp_path: Path) -> None:
    one, other = (write_identity(space.issue(), tmp_path, name) for name in ("one", "other"))
    with pytest.raises(ConfigurationError, match="not the one of the certificate"):
        load_identity(IdentityFiles(certificate=one.certificate, key=other.key))


def test_another_kind_of_key(space: Any, tmp_path: Path) -> None:
    files = write_identity(space.issue(), tmp_path, "a")
    key = ed25519.Ed25519PrivateKey.generate()
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    with pytest.raises(ConfigurationError, match="neither an RSA nor an elliptic"):
        load_identity(files)


@pytest.mark.parametrize("damaged", ["key", "certificate"])
def test_absent_or_damaged_files(space: Any, tmp_path: Path, damaged: str) -> None:
    files = write_identity(space.issue(), tmp_path, "a")
    getattr(files, damaged).write_bytes(b"noise")
    with pytest.raises(ConfigurationError, match="wrong format"):
        load_identity(files)
    getattr(files, damaged).unlink()
    with pytest.raises(ConfigurationError, match="cannot read"):
        load_identity(files)


def test_a_weak_key_is_refused(space: Any) -> None:
    key = cached_key("rsa-1024", 0)
    name = x509.Name.from_rfc4514_string("CN=weak,C=FR")
    now = space.clock.now()
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    dated = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    with pytest.raises(ConfigurationError, match="weak"):
        Identity(dated.sign(space.authority.root.key, hashes.SHA256()), key)


def test_no_identity() -> None:
    with pytest.raises(ConfigurationError, match="no certificate and key"):
        KeyStore([])


class TestRollOver:
    def test_the_newest_valid_one_is_used(self, space: Any, day: timedelta) -> None:
        now = space.clock.now()
        old = space.issue(not_before=now - 100 * day, not_after=now + 10 * day).identity()
        new = space.issue(not_before=now + day, not_after=now + 100 * day).identity()
        store = KeyStore([new, old])
        assert store.newest_valid(now) is old
        assert store.newest_valid(now + day) is new
        with pytest.raises(ConfigurationError, match="none of our certificates is valid"):
            store.newest_valid(now + 100 * day)

    def test_alarms_at_their_thresholds(self, space: Any, day: timedelta) -> None:
        now = space.clock.now()
        identity = space.issue(not_before=now, not_after=now + 100 * day).identity()
        store = KeyStore([identity])
        assert store.alarms(now) == ()
        seen = [store.alarms(now + n * day + timedelta(hours=1))[0][1] for n in (45, 75, 95, 99, 100)]
        assert seen == [60, 30, 7, 1, 0]


class TestSecrecy:
    def test_nothing_prints(self, space: Any) -> None:
        identity = space.issue().identity()
        assert repr(identity) == f"Identity({identity.fingerprint[:16]}…, key=…)"
        assert "PRIVATE" not in repr(KeyStore([identity]))
        assert not hasattr(identity, "__dict__")

    def test_nothing_is_pickled(self, space: Any) -> None:
        with pytest.raises(TypeError):
            pickle.dumps(space.issue().identity())


class TestUse:
    def test_signatures(self, space: Any, algorithms: Any) -> None:
        identity = space.issue().identity()
        public = identity.certificate.public_key()
        public.verify(identity.sign_sha256(b"text"), b"text", padding.PKCS1v15(), hashes.SHA256())
        elliptic = space.issue(algorithm=algorithms.EC_P256).identity()
        assert not elliptic.is_rsa
        from cryptography.hazmat.primitives.asymmetric import ec

        elliptic.certificate.public_key().verify(
            elliptic.sign_sha256(b"text"), b"text", ec.ECDSA(hashes.SHA256())
        )

    def test_what_openssl_refuses_is_a_configuration_error(
        self, space: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one, other = space.issue().identity(), space.issue().identity()
        monkeypatch.setattr(one, "_key", other._key)
        with pytest.raises(ConfigurationError):
            one.load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        with pytest.raises(ConfigurationError):
            one.load_into_openssl(SSL.Context(SSL.TLS_SERVER_METHOD))
