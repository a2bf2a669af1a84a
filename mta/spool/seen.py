"""Exactly once between operators: the key by which a letter that came twice is recognised.

What it is: the pure key of (peer, ENVID, octets, recipient). What it is not: where keys are kept
(`mta.spool.storage`, table `relay_seen`, seven days).
"""

from __future__ import annotations

import hashlib
import hmac

from core.address import Mailbox

SEEN_FOR = 7 * 86_400.0  # ours: two days longer than any sender keeps trying (RFC 5321 §4.5.4.1)


def seen_key(
    secret: bytes, *, peer_name: str, envelope_id: str, octets_sha256: bytes, recipient: Mailbox
) -> bytes:
    """32 octets that say nothing to who has not the secret.

    `octets_sha256` is of the octets as received, before any field of ours stands before them: a sender repeats
    them unchanged. A peer that sends no ENVID is still recognised by the octets.
    """
    parts = (
        peer_name.encode("utf-8"),
        envelope_id.encode("utf-8", "surrogateescape"),
        octets_sha256,
        recipient.canonical.encode("utf-8"),
    )
    framed = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return hmac.new(secret, framed, hashlib.sha256).digest()
