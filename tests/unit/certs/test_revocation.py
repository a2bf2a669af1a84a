"""A CRL is taken when it is good, kept when a worse one comes, and asked with its scope."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from certs.authority_folder import write_crls
from certs.profiles import Purpose
from certs.revocation import CrlReason, CrlRefused, RevocationLists
from certs.verdict import CertificateRefused, RevocationUnknown
from core.errors import TemporaryError


def reason_of(lists: RevocationLists, octets: bytes, at: datetime) -> CrlReason:
    with pytest.raises(CrlRefused) as caught:
        lists.add(octets, at=at)
    return caught.value.reason


def crl_by_hand(space: Any, *extensions: tuple[Any, bool], key: Any = None, revoked: Any = None) -> bytes:
    now = space.clock.now()
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(space.authority.organisations.certificate.subject)
        .last_update(now)
        .next_update(now + timedelta(days=7))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    if revoked is not None:
        entry = x509.RevokedCertificateBuilder().serial_number(revoked).revocation_date(now).build()
        builder = builder.add_revoked_certificate(entry)
    signer: rsa.RSAPrivateKey = key or space.authority.organisations.key
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def point(**flags: Any) -> tuple[Any, bool]:
    values: dict[str, Any] = {
        "full_name": None, "relative_name": None, "only_contains_user_certs": False,
        "only_contains_ca_certs": False, "only_some_reasons": None, "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }  # fmt: skip
    return x509.IssuingDistributionPoint(**{**values, **flags}), True


class TestTaken:
    def test_der_and_pem(self, silent_space: Any) -> None:
        root, organisations = silent_space.authority.crls()
        pem = x509.load_der_x509_crl(root).public_bytes(serialization.Encoding.PEM)
        assert silent_space.lists.add(pem, at=silent_space.clock.now()).number == 1
        assert silent_space.lists.add(organisations, at=silent_space.clock.now()).number == 1
        assert len(silent_space.lists.current) == 2

    def test_the_same_again_changes_nothing(self, space: Any) -> None:
        before = space.lists.numbers
        for crl in [c.octets for c in space.lists.current]:
            space.lists.add(crl, at=space.clock.now())
        assert space.lists.numbers == before

    def test_without_number_the_date_decides(self, silent_space: Any) -> None:
        assert silent_space.lists.add(crl_by_hand(silent_space), at=silent_space.clock.now()).number == 0

    def test_user_certificates_only(self, space: Any) -> None:
        issued = space.issue()
        number = (x509.CRLNumber(9), False)
        space.lists.add(
            crl_by_hand(space, point(only_contains_user_certs=True), number, revoked=issued.serial),
            at=space.clock.now(),
        )
        with pytest.raises(CertificateRefused):
            space.verifier().verify(issued.der, purpose=Purpose.TLS_CLIENT, at=space.clock.now())

    def test_authority_certificates_only_says_nothing_of_a_user(self, space: Any) -> None:
        crl = crl_by_hand(space, point(only_contains_ca_certs=True), (x509.CRLNumber(9), False))
        space.lists.add(crl, at=space.clock.now())
        with pytest.raises(RevocationUnknown):
            space.verifier().verify(space.issue().der, purpose=Purpose.TLS_CLIENT, at=space.clock.now())


class TestRefused:
    def test_rolled_back(self, space: Any, day: timedelta) -> None:
        old = space.authority.crls(this_update=space.clock.now() - day)
        space.publish()
        for crl in old:
            assert reason_of(space.lists, crl, space.clock.now()) is CrlReason.OLDER_THAN_CURRENT

    def test_higher_number_with_an_older_date(self, space: Any, day: timedelta) -> None:
        for crl in space.authority.crls(this_update=space.clock.now() - day):
            assert reason_of(space.lists, crl, space.clock.now()) is CrlReason.OLDER_THAN_CURRENT

    def test_from_the_future(self, silent_space: Any) -> None:
        now = silent_space.clock.now()
        crl, _ = silent_space.authority.crls(this_update=now + timedelta(minutes=6))
        assert reason_of(silent_space.lists, crl, now) is CrlReason.FROM_THE_FUTURE
        assert silent_space.lists.add(crl, at=now + timedelta(minutes=1))

    def test_of_another_authority_with_the_same_name(self, space: Any, foreign_space: Any) -> None:
        for crl in foreign_space.authority.crls():
            assert reason_of(space.lists, crl, space.clock.now()) is CrlReason.SIGNATURE_INVALID

    def test_of_an_unknown_authority(self, space: Any) -> None:
        now = space.clock.now()
        crl = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(x509.Name.from_rfc4514_string("CN=Unknown,C=FR"))
            .last_update(now)
            .next_update(now + timedelta(days=1))
            .sign(space.authority.root.key, hashes.SHA256())
        )
        octets = crl.public_bytes(serialization.Encoding.DER)
        assert reason_of(space.lists, octets, now) is CrlReason.UNKNOWN_ISSUER

    @pytest.mark.parametrize(
        "extension",
        [
            (x509.DeltaCRLIndicator(1), True),
            point(indirect_crl=True),
            point(only_contains_attribute_certs=True),
            point(only_some_reasons=frozenset({x509.ReasonFlags.key_compromise})),
            (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\x05\x00"), True),
        ],
    )
    def test_partial_lists_prove_nothing(self, space: Any, extension: Any) -> None:
        crl = crl_by_hand(space, extension, (x509.CRLNumber(9), False))
        assert reason_of(space.lists, crl, space.clock.now()) is CrlReason.UNSUPPORTED

    def test_without_next_update(self, space: Any) -> None:
        from asn1crypto import crl as asn1

        parsed = asn1.CertificateList.load(crl_by_hand(space))
        parsed["tbs_cert_list"]["next_update"] = None
        signed = space.authority.organisations.key.sign(parsed["tbs_cert_list"].dump(force=True), *_pkcs1())
        parsed["signature"] = signed
        octets = parsed.dump(force=True)
        assert reason_of(space.lists, octets, space.clock.now()) is CrlReason.NO_NEXT_UPDATE

    def test_noise_and_size(self, space: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        assert reason_of(space.lists, b"\x30\x03abc", space.clock.now()) is CrlReason.UNREADABLE
        assert reason_of(space.lists, b"-----BEGIN X509 CRL-----", space.clock.now()) is CrlReason.UNREADABLE
        monkeypatch.setattr("certs.revocation.MAX_CRL", 10)
        assert reason_of(space.lists, b"0" * 11, space.clock.now()) is CrlReason.TOO_LARGE

    def test_flipped_bits(self, silent_space: Any) -> None:
        crl, _ = silent_space.authority.crls()
        for position in range(0, len(crl), 7):
            damaged = bytearray(crl)
            damaged[position] ^= 0x10
            with pytest.raises(CrlRefused):
                silent_space.lists.add(bytes(damaged), at=silent_space.clock.now())

    def test_a_refusal_keeps_the_one_in_force(self, space: Any, foreign_space: Any) -> None:
        before = space.lists.numbers
        reason_of(space.lists, foreign_space.authority.crls()[0], space.clock.now())
        assert space.lists.numbers == before


def _pkcs1() -> tuple[Any, Any]:
    from cryptography.hazmat.primitives.asymmetric import padding

    return padding.PKCS1v15(), hashes.SHA256()


class TestFolder:
    def test_loaded_then_reloaded_only_when_changed(self, silent_space: Any, tmp_path: Path) -> None:
        now, lists = silent_space.clock.now(), silent_space.lists
        folder = write_crls(silent_space.authority, tmp_path)
        assert lists.load_folder(folder, at=now).taken == ("organisations.crl", "root.crl")
        assert lists.load_folder(folder, at=now).taken == ()
        issued = silent_space.issue()
        silent_space.authority.revoke(issued.serial)
        write_crls(silent_space.authority, tmp_path)
        assert lists.load_folder(folder, at=now).taken == ("organisations.crl", "root.crl")
        with pytest.raises(CertificateRefused):
            silent_space.verifier().verify(issued.der, purpose=Purpose.TLS_CLIENT, at=now)

    def test_a_bad_file_is_named_and_harms_nothing(self, space: Any, tmp_path: Path) -> None:
        (tmp_path / "bad.crl").write_bytes(b"nothing")
        (tmp_path / "note.txt").write_bytes(b"not looked at")
        report = space.lists.load_folder(tmp_path, at=space.clock.now())
        assert report.refused == (("bad.crl", CrlReason.UNREADABLE),)
        assert len(space.lists.current) == 2

    def test_one_unreadable_file_does_not_hide_the_others(self, silent_space: Any, tmp_path: Path) -> None:
        folder = write_crls(silent_space.authority, tmp_path)
        (folder / "a.crl").symlink_to(folder / "nowhere")
        report = silent_space.lists.load_folder(folder, at=silent_space.clock.now())
        assert report.refused == (("a.crl", CrlReason.UNREADABLE),)
        assert len(report.taken) == 2

    def test_one_from_the_future_is_tried_again(self, silent_space: Any, tmp_path: Path) -> None:
        now = silent_space.clock.now()
        folder = write_crls(silent_space.authority, tmp_path, this_update=now + timedelta(hours=1))
        assert len(silent_space.lists.load_folder(folder, at=now).refused) == 2
        assert len(silent_space.lists.load_folder(folder, at=now + timedelta(hours=1)).taken) == 2

    def test_a_missing_folder_is_temporary(self, space: Any, tmp_path: Path) -> None:
        with pytest.raises(TemporaryError):
            space.lists.load_folder(tmp_path / "absent", at=space.clock.now())

    def test_saved_lists_are_found_after_a_restart(self, space: Any, tmp_path: Path) -> None:
        space.lists.save(tmp_path / "kept")
        again = RevocationLists(space.anchors)
        assert len(again.load_folder(tmp_path / "kept", at=space.clock.now()).taken) == 2
        assert again.numbers == space.lists.numbers


def test_a_sha1_signature_is_weak(space: Any) -> None:
    from asn1crypto import crl as asn1

    parsed = asn1.CertificateList.load(crl_by_hand(space))
    for place in (parsed["tbs_cert_list"]["signature"], parsed["signature_algorithm"]):
        place["algorithm"] = "sha1_rsa"
    assert reason_of(space.lists, parsed.dump(force=True), space.clock.now()) is CrlReason.WEAK_SIGNATURE


def test_a_signature_of_another_kind_than_the_key(space: Any) -> None:
    from core.testing.keys import cached_key

    crl = crl_by_hand(space, key=cached_key("ec-p256", 0))
    assert reason_of(space.lists, crl, space.clock.now()) is CrlReason.SIGNATURE_INVALID


def test_an_authority_without_the_right_to_sign_lists(space: Any, day: timedelta) -> None:
    from certs.anchors import TrustAnchors
    from core.testing.keys import cached_key

    key, name = cached_key("rsa-2048", 12), x509.Name.from_rfc4514_string("CN=No CRL,C=FR")
    now = space.clock.now()
    usage = x509.KeyUsage(False, False, False, False, False, True, False, False, False)
    root = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + day)
        .add_extension(x509.BasicConstraints(True, None), True)
        .add_extension(usage, True)
        .sign(key, hashes.SHA256())
    )
    crl = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(name)
        .last_update(now)
        .next_update(now + day)
        .sign(key, hashes.SHA256())
    )
    lists = RevocationLists(TrustAnchors.of([root]))
    octets = crl.public_bytes(serialization.Encoding.DER)
    assert reason_of(lists, octets, now) is CrlReason.UNKNOWN_ISSUER
