"""The authority of private spaces: its certificates satisfy us and OpenSSL, and it survives a restart."""

from __future__ import annotations

import stat
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from certs.authority import KeyAlgorithm, generate_key
from certs.authority_folder import open_authority, save, write_atomically, write_crls, write_identity
from certs.profiles import ProfileName, Purpose
from certs.verdict import CertificateRefused
from core.errors import ConfigurationError, PermanentError, TemporaryError


def openssl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)


def openssl_verify(folder: Path, certificate: Path, purpose: str, at: int) -> str:
    for name in ("root", "organisations"):
        openssl(
            "crl",
            "-inform",
            "DER",
            "-in",
            str(folder / f"crl/{name}.crl"),
            "-out",
            str(folder / f"{name}.crl.pem"),
        )
    pems = [folder / "root.crl.pem", folder / "organisations.crl.pem"]
    (folder / "crls.pem").write_bytes(b"".join(p.read_bytes() for p in pems))
    result = openssl(
        "verify", "-x509_strict", "-crl_check_all", "-CRLfile", str(folder / "crls.pem"), "-purpose", purpose,
        "-attime", str(at), "-CAfile", str(folder / "root.pem"), "-untrusted", str(folder / "organisations.pem"),
        str(certificate),
    )  # fmt: skip
    return result.stdout + result.stderr


@pytest.mark.parametrize("algorithm", [KeyAlgorithm.RSA_2048, KeyAlgorithm.EC_P256])
def test_openssl_agrees(space: Any, tmp_path: Path, algorithm: KeyAlgorithm) -> None:
    good, bad = space.issue(algorithm=algorithm), space.issue(algorithm=algorithm)
    space.authority.revoke(bad.serial)
    save(space.authority, tmp_path)
    write_crls(space.authority, tmp_path)
    at = int(space.clock.now().timestamp())
    for issued, name in ((good, "good"), (bad, "bad")):
        write_identity(issued, tmp_path, name)
    for purpose in ("sslserver", "sslclient"):
        assert openssl_verify(tmp_path, tmp_path / "good.pem", purpose, at).endswith("good.pem: OK\n")
        assert "certificate revoked" in openssl_verify(tmp_path, tmp_path / "bad.pem", purpose, at)
    text = openssl(
        "x509", "-in", str(tmp_path / "good.pem"), "-noout", "-subject", "-nameopt", "RFC2253,utf8,-esc_msb"
    )
    assert text.stdout.strip() == (
        "subject=CN=mss.ch-rivage.mssante.example,OU=1990000010,O=CH DU RIVAGE TEST,ST=Finistère (29),C=FR"
    )


def test_attributes_are_utf8_but_the_country(space: Any, tmp_path: Path) -> None:
    files = write_identity(space.issue(), tmp_path, "a")
    lines = openssl("asn1parse", "-in", str(files.certificate)).stdout.splitlines()
    kinds = {lines[n].split()[-1]: lines[n + 1] for n, _ in enumerate(lines) if "OBJECT" in lines[n]}
    assert "PRINTABLESTRING" in kinds[":countryName"]
    assert "UTF8STRING" in kinds[":stateOrProvinceName"]


class TestIssue:
    def test_each_profile_writes_its_usages(self, space: Any) -> None:
        for profile, count in (
            (ProfileName.SSL_SERV, 2), (ProfileName.AUTH_CLI, 1), (ProfileName.SIGN, 1),
            (ProfileName.CONF, 1), (ProfileName.LIST_SIGNER, 1),
        ):  # fmt: skip
            certificate = space.issue(profile).certificate
            assert len(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == count

    def test_elliptic_keys_agree_where_rsa_keys_encipher(self, space: Any) -> None:
        def usage(**more: Any) -> x509.KeyUsage:
            certificate = space.issue(ProfileName.CONF, **more).certificate
            return certificate.extensions.get_extension_for_class(x509.KeyUsage).value

        assert usage().key_encipherment
        elliptic = usage(algorithm=KeyAlgorithm.EC_P256)
        assert (elliptic.key_agreement, elliptic.key_encipherment) == (True, False)

    def test_distribution_point_when_there_is_a_url(self, space: Any) -> None:
        space.authority.crl_url = "http://crl.igc.mssante.example"
        certificate = space.issue().certificate
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        names = points[0].full_name
        assert names is not None
        assert names[0].value == "http://crl.igc.mssante.example/organisations.crl"

    @pytest.mark.parametrize(
        "more", [{"subject": "nobody"}, {"subject": "CN=a,C=FRANCE"}, {"names": ("goéland.example",)}]
    )
    def test_what_no_certificate_can_say(self, space: Any, more: dict[str, Any]) -> None:
        with pytest.raises(PermanentError, match="no certificate can say this"):
            space.issue(**more)

    def test_keys_do_not_print(self, space: Any) -> None:
        issued = space.issue()
        assert "key=…" in repr(space.authority.root)
        assert "PrivateKey" not in repr(issued)

    @pytest.mark.parametrize(
        ("algorithm", "kind", "bits"),
        [
            (KeyAlgorithm.RSA_2048, rsa.RSAPrivateKey, 2048),
            (KeyAlgorithm.RSA_3072, rsa.RSAPrivateKey, 3072),
            (KeyAlgorithm.EC_P256, ec.EllipticCurvePrivateKey, 256),
        ],
    )
    def test_fresh_keys(self, algorithm: KeyAlgorithm, kind: Any, bits: int) -> None:
        key = generate_key(algorithm)
        assert isinstance(key, kind)
        assert key.key_size == bits


class TestCrls:
    def test_numbers_rise_and_dates_are_chosen(self, silent_space: Any, day: timedelta) -> None:
        now = silent_space.clock.now()
        first = x509.load_der_x509_crl(silent_space.authority.crls()[0])
        second = x509.load_der_x509_crl(
            silent_space.authority.crls(this_update=now - day, next_update=now)[0]
        )
        number = second.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        assert (number, second.next_update_utc, second.last_update_utc) == (2, now, now - day)
        assert first.next_update_utc == now + 7 * day

    def test_an_end_before_the_beginning(self, silent_space: Any, day: timedelta) -> None:
        with pytest.raises(PermanentError):
            silent_space.authority.crls(next_update=silent_space.clock.now() - day)


class TestFolder:
    def test_reopened_it_goes_on(self, space: Any, tmp_path: Path) -> None:
        issued = space.issue()
        space.authority.revoke(issued.serial, reason=x509.ReasonFlags.superseded)
        save(space.authority, tmp_path)
        write_crls(space.authority, tmp_path)
        again = open_authority(tmp_path, clock=space.clock)
        assert again.organisations.revoked == space.authority.organisations.revoked
        assert again.organisations.crl_number == space.authority.organisations.crl_number
        for crl in again.crls():
            space.lists.add(crl, at=space.clock.now())
        with pytest.raises(CertificateRefused):
            space.verifier().verify(issued.der, purpose=Purpose.TLS_CLIENT, at=space.clock.now())

    def test_keys_are_for_their_owner(self, space: Any, tmp_path: Path) -> None:
        save(space.authority, tmp_path)
        files = write_identity(space.issue(), tmp_path / "new" / "folder", "operator")
        for key in (tmp_path / "root.key", tmp_path / "organisations.key", files.key):
            assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert not list(tmp_path.rglob("*.new"))

    def test_nothing_there(self, space: Any, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError):
            open_authority(tmp_path, clock=space.clock)

    @pytest.mark.parametrize("state", ["[]", "{", '{"crl_url":"","root":{"crl_number":1,"revoked":3}}'])
    def test_damaged_state(self, space: Any, tmp_path: Path, state: str) -> None:
        save(space.authority, tmp_path)
        (tmp_path / "state.json").write_text(state)
        with pytest.raises(ConfigurationError):
            open_authority(tmp_path, clock=space.clock)

    def test_another_kind_of_key(self, space: Any, tmp_path: Path) -> None:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519

        save(space.authority, tmp_path)
        key = ed25519.Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (tmp_path / "root.key").write_bytes(key)
        with pytest.raises(ConfigurationError):
            open_authority(tmp_path, clock=space.clock)

    def test_a_full_disk_is_temporary(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(TemporaryError):
            write_atomically(tmp_path / "file" / "below", b"", 0o600)
