"""Everything a running operator holds of this package, loaded at start and reloaded while running.

What it is: `TrustMaterial`: anchors, CRLs, our identities, the TLS contexts and the judges of peers, from one
`Settings` value. What it is not: a timer; `vaguemestre` calls `reload` when it sees fit (a signal, every few
minutes). A reload that fails changes nothing and says why. Start at `TrustMaterial.load`.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from certs import chain
from certs.anchors import TrustAnchors
from certs.chain import ChainVerifier, PeerJudge
from certs.keystore import Identity, IdentityFiles, KeyStore
from certs.profiles import ClientAuthEku, Purpose
from certs.revocation import DEFAULT_GRACE, CrlRefused, LoadReport, RevocationList, RevocationLists
from certs.tls import PROFILES, TlsMaterial, TlsProfile
from core.clock import Clock
from core.errors import ConfigurationError, TemporaryError


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where trust lies on this machine, and how strictly it is read.

    `anchors`: a file or folder of authorities (roots and intermediates). `crls`: the folder of their CRLs.
    `identities`: our certificates and keys, several during a roll-over. `tls_profile`: `lps` or `modern`.
    """

    anchors: Path
    crls: Path
    identities: tuple[IdentityFiles, ...]
    tls_profile: str = "lps"
    require_client_auth_eku: ClientAuthEku = ClientAuthEku.STRICT
    crl_grace: timedelta = DEFAULT_GRACE


@dataclass(frozen=True, slots=True)
class ReloadReport:
    """What a reload found: CRL files taken and refused, and our certificates that end soon (days threshold)."""

    crls: LoadReport
    alarms: tuple[tuple[Identity, int], ...]


class TrustMaterial:
    """The material in force. `tls` is the port `TlsContexts`; the two judges are the port `PeerVerifier`."""

    def __init__(self, settings: Settings, anchors: TrustAnchors, keys: KeyStore, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._keys = keys
        self._chains = ChainVerifier(
            anchors=anchors,
            revocation=RevocationLists(anchors),
            settings=chain.Settings(
                client_auth_eku=settings.require_client_auth_eku, crl_grace=settings.crl_grace
            ),
        )
        self.tls = TlsMaterial(
            keys=keys, anchors=anchors, profile=_profile(settings.tls_profile), clock=clock
        )
        self.clients = PeerJudge(self.chains, Purpose.TLS_CLIENT)
        """Judges operators that connect to our relay listener."""
        self.servers = PeerJudge(self.chains, Purpose.TLS_SERVER)
        """Judges operators that we relay to."""

    @classmethod
    def load(cls, settings: Settings, *, clock: Clock) -> TrustMaterial:
        """Read everything. Raises `ConfigurationError` with the file and the remedy."""
        made = cls(settings, TrustAnchors.load(settings.anchors), KeyStore.load(settings.identities), clock)
        try:
            made._chains.revocation.load_folder(settings.crls, at=clock.now())
        except TemporaryError as error:
            raise ConfigurationError(f"{settings.crls}: {error}") from error
        return made

    def chains(self) -> ChainVerifier:
        """The verifier, the same object across reloads; for the trust list's `ListVerifier` too."""
        return self._chains

    @property
    def keys(self) -> KeyStore:
        """Our identities."""
        return self._keys

    @property
    def crls(self) -> tuple[RevocationList, ...]:
        """The CRLs in force, for metrics and the doctor."""
        return self._chains.revocation.current

    def reload(self) -> ReloadReport:
        """Read everything again. Raises `ConfigurationError` or `TemporaryError`; keys, anchors and contexts
        then stay as they were (newer CRLs that were good are kept).

        Verdicts and last good CRLs survive; new connections get the new contexts, open ones are not touched.
        """
        keys = KeyStore.load(self._settings.identities)
        anchors = TrustAnchors.load(self._settings.anchors)
        now = self._clock.now()
        lists = self._chains.revocation
        if anchors.identity != self._chains.anchors.identity:
            lists = self._carried_over(anchors, now)
        report = lists.load_folder(self._settings.crls, at=now)
        self.tls.reload(keys, anchors)
        self._keys = keys
        if lists is not self._chains.revocation:
            self._chains.use(anchors, lists)
        return ReloadReport(report, keys.alarms(now))

    def _carried_over(self, anchors: TrustAnchors, now: datetime) -> RevocationLists:
        """The last good CRLs, as far as the new anchors vouch for them."""
        lists = RevocationLists(anchors)
        for crl in self.crls:
            with contextlib.suppress(CrlRefused):  # of an authority that is no longer among them
                lists.add(crl.octets, at=now)
        return lists

    def alarms(self, now: datetime) -> tuple[tuple[Identity, int], ...]:
        """See `KeyStore.alarms`."""
        return self._keys.alarms(now)


def _profile(name: str) -> TlsProfile:
    try:
        return PROFILES[name]
    except KeyError as error:
        raise ConfigurationError(f"no TLS profile is called {name}: {' or '.join(PROFILES)}") from error
