"""Invariant: a distinguished name reads back as itself, whatever the order of its attributes, or is refused."""

from hypothesis import given
from hypothesis import strategies as st

from core.identity import DistinguishedName, IdentityInvalid
from core.testing.near_valid import near_valid

NAMES = [
    "CN=mss.ch-rivage.mssante.example,OU=1990000010,O=CH DU RIVAGE TEST,ST=Finistère (29),C=FR".encode(),
    b"CN=a\\,b,OU=\\C3\\A9, O = x ,2.5.4.5=1", b'cn="a,b"+ou=c', b"/C=FR/O=X",
]  # fmt: skip
PIECES = [
    b",", b"=", b"\\", b"\\,", b"\\2C", b"\\ZZ", b'"', b"+", b" ", b"\xc3\xa9", b"e\xcc\x81", b"\x00",
    b"#0401", b";", b"\r\n", b"\xff", b"CN=", b"x" * 300,
]  # fmt: skip


@given(near_valid(NAMES, PIECES))
def test_a_text_is_a_name_or_refused(octets: bytes) -> None:
    try:
        name = DistinguishedName.parse(octets.decode("utf-8", "replace"))
    except IdentityInvalid:
        return
    again = DistinguishedName.parse(str(name))
    assert again == name
    assert hash(again) == hash(name)


@given(st.lists(st.tuples(st.sampled_from(("CN", "OU", "O", "ST", "C", "2.5.4.5")), st.text(min_size=1, max_size=20)),
                min_size=1, max_size=6))  # fmt: skip
def test_what_a_certificate_holds_reads_back_from_the_list(pairs: list[tuple[str, str]]) -> None:
    pairs = [(kind, value) for kind, value in pairs if value.strip()]
    if not pairs:
        return
    name = DistinguishedName.of(pairs)
    assert DistinguishedName.parse(str(name)) == name
    assert DistinguishedName.of(pairs[::-1]) == name
