"""Keys of health identities hold, and do not print."""

import asyncio

import pytest

from core.identity import DistinguishedName, Finess, IdentityInvalid, Ins, Rpps


@pytest.mark.parametrize(
    "value", ["258042A00400078", "287064410900005", "210033523800006", "138112923200027"]
)
def test_ins_of_the_cast_hold_and_do_not_print(value: str) -> None:
    assert value not in repr(Ins(value)) + str(Ins(value)) + f"{Ins(value)}"


@pytest.mark.parametrize("value", ["258042A00400079", "258042a00400078", "", "25804", "958042A00400078"])
def test_a_wrong_ins_is_refused_without_being_repeated(value: str) -> None:
    with pytest.raises(IdentityInvalid) as refused:
        Ins(value)
    assert not value or value not in str(refused.value)


def test_rpps_and_finess_are_checked_by_luhn() -> None:
    assert Rpps("99700001011").value == "99700001011"
    assert Finess("990000010").value == "990000010"
    with pytest.raises(IdentityInvalid):
        Rpps("99700001012")
    with pytest.raises(IdentityInvalid):
        Finess("990000011")


def test_distinguished_names_compare_whatever_order_case_and_blanks() -> None:
    first = DistinguishedName.parse("CN=mss.a.example,OU=1990000010,O=CH DU RIVAGE,ST=Finistère (29),C=FR")
    second = DistinguishedName.parse(
        "C=fr, ST=FINISTÈRE (29),  O=CH  du Rivage,OU=1990000010,CN=MSS.a.example"
    )
    assert first == second
    assert hash(first) == hash(second)
    assert first != DistinguishedName.parse("CN=mss.b.example,C=FR")


async def test_coroutine_tests_really_run() -> None:
    await asyncio.sleep(0)
    assert asyncio.get_running_loop() is not None


@pytest.mark.parametrize(
    ("text", "organisation"),
    [
        (r"CN=a,O=CH\, site du Port,C=FR", "ch, site du port"),
        ('CN=a,O="CH, site du Port",C=FR', "ch, site du port"),
        (r"CN=a,O=H\C3\B4pital,C=FR", "hôpital"),
        (r"CN=a,O=bar\\,C=FR", "bar\\"),
        (r"CN=a,O=bar\ ,C=FR", "bar"),
        (r"CN=a,O=a\=b\+c,C=FR", "a=b+c"),
    ],
)
def test_distinguished_names_are_read_with_their_escapes(text: str, organisation: str) -> None:
    name = DistinguishedName.parse(text)
    assert name.attributes == {("CN", "a"), ("O", organisation), ("C", "fr")}
    assert DistinguishedName.parse(str(name)) == name


@pytest.mark.parametrize("text", ['CN="a,C=FR', r"CN=\FF,C=FR", "CN=,C=FR", "a", "", "C" * 3000])
def test_what_is_no_distinguished_name(text: str) -> None:
    with pytest.raises(IdentityInvalid):
        DistinguishedName.parse(text)


def test_the_names_of_attribute_types_that_tools_write() -> None:
    assert DistinguishedName.parse("E=a,S=b") == DistinguishedName.parse("emailAddress=a,ST=b")


@pytest.mark.parametrize("text", ['CN="a,b"c="d",C=FR', 'CN=a"b",C=FR', 'C"N=a"', 'CN="a"b,C=FR'])
def test_a_quote_inside_a_value_has_two_readings(text: str) -> None:
    with pytest.raises(IdentityInvalid):
        DistinguishedName.parse(text)


def test_a_whole_value_may_be_quoted_and_quotes_escaped() -> None:
    assert DistinguishedName.parse('CN="a,b",C=FR') == DistinguishedName.parse("CN=a\\,b,C=FR")
    assert DistinguishedName.parse('CN=a\\"b,C=FR') == DistinguishedName.of([("CN", 'a"b'), ("C", "FR")])
