"""Reading CMS (RFC 5652, RFC 5083): octets to frozen values, or one error.

What it is: the only module that touches asn1crypto's lazy objects; everything is read at once, so that its
foreign errors end here. What it is not: a judge; it says what is written, `verify` and `decrypt` say whether
that is good. The schemas are our own and plain: no meaning is guessed from an object identifier.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any

from asn1crypto import core as asn1
from asn1crypto.cms import IssuerAndSerialNumber

from certs.smime.algorithms import ID_AUTH_ENVELOPED_DATA, ID_ENVELOPED_DATA, ID_SIGNED_DATA
from certs.smime.der import EncodingRefused, demand_bounded
from core.errors import PermanentError

MAX_SEALED = 64 * 1024 * 1024  # octets of one CMS value; ours: twice the largest letter that a door takes
MAX_RECIPIENTS = 1_000  # ours: ten times what RFC 5321 §4.5.3.1.8 demands of one letter
MAX_CERTIFICATES = 8  # ours: as `certs.chain.MAX_PRESENTED`
MAX_ATTRIBUTES = 32  # ours: common signers write six

# What asn1crypto raises on octets that are no such structure; it parses lazily and is not typed.
FOREIGN_ERRORS = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError)


class CmsMalformed(PermanentError):
    """The octets are not the structure that was asked for, or beyond a bound."""


@dataclass(frozen=True, slots=True)
class Algorithm:
    """An AlgorithmIdentifier: dotted identifier, DER of the parameters (empty when absent), DER of all."""

    identifier: str
    parameters: bytes
    octets: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyName:
    """Which certificate is meant: by issuer (DER) and serial, or by subject key identifier."""

    issuer: bytes = b""
    serial: int = -1
    key_identifier: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerInfo:
    """One signer. `signed_octets` is what the signature covers; attributes are (type, DER of each value)."""

    name: KeyName
    digest: Algorithm
    attributes: tuple[tuple[str, tuple[bytes, ...]], ...]
    signed_octets: bytes
    algorithm: Algorithm
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedData:
    """A SignedData; `content` is None in the detached form."""

    content_type: str
    content: bytes | None
    digests: tuple[str, ...]
    certificates: tuple[bytes, ...]
    signers: tuple[SignerInfo, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportedKey:
    """A KeyTransRecipientInfo (RFC 5652 §6.2.1)."""

    name: KeyName
    algorithm: Algorithm
    encrypted_key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreedKey:
    """A KeyAgreeRecipientInfo (RFC 5652 §6.2.2) with an ephemeral originator key, for one of its recipients."""

    name: KeyName
    originator: Algorithm
    public_key: bytes
    ukm: bytes
    algorithm: Algorithm
    encrypted_key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """An EnvelopedData or AuthEnvelopedData. `associated` is the DER of its authenticated attributes."""

    is_authenticated: bool
    recipients: tuple[TransportedKey | AgreedKey, ...]
    content_type: str
    cipher: Algorithm
    ciphertext: bytes
    mac: bytes = b""
    associated: bytes = b""


# --- schemas (RFC 5652 §12.1) -------------------------------------------------------------------------------
def _schema(*fields: tuple[Any, ...]) -> Any:
    return type("_Schema", (asn1.Sequence,), {"_fields": list(fields)})


def _choice(*alternatives: tuple[Any, ...]) -> Any:
    return type("_Choice", (asn1.Choice,), {"_alternatives": list(alternatives)})


def _many(kind: Any, container: Any = asn1.SetOf) -> Any:
    return type("_Many", (container,), {"_child_spec": kind})


_OPTIONAL = {"optional": True}
_Algorithm = _schema(("algorithm", asn1.ObjectIdentifier), ("parameters", asn1.Any, _OPTIONAL))
_Attributes = _many(_schema(("type", asn1.ObjectIdentifier), ("values", _many(asn1.Any))))
_Algorithms = _many(_Algorithm)
_Name = _choice(
    ("issued", IssuerAndSerialNumber),
    ("key_identifier", asn1.OctetString, {"implicit": 0}),
)
_SignerInfo = _schema(
    ("version", asn1.Integer),
    ("sid", _Name),
    ("digest", _Algorithm),
    ("attributes", _Attributes, {"implicit": 0, **_OPTIONAL}),
    ("algorithm", _Algorithm),
    ("signature", asn1.OctetString),
    ("unsigned", _Attributes, {"implicit": 1, **_OPTIONAL}),
)
_SignedData = _schema(
    ("version", asn1.Integer),
    ("digests", _Algorithms),
    (
        "encapsulated",
        _schema(("type", asn1.ObjectIdentifier), ("content", asn1.OctetString, {"explicit": 0, **_OPTIONAL})),
    ),
    ("certificates", _many(asn1.Any), {"implicit": 0, **_OPTIONAL}),
    ("crls", _many(asn1.Any), {"implicit": 1, **_OPTIONAL}),
    ("signers", _many(_SignerInfo)),
)
_Transported = _schema(
    ("version", asn1.Integer),
    ("rid", _Name),
    ("algorithm", _Algorithm),
    ("encrypted_key", asn1.OctetString),
)
_AgreementName = _choice(
    ("issued", IssuerAndSerialNumber),
    ("key_identifier", _schema(("key", asn1.OctetString), ("rest", asn1.Any, _OPTIONAL)), {"implicit": 0}),
)
_Agreed = _schema(
    ("version", asn1.Integer),
    (
        "originator",
        _choice(
            ("issued", IssuerAndSerialNumber),
            ("key_identifier", asn1.OctetString, {"implicit": 0}),
            ("key", _schema(("algorithm", _Algorithm), ("key", asn1.OctetBitString)), {"implicit": 1}),
        ),
        {"explicit": 0},
    ),
    ("ukm", asn1.OctetString, {"explicit": 1, **_OPTIONAL}),
    ("algorithm", _Algorithm),
    (
        "keys",
        _many(_schema(("rid", _AgreementName), ("encrypted_key", asn1.OctetString)), asn1.SequenceOf),
    ),
)
_Other = _schema(
    ("first", asn1.Any), *((name, asn1.Any, _OPTIONAL) for name in ("second", "third", "fourth"))
)
_Recipient = _choice(
    ("transported", _Transported),
    ("agreed", _Agreed, {"implicit": 1}),
    *((f"other{tag}", _Other, {"implicit": tag}) for tag in (2, 3, 4)),
)
_Originator = _schema(
    ("certificates", _many(asn1.Any), {"implicit": 0, **_OPTIONAL}),
    ("crls", _many(asn1.Any), {"implicit": 1, **_OPTIONAL}),
)
_Encrypted = _schema(
    ("type", asn1.ObjectIdentifier),
    ("cipher", _Algorithm),
    ("content", asn1.OctetString, {"implicit": 0, **_OPTIONAL}),
)
_Enveloped = _schema(
    ("version", asn1.Integer),
    ("originator", _Originator, {"implicit": 0, **_OPTIONAL}),
    ("recipients", _many(_Recipient)),
    ("encrypted", _Encrypted),
    ("unprotected", _Attributes, {"implicit": 1, **_OPTIONAL}),
)
_AuthEnveloped = _schema(
    ("version", asn1.Integer),
    ("originator", _Originator, {"implicit": 0, **_OPTIONAL}),
    ("recipients", _many(_Recipient)),
    ("encrypted", _Encrypted),
    ("associated", _Attributes, {"implicit": 1, **_OPTIONAL}),
    ("mac", asn1.OctetString),
    ("unauthenticated", _Attributes, {"implicit": 2, **_OPTIONAL}),
)
_CONTENTS = {
    ID_SIGNED_DATA: _SignedData,
    ID_ENVELOPED_DATA: _Enveloped,
    ID_AUTH_ENVELOPED_DATA: _AuthEnveloped,
}
_INFOS = {
    identifier: _schema(("type", asn1.ObjectIdentifier), ("content", content, {"explicit": 0}))
    for identifier, content in _CONTENTS.items()
}
_ANY_INFO = _schema(("type", asn1.ObjectIdentifier), ("content", asn1.Any))


# --- reading ------------------------------------------------------------------------------------------------
def read_signed(octets: bytes) -> SignedData:
    """Read a ContentInfo that holds a SignedData. Raises `CmsMalformed`."""
    try:
        return _signed_data(_content(octets, ID_SIGNED_DATA)[1])
    except FOREIGN_ERRORS as error:
        raise CmsMalformed("no SignedData") from error


def read_envelope(octets: bytes) -> Envelope:
    """Read a ContentInfo that holds an EnvelopedData or AuthEnvelopedData. Raises `CmsMalformed`."""
    try:
        return _envelope(*_content(octets, ID_ENVELOPED_DATA, ID_AUTH_ENVELOPED_DATA))
    except FOREIGN_ERRORS as error:
        raise CmsMalformed("no EnvelopedData") from error


def content_type_of(octets: bytes) -> str:
    """The dotted identifier of what a ContentInfo holds. Raises `CmsMalformed`."""
    if len(octets) > MAX_SEALED:
        raise CmsMalformed("too large")
    try:
        demand_bounded(octets)
        return str(_ANY_INFO.load(octets, strict=True)["type"].dotted)
    except (EncodingRefused, *FOREIGN_ERRORS) as error:
        raise CmsMalformed("no ContentInfo") from error


def _content(octets: bytes, *wanted: str) -> tuple[str, Any]:
    identifier = content_type_of(octets)
    if identifier not in wanted:
        raise CmsMalformed("another type of content")
    return identifier, _INFOS[identifier].load(octets, strict=True)["content"]


def _signed_data(data: Any) -> SignedData:
    if data["version"].native not in (1, 3):  # RFC 5652 §5.1
        raise CmsMalformed("version of SignedData")
    certificates = tuple(bytes(one.dump()) for one in _optional(data["certificates"]))
    if len(certificates) > MAX_CERTIFICATES or any(one[:1] != b"\x30" for one in certificates):
        raise CmsMalformed("certificates")
    content = data["encapsulated"]["content"]
    signers = tuple(_signer(one) for one in islice(data["signers"], 2))  # one too many is enough to know
    return SignedData(
        content_type=data["encapsulated"]["type"].dotted,
        content=None if isinstance(content, asn1.Void) else bytes(content),
        digests=tuple(one["algorithm"].dotted for one in data["digests"]),
        certificates=certificates,
        signers=signers,
    )


def _signer(info: Any) -> SignerInfo:
    name = _key_name(info["sid"])
    if info["version"].native != (3 if name.key_identifier else 1):  # RFC 5652 §5.3
        raise CmsMalformed("version of SignerInfo")
    attributes = info["attributes"]
    covered = b"" if isinstance(attributes, asn1.Void) else _as_set(attributes)
    return SignerInfo(
        name=name,
        digest=_algorithm(info["digest"]),
        attributes=tuple(
            (one["type"].dotted, tuple(bytes(value.dump()) for value in one["values"]))
            for one in _optional(attributes)
        ),
        signed_octets=covered,
        algorithm=_algorithm(info["algorithm"]),
        signature=bytes(info["signature"]),
    )


def _as_set(attributes: Any) -> bytes:
    # RFC 5652 §5.4: what is covered is the DER of a SET OF, not the implicit tag that is written.
    octets = bytes(attributes.dump())
    if octets[1] == 0x80 or len(attributes) > MAX_ATTRIBUTES:
        raise CmsMalformed("attributes")
    return b"\x31" + octets[1:]


def _envelope(identifier: str, data: Any) -> Envelope:
    is_authenticated = identifier == ID_AUTH_ENVELOPED_DATA
    if data["version"].native not in ((0,) if is_authenticated else (0, 2, 3, 4)):
        raise CmsMalformed("version of the envelope")
    if len(data["recipients"]) > MAX_RECIPIENTS:
        raise CmsMalformed("too many recipients")
    encrypted = data["encrypted"]
    if isinstance(encrypted["content"], asn1.Void):
        raise CmsMalformed("no encrypted content")
    associated = data["associated"] if is_authenticated else asn1.VOID
    return Envelope(
        is_authenticated=is_authenticated,
        recipients=tuple(key for one in data["recipients"] for key in _recipient_keys(one)),
        content_type=encrypted["type"].dotted,
        cipher=_algorithm(encrypted["cipher"]),
        ciphertext=bytes(encrypted["content"]),
        mac=bytes(data["mac"]) if is_authenticated else b"",
        associated=b"" if isinstance(associated, asn1.Void) else _as_set(associated),
    )


def _recipient_keys(recipient: Any) -> tuple[TransportedKey | AgreedKey, ...]:
    info = recipient.chosen
    if recipient.name == "transported":
        key = TransportedKey(
            name=_key_name(info["rid"]),
            algorithm=_algorithm(info["algorithm"]),
            encrypted_key=bytes(info["encrypted_key"]),
        )
        return (key,)
    if recipient.name != "agreed" or info["originator"].name != "key":
        return ()  # passwords, shared keys and static originators: never ours
    if len(info["keys"]) > MAX_RECIPIENTS:
        raise CmsMalformed("too many recipients")
    originator = info["originator"].chosen
    kind, algorithm = _algorithm(originator["algorithm"]), _algorithm(info["algorithm"])
    public_key = bytes(originator["key"])
    ukm = b"" if isinstance(info["ukm"], asn1.Void) else bytes(info["ukm"])
    return tuple(
        AgreedKey(
            name=_key_name(one["rid"]),
            originator=kind,
            public_key=public_key,
            ukm=ukm,
            algorithm=algorithm,
            encrypted_key=bytes(one["encrypted_key"]),
        )
        for one in info["keys"]
    )


def read_algorithm(octets: bytes) -> Algorithm:
    """Read an AlgorithmIdentifier, such as the one in the parameters of another. Raises `CmsMalformed`."""
    try:
        return _algorithm(_Algorithm.load(octets, strict=True))
    except FOREIGN_ERRORS as error:
        raise CmsMalformed("no AlgorithmIdentifier") from error


def read_capabilities(octets: bytes) -> tuple[str, ...]:
    """The identifiers in an SMIMECapabilities (RFC 8551 §2.5.2), the preferred first. Raises `CmsMalformed`."""
    try:
        read = _many(_Algorithm, asn1.SequenceOf).load(octets, strict=True)
        return tuple(str(one["algorithm"].dotted) for one in islice(read, 2 * MAX_ATTRIBUTES))
    except FOREIGN_ERRORS as error:
        raise CmsMalformed("no SMIMECapabilities") from error


def _algorithm(value: Any) -> Algorithm:
    parameters = value["parameters"]
    octets = b"" if isinstance(parameters, asn1.Void) else bytes(parameters.dump())
    return Algorithm(value["algorithm"].dotted, octets, bytes(value.dump()))


def _key_name(choice: Any) -> KeyName:
    chosen = choice.chosen
    if choice.name == "issued":
        return KeyName(issuer=bytes(chosen["issuer"].dump()), serial=chosen["serial_number"].native)
    key = chosen["key"] if isinstance(chosen, asn1.Sequence) else chosen
    return KeyName(key_identifier=bytes(key))


def _optional(value: Any) -> Any:
    return () if isinstance(value, asn1.Void) else value
