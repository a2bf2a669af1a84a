"""Events with nobody's name in clear: what the trail writes, and how `trace` reads it back.

What it is: `EventSealer`: the body of an event (canonical JSON), a Message-ID sealed beside its pseudonym, and each
person's fields sealed under that person's own key. What it is not: the table or the chain (`audit_log`).

A process makes a key of its own for a person at first sight, so that nothing is waited for; the key's row goes
into the unit of the first event, and again until one of them is durable. Erasing all keys of a pseudonym erases
the person; chains commit to what is sealed and stay whole.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from core.audit import AuditEvent, AuditKind
from core.ports import Vault
from vaguemestre.observability.audit_chain import canonical, leaf

MAX_SUBJECTS = 20_000  # ours: people whose keys are kept at hand
MAX_MESSAGES = 2_000  # ours: Message-IDs kept sealed; a letter's events come close together
MAX_ROLES = 64  # ours: sealed forms kept for one person
KEY_OCTETS = 32  # AES-256
ERASED = "(erased)"
MESSAGE_PLACE = b"audit:message-id"


@dataclass(slots=True)
class Subject:
    """A person as this process knows it: a key, and its row until that is durable."""

    pseudonym: str
    key_id: str
    key: bytes
    row: dict[str, Any]
    is_durable: bool = False
    sealed: dict[tuple[str, ...], str] = field(default_factory=dict)

    def now_durable(self) -> None:
        """The row was committed."""
        self.is_durable = True


@dataclass(frozen=True, slots=True)
class SealedEvent:
    """An event ready to be numbered and tied."""

    body: bytes
    commitment: bytes
    message: str
    fresh: tuple[Subject, ...]
    """People whose key is not durable yet."""


class EventSealer:
    """Seals and opens events. `master` is the vault's key `audit`."""

    def __init__(self, vault: Vault, master: bytes) -> None:
        self._vault = vault
        self.chain_key = _derived(master, b"chain")
        self._message_key = _derived(master, b"messages")
        self._subject_key = _derived(master, b"subjects")
        self._subjects: dict[str, Subject] = {}
        self._messages: dict[str, tuple[str, str]] = {}

    def seal(self, event: AuditEvent, at: datetime) -> SealedEvent:
        """The event as it is written. Quick: what repeats is sealed once."""
        message, sealed_id = self._message(event.message_id) if event.message_id else ("", "")
        persons, fresh = self._persons(event.persons)
        body = canonical(
            {
                "at": at.timestamp(),
                "facts": dict(event.facts),
                "kind": event.kind.value,
                "message": message,
                "message-id": sealed_id,
                "persons": persons,
                "spool": event.spool_id,
            }
        )
        return SealedEvent(body, leaf(self.chain_key, body), message, tuple(fresh))

    def forget(self, person: str) -> str:
        """Drop the key that this process holds; gives the pseudonym whose rows must go."""
        self._subjects.pop(person, None)
        return self._vault.pseudonym(person)

    def _message(self, message_id: str) -> tuple[str, str]:
        known = self._messages.get(message_id)
        if known is None:
            if len(self._messages) >= MAX_MESSAGES:
                self._messages.clear()
            octets = message_id.encode("utf-8", "surrogatepass")
            sealed = self._vault.wrap(self._message_key, octets, MESSAGE_PLACE)
            known = (self._vault.pseudonym(message_id), b64encode(sealed).decode("ascii"))
            self._messages[message_id] = known
        return known

    def _persons(self, persons: Mapping[str, str]) -> tuple[list[list[str]], list[Subject]]:
        roles: dict[str, list[str]] = {}
        for role, who in persons.items():
            roles.setdefault(who, []).append(role)
        entries, fresh = [], []
        for who, of in roles.items():
            subject = self._subject(who)
            entries.append([subject.pseudonym, subject.key_id, self._sealed(subject, who, tuple(sorted(of)))])
            if not subject.is_durable:
                fresh.append(subject)
        return entries, fresh

    def _sealed(self, subject: Subject, who: str, roles: tuple[str, ...]) -> str:
        known = subject.sealed.get(roles)
        if known is None:
            if len(subject.sealed) >= MAX_ROLES:
                subject.sealed.clear()
            plain = canonical({"who": who, "roles": list(roles)})
            sealed = self._vault.wrap(subject.key, plain, _subject_place(subject.pseudonym))
            known = subject.sealed[roles] = b64encode(sealed).decode("ascii")
        return known

    def _subject(self, who: str) -> Subject:
        known = self._subjects.get(who)
        if known is None:
            if len(self._subjects) >= MAX_SUBJECTS:
                self._subjects.clear()
            pseudonym, key_id = self._vault.pseudonym(who), secrets.token_hex(8)
            key = secrets.token_bytes(KEY_OCTETS)
            wrapped = self._vault.wrap(self._subject_key, key, _key_place(pseudonym, key_id))
            row = {"key_id": key_id, "pseudonym": pseudonym, "wrapped": wrapped}
            known = self._subjects[who] = Subject(pseudonym, key_id, key, row)
        return known

    def open(self, body: bytes, wrapped_keys: Mapping[str, bytes]) -> tuple[AuditEvent, float]:
        """The event and its time. Who was erased reads `(erased)`. Raises PermanentError when altered."""
        form = json.loads(body)
        persons: dict[str, str] = {}
        for number, (pseudonym, key_id, sealed) in enumerate(form["persons"]):
            wrapped = wrapped_keys.get(key_id)
            if wrapped is None:
                persons[f"person-{number}"] = ERASED
                continue
            key = self._vault.unwrap(self._subject_key, wrapped, _key_place(pseudonym, key_id))
            plain = json.loads(self._vault.unwrap(key, b64decode(sealed), _subject_place(pseudonym)))
            persons |= dict.fromkeys(plain["roles"], plain["who"])
        message_id = ""
        if form["message-id"]:
            octets = self._vault.unwrap(self._message_key, b64decode(form["message-id"]), MESSAGE_PLACE)
            message_id = octets.decode("utf-8", "surrogatepass")
        event = AuditEvent(
            kind=AuditKind(form["kind"]),
            spool_id=form["spool"],
            message_id=message_id,
            facts=form["facts"],
            persons=persons,
        )
        return event, form["at"]


def key_ids_of(body: bytes) -> set[str]:
    """The keys that are needed to open an event."""
    return {entry[1] for entry in json.loads(body)["persons"]}


def _derived(master: bytes, purpose: bytes) -> bytes:
    return hmac.digest(master, b"vaguemestre audit " + purpose, hashlib.sha256)


def _subject_place(pseudonym: str) -> bytes:
    return f"audit:subject:{pseudonym}".encode()


def _key_place(pseudonym: str, key_id: str) -> bytes:
    return f"audit:key:{pseudonym}:{key_id}".encode()
