"""The MIME around a seal: find it at the root of a letter, and write it around octets that stay as they are.

What it is: `root_of` (which seal, if any, covers the whole letter), `signed_parts` (the exact octets of the
two parts of a multipart/signed), and the writers of the three media types of RFC 8551 §3. What it is not: a
reader of anything below the root: a seal further down is a document, never a seal of the letter.
"""

from __future__ import annotations

import binascii
import re
from enum import Enum

from certs.smime.algorithms import ID_SIGNED_DATA
from certs.smime.structure import CmsMalformed, content_type_of
from certs.smime.verdict import SealReason, SignatureInvalid
from core.errors import PermanentError
from core.message import Message
from core.mime import Part, read_structure

MAX_PREAMBLE = 512  # octets; ours: common signers write one sentence for readers without MIME
BASE64_LINE = 76  # RFC 2045 §6.8

_SIGNATURE_TYPES = (b"pkcs7-signature", b"x-pkcs7-signature")
_SEALED_TYPES = (b"pkcs7-mime", b"x-pkcs7-mime")
_IDENTITY = frozenset({b"7bit", b"8bit", b"binary"})


class RootSeal(Enum):
    """What the root entity of a letter is."""

    NONE = "none"
    DETACHED = "detached"
    OPAQUE = "opaque"
    ENCRYPTED = "encrypted"


class NotBase64(PermanentError):
    """The body of a CMS part is not the one base64 text of some octets."""


def root_of(letter: bytes, root: Part | None = None) -> RootSeal:
    """Which seal stands at the root, by media type and smime-type (RFC 8551 §3.2). Never raises."""
    root = root or read_structure(letter)
    if root.is_multipart and root.subtype == b"signed":
        protocol = (root.parameter(b"protocol") or b"").lower()
        known = protocol in tuple(b"application/" + name for name in _SIGNATURE_TYPES)
        return RootSeal.DETACHED if known else RootSeal.NONE
    if root.media_type != b"application" or root.subtype not in _SEALED_TYPES:
        return RootSeal.NONE
    kind = (root.parameter(b"smime-type") or b"").lower()
    if kind == b"signed-data":
        return RootSeal.OPAQUE
    if kind == b"" and _holds_signature(letter, root):  # RFC 8551 §3.2.2: only the octets can tell
        return RootSeal.OPAQUE
    return RootSeal.ENCRYPTED if kind in (b"", b"enveloped-data", b"authenveloped-data") else RootSeal.NONE


def _holds_signature(letter: bytes, root: Part) -> bool:
    try:
        return content_type_of(_cms_octets(letter, root)) == ID_SIGNED_DATA
    except (NotBase64, CmsMalformed):
        return False


def signed_parts(letter: bytes) -> tuple[tuple[int, int], bytes]:
    """The span of the signed entity and the CMS octets of a multipart/signed at the root.

    Demands exactly two parts and nothing else that any reader could show. Raises `SignatureInvalid`.
    """
    root = read_structure(letter)
    if root_of(letter, root) is not RootSeal.DETACHED:
        raise SignatureInvalid(SealReason.NOT_SIGNED)
    _demand_one_reading(letter)
    boundaries = [value for name, value in root.parameters if name == b"boundary"]
    if len(boundaries) != 1 or len(root.children) != 2 or root.encoding not in _IDENTITY:
        raise SignatureInvalid(SealReason.UNEXPECTED_SHAPE, "not two parts")  # RFC 1847 §2.1
    content, signature = root.children
    _demand_nothing_beside(letter, root, boundaries[0])
    if signature.media_type != b"application" or signature.subtype not in _SIGNATURE_TYPES:
        raise SignatureInvalid(SealReason.UNEXPECTED_SHAPE, "the second part is no signature")
    return (content.header_start, content.body_end), _signature_octets(letter, signature)


def sealed_octets(letter: bytes) -> bytes:
    """The CMS octets of an application/pkcs7-mime at the root. Raises `SignatureInvalid`, `NotBase64`."""
    root = read_structure(letter)
    if root_of(letter, root) not in (RootSeal.OPAQUE, RootSeal.ENCRYPTED):
        raise SignatureInvalid(SealReason.NOT_SIGNED)
    _demand_one_reading(letter)
    return _cms_octets(letter, root)


def _signature_octets(letter: bytes, part: Part) -> bytes:
    try:
        return _cms_octets(letter, part)
    except NotBase64 as error:
        raise SignatureInvalid(SealReason.MALFORMED, "base64 of the signature") from error


def _cms_octets(letter: bytes, part: Part) -> bytes:
    body = letter[part.body_start : part.body_end]
    if part.encoding == b"base64":
        return decode_strict(body)
    if part.encoding == b"binary":
        return body
    raise NotBase64("a CMS part is base64 or binary")


def _demand_one_reading(letter: bytes) -> None:
    """Fields that say what the root is stand once, without comments: two readers see one structure."""
    message = Message(letter)
    for name in (b"content-type", b"content-transfer-encoding", b"mime-version"):
        fields = message.all(name)
        # RFC 8551 §3.1: MIME-Version and Content-Type; the latter never has a comment in earnest.
        if len(fields) > 1 or any(b"(" in field.body for field in fields if name == b"content-type"):
            raise SignatureInvalid(SealReason.UNEXPECTED_SHAPE, "the root has two readings")


_DELIMITER_LIKE = re.compile(rb"^[ \t]*--", re.MULTILINE)
_PLAIN_TEXT = re.compile(rb"[\t\r\n -~]*+\Z")


def _demand_nothing_beside(letter: bytes, root: Part, boundary: bytes) -> None:
    # RFC 2046 §5.1.1: readers differ on lines that only begin like a delimiter, so there may be none: the
    # two delimiters, the closing one, and no other line that begins with them.
    body = letter[root.body_start : root.body_end]
    mark = b"--" + boundary
    count = body.count(b"\n" + mark) + body.startswith(mark)
    preamble, _, rest = (b"\n" + body).partition(b"\n" + mark)
    close = rest.rfind(b"\n" + mark + b"--")
    if count != 3 or close < 0:
        raise SignatureInvalid(SealReason.UNEXPECTED_SHAPE, "delimiters")
    if len(preamble) > MAX_PREAMBLE or _DELIMITER_LIKE.search(preamble) or not _PLAIN_TEXT.match(preamble):
        raise SignatureInvalid(SealReason.UNEXPECTED_SHAPE, "preamble")
    if rest[close + len(mark) + 3 :].strip(b" \t\r\n"):
        raise SignatureInvalid(SealReason.UNEXPECTED_SHAPE, "epilogue")


# --- base64 -------------------------------------------------------------------------------------------------
def decode_strict(body: bytes) -> bytes:
    """The octets of which this is the base64, with line ends and blanks between. Raises `NotBase64`.

    RFC 4648 §3.5: trailing bits that are not zero would give the same octets several texts.
    """
    text = body.translate(None, b" \t\r\n")
    try:
        octets = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error as error:
        raise NotBase64("not base64") from error
    if (
        binascii.b2a_base64(
            octets[-3:] if len(octets) % 3 == 0 else octets[-(len(octets) % 3) :], newline=False
        )
        != (text[-4:])
    ):
        raise NotBase64("trailing bits")
    return octets


def encode_lines(octets: bytes) -> bytes:
    """Base64 in lines of 76 characters, the last one ended too."""
    text = binascii.b2a_base64(octets, newline=False)
    lines = [text[start : start + BASE64_LINE] for start in range(0, len(text), BASE64_LINE)]
    return b"\r\n".join((*lines, b""))


# --- writers ------------------------------------------------------------------------------------------------
def multipart_signed(entity: bytes, signature: bytes, *, micalg: bytes, boundary: bytes) -> bytes:
    """A multipart/signed (RFC 8551 §3.5.3) over an entity whose octets are copied as they are."""
    return b"".join(
        (
            b'Content-Type: multipart/signed; protocol="application/pkcs7-signature";\r\n micalg=',
            micalg,
            b'; boundary="',
            boundary,
            b'"\r\n\r\n--',
            boundary,
            b"\r\n",
            entity,
            b"\r\n--",
            boundary,
            b'\r\nContent-Type: application/pkcs7-signature; name="smime.p7s"\r\n'
            b"Content-Transfer-Encoding: base64\r\n"
            b'Content-Disposition: attachment; filename="smime.p7s"\r\n\r\n',
            encode_lines(signature),
            b"--",
            boundary,
            b"--\r\n",
        )
    )


def pkcs7_mime(octets: bytes, smime_type: bytes) -> bytes:
    """An application/pkcs7-mime (RFC 8551 §3.2) that holds CMS octets."""
    return (
        b"Content-Type: application/pkcs7-mime; smime-type=" + smime_type + b";\r\n"
        b' name="smime.p7m"\r\n'
        b"Content-Transfer-Encoding: base64\r\n"
        b'Content-Disposition: attachment; filename="smime.p7m"\r\n\r\n' + encode_lines(octets)
    )
