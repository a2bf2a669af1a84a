"""`openssl cms` opens and verifies what we make, and we what it makes, for every combination it supports."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from certs.chain import ChainVerifier
from certs.keystore import SignatureScheme
from certs.revocation import RevocationLists
from certs.seals import SealAlgorithm
from certs.smime.capabilities import Reading, choose_reading
from certs.smime.decrypt import decrypt_letter
from certs.smime.encrypt import encrypt, encrypt_without_integrity
from certs.smime.sign import Signer
from certs.smime.verdict import Integrity
from certs.smime.verify import verify_letter
from core.testing.seal_space import DUNES, NOW, RIVAGE, Member, SealSpace

OPENSSL_READS = ("rsa-2048", "ec-p256", "ec-p384")  # OpenSSL 3.0 has no X25519 in CMS


def openssl(*arguments: str | Path) -> None:
    command = ["openssl", "cms", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=20)
    assert done.returncode == 0, done.stderr.decode()


@pytest.fixture
def files(tmp_path: Path, seals: SealSpace) -> Path:
    (tmp_path / "anchors.pem").write_bytes(seals.authority.anchors_pem())
    return tmp_path


def pem(folder: Path, member: Member, name: str) -> tuple[Path, Path]:
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    certificate.write_bytes(x509.load_der_x509_certificate(member.certificate).public_bytes(Encoding.PEM))
    key.write_bytes(member.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate, key


def read(member: Member, *declared: SealAlgorithm, permit_legacy: bool = False) -> Reading:
    reading = choose_reading(member.certificate, frozenset(declared), permit_legacy=permit_legacy)
    assert isinstance(reading, Reading)
    return reading


# --- ours to openssl ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("form", ["detached", "opaque"])
@pytest.mark.parametrize("scheme", SignatureScheme)
def test_openssl_verifies_our_signatures(
    files: Path, seals: SealSpace, entity: bytes, scheme: SignatureScheme, form: str
) -> None:
    kinds = {SignatureScheme.ECDSA_SHA256: "ec-p256", SignatureScheme.ECDSA_SHA384: "ec-p384"}
    signer = Signer(seals.signer(kinds.get(scheme, "rsa-2048")).identity, scheme)
    (files / "in").write_bytes(b"MIME-Version: 1.0\r\n" + getattr(signer, form)(entity, at=NOW))
    openssl(
        *("-verify", "-in", files / "in", "-CAfile", files / "anchors.pem", "-crlfeol"),
        *("-attime", str(int(NOW.timestamp())), "-out", files / "out"),
    )
    assert (files / "out").read_bytes() == entity


@pytest.mark.parametrize("cipher", [SealAlgorithm.AES_256_GCM, SealAlgorithm.AES_128_GCM])
def test_openssl_opens_our_envelopes_for_each_of_many_readers(
    files: Path, seals: SealSpace, entity: bytes, cipher: SealAlgorithm
) -> None:
    members = [seals.reader(kind, subject) for kind in OPENSSL_READS for subject in (RIVAGE, DUNES)]
    others = [seals.reader("x25519")]
    letter = encrypt(entity, [read(one, cipher) for one in (*members, *others)])
    (files / "in").write_bytes(b"MIME-Version: 1.0\r\n" + letter)
    for member in members:
        certificate, key = pem(files, member, "reader")
        openssl("-decrypt", "-in", files / "in", "-recip", certificate, "-inkey", key, "-out", files / "out")
        assert (files / "out").read_bytes() == entity


@pytest.mark.parametrize("kind", OPENSSL_READS)
def test_openssl_opens_what_we_write_for_old_readers(
    files: Path, seals: SealSpace, entity: bytes, kind: str
) -> None:
    member = seals.reader(kind)
    old = (SealAlgorithm.AES_256_CBC, SealAlgorithm.RSA_PKCS1)
    letter = encrypt_without_integrity(entity, [read(member, *old, permit_legacy=True)])
    (files / "in").write_bytes(b"MIME-Version: 1.0\r\n" + letter)
    certificate, key = pem(files, member, "reader")
    openssl("-decrypt", "-in", files / "in", "-recip", certificate, "-inkey", key, "-out", files / "out")
    assert (files / "out").read_bytes() == entity


def chain_of(seals: SealSpace, now: datetime) -> ChainVerifier:
    lists = RevocationLists(seals.anchors)
    for crl in seals.authority.crls(this_update=now):
        lists.add(crl, at=now)
    return ChainVerifier(anchors=seals.anchors, revocation=lists)


# --- openssl to ours ----------------------------------------------------------------------------------------
SIGNING = [
    *(
        (kind, digest, ())
        for kind in ("rsa-2048", "ec-p256", "ec-p384")
        for digest in ("sha256", "sha384", "sha512")
    ),
    *(("rsa-2048", digest, ("-keyopt", "rsa_padding_mode:pss")) for digest in ("sha256", "sha512")),
    ("rsa-2048", "sha256", ("-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:-1")),
    ("ec-p256", "sha256", ("-keyid",)),
    ("rsa-2048", "sha256", ("-nosmimecap",)),
    ("rsa-2048", "sha256", ("-cades",)),
]


@pytest.mark.parametrize("form", [(), ("-nodetach",), ("-nodetach", "-stream"), ("-stream",)])
@pytest.mark.parametrize(("kind", "digest", "more"), SIGNING)
def test_we_verify_the_signatures_of_openssl(
    files: Path,
    seals: SealSpace,
    entity: bytes,
    kind: str,
    digest: str,
    more: tuple[str, ...],
    form: tuple[str, ...],
) -> None:
    if "rsa_padding_mode:pss" in more:  # OpenSSL 3.0 itself fails on PSS in a stream
        form = tuple(one for one in form if one != "-stream")
    certificate, key = pem(files, seals.signer(kind), "signer")
    (files / "in").write_bytes(entity)
    openssl(
        *("-sign", "-in", files / "in", "-signer", certificate, "-inkey", key, "-md", digest, *more, *form),
        *("-binary", "-crlfeol", "-out", files / "out"),
    )
    # OpenSSL dates its signatures by the clock of the machine, so this one test stands in our time too.
    now = datetime.now(UTC)
    seal = verify_letter((files / "out").read_bytes(), chain=chain_of(seals, now), now=now)
    assert seal.entity == entity
    assert seal.signer.fingerprint == seals.signer(kind).identity.fingerprint
    assert seal.scheme.endswith(digest)
    assert (seal.span is None) == ("-nodetach" in form)


ENCRYPTING = [
    ("rsa-2048", ()),
    ("rsa-2048", ("-keyopt", "rsa_padding_mode:oaep")),
    ("rsa-2048", ("-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256")),
    ("rsa-2048", ("-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha512")),
    ("rsa-2048", ("-keyid",)),
    *((kind, ()) for kind in ("ec-p256", "ec-p384")),
    *(
        (kind, ("-keyopt", f"ecdh_kdf_md:{digest}"))
        for kind in ("ec-p256", "ec-p384")
        for digest in ("sha256", "sha384", "sha512")
    ),
    ("ec-p256", ("-keyopt", "ecdh_cofactor_mode:1", "-keyopt", "ecdh_kdf_md:sha256")),
    ("ec-p256", ("-keyid",)),
]
CIPHERS = ["aes-128-gcm", "aes-192-gcm", "aes-256-gcm", "aes-128-cbc", "aes-192-cbc", "aes-256-cbc"]
COMBINATIONS = [
    *((kind, more, cipher) for kind, more in ENCRYPTING for cipher in CIPHERS),
    # With an elliptic key OpenSSL wraps a 3DES key by 3DES (RFC 3217), which nobody is left to write.
    *((kind, more, "des3") for kind, more in ENCRYPTING if kind == "rsa-2048"),
]


@pytest.mark.parametrize(("kind", "more", "cipher"), COMBINATIONS)
def test_we_open_the_envelopes_of_openssl(
    files: Path, seals: SealSpace, entity: bytes, kind: str, more: tuple[str, ...], cipher: str
) -> None:
    member = seals.reader(kind)
    certificate, _ = pem(files, member, "reader")
    (files / "in").write_bytes(entity)
    openssl(
        *("-encrypt", "-in", files / "in", "-recip", certificate, *more, f"-{cipher}", "-binary"),
        *("-stream", "-out", files / "out"),
    )
    opened = decrypt_letter((files / "out").read_bytes(), [member.identity])
    assert opened.entity == entity
    assert opened.integrity is (Integrity.AUTHENTICATED if cipher.endswith("gcm") else Integrity.NONE)
