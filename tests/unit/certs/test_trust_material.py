"""Loaded at start, reloaded while running: what changes, what survives, what a failed reload leaves alone."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from certs.authority_folder import save, write_crls, write_identity
from certs.certificate import to_pem
from certs.keystore import IdentityFiles
from certs.profiles import ProfileName
from certs.revocation import CrlReason
from certs.trust_material import Settings, TrustMaterial
from certs.verdict import CertificateRefused, Reason
from core.errors import ConfigurationError, TemporaryError


@pytest.fixture
def settings(space: Any, tmp_path: Path) -> Settings:
    save(space.authority, tmp_path)
    write_crls(space.authority, tmp_path)
    files = write_identity(space.issue(), tmp_path / "keys", "operator")
    return Settings(anchors=tmp_path / "anchors.pem", crls=tmp_path / "crl", identities=(files,))


@pytest.fixture
def material(space: Any, settings: Settings) -> TrustMaterial:
    return TrustMaterial.load(settings, clock=space.clock)


async def test_loaded_it_judges_both_sides(space: Any, material: TrustMaterial) -> None:
    now = space.clock.now()
    der = space.issue().der
    assert (await material.clients.verify(der, now)).subject == (
        await material.servers.verify(der, now)
    ).subject
    with pytest.raises(CertificateRefused):
        await material.servers.verify(space.issue(ProfileName.AUTH_CLI).der, now)
    assert len(material.crls) == 2
    assert material.tls.identity is material.keys.newest_valid(now)


async def test_a_revocation_reaches_a_running_operator(
    space: Any, material: TrustMaterial, tmp_path: Path
) -> None:
    issued, now = space.issue(), space.clock.now()
    assert await material.clients.verify(issued.der, now)
    space.authority.revoke(issued.serial)
    write_crls(space.authority, tmp_path)
    assert material.reload().crls.taken == ("organisations.crl", "root.crl")
    with pytest.raises(CertificateRefused) as caught:
        await material.clients.verify(issued.der, now)
    assert caught.value.reason is Reason.REVOKED


async def test_other_anchors_keep_the_last_good_crls(
    space: Any, foreign_space: Any, material: TrustMaterial, tmp_path: Path
) -> None:
    for file in (tmp_path / "crl").iterdir():
        file.unlink()
    both = space.authority.anchors_pem() + to_pem(foreign_space.authority.root.certificate)
    (tmp_path / "anchors.pem").write_bytes(both)
    before = material.chains().anchors.identity
    assert material.reload().crls.taken == ()
    assert material.chains().anchors.identity != before
    assert await material.clients.verify(space.issue().der, space.clock.now())
    (tmp_path / "anchors.pem").write_bytes(foreign_space.authority.anchors_pem())
    material.reload()
    assert material.crls == ()
    with pytest.raises(CertificateRefused):
        await material.clients.verify(space.issue().der, space.clock.now())


def test_a_failed_reload_changes_nothing(material: TrustMaterial, settings: Settings, tmp_path: Path) -> None:
    before = (material.chains().anchors, material.keys, material.tls.identity)
    settings.identities[0].key.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        material.reload()
    settings.identities[0].key.chmod(0o600)
    (tmp_path / "crl").rename(tmp_path / "gone")
    with pytest.raises(TemporaryError):
        material.reload()
    assert (material.chains().anchors, material.keys, material.tls.identity) == before


def test_a_bad_crl_is_reported_and_alarms_are_given(
    space: Any, material: TrustMaterial, tmp_path: Path
) -> None:
    (tmp_path / "crl" / "x.crl").write_bytes(b"noise")
    space.clock.time += timedelta(days=1090)
    report = material.reload()
    assert report.crls.refused == (("x.crl", CrlReason.UNREADABLE),)
    assert [days for _, days in report.alarms] == [7]
    assert material.alarms(space.clock.now()) == report.alarms


def test_a_start_without_crls_or_with_an_unknown_profile(
    space: Any, settings: Settings, tmp_path: Path
) -> None:
    from dataclasses import replace

    with pytest.raises(ConfigurationError, match="folder of CRLs"):
        TrustMaterial.load(replace(settings, crls=tmp_path / "absent"), clock=space.clock)
    with pytest.raises(ConfigurationError, match="lps or modern"):
        TrustMaterial.load(replace(settings, tls_profile="old"), clock=space.clock)
    absent = IdentityFiles(certificate=tmp_path / "a", key=tmp_path / "b")
    with pytest.raises(ConfigurationError, match="cannot read"):
        TrustMaterial.load(replace(settings, identities=(absent,)), clock=space.clock)
