"""The shapes of RFC 3156: a letter with its entity signed beside it, or encrypted. Pure; octets are sliced.

What it is: `split_letter` (outer header and MIME entity of a letter, and back by `join_letter`), and the writing and
reading of multipart/signed and multipart/encrypted. What it is not: cryptography. Only the root of a letter is ever
looked at: an encrypted part inside another structure is how EFAIL leaked plaintext.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import PermanentError
from core.message import field_pattern, header_end, named_fields
from core.mime import Part, decode_body, read_structure

CRLF = b"\r\n"
ARMOUR_BEGIN, ARMOUR_END = b"-----BEGIN PGP MESSAGE-----", b"-----END PGP MESSAGE-----"
SIGNATURE_BEGIN = b"-----BEGIN PGP SIGNATURE-----"
MAX_SIGNATURE = 64 * 1024  # octets; ours: a signature of RSA-4096 has 1 kB
_ENTITY_FIELDS = field_pattern(rb"content-[!-9;-~]*")  # RFC 2045 §9: what describes the body begins so


class NotPgpMime(ValueError):
    """The root of this letter has not the shape that was asked for."""


@dataclass(frozen=True, slots=True)
class Letter:
    """`outer`: the fields that stay with the letter. `entity`: the fields that describe the body, and the body."""

    outer: bytes
    entity: bytes


@dataclass(frozen=True, slots=True)
class Signed:
    """What a signature beside a letter's entity covers, and the signature (ASCII armour)."""

    covered: bytes
    signature: bytes


def split_letter(octets: bytes) -> Letter:
    """Part a letter; the octets of both halves are its own, in their order."""
    end = header_end(octets, 0, len(octets))
    outer, inner, position = [], [], 0
    for field in named_fields(octets, _ENTITY_FIELDS):
        outer.append(octets[position : field.start])
        inner.append(octets[field.start : field.end])
        position = field.end
    rest = octets[position:end]
    # The empty line goes with the entity; a letter that is all header has none yet.
    blank = CRLF if rest.endswith(CRLF + CRLF) or rest == CRLF else b""
    outer.append(rest.removesuffix(blank) if blank else rest)
    return Letter(b"".join(outer), b"".join(inner) + CRLF + octets[end:])


def join_letter(letter: Letter) -> bytes:
    """The letter again: outer fields, then the entity's; fields of the entity that are not Content-* are left out.

    An entity from outside cannot bring a From or an Authentication-Results of its own.
    """
    end = header_end(letter.entity, 0, len(letter.entity))
    fields = [letter.entity[field.start : field.end] for field in named_fields(letter.entity, _ENTITY_FIELDS)]
    if fields and not fields[-1].endswith(b"\n"):
        fields.append(CRLF)
    return letter.outer + b"".join(fields) + CRLF + letter.entity[end:]


def write_signed(letter: Letter, signature: bytes, *, digest: str, boundary: bytes) -> bytes:
    """RFC 3156 §5: the entity and the armoured signature over exactly its octets."""
    kind = b'Content-Type: multipart/signed; protocol="application/pgp-signature";\r\n\tmicalg=pgp-%s; '
    kind += b'boundary="%s"\r\n'
    return b"".join(
        (
            _with_version(letter.outer) + kind % (digest.encode("ascii"), boundary) + CRLF,
            b"--" + boundary + CRLF + letter.entity + CRLF,
            b"--" + boundary + CRLF,
            b'Content-Type: application/pgp-signature; name="signature.asc"\r\n\r\n',
            _lines(signature) + CRLF + b"--" + boundary + b"--" + CRLF,
        )
    )


def write_encrypted(outer: bytes, armour: bytes, *, boundary: bytes) -> bytes:
    """RFC 3156 §4: the version, and the armoured message."""
    kind = b'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted";\r\n\tboundary="%s"\r\n'
    return b"".join(
        (
            _with_version(outer) + kind % boundary + CRLF,
            b"--" + boundary + CRLF + b"Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n" + CRLF,
            b"--" + boundary + CRLF + b'Content-Type: application/octet-stream; name="encrypted.asc"\r\n\r\n',
            _lines(armour) + CRLF + b"--" + boundary + b"--" + CRLF,
        )
    )


def read_signed(octets: bytes) -> Signed:
    """The parts of a signed letter. Raises `NotPgpMime`."""
    entity, control = _two_parts(octets, b"signed", b"application/pgp-signature")
    if (control.media_type, control.subtype) != (b"application", b"pgp-signature"):
        raise NotPgpMime
    signature = _body(octets, control, MAX_SIGNATURE)
    if not signature.lstrip().startswith(SIGNATURE_BEGIN) or signature.count(b"-----BEGIN") != 1:
        raise NotPgpMime
    return Signed(octets[entity.header_start : entity.body_end], signature)


def read_encrypted(octets: bytes, *, limit: int) -> bytes:
    """The armoured message of an encrypted letter: one, and nothing beside it. Raises `NotPgpMime`."""
    control, data = _two_parts(octets, b"encrypted", b"application/pgp-encrypted")
    if (control.media_type, control.subtype) != (b"application", b"pgp-encrypted"):
        raise NotPgpMime
    if _body(octets, control, 1024).strip().lower() != b"version: 1":  # RFC 3156 §4
        raise NotPgpMime
    armour = _body(octets, data, limit).strip()
    if not armour.startswith(ARMOUR_BEGIN) or not armour.endswith(ARMOUR_END) or armour.count(b"-----") != 4:
        raise NotPgpMime
    return armour


def is_encrypted(octets: bytes) -> bool:
    """Whether the root says that it is an encrypted letter of this kind."""
    root = read_structure(octets)
    return _is_multipart(root, b"encrypted", b"application/pgp-encrypted")


def is_signed(octets: bytes) -> bool:
    """Whether the root says that it is a signed letter of this kind."""
    return _is_multipart(read_structure(octets), b"signed", b"application/pgp-signature")


def _is_multipart(root: Part, subtype: bytes, protocol: bytes) -> bool:
    said = (root.parameter(b"protocol") or b"").strip().lower()
    return (root.media_type, root.subtype, said) == (b"multipart", subtype, protocol)


def _two_parts(octets: bytes, subtype: bytes, protocol: bytes) -> tuple[Part, Part]:
    root = read_structure(octets)
    if not _is_multipart(root, subtype, protocol) or len(root.children) != 2:  # RFC 1847 §2
        raise NotPgpMime
    return root.children[0], root.children[1]


def _body(octets: bytes, part: Part, limit: int) -> bytes:
    try:
        return decode_body(octets[part.body_start : part.body_end], part.encoding, limit=limit)
    except PermanentError as error:
        raise NotPgpMime from error


def _with_version(outer: bytes) -> bytes:
    has_one = any(True for _ in named_fields(outer + CRLF, field_pattern(rb"mime-version")))
    return outer if has_one else outer + b"MIME-Version: 1.0\r\n"


def _lines(armour: bytes) -> bytes:
    """GnuPG writes LF; a letter has CRLF."""
    return armour.replace(b"\r\n", b"\n").strip(b"\n").replace(b"\n", CRLF)
