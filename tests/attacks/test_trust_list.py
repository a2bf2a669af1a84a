"""Attacks on the signed trust list: flipped bits, cuts, wrapping, comments, entities. None may be accepted."""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime

import pytest
from lxml import etree

from certs.anchors import TrustAnchors
from certs.authority import Authority, Request
from certs.chain import ChainVerifier
from certs.profiles import ProfileName
from certs.revocation import RevocationLists
from core.address import Domain
from core.errors import PermanentError
from core.identity import DistinguishedName
from core.testing.keys import key_factory
from trust_directory.trusted_domains.parse import NAMESPACE, Entry
from trust_directory.trusted_domains.reasons import Reason, TrustListRefused
from trust_directory.trusted_domains.verify import ListVerifier
from trust_directory.trusted_domains.write import publish, render

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
SIGNER = "CN=alb.mssante.example,OU=1990000010,O=ESPACE DE CONFIANCE TEST,C=FR"
RIVAGE = "CN=mss.ch-rivage.mssante.example,OU=1990000010,O=CH DU RIVAGE TEST,ST=Finistère (29),C=FR"
EVIL = (
    f"<Domaine xmlns='{NAMESPACE}'><Nom>evil.example</Nom>"
    "<DNCertificatOperateur>CN=evil,C=FR</DNCertificatOperateur></Domaine>"
)
DS = "{http://www.w3.org/2000/09/xmldsig#}"


class StillClock:
    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


@pytest.fixture(scope="module")
def verifier() -> ListVerifier:
    return _SPACE[1]


@pytest.fixture(scope="module")
def signed() -> bytes:
    return _SPACE[0]


def _space() -> tuple[bytes, ListVerifier]:
    authority = Authority.create(clock=StillClock(), keys=key_factory())
    anchors = TrustAnchors.of([authority.root.certificate, authority.organisations.certificate])
    lists = RevocationLists(anchors)
    for crl in authority.crls():
        lists.add(crl, at=NOW)
    signer = authority.issue(Request(subject=SIGNER, profile=ProfileName.LIST_SIGNER))
    verifier = ListVerifier(
        ChainVerifier(anchors=anchors, revocation=lists), frozenset({DistinguishedName.parse(SIGNER)})
    )
    return publish(_entries(), generated_at=NOW, signer=signer.identity()), verifier


def _entries() -> list[Entry]:
    name = DistinguishedName.parse(RIVAGE)
    return [
        Entry(domain=Domain.parse(f"{label}.mssante.example"), name=name, support="un contact")
        for label in ("ch-rivage", "cabinet")
    ]


_SPACE = _space()


def refused(verifier: ListVerifier, octets: bytes) -> Reason:
    with pytest.raises(TrustListRefused) as caught:
        verifier.open_list(octets, at=NOW)
    return caught.value.reason


def test_the_untouched_list_is_accepted(verifier: ListVerifier, signed: bytes) -> None:
    assert len(verifier.open_list(signed, at=NOW)) == 2


def test_a_thousand_flipped_bits(verifier: ListVerifier, signed: bytes) -> None:
    chosen = random.Random(20260302)
    accepted = []
    for _ in range(1000):
        position, bit = chosen.randrange(len(signed)), chosen.randrange(8)
        damaged = bytearray(signed)
        damaged[position] ^= 1 << bit
        try:
            verifier.open_list(bytes(damaged), at=NOW)
        except PermanentError:
            continue
        accepted.append((position, bit, signed[max(0, position - 20) : position + 20]))
    assert accepted == []


def test_every_cut(verifier: ListVerifier, signed: bytes) -> None:
    for end in range(0, len(signed.rstrip()), 37):
        refused(verifier, signed[:end])
    cut = signed[: signed.index(b"</ListeDomaines>") + len(b"</ListeDomaines>")]
    assert refused(verifier, cut) is Reason.UNREADABLE
    assert refused(verifier, cut + b"</ListeBlancheMSSante>") is Reason.UNSIGNED


def test_unsigned(verifier: ListVerifier) -> None:
    assert refused(verifier, render(_entries(), generated_at=NOW)) is Reason.UNSIGNED


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<ListeDomaines>", f"<ListeDomaines>{EVIL}"),
        ("cabinet.mssante.example", "evil.example"),
        ("2026-03-02T08:00:00.000Z", "2027-03-02T08:00:00.000Z"),
    ],
)
def test_altered(verifier: ListVerifier, signed: bytes, old: str, new: str) -> None:
    assert refused(verifier, signed.replace(old.encode(), new.encode())) is Reason.DAMAGED


def parts(signed: bytes) -> tuple[etree._Element, etree._Element]:
    root = etree.fromstring(signed)
    signature = root.find(f"{DS}Signature")
    assert signature is not None
    return root, signature


def evil_root() -> etree._Element:
    return etree.fromstring(
        f"<ListeBlancheMSSante xmlns='{NAMESPACE}'><DateDeGeneration>2027-03-02T08:00:00Z</DateDeGeneration>"
        f"<ListeDomaines>{EVIL}</ListeDomaines></ListeBlancheMSSante>"
    )


class TestWrapping:
    """The eight classic shapes, adapted to a signature over the whole document."""

    def test_signed_root_inside_an_evil_root(self, verifier: ListVerifier, signed: bytes) -> None:
        root, _ = parts(signed)
        evil = evil_root()
        evil.append(root)
        assert refused(verifier, etree.tostring(evil)) is Reason.DAMAGED

    def test_signature_moved_to_an_evil_root_with_the_good_one_inside(
        self, verifier: ListVerifier, signed: bytes
    ) -> None:
        root, signature = parts(signed)
        evil = evil_root()
        evil.append(signature)
        evil.append(root)
        assert refused(verifier, etree.tostring(evil)) is Reason.DAMAGED

    def test_good_root_inside_an_object_of_the_signature(self, verifier: ListVerifier, signed: bytes) -> None:
        root, signature = parts(signed)
        evil = evil_root()
        evil.append(signature)
        etree.SubElement(signature, f"{DS}Object").append(root)
        assert refused(verifier, etree.tostring(evil)) is Reason.DAMAGED

    def test_evil_list_inside_the_signature(self, verifier: ListVerifier, signed: bytes) -> None:
        for place in ("", f"{DS}KeyInfo", f"{DS}SignedInfo", f"{DS}SignatureValue"):
            root, signature = parts(signed)
            target = signature.find(place) if place else signature
            assert target is not None
            target.append(evil_root())
            octets = etree.tostring(root)
            try:
                space = verifier.open_list(octets, at=NOW)
            except TrustListRefused:
                continue
            assert Domain.parse("evil.example") not in space  # what is inside the Signature is never read

    def test_two_signatures(self, verifier: ListVerifier, signed: bytes) -> None:
        import copy

        root, signature = parts(signed)
        root.append(copy.deepcopy(signature))
        assert refused(verifier, etree.tostring(root)) is Reason.DAMAGED

    def test_two_lists_beside_each_other(self, verifier: ListVerifier, signed: bytes) -> None:
        root, _ = parts(signed)
        root.insert(0, evil_root()[1])
        assert refused(verifier, etree.tostring(root)) is Reason.DAMAGED

    def test_signature_deeper_than_the_root(self, verifier: ListVerifier, signed: bytes) -> None:
        root, signature = parts(signed)
        root[1].append(signature)
        assert refused(verifier, etree.tostring(root)) is Reason.DAMAGED

    def test_reference_to_an_id(self, verifier: ListVerifier, signed: bytes) -> None:
        root, signature = parts(signed)
        root.set("Id", "x")
        reference = signature.find(f"{DS}SignedInfo/{DS}Reference")
        assert reference is not None
        reference.set("URI", "#x")
        assert refused(verifier, etree.tostring(root)) is Reason.DAMAGED


def test_a_comment_cannot_split_a_name(verifier: ListVerifier, signed: bytes) -> None:
    """Comments are not signed: a reader that stops at one would read `cabinet.mssante.example` as `cabinet`."""
    split = signed.replace(b"cabinet.mssante", b"cabinet<!-- x -->.mssante")
    space = verifier.open_list(split, at=NOW)
    assert Domain.parse("cabinet.mssante.example") in space
    assert len(space) == 2


@pytest.mark.parametrize(
    "prologue",
    [
        b'<!DOCTYPE a [<!ENTITY x "evil.example">]>',
        b'<!DOCTYPE a SYSTEM "http://127.0.0.1/x.dtd">',
        b'<!DOCTYPE a [<!ATTLIST Nom x CDATA "y">]>',
    ],
)
def test_document_types(verifier: ListVerifier, signed: bytes, prologue: bytes) -> None:
    head, rest = re.split(rb"(?<=\?>)\n", signed, maxsplit=1)
    assert refused(verifier, head + prologue + rest) is Reason.UNREADABLE


def test_other_encodings(verifier: ListVerifier, signed: bytes) -> None:
    text = signed.decode()
    assert refused(verifier, text.encode("utf-16")) is Reason.UNREADABLE
    latin = text.replace("UTF-8", "ISO-8859-1").encode("iso-8859-1")
    assert refused(verifier, latin) is Reason.DAMAGED
