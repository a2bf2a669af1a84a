"""Why a signed list is not taken: a closed set, with a sentence for the operator in both languages.

What it is: `Reason` and `TrustListRefused`. What it is not: the reply to a peer; a refused list changes
nothing for letters, the last good one stays in force.
"""

from __future__ import annotations

from enum import Enum

from core.errors import PermanentError


class Reason(Enum):
    """Why a list is refused; the value is the word of logs and audit."""

    TOO_LARGE = "too-large"
    UNREADABLE = "unreadable"
    WRONG_FORMAT = "wrong-format"
    UNSIGNED = "unsigned"
    DAMAGED = "damaged"
    SIGNER_NOT_PINNED = "signer-not-pinned"
    SIGNER_REVOKED = "signer-revoked"
    SIGNER_REFUSED = "signer-refused"
    EMPTY = "empty"
    OLDER_THAN_CURRENT = "older-than-current"
    FROM_THE_FUTURE = "from-the-future"
    LOST_TOO_MANY = "lost-too-many"

    @property
    def english(self) -> str:
        """A sentence for the operator."""
        return _SENTENCES[self][0]

    @property
    def french(self) -> str:
        """Une phrase pour l'exploitant."""
        return _SENTENCES[self][1]


_SENTENCES: dict[Reason, tuple[str, str]] = {
    Reason.TOO_LARGE: (
        "The list is larger than any list of its kind can be.",
        "La liste est plus grande qu'aucune liste de ce genre ne peut l'être.",
    ),
    Reason.UNREADABLE: (
        "The list is not well-formed XML; it may have been cut short on its way.",
        "La liste n'est pas un XML bien formé ; elle a pu être tronquée en chemin.",
    ),
    Reason.WRONG_FORMAT: (
        "The document is XML but not a list of the expected kind with its date and its entries.",
        "Le document est du XML, mais pas une liste du genre attendu avec sa date et ses entrées.",
    ),
    Reason.UNSIGNED: ("The list carries no signature.", "La liste ne porte pas de signature."),
    Reason.DAMAGED: (
        "The signature does not cover this list as it is: it was altered, or signed in another form.",
        "La signature ne couvre pas cette liste telle quelle : altérée, ou signée sous une autre forme.",
    ),
    Reason.SIGNER_NOT_PINNED: (
        "The list is signed by a certificate of another name than the one configured.",
        "La liste est signée par un certificat d'un autre nom que celui qui est configuré.",
    ),
    Reason.SIGNER_REVOKED: (
        "The certificate that signed the list is revoked.",
        "Le certificat qui a signé la liste est révoqué.",
    ),
    Reason.SIGNER_REFUSED: (
        "The certificate that signed the list is not valid: chain, dates, usage or strength.",
        "Le certificat qui a signé la liste n'est pas valable : chaîne, dates, usage ou robustesse.",
    ),
    Reason.EMPTY: ("The list names no domain.", "La liste ne nomme aucun domaine."),
    Reason.OLDER_THAN_CURRENT: (
        "The list is older than the one in force.",
        "La liste est plus ancienne que celle en vigueur.",
    ),
    Reason.FROM_THE_FUTURE: (
        "The list says it was made in the future; check the clocks.",
        "La liste se dit produite dans le futur ; vérifiez les horloges.",
    ),
    Reason.LOST_TOO_MANY: (
        "The list lost so many entries that an operator must confirm it.",
        "La liste a perdu tant d'entrées qu'un exploitant doit la confirmer.",
    ),
}


class TrustListRefused(PermanentError):
    """This signed list is not taken; the one in force stays in force. `detail` is for the log."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
