"""Invariant: whatever the octets of a seal, it is refused by our own errors or gives back what was sealed."""

from __future__ import annotations

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from certs.smime.capabilities import CannotRead, capabilities_in, choose_reading
from certs.smime.decrypt import decrypt, decrypt_letter
from certs.smime.der import MAX_DEPTH, EncodingRefused, demand_bounded, tlv
from certs.smime.encrypt import encrypt
from certs.smime.entity import pkcs7_mime, root_of, sealed_octets
from certs.smime.letter import open_letter
from certs.smime.sign import Signer
from certs.smime.structure import CmsMalformed, read_algorithm, read_envelope, read_signed
from certs.smime.verdict import DecryptionFailed, SignatureInvalid
from certs.smime.verify import verify_cms
from core.testing.seal_space import NOW, READERS, SealSpace, seal_space

ENTITY = b"Content-Type: text/plain\r\n\r\nCONFIDENTIEL\r\n"


def seeds(space: SealSpace) -> list[bytes]:
    made = [
        Signer(space.signer(kind).identity).cms(ENTITY, at=NOW, opaque=True)
        for kind in ("rsa-2048", "ec-p256")
    ]
    for kind in READERS:
        reading = choose_reading(space.reader(kind).certificate)
        assert not isinstance(reading, CannotRead)
        made.append(sealed_octets(encrypt(ENTITY, [reading])))
    return made


SPACE = seal_space()
CHAIN = SPACE.chain()
KEYS = [SPACE.reader(kind).identity for kind in READERS]
SEEDS = seeds(SPACE)

trees = st.recursive(
    st.builds(tlv, st.sampled_from((2, 3, 4, 5, 6, 0x17, 0x80, 0x81)), st.binary(max_size=12)),
    lambda inner: st.builds(
        lambda tag, parts: tlv(tag, *parts),
        st.sampled_from((0x30, 0x31, 0xA0, 0xA1, 0xA2, 0x24)),
        st.lists(inner, max_size=5),
    ),
    max_leaves=30,
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good seal with a few places overwritten, cut, doubled or filled with foreign values."""
    octets = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(octets)))
        piece = draw(
            st.one_of(st.binary(max_size=4), trees, st.sampled_from((b"\x30\x80", b"\x00\x00", b"\xa0\x80")))
        )
        octets = octets[:at] + piece + octets[at + draw(st.integers(0, 8)) :]
    return octets


def judge(octets: bytes) -> None:
    for read in (read_signed, read_envelope, read_algorithm):
        with contextlib.suppress(CmsMalformed):
            read(octets)
    capabilities_in(octets)
    with contextlib.suppress(SignatureInvalid):
        assert verify_cms(octets, None, chain=CHAIN, now=NOW).entity == ENTITY
    with contextlib.suppress(DecryptionFailed):
        assert decrypt(octets, KEYS).entity == ENTITY


@settings(deadline=None)
@given(damaged())
def test_a_damaged_seal_is_refused_or_says_the_same(octets: bytes) -> None:
    judge(octets)


@settings(deadline=None)
@given(st.one_of(trees, st.binary(max_size=200)))
def test_any_octets_are_refused_in_our_words(octets: bytes) -> None:
    judge(octets)
    with contextlib.suppress(EncodingRefused):
        demand_bounded(octets)
    assert MAX_DEPTH


PIECES = st.sampled_from(
    [
        *(
            b"Content-Type: multipart/signed; ",
            b"protocol=application/pkcs7-signature; ",
            b"boundary=b\r\n",
            b"\r\n",
        ),
        *(
            b"--b\r\n",
            b"--b--\r\n",
            b"Content-Type: application/pkcs7-signature\r\n",
            b"Content-Transfer-Encoding: base64\r\n",
        ),
        *(
            b"Content-Type: application/pkcs7-mime; smime-type=",
            b"signed-data",
            b"enveloped-data\r\n",
            b"MIAGCSqGSIb3",
            b"\n",
            b"(",
        ),
        *(pkcs7_mime(one, b"signed-data") for one in SEEDS[:1]),
        *(pkcs7_mime(one, b"enveloped-data") for one in SEEDS[2:4]),
    ]
)


@settings(deadline=None)
@given(st.lists(st.one_of(PIECES, st.binary(max_size=6)), max_size=20))
def test_any_letter_is_opened_or_refused(pieces: list[bytes]) -> None:
    letter = b"".join(pieces)
    root_of(letter)
    try:
        opened = open_letter(letter, keys=KEYS, chain=CHAIN, now=NOW)
    except DecryptionFailed:
        return
    assert opened.seal is None or opened.seal.entity == ENTITY
    with contextlib.suppress(DecryptionFailed):
        decrypt_letter(letter, KEYS)
