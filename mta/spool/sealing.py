"""What the spool writes of an item under its key: the compact form of everything that names a person.

What it is: `item_to_octets`, `item_from_octets` and the two for a peer's answer; pure. What it is not: the
cipher (`core.ports.Vault`). The form carries a version, so that an older spool can always be read.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any

from core.address import Domain, Mailbox
from core.envelope import NULL_REVERSE_PATH, Envelope, ForwardPath, Notify, NullReversePath, Return
from core.errors import PermanentError
from core.folder import StoredOctets
from core.outcome import RemoteAnswer
from mta.spool.item import Origin, OriginKind, SpoolItem

VERSION = 1


class SpoolFormUnknown(PermanentError):
    """What lies in the spool was not written by this version or one before it."""


def item_to_octets(item: SpoolItem) -> bytes:
    """Everything of an item but its id, its time and its recipients' states."""
    envelope, octets = item.envelope, item.octets
    reverse = envelope.reverse_path
    form = {
        "v": VERSION,
        "reverse": None if isinstance(reverse, NullReversePath) else _mailbox(reverse),
        "forward": [
            [*_mailbox(path.mailbox), path.notify.value, path.original_recipient]
            for path in envelope.forward_paths
        ],
        "envid": envelope.envelope_id,
        "ret": envelope.ret.value,
        "flags": [envelope.smtputf8, envelope.body_8bit, envelope.require_tls],
        "declared": envelope.declared_size,
        "octets": [
            octets.blob_id,
            b64encode(octets.data_key).decode("ascii"),
            octets.size,
            b64encode(octets.sha256).decode("ascii"),
        ],
        "message": item.message_id,
        "origin": [item.origin.kind.value, item.origin.name],
    }
    return json.dumps(form, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogateescape")


def _mailbox(mailbox: Mailbox) -> list[str]:
    return [mailbox.local_part, mailbox.domain.ascii]


def item_from_octets(octets: bytes, *, spool_id: str, accepted_at: float) -> SpoolItem:
    """The item again. Raises `SpoolFormUnknown`."""
    try:
        form = json.loads(octets.decode("utf-8", "surrogateescape"))
        if form["v"] != VERSION:
            raise SpoolFormUnknown("this spool item has a form that is not known here")
        return SpoolItem(
            spool_id=spool_id,
            accepted_at=accepted_at,
            envelope=_envelope(form),
            octets=_stored_octets(form["octets"]),
            message_id=form["message"],
            origin=Origin(OriginKind(form["origin"][0]), form["origin"][1]),
        )
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise SpoolFormUnknown("this spool item cannot be read") from error


def _envelope(form: dict[str, Any]) -> Envelope:
    reverse = form["reverse"]
    smtputf8, body_8bit, require_tls = form["flags"]
    # Local parts were checked at the door; they are put back as they were, not parsed again.
    return Envelope(
        reverse_path=NULL_REVERSE_PATH if reverse is None else Mailbox(reverse[0], Domain(reverse[1])),
        forward_paths=tuple(
            ForwardPath(Mailbox(local, Domain(domain)), Notify(notify), original)
            for local, domain, notify, original in form["forward"]
        ),
        envelope_id=form["envid"],
        ret=Return(form["ret"]),
        smtputf8=smtputf8,
        body_8bit=body_8bit,
        declared_size=form["declared"],
        require_tls=require_tls,
    )


def _stored_octets(form: list[Any]) -> StoredOctets:
    blob_id, data_key, size, sha256 = form
    return StoredOctets(blob_id, b64decode(data_key), size, b64decode(sha256))


def answer_to_octets(answer: RemoteAnswer) -> bytes:
    """A peer's answer; its text may repeat an address."""
    form = [answer.code, answer.status, answer.text, answer.host]
    return json.dumps(form, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogateescape")


def answer_from_octets(octets: bytes) -> RemoteAnswer:
    """The answer again. Raises `SpoolFormUnknown`."""
    try:
        code, status, text, host = json.loads(octets.decode("utf-8", "surrogateescape"))
    except ValueError as error:
        raise SpoolFormUnknown("this answer cannot be read") from error
    return RemoteAnswer(code, status, text, host)
