"""TLS contexts, played in memory: who gets a handshake, with which suites, and what a reload changes."""

from __future__ import annotations

import contextlib
import inspect
import ssl
from datetime import timedelta
from typing import Any

import pytest
from OpenSSL import SSL

import certs.tls as tls
from certs.keystore import KeyStore
from certs.profiles import ProfileName, Purpose
from certs.tls import LPS, MODERN, TlsMaterial, TlsProfile, peer_certificate
from certs.verdict import CertificateRefused, Reason
from core.errors import ConfigurationError


class Pair:
    """A client and a server joined by memory; `shake` raises what either side raises."""

    def __init__(self, server: ssl.SSLContext, client: ssl.SSLContext, name: str | None = None) -> None:
        a, b = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = server.wrap_bio(a, b, server_side=True)
        self.client = client.wrap_bio(b, a, server_hostname=name)

    def shake(self) -> Pair:
        done: set[object] = set()
        for _ in range(10):
            for side in (self.client, self.server):
                try:
                    side.do_handshake()
                    done.add(side)
                except ssl.SSLWantReadError:
                    continue
            if len(done) == 2:
                break
        assert len(done) == 2
        self.server.write(b"x")  # TLS 1.3: the client learns of a refusal when it reads
        assert self.client.read(1) == b"x"
        return self


def material(space: Any, *issued: Any, profile: TlsProfile = LPS) -> TlsMaterial:
    identities = [one.identity() for one in (issued or (space.issue(),))]
    return TlsMaterial(keys=KeyStore(identities), anchors=space.anchors, profile=profile, clock=space.clock)


def plain_client(space: Any, suites: str = "") -> ssl.SSLContext:
    """A mail client without certificate that knows our anchors."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=space.anchors.pem())
    if suites:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(suites)
    return context


@pytest.fixture
def real(space: Any) -> Any:
    """The space at the machine's time: OpenSSL's clock cannot be given."""
    from core.clock import SystemClock

    space.clock.time = SystemClock().now()
    fresh = type(space)(clock=space.clock)
    fresh.publish()
    return fresh


class TestSubmission:
    @pytest.mark.parametrize("suite", LPS.tls12_suites)
    def test_each_suite_of_the_field_is_served(self, real: Any, suite: str) -> None:
        pair = Pair(material(real).submission_server(), plain_client(real, suite)).shake()
        cipher = pair.client.cipher()
        assert cipher is not None
        assert cipher[0] == suite
        assert pair.client.compression() is None

    def test_tls_1_3_is_served_and_no_client_certificate_asked_for(self, real: Any) -> None:
        pair = Pair(material(real).submission_server(), plain_client(real)).shake()
        assert pair.client.version() == "TLSv1.3"
        assert peer_certificate(pair.server) is None
        der = peer_certificate(pair.client)
        assert der is not None

    @pytest.mark.parametrize(
        "suite", ["AES256-GCM-SHA384", "DHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-SHA"]
    )
    def test_other_suites_are_not(self, real: Any, suite: str) -> None:
        with pytest.raises(ssl.SSLError):
            Pair(material(real).submission_server(), plain_client(real, f"{suite}:@SECLEVEL=1")).shake()

    def test_modern_serves_aead_only(self, real: Any, algorithms: Any) -> None:
        server = material(real, real.issue(algorithm=algorithms.EC_P256), profile=MODERN).submission_server()
        assert Pair(server, plain_client(real, "ECDHE-ECDSA-AES256-GCM-SHA384")).shake()
        with pytest.raises(ssl.SSLError):
            Pair(server, plain_client(real, "ECDHE-ECDSA-AES256-SHA384")).shake()

    def test_tls_1_1_is_refused(self, real: Any) -> None:
        client = plain_client(real, "ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1"):
            client.minimum_version = ssl.TLSVersion.TLSv1
        with pytest.warns(DeprecationWarning, match="TLSv1"):
            client.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(ssl.SSLError):
            Pair(material(real).submission_server(), client).shake()

    def test_no_ticket_is_given(self, real: Any) -> None:
        context = material(real).submission_server()
        assert not Pair(context, plain_client(real)).shake().client.session.has_ticket  # type: ignore[union-attr]
        assert context.num_tickets == 0
        for option in (ssl.OP_NO_TICKET, ssl.OP_NO_COMPRESSION, ssl.OP_NO_RENEGOTIATION):
            assert context.options & option


class TestRelay:
    def test_mutual_tls(self, real: Any) -> None:
        ours, theirs = real.issue(), real.issue()
        pair = Pair(material(real, ours).relay_server(), material(real, theirs).relay_client()).shake()
        assert peer_certificate(pair.server) == theirs.der
        assert peer_certificate(pair.client) == ours.der

    def test_without_certificate_the_handshake_completes_so_that_smtp_can_answer(self, real: Any) -> None:
        pair = Pair(material(real).relay_server(), plain_client(real)).shake()
        assert peer_certificate(pair.server) is None

    def test_a_revoked_one_completes_it_too_and_is_then_refused(self, real: Any) -> None:
        bad = real.issue()
        real.authority.revoke(bad.serial)
        real.publish()
        pair = Pair(material(real).relay_server(), material(real, bad).relay_client()).shake()
        der = peer_certificate(pair.server)
        assert der is not None
        with pytest.raises(CertificateRefused) as caught:
            real.verifier().verify(der, purpose=Purpose.TLS_CLIENT, at=real.clock.now())
        assert caught.value.reason is Reason.REVOKED

    def test_a_foreign_chain_fails_the_handshake_on_either_side(self, real: Any) -> None:
        foreign = type(real)(clock=real.clock, first_key=20)
        stranger = TlsMaterial(
            keys=KeyStore([foreign.issue().identity()]), anchors=real.anchors, profile=LPS, clock=real.clock
        )
        with pytest.raises(ssl.SSLError):
            Pair(material(real).relay_server(), stranger.relay_client()).shake()
        with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
            Pair(stranger.relay_server(), material(real).relay_client()).shake()

    def test_a_client_certificate_is_no_server(self, real: Any) -> None:
        client_only = material(real, real.issue(ProfileName.AUTH_CLI))
        with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
            Pair(client_only.relay_server(), material(real).relay_client()).shake()

    def test_an_expired_one_fails(self, real: Any, day: timedelta) -> None:
        now = real.clock.now()
        old = real.issue(not_before=now - 2 * day, not_after=now - day)
        real.clock.time = now - day - timedelta(hours=1)
        expired = material(real, old)
        with pytest.raises(ssl.SSLError):
            Pair(material(real).relay_server(), expired.relay_client()).shake()

    def test_a_resumed_session_still_shows_whom_to_judge(self, real: Any) -> None:
        theirs = real.issue()
        door, client = material(real).relay_server(), material(real, theirs).relay_client()
        client.maximum_version = ssl.TLSVersion.TLSv1_2
        first, again = Pair(door, client).shake(), Pair(door, client)
        again.client.session = first.client.session
        assert again.shake().client.session_reused
        assert peer_certificate(again.server) == theirs.der

    def test_machines_must_show_a_certificate(self, real: Any) -> None:
        server = tls.required_server_context(real.issue().identity(), real.anchors, LPS)
        assert Pair(server, material(real).relay_client()).shake()
        with pytest.raises(ssl.SSLError):
            Pair(server, plain_client(real)).shake()

    def test_nothing_turns_verification_off(self) -> None:
        assert "CERT_NONE" not in inspect.getsource(tls)
        for function in (tls.client_context, tls.relay_server_context, tls.required_server_context):
            assert not [p for p in inspect.signature(function).parameters.values() if p.annotation == "bool"]


class TestReload:
    def test_a_listener_started_before_serves_the_new_certificate(self, real: Any) -> None:
        first, second = real.issue(), real.issue()
        ours = material(real, first)
        doors = (ours.submission_server(), ours.relay_server())
        open_connection = Pair(doors[0], plain_client(real)).shake()
        ours.reload(KeyStore([second.identity()]), real.anchors)
        assert ours.identity.fingerprint == second.identity().fingerprint
        for door in doors:
            for name in (None, "mss.ch-rivage.mssante.example"):
                assert peer_certificate(Pair(door, plain_client(real), name).shake().client) == second.der
        open_connection.server.write(b"y")
        assert open_connection.client.read(1) == b"y"

    def test_new_anchors_hold_at_a_door_started_before(self, real: Any) -> None:
        foreign = type(real)(clock=real.clock, first_key=20)
        ours = material(real)
        door = ours.relay_server()
        newcomer = TlsMaterial(
            keys=KeyStore([foreign.issue().identity()]), anchors=real.anchors, profile=LPS, clock=real.clock
        ).relay_client()
        with pytest.raises(ssl.SSLError):
            Pair(door, newcomer).shake()
        both = type(real.anchors).of(
            [
                *real.anchors.roots,
                *real.anchors.intermediates,
                *foreign.anchors.roots,
                *foreign.anchors.intermediates,
            ]
        )
        ours.reload(KeyStore([real.issue().identity()]), both)
        assert Pair(door, newcomer).shake()
        ours.reload(KeyStore([real.issue().identity()]), real.anchors)
        with pytest.raises(ssl.SSLError):
            Pair(door, newcomer).shake()

    def test_a_reload_that_fails_changes_nothing(self, real: Any, day: timedelta) -> None:
        first = real.issue()
        ours = material(real, first)
        late = real.issue(not_before=real.clock.now() + day, not_after=real.clock.now() + 2 * day)
        with pytest.raises(ConfigurationError):
            ours.reload(KeyStore([late.identity()]), real.anchors)
        assert ours.identity.fingerprint == first.identity().fingerprint


class TestTwisted:
    def shake(self, context: SSL.Context, space: Any) -> SSL.Connection:
        client_context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        server, client = SSL.Connection(context, None), SSL.Connection(client_context, None)
        server.set_accept_state()
        client.set_connect_state()
        for _ in range(6):
            for one, other in ((client, server), (server, client)):
                with contextlib.suppress(SSL.WantReadError):
                    one.do_handshake()
                with contextlib.suppress(SSL.WantReadError):
                    other.bio_write(one.bio_read(65536))
        return client

    def test_the_factory_gives_the_context_in_force(self, real: Any) -> None:
        first, second = real.issue(), real.issue()
        ours = material(real, first)
        factory = ours.twisted_server()
        seen = self.shake(factory.getContext(), real)
        assert seen.get_peer_certificate(as_cryptography=True) == first.certificate
        ours.reload(KeyStore([second.identity()]), real.anchors)
        seen = self.shake(factory.getContext(), real)
        assert seen.get_peer_certificate(as_cryptography=True) == second.certificate
        assert seen.get_protocol_version_name() == "TLSv1.3"

    def test_twisted_takes_it(self, real: Any) -> None:
        from twisted.internet.protocol import Factory
        from twisted.protocols.tls import TLSMemoryBIOFactory

        assert TLSMemoryBIOFactory(material(real).twisted_server(), False, Factory())


def test_an_empty_profile_is_a_configuration_error(real: Any) -> None:
    nothing = TlsProfile(name="nothing", tls12_suites=("NO-SUCH-SUITE",))
    with pytest.raises(ConfigurationError):
        tls.server_context(real.issue().identity(), nothing)
    with pytest.raises(ConfigurationError):
        tls.openssl_server_context(real.issue().identity(), nothing)


def test_peer_certificate_before_the_handshake_and_without_tls(real: Any) -> None:
    assert peer_certificate(None) is None
    assert peer_certificate(Pair(material(real).relay_server(), plain_client(real)).server) is None
