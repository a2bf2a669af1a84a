"""TLS: one profile value, contexts for asyncio and for Twisted, swapped while running.

What it is: `TlsProfile` (which versions and suites) and `TlsMaterial`, which implements
`core.ports.TlsContexts`. What it is not: the judgment of a peer. OpenSSL checks here that a client's chain
ends at our anchors; whether it is revoked and whether its name is listed is judged after the handshake
(`certs.chain.PeerJudge`, then the trust list), so that SMTP can answer 550 with a sentence. When we are the
client, no host name is compared: **the trust list's name is the authority, and the relay must verify chain
and name after the handshake, before it says EHLO**. No parameter turns verification off. TLS 1.3 and Twisted
resume no session; the ssl module still resumes TLS 1.2 sessions from memory, with the peer's certificate, which
is why a peer is judged at each connection and never once for all.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLContextFactory
from zope.interface import implementer

from certs.anchors import TrustAnchors
from certs.keystore import Identity, KeyStore
from core.clock import Clock
from core.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsProfile:
    """Versions and suites. `tls12_suites` are OpenSSL names; TLS 1.3 keeps its own suites."""

    name: str
    tls12_suites: tuple[str, ...]

    @property
    def openssl_suites(self) -> str:
        """The cipher string, at security level 2 (no key under 112 bits, no SHA-1 signature)."""
        return ":".join(self.tls12_suites) + ":@SECLEVEL=2"


LPS = TlsProfile(
    name="lps",
    # ANS MSS ECO.1.1.3: 0xC030, 0xC02F, 0xC028, 0xC027 and no other; all four need an RSA certificate.
    tls12_suites=(
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES256-SHA384",
        "ECDHE-RSA-AES128-SHA256",
    ),
)
MODERN = TlsProfile(
    name="modern",
    # RFC 9325 §4.2: forward secrecy and AEAD only.
    tls12_suites=(
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
    ),
)
PROFILES = {profile.name: profile for profile in (LPS, MODERN)}


def peer_certificate(ssl_object: ssl.SSLObject | ssl.SSLSocket | None) -> bytes | None:
    """The certificate (DER) that the peer presented, or None without TLS or without certificate."""
    if ssl_object is None:
        return None
    try:
        return ssl_object.getpeercert(binary_form=True) or None
    except ValueError:  # the handshake is not done
        return None


@dataclass(frozen=True, slots=True)
class _Contexts:
    """One generation of contexts, swapped whole."""

    submission: ssl.SSLContext
    relay_in: ssl.SSLContext
    relay_out: ssl.SSLContext
    twisted: SSL.Context
    identity: Identity


class TlsMaterial:
    """`core.ports.TlsContexts`: contexts of the moment, and a reload that touches no open connection.

    Ask again for each connection where possible (STARTTLS). A listener that was given a context at its start
    (implicit TLS) follows reloads too: its context hands each new handshake to the one in force.
    """

    def __init__(self, *, keys: KeyStore, anchors: TrustAnchors, profile: TlsProfile, clock: Clock) -> None:
        self._profile = profile
        self._clock = clock
        self._now = self._build(keys, anchors)
        self._submission_door = self._door(lambda: self._now.submission, self._now.identity, None)
        self._relay_door = self._door(lambda: self._now.relay_in, self._now.identity, anchors)

    @property
    def identity(self) -> Identity:
        """The certificate in use."""
        return self._now.identity

    def reload(self, keys: KeyStore, anchors: TrustAnchors) -> None:
        """Use other keys and anchors for new connections. Raises `ConfigurationError` and changes nothing."""
        self._now = self._build(keys, anchors)

    def submission_server(self) -> ssl.SSLContext:
        """For 465, 587, 993 on asyncio: no client certificate is asked for."""
        return self._submission_door

    def relay_server(self) -> ssl.SSLContext:
        """For 25: a certificate is asked for; without one the handshake completes and SMTP answers."""
        return self._relay_door

    def relay_client(self) -> ssl.SSLContext:
        """For relay out: our certificate, their chain demanded; the caller checks the name (see above)."""
        return self._now.relay_out

    def twisted_server(self) -> TwistedContextFactory:
        """For Twisted servers: `getContext` is asked at each connection."""
        return TwistedContextFactory(lambda: self._now.twisted)

    def _build(self, keys: KeyStore, anchors: TrustAnchors) -> _Contexts:
        identity = keys.newest_valid(self._clock.now())
        return _Contexts(
            submission=server_context(identity, self._profile),
            relay_in=relay_server_context(identity, anchors, self._profile),
            relay_out=client_context(identity, anchors, self._profile),
            twisted=openssl_server_context(identity, self._profile),
            identity=identity,
        )

    def _door(
        self, current: Callable[[], ssl.SSLContext], identity: Identity, anchors: TrustAnchors | None
    ) -> ssl.SSLContext:
        if anchors is None:
            door = server_context(identity, self._profile)
        else:
            door = relay_server_context(identity, anchors, self._profile)

        def swap(connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
            # Called for each ClientHello, also without server_name; certificate and anchors follow.
            connection.context = current()

        door.sni_callback = swap
        return door


def server_context(identity: Identity, profile: TlsProfile) -> ssl.SSLContext:
    """A server that asks for no client certificate."""
    context = _hardened(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), profile)
    identity.load_into(context)
    return context


def relay_server_context(identity: Identity, anchors: TrustAnchors, profile: TlsProfile) -> ssl.SSLContext:
    """A server that asks for a client certificate of our anchors; none at all is answered by SMTP (530)."""
    context = server_context(identity, profile)
    _trust(context, anchors)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def required_server_context(identity: Identity, anchors: TrustAnchors, profile: TlsProfile) -> ssl.SSLContext:
    """A server whose handshake fails without a client certificate of our anchors (machines: MLLP, APP)."""
    context = server_context(identity, profile)
    _trust(context, anchors)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(identity: Identity, anchors: TrustAnchors, profile: TlsProfile) -> ssl.SSLContext:
    """A client that shows our certificate and demands a chain to our anchors.

    The host name is not compared: one certificate serves hundreds of domains, and the trust list gives its
    name for each. The caller verifies chain, revocation and name after the handshake, always.
    """
    context = _hardened(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), profile)
    context.check_hostname = False
    _trust(context, anchors)
    identity.load_into(context)
    return context


def openssl_server_context(identity: Identity, profile: TlsProfile) -> SSL.Context:
    """The same server for pyOpenSSL (Twisted)."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(
        SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_TICKET | SSL.OP_CIPHER_SERVER_PREFERENCE
    )
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_mode(_MODE_RELEASE_BUFFERS)
    try:
        context.set_cipher_list(profile.openssl_suites.encode("ascii"))
    except SSL.Error as error:
        raise ConfigurationError(f"OpenSSL offers no suite of the TLS profile {profile.name}") from error
    identity.load_into_openssl(context)
    return context


@implementer(IOpenSSLContextFactory)
class TwistedContextFactory:
    """What Twisted's TLS wants: a context for each new connection."""

    def __init__(self, current: Callable[[], SSL.Context]) -> None:
        self._current = current

    def getContext(self) -> SSL.Context:
        """The context in force."""
        return self._current()


_MODE_RELEASE_BUFFERS = 0x10  # SSL_MODE_RELEASE_BUFFERS: an idle IMAP session keeps 34 kB less


def _hardened(context: ssl.SSLContext, profile: TlsProfile) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # ANS MSS ECO.1.1.2, RFC 9325 §3.1.1
    context.options |= (
        ssl.OP_NO_COMPRESSION  # CRIME; RFC 9325 §3.3
        | ssl.OP_NO_RENEGOTIATION  # RFC 9325 §3.5
        | ssl.OP_NO_TICKET  # no key of ours opens yesterday's sessions
        | ssl.OP_CIPHER_SERVER_PREFERENCE
    )
    try:
        context.set_ciphers(profile.openssl_suites)
    except ssl.SSLError as error:
        raise ConfigurationError(f"OpenSSL offers no suite of the TLS profile {profile.name}") from error
    if context.protocol is ssl.PROTOCOL_TLS_SERVER:
        context.num_tickets = 0  # the same for TLS 1.3
    return context


def _trust(context: ssl.SSLContext, anchors: TrustAnchors) -> None:
    try:
        context.load_verify_locations(cadata=anchors.pem())
    except ssl.SSLError as error:
        raise ConfigurationError("OpenSSL does not accept the trust anchors") from error
