"""What GnuPG's status lines say, judged: pure.

What it is: `read_status` (octets of the status descriptor to lines) and the two judges, which demand every line that
must be there and refuse every line that must not. What it is not: a look at exit codes alone, or at any text that
GnuPG writes for people. Format: GnuPG's doc/DETAILS, "Format of the --status-fd output".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from certs.openpgp.refusals import CannotOpen, SignatureNotGood

PREFIX = b"[GNUPG:] "
MAX_STATUS = 64 * 1024  # octets; ours: one operation writes some 2 kB
STRONG_DIGESTS = {
    "8": "sha256",
    "9": "sha384",
    "10": "sha512",
}  # RFC 4880 §9.4; SHA-1 and MD5 sign nothing here
_BINARY, _TEXT = "00", "01"  # RFC 4880 §5.2.1: a signature over a document, and over its lines

Line = tuple[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class GoodSignature:
    """One signature, verified. `fingerprint` is the primary key's, upper hexadecimal."""

    fingerprint: str
    signed_at: datetime
    digest: str


def read_status(octets: bytes) -> tuple[Line, ...]:
    """The status lines, in order. Only LF ends a line: a user ID may hold what other readers take for line ends."""
    lines = []
    for raw in octets.split(b"\n"):
        if raw.startswith(PREFIX):
            keyword, *words = raw.removeprefix(PREFIX).decode("utf-8", "replace").split(" ")
            lines.append((keyword, tuple(words)))
    return tuple(lines)


_NEVER_IN_A_GOOD_SIGNATURE = frozenset(
    {
        "BADSIG",
        "ERRSIG",
        "EXPSIG",
        "EXPKEYSIG",
        "REVKEYSIG",
        "NO_PUBKEY",
        "NODATA",
        "UNEXPECTED",
        "FAILURE",
        "ERROR",
    }
)
_SIGNATURE = frozenset(
    {"NEWSIG", "GOODSIG", "VALIDSIG", "BADSIG", "ERRSIG", "EXPSIG", "EXPKEYSIG", "REVKEYSIG"}
)


def judge_signature(lines: Sequence[Line], returncode: int) -> GoodSignature:
    """The one good signature that these lines tell of. Raises `SignatureNotGood`."""
    keywords = [keyword for keyword, _ in lines]
    if returncode != 0 or _NEVER_IN_A_GOOD_SIGNATURE.intersection(keywords):
        raise SignatureNotGood
    if any(keywords.count(keyword) != 1 for keyword in ("NEWSIG", "GOODSIG", "VALIDSIG")):
        raise SignatureNotGood  # two signers are nobody's signature (the class of "Johnny, you are fired")
    words = next(words for keyword, words in lines if keyword == "VALIDSIG")
    if len(words) < 10 or words[7] not in STRONG_DIGESTS or words[8] not in (_BINARY, _TEXT):
        raise SignatureNotGood
    if not words[2].isdigit() or len(words[2]) > 10:
        raise SignatureNotGood
    return GoodSignature(
        fingerprint=words[9],
        signed_at=datetime.fromtimestamp(int(words[2]), UTC),
        digest=STRONG_DIGESTS[words[7]],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A decryption whose integrity was proven. `signature` is None when there is none, or none that is good."""

    is_text: bool
    was_signed: bool
    signature: GoodSignature | None


_NEVER_IN_AN_OPENING = frozenset({"DECRYPTION_FAILED", "BADMDC", "NODATA", "UNEXPECTED", "FAILURE"})
# The order in which GnuPG 2.2 and 2.4 tell a decryption whose plaintext was whole and authentic.
_OPENING = (
    "BEGIN_DECRYPTION",
    "DECRYPTION_INFO",
    "PLAINTEXT",
    "DECRYPTION_OKAY",
    "GOODMDC",
    "END_DECRYPTION",
)


def judge_decryption(lines: Sequence[Line], returncode: int) -> Opening:
    """What was opened, when all is proven: integrity, one plaintext, inside the encryption. Raises `CannotOpen`.

    GnuPG writes GOODMDC for a good modification detection code and for a good AEAD tag alike.
    """
    keywords = [keyword for keyword, _ in lines]
    if _NEVER_IN_AN_OPENING.intersection(keywords) or "ENC_TO" not in keywords:
        raise CannotOpen
    if tuple(keyword for keyword in keywords if keyword in _OPENING) != _OPENING:
        raise CannotOpen
    facts = dict(lines)
    info, plaintext = facts["DECRYPTION_INFO"], facts["PLAINTEXT"]
    # DECRYPTION_INFO <mdc_method> <sym_algo> [<aead_algo>]: neither means a packet of tag 9, which proves nothing.
    if not any(word not in ("", "0") for word in (info[0], *info[2:3])):
        raise CannotOpen  # RFC 9580 §5.7: such a packet is not to be decrypted
    began, ended = keywords.index("BEGIN_DECRYPTION"), keywords.index("END_DECRYPTION")
    told = [at for at, keyword in enumerate(keywords) if keyword in _SIGNATURE]
    if any(not began < at < ended for at in told):
        raise CannotOpen
    if not told and returncode != 0:
        raise CannotOpen
    try:
        signature = judge_signature(lines, returncode) if told else None
    except SignatureNotGood:
        signature = None
    return Opening(is_text=plaintext[0] in ("74", "75"), was_signed=bool(told), signature=signature)
