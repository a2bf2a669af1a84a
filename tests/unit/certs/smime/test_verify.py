"""Signatures that are good are told whole; each thing that is wrong has its own reason."""

from __future__ import annotations

from datetime import timedelta

import pytest
from asn1crypto import cms
from asn1crypto import core as asn1

from certs.chain import ChainVerifier
from certs.keystore import SignatureScheme
from certs.profiles import ProfileName
from certs.revocation import RevocationLists
from certs.smime.entity import decode_strict, encode_lines, signed_parts
from certs.smime.sign import Signer, default_scheme
from certs.smime.verdict import SealReason, SignatureInvalid
from certs.smime.verify import verify_cms, verify_letter
from certs.verdict import RevocationUnknown
from core.errors import ConfigurationError
from core.testing.seal_space import ADDRESS, NOW, RIVAGE, SealSpace, seal_space


@pytest.fixture
def letter(seals: SealSpace, entity: bytes) -> bytes:
    head = b"From: Anne TEST-RIVAGE <anne.test-rivage@ch-rivage.mssante.example>\r\nMIME-Version: 1.0\r\n"
    return head + Signer(seals.signer().identity).detached(entity, at=NOW)


def reason_of(letter: bytes, chain: ChainVerifier, **when: timedelta) -> SealReason:
    with pytest.raises(SignatureInvalid) as caught:
        verify_letter(letter, chain=chain, now=NOW + when.get("later", timedelta()))
    return caught.value.reason


def with_cms(letter: bytes, change: object) -> bytes:
    """The letter with its SignedData changed through asn1crypto."""
    (_, end), octets = signed_parts(letter)
    info = cms.ContentInfo.load(octets)
    change(info["content"])  # type: ignore[operator]
    head, _, tail = letter[end:].partition(b"\r\n\r\n")
    close = tail[tail.index(b"--") :]
    return letter[:end] + head + b"\r\n\r\n" + encode_lines(info.dump(force=True)) + close


@pytest.mark.parametrize("scheme", SignatureScheme)
@pytest.mark.parametrize("form", ["detached", "opaque"])
def test_a_seal_says_who_and_when(
    seals: SealSpace, chain: ChainVerifier, entity: bytes, scheme: SignatureScheme, form: str
) -> None:
    kind = {"ecdsa-sha256": "ec-p256", "ecdsa-sha384": "ec-p384"}.get(scheme.value, "rsa-2048")
    member = seals.signer(kind)
    sealed = getattr(Signer(member.identity, scheme), form)(entity, at=NOW)
    seal = verify_letter(sealed, chain=chain, now=NOW + timedelta(minutes=3))
    assert (seal.entity, seal.signed_at, seal.dated, seal.scheme) == (entity, NOW, True, scheme.value)
    assert seal.signer.emails == (ADDRESS,)
    assert seal.signer.fingerprint == member.identity.fingerprint
    assert seal.span is None or sealed[slice(*seal.span)] == entity
    assert "CONFIDENTIEL" not in repr(seal)


def test_a_key_signs_only_with_a_scheme_of_its_kind(seals: SealSpace, entity: bytes) -> None:
    with pytest.raises(ConfigurationError):
        Signer(seals.signer("ec-p256").identity, SignatureScheme.RSA_PSS_SHA256).detached(entity, at=NOW)
    with pytest.raises(ConfigurationError):
        default_scheme(seals.reader("x25519").identity)


def test_a_letter_without_seal_is_not_signed(chain: ChainVerifier) -> None:
    for letter in (
        b"Subject: x\r\n\r\nbody\r\n",
        b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b\r\n\r\ny\r\n--b--\r\n",
        b"Content-Type: application/pkcs7-mime; smime-type=compressed-data\r\n\r\nAA==\r\n",
        b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n\r\nAA==\r\n",
    ):
        assert reason_of(letter, chain) is SealReason.NOT_SIGNED


def test_a_seal_below_the_root_is_a_document(letter: bytes, chain: ChainVerifier) -> None:
    wrapped = b"Content-Type: multipart/mixed; boundary=w\r\n\r\n--w\r\n" + letter + b"\r\n--w--\r\n"
    assert reason_of(wrapped, chain) is SealReason.NOT_SIGNED


def shape(letter: bytes, name: str) -> bytes:
    boundary = letter[letter.index(b"sceau-") : letter.index(b"sceau-") + 46]
    match name:
        case "part before":
            return letter.replace(
                b"\r\n\r\n--" + boundary, b"\r\n\r\n--" + boundary + b"\r\n\r\nfalse\r\n--" + boundary, 1
            )
        case "part after":
            return letter.replace(
                b"--" + boundary + b"--", b"--" + boundary + b"\r\n\r\nfalse\r\n--" + boundary + b"--"
            )
        case "epilogue":
            return letter + b"false words behind\r\n"
        case "preamble":
            return letter.replace(b"\r\n\r\n--" + boundary, b"\r\n\r\n<b>\xc3\xa9</b>\r\n--" + boundary, 1)
        case "long preamble":
            return letter.replace(
                b"\r\n\r\n--" + boundary, b"\r\n\r\n" + b"x" * 600 + b"\r\n--" + boundary, 1
            )
        case "delimiter in preamble":
            return letter.replace(b"\r\n\r\n--" + boundary, b"\r\n\r\n --other\r\n--" + boundary, 1)
        case "false delimiter":
            return letter.replace(b"CONFIDENTIEL", b"\r\n--" + boundary + b"x")
        case "two types":
            return b"Content-Type: text/html\r\n" + letter
        case "second type":
            return letter.replace(b"\r\n\r\n--", b"\r\nContent-Type: text/html\r\n\r\n--", 1)
        case "comment":
            return letter.replace(b"multipart/signed;", b"multipart/signed (text/html);")
        case "two boundaries":
            return letter.replace(b"micalg=", b'boundary="' + boundary + b'"; micalg=')
        case "encoded root":
            return b"Content-Transfer-Encoding: base64\r\n" + letter
        case "other signature":
            return letter.replace(b"application/pkcs7-signature; name", b"application/octet-stream; name")
    return letter.replace(b"\r\n--" + boundary + b"--", b"")


@pytest.mark.parametrize(
    "name",
    [
        *("part before", "part after", "epilogue", "preamble", "long preamble", "delimiter in preamble"),
        *("false delimiter", "second type", "comment", "two boundaries", "encoded root", "other signature"),
        "no end",
    ],
)
def test_a_root_with_anything_beside_is_refused(letter: bytes, chain: ChainVerifier, name: str) -> None:
    changed = shape(letter, name)
    assert changed != letter
    assert reason_of(changed, chain) is SealReason.UNEXPECTED_SHAPE


def test_the_first_type_decides_and_a_second_is_no_seal(letter: bytes, chain: ChainVerifier) -> None:
    assert reason_of(shape(letter, "two types"), chain) is SealReason.NOT_SIGNED


def test_a_preamble_for_readers_without_mime_is_usual(letter: bytes, chain: ChainVerifier) -> None:
    usual = letter.replace(b"\r\n\r\n--", b"\r\n\r\nThis is an S/MIME signed message\r\n\r\n--", 1)
    assert verify_letter(usual, chain=chain, now=NOW)


def test_a_changed_content_is_found(letter: bytes, chain: ChainVerifier) -> None:
    assert reason_of(letter.replace(b"CONFIDENTIEL", b"CONFIDENTIEl"), chain) is SealReason.DIGEST


def test_content_in_two_places_is_refused(
    seals: SealSpace, letter: bytes, chain: ChainVerifier, entity: bytes
) -> None:
    def add_content(data: cms.SignedData) -> None:
        data["encap_content_info"]["content"] = b"Content-Type: text/plain\r\n\r\nfalse\r\n"

    assert reason_of(with_cms(letter, add_content), chain) is SealReason.CONTENT
    detached = Signer(seals.signer().identity).cms(entity, at=NOW, opaque=False)
    with pytest.raises(SignatureInvalid, match="content"):
        verify_cms(detached, None, chain=chain, now=NOW)


def test_a_content_that_is_no_plain_data_is_refused(letter: bytes, chain: ChainVerifier) -> None:
    def other_type(data: cms.SignedData) -> None:
        data["encap_content_info"]["content_type"] = "1.2.840.113549.1.9.16.1.4"

    assert reason_of(with_cms(letter, other_type), chain) is SealReason.CONTENT


def test_no_signer_and_two_signers_are_refused(letter: bytes, chain: ChainVerifier) -> None:
    def none(data: cms.SignedData) -> None:
        data["signer_infos"] = cms.SignerInfos([])

    def two(data: cms.SignedData) -> None:
        again = data["signer_infos"][0].copy()
        again["signature"] = b"another"
        data["signer_infos"].append(again)

    assert reason_of(with_cms(letter, none), chain) is SealReason.SIGNERS
    assert reason_of(with_cms(letter, two), chain) is SealReason.SIGNERS


def test_a_signature_without_signed_attributes_is_refused(letter: bytes, chain: ChainVerifier) -> None:
    def bare(data: cms.SignedData) -> None:
        del data["signer_infos"][0]["signed_attrs"]

    assert reason_of(with_cms(letter, bare), chain) is SealReason.ATTRIBUTES


@pytest.mark.parametrize("missing", ["content_type", "message_digest"])
def test_the_attributes_that_bind_must_be_there_once(
    letter: bytes, chain: ChainVerifier, missing: str
) -> None:
    def without(data: cms.SignedData) -> None:
        info = data["signer_infos"][0]
        info["signed_attrs"] = [one for one in info["signed_attrs"] if one["type"].native != missing]

    def twice(data: cms.SignedData) -> None:
        attributes = data["signer_infos"][0]["signed_attrs"]
        attributes.append(next(one.copy() for one in attributes if one["type"].native == missing))

    assert reason_of(with_cms(letter, without), chain) is SealReason.ATTRIBUTES
    assert reason_of(with_cms(letter, twice), chain) is SealReason.ATTRIBUTES


def test_a_changed_attribute_is_found(letter: bytes, chain: ChainVerifier) -> None:
    def later(data: cms.SignedData) -> None:
        for one in data["signer_infos"][0]["signed_attrs"]:
            if one["type"].native == "signing_time":
                one["values"] = [cms.Time({"utc_time": asn1.UTCTime(NOW - timedelta(days=1))})]

    assert reason_of(with_cms(letter, later), chain) is SealReason.VALUE


@pytest.mark.parametrize(
    ("digest", "reason"),
    [
        ("sha1", SealReason.WEAK_DIGEST),
        ("md5", SealReason.WEAK_DIGEST),
        ("sha3_256", SealReason.ALGORITHM),
        ("sha512", SealReason.ALGORITHM),
    ],
)
def test_weak_and_unknown_digests_are_refused(
    letter: bytes, chain: ChainVerifier, digest: str, reason: SealReason
) -> None:
    def other(data: cms.SignedData) -> None:
        data["signer_infos"][0]["digest_algorithm"] = {"algorithm": digest}

    assert reason_of(with_cms(letter, other), chain) is reason


@pytest.mark.parametrize("algorithm", ["sha256_rsa", "sha512_ecdsa", "rsassa_pss", "ed25519"])
def test_a_signature_algorithm_that_does_not_fit_is_refused(
    letter: bytes, chain: ChainVerifier, algorithm: str
) -> None:
    def other(data: cms.SignedData) -> None:
        data["signer_infos"][0]["signature_algorithm"] = {"algorithm": algorithm}

    assert reason_of(with_cms(letter, other), chain) is SealReason.ALGORITHM


def test_pss_demands_one_hash_a_salt_and_the_known_trailer(
    seals: SealSpace, chain: ChainVerifier, entity: bytes
) -> None:
    signer = Signer(seals.signer("rsa-2048").identity, SignatureScheme.RSA_PSS_SHA256)
    letter = signer.detached(entity, at=NOW)
    for name, value in (
        ("hash_algorithm", {"algorithm": "sha512"}),
        ("mask_gen_algorithm", {"algorithm": "mgf1", "parameters": {"algorithm": "sha1"}}),
        ("salt_length", 0),
        ("salt_length", 5000),
    ):

        def other(data: cms.SignedData, name: str = name, value: object = value) -> None:
            data["signer_infos"][0]["signature_algorithm"]["parameters"][name] = value

        assert reason_of(with_cms(letter, other), chain) is SealReason.ALGORITHM


def test_a_signer_without_certificate_is_nobody(letter: bytes, chain: ChainVerifier) -> None:
    def none(data: cms.SignedData) -> None:
        data["certificates"] = cms.CertificateSet([])

    assert reason_of(with_cms(letter, none), chain) is SealReason.NO_CERTIFICATE


def test_a_signer_of_another_authority_is_refused(chain: ChainVerifier, entity: bytes) -> None:
    stranger = seal_space(90).signer().identity
    assert reason_of(Signer(stranger).detached(entity, at=NOW), chain) is SealReason.CERTIFICATE


def test_a_certificate_for_something_else_is_refused(
    seals: SealSpace, chain: ChainVerifier, entity: bytes
) -> None:
    for profile in (ProfileName.CONF, ProfileName.AUTH_CLI):
        other = seals.issue("ec-p256", profile, RIVAGE).identity
        assert reason_of(Signer(other).detached(entity, at=NOW), chain) is SealReason.CERTIFICATE


def test_a_revoked_signer_is_refused_whatever_date_he_writes(seals: SealSpace, entity: bytes) -> None:
    member = seals.issue("ec-p256", ProfileName.SIGN, RIVAGE)
    letter = Signer(member.identity).detached(entity, at=NOW - timedelta(minutes=1))
    assert verify_letter(letter, chain=seals.chain(), now=NOW)
    seals.authority.revoke(member.identity.certificate.serial_number)
    assert reason_of(letter, seals.chain()) is SealReason.CERTIFICATE


def test_a_certificate_that_expired_after_it_signed_is_good(seals: SealSpace, entity: bytes) -> None:
    member = seals.issue("ec-p256", ProfileName.SIGN, RIVAGE, not_after=NOW + timedelta(hours=1))
    letter = Signer(member.identity).detached(entity, at=NOW)
    assert verify_letter(letter, chain=seals.chain(), now=NOW + timedelta(hours=2))
    late = Signer(member.identity).detached(entity, at=NOW + timedelta(hours=1, minutes=30))
    assert reason_of(late, seals.chain(), later=timedelta(hours=2)) is SealReason.CERTIFICATE


def test_signing_times_of_tomorrow_and_of_long_ago_are_refused(
    seals: SealSpace, chain: ChainVerifier, entity: bytes
) -> None:
    for moment in (NOW + timedelta(days=1), NOW - timedelta(days=31)):
        letter = Signer(seals.signer().identity).detached(entity, at=moment)
        assert reason_of(letter, chain) is SealReason.SIGNING_TIME


def test_without_a_list_of_revoked_certificates_nothing_is_said(seals: SealSpace, letter: bytes) -> None:
    silent = ChainVerifier(anchors=seals.anchors, revocation=RevocationLists(seals.anchors))
    with pytest.raises(RevocationUnknown):
        verify_letter(letter, chain=silent, now=NOW)


def test_garbage_in_the_signature_is_malformed(letter: bytes, chain: ChainVerifier) -> None:
    (_, end), _ = signed_parts(letter)
    head, _, tail = letter[end:].partition(b"\r\n\r\n")
    close = tail[tail.index(b"--") :]
    for body in (b"AAAA\r\n", b"*\r\n", b"MAA=\r\n", b""):
        changed = letter[:end] + head + b"\r\n\r\n" + body + close
        assert reason_of(changed, chain) is SealReason.MALFORMED
    quoted = letter.replace(b"Encoding: base64", b"Encoding: quoted-printable")
    assert reason_of(quoted, chain) is SealReason.MALFORMED


def test_an_opaque_root_is_found_without_its_parameter(
    seals: SealSpace, chain: ChainVerifier, entity: bytes
) -> None:
    letter = Signer(seals.signer().identity).opaque(entity, at=NOW)
    assert (
        verify_letter(letter.replace(b" smime-type=signed-data;", b""), chain=chain, now=NOW).entity == entity
    )
    broken = letter.replace(b"base64\r\n", b"base64\r\nX: ", 1).replace(b"X: Content", b"Content")
    assert verify_letter(broken, chain=chain, now=NOW)
    head, _, body = letter.partition(b"\r\n\r\n")
    octets = decode_strict(body)
    assert reason_of(head + b"\r\n\r\n" + encode_lines(octets[:-1]), chain) is SealReason.MALFORMED
    assert reason_of(head + b"\r\n\r\n%%%", chain) is SealReason.MALFORMED
