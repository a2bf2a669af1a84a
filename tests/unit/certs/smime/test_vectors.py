"""The files of tests/vectors/smime, made once by `openssl cms`: what each must give, whatever is installed here."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from certs.anchors import TrustAnchors
from certs.chain import ChainVerifier
from certs.keystore import IdentityFiles, load_identity
from certs.revocation import RevocationLists
from certs.smime.decrypt import decrypt_letter
from certs.smime.verdict import Integrity, SealReason, SignatureInvalid
from certs.smime.verify import verify_letter

VECTORS = Path(__file__).parents[3] / "vectors/smime"
ENTITY = (VECTORS / "entity").read_bytes()
MOMENT = datetime.fromisoformat((VECTORS / "moment").read_text().strip())


@pytest.fixture(scope="module")
def verifier() -> ChainVerifier:
    anchors = TrustAnchors.load(VECTORS / "anchors.pem")
    lists = RevocationLists(anchors)
    for name in ("root.crl", "organisations.crl"):
        lists.add((VECTORS / name).read_bytes(), at=MOMENT)
    return ChainVerifier(anchors=anchors, revocation=lists)


@pytest.mark.parametrize("name", ["rsa-2048", "ec-p256", "ec-p384", "opaque-pss"])
def test_good_signatures(verifier: ChainVerifier, name: str) -> None:
    letter = (VECTORS / f"signed-{name}.eml").read_bytes()
    assert verify_letter(letter, chain=verifier, now=MOMENT).entity == ENTITY


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("sha1", SealReason.WEAK_DIGEST),
        ("noattr", SealReason.ATTRIBUTES),
        ("twice", SealReason.SIGNERS),
        ("nocerts", SealReason.NO_CERTIFICATE),
    ],
)
def test_signatures_that_openssl_takes_and_we_do_not(
    verifier: ChainVerifier, name: str, reason: SealReason
) -> None:
    with pytest.raises(SignatureInvalid) as caught:
        verify_letter((VECTORS / f"signed-{name}.eml").read_bytes(), chain=verifier, now=MOMENT)
    assert caught.value.reason is reason


@pytest.mark.parametrize("path", sorted(VECTORS.glob("encrypted-*.eml")), ids=lambda path: path.stem)
def test_envelopes(tmp_path: Path, path: Path) -> None:
    _, kind, bits, *_ = path.stem.split("-")
    key = tmp_path / "reader.key"
    key.write_bytes((VECTORS / f"read-{kind}-{bits}.key").read_bytes())
    key.chmod(0o600)
    files = IdentityFiles(certificate=VECTORS / f"read-{kind}-{bits}.crt", key=key)
    opened = decrypt_letter(path.read_bytes(), [load_identity(files)])
    assert opened.entity == ENTITY
    assert opened.integrity is (Integrity.AUTHENTICATED if "gcm" in path.stem else Integrity.NONE)
