"""A certificate is good now, for this purpose, or the reason is named."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from certs.chain import VERDICT_LIFETIME, ChainVerifier, PeerJudge, demand_subject
from certs.profiles import REMARK_NO_CLIENT_AUTH, ClientAuthEku, ProfileName, Purpose
from certs.verdict import CertificateRefused, Doubt, Reason, RevocationUnknown
from core.errors import PermanentError, TemporaryError
from core.identity import DistinguishedName
from core.testing.keys import cached_key

RIVAGE = DistinguishedName.parse(
    "C=FR, ST=FINISTÈRE (29), O=CH du Rivage TEST, OU=1990000010, CN=mss.ch-rivage.mssante.example"
)


def refused(
    verifier: ChainVerifier, der: bytes, at: datetime, purpose: Purpose = Purpose.TLS_CLIENT
) -> Reason:
    with pytest.raises(CertificateRefused) as caught:
        verifier.verify(der, purpose=purpose, at=at)
    return caught.value.reason


def by_hand(space: Any, **change: Any) -> bytes:
    """A certificate that the authority's own templates would never make."""
    key = change.get("key") or cached_key("rsa-2048", 9)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name.from_rfc4514_string("CN=odd,OU=1990000010,O=ODD TEST,C=FR"))
        .issuer_name(space.authority.organisations.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(space.clock.now() - timedelta(days=1))
        .not_valid_after(space.clock.now() + timedelta(days=1))
    )
    for extension, critical in change.get("extensions", ()):
        builder = builder.add_extension(extension, critical)
    digest = change.get("digest") or hashes.SHA256()
    return builder.sign(change.get("signer") or space.authority.organisations.key, digest).public_bytes(
        serialization.Encoding.DER
    )


CLIENT = (x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CLIENT_AUTH]), False)


class TestAccepted:
    def test_an_operator_is_named_as_the_trust_list_names_it(self, space: Any) -> None:
        issued = space.issue(
            names=("mss.ch-rivage.mssante.example",), emails=("a@ch-rivage.mssante.example",)
        )
        peer = space.verifier().verify(issued.der, purpose=Purpose.TLS_CLIENT, at=space.clock.now())
        assert peer.subject == RIVAGE
        assert str(peer.subject).startswith("CN=mss.ch-rivage.mssante.example,OU=1990000010,O=")
        assert peer.names == ("mss.ch-rivage.mssante.example",)
        assert peer.emails == ("a@ch-rivage.mssante.example",)
        assert peer.fingerprint == issued.certificate.fingerprint(hashes.SHA256()).hex()
        assert peer.days_left(space.clock.now()) == 1094
        assert peer.remarks == ()

    def test_pem_is_read_too(self, space: Any) -> None:
        pem = space.issue().certificate.public_bytes(serialization.Encoding.PEM)
        assert (
            space.verifier().verify(pem, purpose=Purpose.TLS_SERVER, at=space.clock.now()).subject == RIVAGE
        )

    def test_elliptic_keys_are_accepted(self, space: Any, algorithms: Any) -> None:
        issued = space.issue(algorithm=algorithms.EC_P256)
        assert space.verifier().verify(issued.der, purpose=Purpose.TLS_CLIENT, at=space.clock.now())

    @pytest.mark.parametrize(
        ("profile", "purpose"),
        [
            (ProfileName.SSL_SERV, Purpose.TLS_CLIENT),
            (ProfileName.SSL_SERV, Purpose.TLS_SERVER),
            (ProfileName.AUTH_CLI, Purpose.TLS_CLIENT),
            (ProfileName.LIST_SIGNER, Purpose.LIST_SIGNER),
            (ProfileName.SIGN, Purpose.LIST_SIGNER),
        ],
    )
    def test_each_profile_serves_its_purpose(self, space: Any, profile: Any, purpose: Any) -> None:
        assert space.verifier().verify(space.issue(profile).der, purpose=purpose, at=space.clock.now())

    def test_an_intermediate_that_only_the_peer_has_needs_a_crl_we_can_verify(self, space: Any) -> None:
        bare = type(space.anchors).of([space.authority.root.certificate])
        verifier = ChainVerifier(anchors=bare, revocation=space.lists)
        der = space.issue().der
        assert refused(verifier, der, space.clock.now()) is Reason.UNTRUSTED
        between = space.authority.organisations.certificate.public_bytes(serialization.Encoding.DER)
        assert (
            verifier.verify(
                der, purpose=Purpose.TLS_CLIENT, at=space.clock.now(), presented=[between]
            ).subject
            == RIVAGE
        )


class TestRefused:
    @pytest.mark.parametrize(
        ("profile", "purpose"),
        [
            (ProfileName.AUTH_CLI, Purpose.TLS_SERVER),
            (ProfileName.SIGN, Purpose.TLS_CLIENT),
            (ProfileName.CONF, Purpose.LIST_SIGNER),
            (ProfileName.SSL_SERV, Purpose.LIST_SIGNER),
        ],
    )
    def test_wrong_usage(self, space: Any, profile: Any, purpose: Any) -> None:
        der = space.issue(profile).der
        assert refused(space.verifier(), der, space.clock.now(), purpose) is Reason.WRONG_USAGE

    def test_dates_to_the_second(self, space: Any, day: timedelta) -> None:
        now = space.clock.now()
        issued = space.issue(not_before=now, not_after=now + day)
        verifier = space.verifier()
        second = timedelta(seconds=1)
        assert refused(verifier, issued.der, now - second) is Reason.NOT_YET_VALID
        assert verifier.verify(issued.der, purpose=Purpose.TLS_CLIENT, at=now)
        assert verifier.verify(issued.der, purpose=Purpose.TLS_CLIENT, at=now + day - second)
        assert refused(verifier, issued.der, now + day) is Reason.EXPIRED

    def test_another_authority_of_the_same_name(self, space: Any, foreign_space: Any) -> None:
        assert refused(space.verifier(), foreign_space.issue().der, space.clock.now()) is Reason.UNTRUSTED

    def test_self_signed(self, space: Any) -> None:
        key = cached_key("rsa-2048", 9)
        der = by_hand(space, key=key, signer=key, extensions=[CLIENT])
        assert refused(space.verifier(), der, space.clock.now()) is Reason.UNTRUSTED

    def test_weak_key(self, space: Any) -> None:
        der = by_hand(space, key=cached_key("rsa-1024", 0), extensions=[CLIENT])
        assert refused(space.verifier(), der, space.clock.now()) is Reason.WEAK_KEY

    def test_unknown_critical_extension(self, space: Any) -> None:
        odd = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.250.1.213.99"), b"\x05\x00")
        der = by_hand(space, extensions=[CLIENT, (odd, True)])
        assert refused(space.verifier(), der, space.clock.now()) is Reason.UNTRUSTED

    def test_an_authority_is_no_peer(self, space: Any) -> None:
        der = by_hand(space, extensions=[CLIENT, (x509.BasicConstraints(True, None), True)])
        assert refused(space.verifier(), der, space.clock.now()) is Reason.IS_AUTHORITY

    def test_a_peer_is_no_authority(self, space: Any) -> None:
        issued = space.issue()
        der = by_hand(space, signer=issued.key, extensions=[CLIENT])
        builder = x509.load_der_x509_certificate(der)
        assert builder.issuer != issued.certificate.subject  # only the signature is the peer's
        assert refused(space.verifier(), der, space.clock.now()) is Reason.UNTRUSTED

    def test_key_usage_without_digital_signature(self, space: Any) -> None:
        usage = x509.KeyUsage(False, False, True, False, False, False, False, False, False)
        der = by_hand(space, extensions=[CLIENT, (usage, True)])
        assert refused(space.verifier(), der, space.clock.now()) is Reason.WRONG_USAGE

    def test_empty_subject(self, space: Any) -> None:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(space.authority.organisations.certificate.subject)
            .public_key(cached_key("rsa-2048", 9).public_key())
            .serial_number(7)
            .not_valid_before(space.clock.now() - timedelta(days=1))
            .not_valid_after(space.clock.now() + timedelta(days=1))
            .add_extension(*CLIENT)
        )
        der = builder.sign(space.authority.organisations.key, hashes.SHA256()).public_bytes(
            serialization.Encoding.DER
        )
        assert refused(space.verifier(), der, space.clock.now()) is Reason.UNREADABLE

    def test_too_many_presented(self, space: Any) -> None:
        der = space.issue().der
        with pytest.raises(CertificateRefused):
            space.verifier().verify(
                der, purpose=Purpose.TLS_CLIENT, at=space.clock.now(), presented=[der] * 9
            )

    def test_too_large(self, space: Any) -> None:
        assert refused(space.verifier(), b"0" * 70_000, space.clock.now()) is Reason.UNREADABLE

    def test_twelve_defects_cost_less_than_two_seconds(self, space: Any) -> None:
        verifier, der = space.verifier(), by_hand(space, extensions=[CLIENT])[:-1] + b"\x00"
        start = time.process_time()
        for _ in range(12):
            refused(verifier, der, space.clock.now())
        assert time.process_time() - start < 2

    @given(st.binary(max_size=400))
    @settings(max_examples=60, deadline=None)
    def test_no_foreign_exception_leaves(self, octets: bytes) -> None:
        from certs.certificate import parse_certificate

        with pytest.raises(CertificateRefused):
            parse_certificate(octets)


class TestPaths:
    """Chains made by hand, of shapes that the authority never makes."""

    def chain(self, space: Any, **odd: Any) -> tuple[ChainVerifier, bytes]:
        """Root, intermediate and leaf; `odd` changes the root's end or the intermediate's usages."""
        now, day = space.clock.now(), timedelta(days=1)
        root_key, between_key, key = (cached_key("rsa-2048", n) for n in (10, 11, 12))
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)

        def made(subject: str, issuer: str, public: Any, signer: Any, **more: Any) -> x509.Certificate:
            builder = (
                x509.CertificateBuilder()
                .subject_name(x509.Name.from_rfc4514_string(subject))
                .issuer_name(x509.Name.from_rfc4514_string(issuer))
                .public_key(public.public_key())
                .serial_number(x509.random_serial_number())
                .not_valid_before(now - day)
                .not_valid_after(more.get("end", now + 90 * day))
            )
            for extension, critical in more.get("extensions", ()):
                builder = builder.add_extension(extension, critical)
            return builder.sign(signer, hashes.SHA256())

        authority = [(x509.BasicConstraints(True, None), True), (usage, True)]
        root = made(
            "CN=R", "CN=R", root_key, root_key, end=odd.get("root_end", now + 90 * day), extensions=authority
        )
        between = made(
            "CN=I",
            "CN=R",
            between_key,
            root_key,
            extensions=[*authority, *odd.get("intermediate_extensions", ())],
        )
        leaf = made("CN=L", "CN=I", key, between_key, extensions=[CLIENT])
        anchors = type(space.anchors).of([root, between])
        lists = type(space.lists)(anchors)
        for name, signer in (("CN=R", root_key), ("CN=I", between_key)):
            crl = x509.CertificateRevocationListBuilder().issuer_name(x509.Name.from_rfc4514_string(name))
            signed = crl.last_update(now).next_update(now + 60 * day).sign(signer, hashes.SHA256())
            lists.add(signed.public_bytes(serialization.Encoding.DER), at=now)
        return ChainVerifier(anchors=anchors, revocation=lists), leaf.public_bytes(serialization.Encoding.DER)

    def test_the_ordinary_one(self, space: Any) -> None:
        verifier, der = self.chain(space)
        assert verifier.verify(der, purpose=Purpose.TLS_CLIENT, at=space.clock.now()).subject.text == "CN=L"
        assert len(verifier.revocation.current) == len(verifier.anchors.roots) + 1

    def test_a_root_out_of_its_dates_ends_trust(self, space: Any, day: timedelta) -> None:
        verifier, der = self.chain(space, root_end=space.clock.now() + day)
        assert verifier.verify(der, purpose=Purpose.TLS_CLIENT, at=space.clock.now())
        assert refused(verifier, der, space.clock.now() + 2 * day) is Reason.UNTRUSTED

    def test_a_verdict_ends_with_its_shortest_certificate(self, space: Any) -> None:
        end = space.clock.now() + timedelta(minutes=2)
        verifier, der = self.chain(space, root_end=end)
        assert verifier.verify(der, purpose=Purpose.TLS_CLIENT, at=space.clock.now())
        assert refused(verifier, der, end) is Reason.UNTRUSTED

    @pytest.mark.parametrize(
        ("usages", "good"),
        [
            ([x509.ExtendedKeyUsageOID.EMAIL_PROTECTION], False),
            ([x509.ExtendedKeyUsageOID.CLIENT_AUTH], True),
            ([x509.ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE], True),
        ],
    )
    def test_usages_of_an_intermediate_bind_those_below(self, space: Any, usages: Any, good: bool) -> None:
        verifier, der = self.chain(space, intermediate_extensions=[(x509.ExtendedKeyUsage(usages), False)])
        if good:
            assert verifier.verify(der, purpose=Purpose.TLS_CLIENT, at=space.clock.now())
        else:
            assert refused(verifier, der, space.clock.now()) is Reason.WRONG_USAGE

    def test_name_constraints(self, space: Any) -> None:
        excluded = x509.NameConstraints(None, [x509.DirectoryName(x509.Name.from_rfc4514_string("CN=L"))])
        verifier, der = self.chain(space, intermediate_extensions=[(excluded, True)])
        assert refused(verifier, der, space.clock.now()) is Reason.UNTRUSTED

    def test_a_sha1_signature_is_weak(self, space: Any) -> None:
        from asn1crypto import x509 as asn1

        parsed = asn1.Certificate.load(space.issue().der)
        for place in (parsed["tbs_certificate"]["signature"], parsed["signature_algorithm"]):
            place["algorithm"] = "sha1_rsa"
        assert refused(space.verifier(), parsed.dump(force=True), space.clock.now()) is Reason.WEAK_SIGNATURE

    def test_an_algorithm_that_nobody_knows(self, space: Any) -> None:
        der = space.issue().der.replace(
            bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d01017f")
        )
        with pytest.raises(CertificateRefused) as caught:
            space.verifier().verify(der, purpose=Purpose.TLS_CLIENT, at=space.clock.now())
        assert caught.value.reason in (Reason.WEAK_SIGNATURE, Reason.UNREADABLE)

    def test_a_key_of_another_kind_is_weak(self, space: Any) -> None:
        from cryptography.hazmat.primitives.asymmetric import ed25519

        der = by_hand(space, key=ed25519.Ed25519PrivateKey.generate(), extensions=[CLIENT])
        assert refused(space.verifier(), der, space.clock.now()) is Reason.WEAK_KEY

    def test_attributes_that_are_no_text(self) -> None:
        from cryptography.x509.oid import NameOID

        from certs.certificate import distinguished_name

        bits = x509.NameAttribute(NameOID.X500_UNIQUE_IDENTIFIER, b"\x01\x02", x509.name._ASN1Type.BitString)
        assert "2.5.4.45=0102" in str(distinguished_name(x509.Name([bits])))


class TestClientAuthentication:
    def test_strict_refuses_warn_remarks_off_is_silent(self, space: Any) -> None:
        server_only = (x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), False)
        der, now = by_hand(space, extensions=[server_only]), space.clock.now()
        assert refused(space.verifier(), der, now) is Reason.WRONG_USAGE
        warn = space.verifier(client_auth_eku=ClientAuthEku.WARN)
        assert warn.verify(der, purpose=Purpose.TLS_CLIENT, at=now).remarks == (REMARK_NO_CLIENT_AUTH,)
        off = space.verifier(client_auth_eku=ClientAuthEku.OFF)
        assert off.verify(der, purpose=Purpose.TLS_CLIENT, at=now).remarks == ()

    def test_the_setting_does_not_loosen_other_purposes(self, space: Any) -> None:
        off = space.verifier(client_auth_eku=ClientAuthEku.OFF)
        der = space.issue(ProfileName.AUTH_CLI).der
        assert refused(off, der, space.clock.now(), Purpose.TLS_SERVER) is Reason.WRONG_USAGE


class TestRevocation:
    def test_revoked(self, space: Any) -> None:
        issued, now = space.issue(), space.clock.now()
        verifier = space.verifier()
        assert verifier.verify(issued.der, purpose=Purpose.TLS_CLIENT, at=now)
        space.authority.revoke(issued.serial)
        space.publish()
        assert refused(verifier, issued.der, now) is Reason.REVOKED

    def test_a_revoked_intermediate_takes_everybody_with_it(self, space: Any) -> None:
        issued = space.issue()
        space.authority.revoke(space.authority.organisations.certificate.serial_number)
        space.publish()
        assert refused(space.verifier(), issued.der, space.clock.now()) is Reason.REVOKED

    def test_no_crl_is_a_doubt_not_a_refusal(self, silent_space: Any) -> None:
        with pytest.raises(RevocationUnknown) as caught:
            silent_space.verifier().verify(
                silent_space.issue().der, purpose=Purpose.TLS_CLIENT, at=silent_space.clock.now()
            )
        assert caught.value.doubt is Doubt.NO_CRL
        assert isinstance(caught.value, TemporaryError)
        assert not isinstance(caught.value, PermanentError)

    def test_the_root_must_publish_too(self, silent_space: Any) -> None:
        _, organisations = silent_space.authority.crls()
        silent_space.lists.add(organisations, at=silent_space.clock.now())
        with pytest.raises(RevocationUnknown):
            silent_space.verifier().verify(
                silent_space.issue().der, purpose=Purpose.TLS_CLIENT, at=silent_space.clock.now()
            )

    @pytest.mark.parametrize("grace", [timedelta(0), timedelta(hours=24), timedelta(days=3)])
    def test_grace_is_exact_to_the_second(self, space: Any, grace: timedelta) -> None:
        der, verifier = space.issue().der, space.verifier(crl_grace=grace)
        end = space.clock.now() + timedelta(days=7) + grace
        assert verifier.verify(der, purpose=Purpose.TLS_CLIENT, at=end - timedelta(seconds=1))
        with pytest.raises(RevocationUnknown) as caught:
            verifier.verify(der, purpose=Purpose.TLS_CLIENT, at=end)
        assert caught.value.doubt is Doubt.CRL_STALE

    def test_a_stale_crl_still_revokes(self, space: Any) -> None:
        issued = space.issue()
        space.authority.revoke(issued.serial)
        space.publish()
        assert refused(space.verifier(), issued.der, space.clock.now() + timedelta(days=30)) is Reason.REVOKED


class TestVerdicts:
    def test_a_verdict_is_believed_for_five_minutes_only(self, space: Any, monkeypatch: Any) -> None:
        verifier, der, now = space.verifier(), space.issue().der, space.clock.now()
        judged = []
        real = ChainVerifier._judge
        monkeypatch.setattr(ChainVerifier, "_judge", lambda self, *a: judged.append(1) or real(self, *a))
        for offset in (timedelta(0), VERDICT_LIFETIME - timedelta(seconds=1)):
            verifier.verify(der, purpose=Purpose.TLS_CLIENT, at=now + offset)
        assert len(judged) == 1
        verifier.verify(der, purpose=Purpose.TLS_CLIENT, at=now + VERDICT_LIFETIME)
        assert len(judged) == 2
        verifier.verify(der, purpose=Purpose.TLS_CLIENT, at=now - timedelta(seconds=1))  # a clock set back
        assert len(judged) == 3

    def test_purposes_have_their_own_verdicts(self, space: Any) -> None:
        verifier, der = space.verifier(), space.issue(ProfileName.AUTH_CLI).der
        assert verifier.verify(der, purpose=Purpose.TLS_CLIENT, at=space.clock.now())
        assert refused(verifier, der, space.clock.now(), Purpose.TLS_SERVER) is Reason.WRONG_USAGE

    def test_the_memory_is_bounded(self, space: Any, monkeypatch: Any) -> None:
        monkeypatch.setattr("certs.chain.MAX_VERDICTS", 2)
        verifier = space.verifier()
        for purpose in (Purpose.TLS_CLIENT, Purpose.TLS_SERVER):
            for _ in range(2):
                verifier.verify(space.issue().der, purpose=purpose, at=space.clock.now())
        assert len(verifier._verdicts) == 2

    async def test_the_port(self, space: Any) -> None:
        judge = PeerJudge(space.verifier, Purpose.TLS_CLIENT)
        assert (await judge.verify(space.issue().der, space.clock.now())).subject == RIVAGE


class TestPinning:
    def test_another_name_is_refused(self, space: Any) -> None:
        peer = space.verifier().verify(space.issue().der, purpose=Purpose.TLS_CLIENT, at=space.clock.now())
        demand_subject(peer, allowed=frozenset({RIVAGE}))
        with pytest.raises(CertificateRefused) as caught:
            demand_subject(peer, allowed=frozenset({DistinguishedName.parse("CN=other,C=FR")}))
        assert caught.value.reason is Reason.NOT_PINNED
