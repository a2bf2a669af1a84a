"""The words of a delivery report, for people: French first, then English.

What it is: pure text from facts. What it is not: the reasons, which stand in `core.reply`, or MIME (`mta.dsn`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

_RULE = "-" * 72


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientFacts:
    """What is told of one recipient. `action` is an RFC 3464 word; texts are clean single lines."""

    address: str
    action: str
    french: str
    english: str
    peer_said: str
    host: str
    is_unknown_mailbox: bool
    until: datetime | None


_SUBJECTS = {
    "failed": "Lettre non remise / Letter not delivered",
    "delayed": "Lettre en attente / Letter delayed",
    "delivered": "Lettre remise / Letter delivered",
    "relayed": "Lettre transmise / Letter relayed",
}


def subject(action: str) -> str:
    """The Subject of a report, ASCII."""
    return _SUBJECTS[action]


_FRENCH_VERDICT = {
    "failed": "n'a pas été remise",
    "delayed": "n'est pas encore remise ; de nouveaux essais ont lieu",
    "delivered": "a été remise dans la boîte",
    "relayed": "a été transmise à l'opérateur suivant, qui n'annonce pas la remise",
}
_ENGLISH_VERDICT = {
    "failed": "was not delivered",
    "delayed": "is not yet delivered; new attempts go on",
    "delivered": "was delivered to the mailbox",
    "relayed": "was handed to the next operator, which does not confirm deliveries",
}


def letter(reporting_mta: str, arrival: datetime, recipients: Sequence[RecipientFacts]) -> str:
    """The whole text, lines ended by LF."""
    at = f"{arrival:%d/%m/%Y %H:%M} (UTC{arrival:%z})"
    blocks = [
        f"(English below)\n\nCeci est un rapport automatique de la messagerie {reporting_mta}.\n"
        f"Il concerne la lettre que vous avez envoyée le {at}.\n",
        *(_french(facts) for facts in recipients),
        f"{_RULE}\n\nThis is an automatic report from the mail system {reporting_mta}.\n"
        f"It is about the letter that you sent on {at}.\n",
        *(_english(facts) for facts in recipients),
    ]
    return "\n".join(blocks)


def _french(facts: RecipientFacts) -> str:
    lines = [f"<{facts.address}>", f"  Votre lettre {_FRENCH_VERDICT[facts.action]}."]
    if facts.action in ("failed", "delayed"):
        lines.append(f"  Raison : {facts.french}.")
    if facts.peer_said:
        lines.append(f"  Réponse de {facts.host or 'l’autre opérateur'} : {facts.peer_said}")
    if facts.until is not None and facts.action == "delayed":
        lines.append(f"  Derniers essais jusqu'au {facts.until:%d/%m/%Y %H:%M} (UTC{facts.until:%z}).")
    if advice := _advice(facts, _FRENCH_ADVICE):
        lines.append(f"  Que faire : {advice}")
    return "\n".join(lines) + "\n"


def _english(facts: RecipientFacts) -> str:
    lines = [f"<{facts.address}>", f"  Your letter {_ENGLISH_VERDICT[facts.action]}."]
    if facts.action in ("failed", "delayed"):
        lines.append(f"  Reason: {facts.english}.")
    if facts.peer_said:
        lines.append(f"  Answer of {facts.host or 'the other operator'}: {facts.peer_said}")
    if facts.until is not None and facts.action == "delayed":
        lines.append(f"  Attempts go on until {facts.until:%d/%m/%Y %H:%M} (UTC{facts.until:%z}).")
    if advice := _advice(facts, _ENGLISH_ADVICE):
        lines.append(f"  What to do: {advice}")
    return "\n".join(lines) + "\n"


_FRENCH_ADVICE = {
    "unknown": "vérifiez l'adresse dans l'annuaire, puis envoyez de nouveau.",
    "failed": "si la lettre est urgente, joignez le destinataire autrement ; sinon corrigez et renvoyez-la.",
    "delayed": "rien pour l'instant ; si la lettre est urgente, joignez le destinataire autrement.",
}
_ENGLISH_ADVICE = {
    "unknown": "check the address in the directory, then send again.",
    "failed": "if the letter is urgent, reach the recipient another way; else correct it and send it again.",
    "delayed": "nothing for now; if the letter is urgent, reach the recipient another way.",
}


def _advice(facts: RecipientFacts, sentences: dict[str, str]) -> str:
    key = "unknown" if facts.action == "failed" and facts.is_unknown_mailbox else facts.action
    return sentences.get(key, "")
