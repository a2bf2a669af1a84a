"""What the author's own software did to a letter: signed it, encrypted it, or neither.

What it is: a pure look at the root of the letter, for the plan (`routing.sealing`). What it is not: a verification,
or belief in labels: *encrypted* is said only when the octets of an encrypted structure stand where the label says.
"""

from __future__ import annotations

from core.message import base64_octets
from core.mime import Part, read_structure
from routing.sealing import ClientSeal

HEAD = 4096  # octets of a body that are looked at; ours: what is looked for stands within the first 64
# RFC 5652 §6.1 id-envelopedData, RFC 5083 §2.1 id-ct-authEnvelopedData, RFC 5652 §5.1 id-signedData
_ENCRYPTED_TYPES = (bytes.fromhex("06092a864886f70d010703"), bytes.fromhex("060b2a864886f70d0109100117"))
_SIGNED_TYPE = bytes.fromhex("06092a864886f70d010702")
_PGP_MESSAGE = b"-----BEGIN PGP MESSAGE-----"


def client_seal_of(octets: bytes, root: Part | None = None) -> ClientSeal:
    """What was done to this letter. `root` is its structure when it was read before. Never raises."""
    part = root if root is not None else read_structure(octets)
    kind = (part.media_type, part.subtype)
    if kind in ((b"application", b"pkcs7-mime"), (b"application", b"x-pkcs7-mime")):
        # RFC 8551 §3.2.2: smime-type is a hint, which old software leaves out
        return _cms_seal(_head(octets, part))
    if kind == (b"multipart", b"signed") and len(part.children) == 2:  # RFC 1847 §2.1
        return ClientSeal.SIGNED
    if kind == (b"multipart", b"encrypted") and _is_pgp_mime(octets, part):
        return ClientSeal.ENCRYPTED
    return ClientSeal.NONE


def _head(octets: bytes, part: Part) -> bytes:
    """The first decoded octets of a leaf."""
    raw = octets[part.body_start : min(part.body_end, part.body_start + HEAD)]
    return base64_octets(raw) if part.encoding == b"base64" else raw


def _cms_seal(head: bytes) -> ClientSeal:
    """By the content type: SEQUENCE, its length in whatever form, an object identifier (X.690 §8.1.3)."""
    if len(head) < 2 or head[0] != 0x30:
        return ClientSeal.NONE
    start = 2 + (head[1] & 0x7F if head[1] & 0x80 else 0)
    if head.startswith(_ENCRYPTED_TYPES, start):
        return ClientSeal.ENCRYPTED
    return ClientSeal.SIGNED if head.startswith(_SIGNED_TYPE, start) else ClientSeal.NONE


def _is_pgp_mime(octets: bytes, part: Part) -> bool:
    """RFC 3156 §4: two parts, the version and one armoured message."""
    if (
        len(part.children) != 2
        or (part.parameter(b"protocol") or b"").lower() != b"application/pgp-encrypted"
    ):
        return False
    control, data = part.children
    if (control.media_type, control.subtype) != (b"application", b"pgp-encrypted"):
        return False
    return _head(octets, data).lstrip().startswith(_PGP_MESSAGE)
