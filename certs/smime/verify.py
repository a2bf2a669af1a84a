"""Who sealed this letter? The whole root entity, exactly one signer, a good chain, or an error that says why.

What it is: `verify_letter`, which returns a `VerifiedSeal` or raises. What it is not: the question whether the
signer may speak for the From field (`certs.seals.seal_entitled`), nor anything about a seal below the root.
Every known trick (content in two places, no signer or two, a part beside the signed one, two readings of the
root) has its closed reason in `certs.smime.verdict`.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from asn1crypto import algos, cms
from asn1crypto import core as asn1
from asn1crypto import tsp as asn1_tsp
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from certs.certificate import parse_certificate
from certs.chain import ChainVerifier
from certs.profiles import Purpose
from certs.revocation import MAX_CLOCK_SKEW
from certs.smime import algorithms as names
from certs.smime.capabilities import capabilities_in
from certs.smime.certificates import names_of
from certs.smime.entity import NotBase64, RootSeal, root_of, sealed_octets, signed_parts
from certs.smime.structure import FOREIGN_ERRORS, CmsMalformed, SignedData, SignerInfo, read_signed
from certs.smime.verdict import SealReason, SignatureInvalid, VerifiedSeal
from certs.verdict import CertificateRefused, VerifiedPeer

OLDEST = timedelta(days=30)  # ours: a letter waits five days in a spool; older, a stolen key may be dating it

MAX_SALT = 1024  # octets; ours: what an RSA key of 8192 bits can hold. OpenSSL writes the longest that fits.


def verify_letter(letter: bytes, *, chain: ChainVerifier, now: datetime) -> VerifiedSeal:
    """Verify the seal at the root of a letter (or of the entity that came out of an encrypted one).

    Raises `SignatureInvalid` for good, `RevocationUnknown` when nothing can be said now.
    """
    match root_of(letter):
        case RootSeal.DETACHED:
            span, octets = signed_parts(letter)
            return verify_cms(octets, letter[span[0] : span[1]], chain=chain, now=now, span=span)
        case RootSeal.OPAQUE:
            try:
                return verify_cms(sealed_octets(letter), None, chain=chain, now=now)
            except NotBase64 as error:
                raise SignatureInvalid(SealReason.MALFORMED, "base64") from error
    raise SignatureInvalid(SealReason.NOT_SIGNED)


def verify_cms(
    octets: bytes,
    entity: bytes | None,
    *,
    chain: ChainVerifier,
    now: datetime,
    span: tuple[int, int] | None = None,
) -> VerifiedSeal:
    """Verify a SignedData over `entity`, or over its own content when `entity` is None. Raises as above."""
    try:
        data = read_signed(octets)
    except CmsMalformed as error:
        raise SignatureInvalid(SealReason.MALFORMED, str(error)) from error
    content = _content(data, entity)
    if len(data.signers) != 1:
        raise SignatureInvalid(SealReason.SIGNERS, f"{len(data.signers)}")
    signer = data.signers[0]
    digest = _digest_of(data, signer)
    attributes = _attributes(signer, data.content_type)
    certificate = _certificate(data, signer)
    if not hmac.compare_digest(_hash(digest, content), attributes.digest):
        raise SignatureInvalid(SealReason.DIGEST)
    scheme = _demand_value(certificate, signer, digest)
    _demand_certificate_attribute(attributes.signing_certificate, certificate)
    signed_at = attributes.time or now
    others = tuple(one for one in data.certificates if one != certificate)
    peer = _judge(chain, certificate, others, signed_at=signed_at, now=now)
    return VerifiedSeal(
        signer=peer,
        signed_at=signed_at,
        dated=attributes.time is not None,
        entity=content,
        span=span,
        scheme=scheme,
        capabilities=attributes.capabilities,
    )


def _content(data: SignedData, entity: bytes | None) -> bytes:
    # Content in two places, or a type that is not plain data, is how one thing is signed and another shown.
    if data.content_type != names.ID_DATA:
        raise SignatureInvalid(SealReason.CONTENT, "type")
    if entity is None and data.content is not None:
        return data.content
    if entity is not None and data.content is None:
        return entity
    raise SignatureInvalid(SealReason.CONTENT, "in two places, or nowhere")


def _digest_of(data: SignedData, signer: SignerInfo) -> str:
    digest = signer.digest.identifier
    if digest in names.WEAK_DIGESTS:
        raise SignatureInvalid(SealReason.WEAK_DIGEST)
    if digest not in names.DIGESTS or signer.digest.parameters not in (b"", b"\x05\x00"):
        raise SignatureInvalid(SealReason.ALGORITHM, "digest")
    if digest not in data.digests:  # RFC 5652 §5.3
        raise SignatureInvalid(SealReason.ALGORITHM, "digest not announced")
    return digest


def _hash(digest: str, octets: bytes) -> bytes:
    hasher = hashes.Hash(names.DIGESTS[digest]())
    hasher.update(octets)
    return hasher.finalize()


# --- signed attributes (RFC 5652 §5.3 and §11) --------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class _Attributes:
    digest: bytes
    time: datetime | None
    signing_certificate: bytes | None
    capabilities: tuple[str, ...]


def _attributes(signer: SignerInfo, content_type: str) -> _Attributes:
    if not signer.attributes:  # without them a signature over one content can be moved to another
        raise SignatureInvalid(SealReason.ATTRIBUTES, "none are signed")
    found: dict[str, bytes] = {}
    for identifier, values in signer.attributes:
        if identifier in found or (identifier in _SINGLE and len(values) != 1):
            raise SignatureInvalid(SealReason.ATTRIBUTES, "one stands twice")
        found[identifier] = values[0] if values else b""
    try:
        named = asn1.ObjectIdentifier.load(found[names.CONTENT_TYPE], strict=True).dotted
        digest = bytes(asn1.OctetString.load(found[names.MESSAGE_DIGEST], strict=True))
        time = _time(found.get(names.SIGNING_TIME))
    except FOREIGN_ERRORS as error:
        raise SignatureInvalid(SealReason.ATTRIBUTES, "unreadable or missing") from error
    if named != content_type:
        raise SignatureInvalid(SealReason.ATTRIBUTES, "content type")
    return _Attributes(
        digest=digest,
        time=time,
        signing_certificate=found.get(names.SIGNING_CERTIFICATE_V2),
        capabilities=capabilities_in(found.get(names.SMIME_CAPABILITIES, b"")),
    )


_SINGLE = frozenset(
    {names.CONTENT_TYPE, names.MESSAGE_DIGEST, names.SIGNING_TIME, names.SIGNING_CERTIFICATE_V2}
)


def _time(octets: bytes | None) -> datetime | None:
    if octets is None:
        return None
    value = cms.Time.load(octets, strict=True).native
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError("no time")
    return value.astimezone(UTC)


def _demand_certificate_attribute(octets: bytes | None, certificate: bytes) -> None:
    """RFC 5035 §5: when the attribute is there, its first certificate is the signer's."""
    if octets is None:
        return
    try:
        first = asn1_tsp.SigningCertificateV2.load(octets, strict=True)["certs"][0]
        digest = str(first["hash_algorithm"]["algorithm"].dotted)
        expected = bytes(first["cert_hash"])
    except FOREIGN_ERRORS as error:
        raise SignatureInvalid(SealReason.ATTRIBUTES, "signing certificate") from error
    if digest not in names.DIGESTS or not hmac.compare_digest(_hash(digest, certificate), expected):
        raise SignatureInvalid(SealReason.ATTRIBUTES, "another signing certificate")


# --- the signer ---------------------------------------------------------------------------------------------
def _certificate(data: SignedData, signer: SignerInfo) -> bytes:
    found = set()
    for certificate in data.certificates:
        try:
            if signer.name in names_of(certificate):
                found.add(certificate)
        except CertificateRefused as error:
            raise SignatureInvalid(SealReason.CERTIFICATE, str(error)) from error
    if len(found) != 1:
        raise SignatureInvalid(SealReason.NO_CERTIFICATE, f"{len(found)} fit")
    return found.pop()


def _demand_value(certificate: bytes, signer: SignerInfo, digest: str) -> str:
    """Verify the signature value; the name of what was used."""
    key = parse_certificate(certificate).public_key()
    algorithm = signer.algorithm
    hasher = names.DIGESTS[digest]()
    identifier = algorithm.identifier
    try:
        if isinstance(key, rsa.RSAPublicKey) and identifier == names.RSASSA_PSS:
            key.verify(signer.signature, signer.signed_octets, _pss(algorithm.parameters, digest), hasher)
            return f"rsa-pss-{hasher.name}"
        # RFC 5754 §3.2: rsaEncryption leaves the digest to the digestAlgorithm; the others name it again.
        is_rsa = identifier == names.RSA_ENCRYPTION or names.RSA_WITH.get(identifier) == digest
        if isinstance(key, rsa.RSAPublicKey) and is_rsa and algorithm.parameters in (b"", b"\x05\x00"):
            key.verify(signer.signature, signer.signed_octets, padding.PKCS1v15(), hasher)
            return f"rsa-pkcs1-{hasher.name}"
        is_ecdsa = names.ECDSA_WITH.get(identifier) == digest
        if isinstance(key, ec.EllipticCurvePublicKey) and is_ecdsa and not algorithm.parameters:
            key.verify(signer.signature, signer.signed_octets, ec.ECDSA(hasher))
            return f"ecdsa-{hasher.name}"
    except InvalidSignature as error:
        raise SignatureInvalid(SealReason.VALUE) from error
    raise SignatureInvalid(SealReason.ALGORITHM, "signature")


def _pss(parameters: bytes, digest: str) -> padding.PSS:
    """RFC 4056 §3: one hash for all, and the mask function that everybody has; any salt but none."""
    try:
        read = algos.RSASSAPSSParams.load(parameters, strict=True)
        used = {
            read["hash_algorithm"]["algorithm"].dotted,
            read["mask_gen_algorithm"]["parameters"]["algorithm"].dotted,
        }
        mask, salt = read["mask_gen_algorithm"]["algorithm"].dotted, int(read["salt_length"].native)
        trailer = int(read["trailer_field"])
    except FOREIGN_ERRORS as error:
        raise SignatureInvalid(SealReason.ALGORITHM, "PSS parameters") from error
    hasher = names.DIGESTS[digest]()
    if used != {digest} or mask != names.MGF1 or not 0 < salt <= MAX_SALT or trailer != 1:
        raise SignatureInvalid(SealReason.ALGORITHM, "PSS parameters")
    return padding.PSS(padding.MGF1(hasher), salt)


def _judge(
    chain: ChainVerifier, certificate: bytes, others: Sequence[bytes], *, signed_at: datetime, now: datetime
) -> VerifiedPeer:
    """The chain at signing time, and again now while the certificate lives: fresh CRLs, no old date as a way out."""
    if not now - OLDEST <= signed_at <= now + MAX_CLOCK_SKEW:
        raise SignatureInvalid(SealReason.SIGNING_TIME)
    try:
        peer = chain.verify(certificate, purpose=Purpose.SEAL_SIGN, at=min(signed_at, now), presented=others)
        if now < peer.not_after:
            peer = chain.verify(certificate, purpose=Purpose.SEAL_SIGN, at=now, presented=others)
    except CertificateRefused as error:
        raise SignatureInvalid(SealReason.CERTIFICATE, str(error)) from error
    return peer
