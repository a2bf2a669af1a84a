"""A decision as sentences, for operators, the command line and the audit trail.

What it is: one French and one English sentence per `Reason` (a test holds the list complete). What it is not:
what a peer reads (`core.reply`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from core.plan import Action, Admission, Admit, DeliverToMailbox, Reason, Refuse, RelayTo


@dataclass(frozen=True, slots=True)
class Sentence:
    """The same thing said twice."""

    english: str
    french: str


SENTENCES: dict[Reason, Sentence] = {
    Reason.OWN_BOX_OPEN: Sentence("it is an open box of ours", "c'est une boîte ouverte chez nous"),
    Reason.OWN_BOX_UNKNOWN: Sentence("we have no box of that name", "nous n'avons pas de boîte à ce nom"),
    Reason.OWN_BOX_SUSPENDED: Sentence("this box of ours is suspended", "cette boîte est suspendue"),
    Reason.OWN_BOX_CLOSED: Sentence("this box of ours is closed", "cette boîte est fermée"),
    Reason.OWN_BOX_FULL: Sentence("this box of ours is full", "cette boîte est pleine"),
    Reason.ON_TRUSTED_LIST: Sentence(
        "its domain is on the trusted list in force", "son domaine est dans la liste blanche en vigueur"
    ),
    Reason.NOT_ON_TRUSTED_LIST: Sentence(
        "its domain is not on the trusted list", "son domaine n'est pas dans la liste blanche"
    ),
    Reason.TRUSTED_LIST_STALE: Sentence(
        "the trusted list is too old to decide; refresh it with `vaguemestre directory list refresh`",
        "la liste blanche est trop ancienne pour décider ; rafraîchissez-la",
    ),
    Reason.NOT_SERVED_HERE: Sentence("its domain is not served here", "son domaine n'est pas desservi ici"),
    Reason.ORIGINATOR_OWNS_ADDRESS: Sentence(
        "the originator owns this address or was given the right to send as it",
        "l'expéditeur possède cette adresse ou a reçu le droit d'écrire en son nom",
    ),
    Reason.ORIGINATOR_NOT_OWNER: Sentence(
        "the return path is not the originator's own box nor one delegated to it",
        "le chemin de retour n'est ni la boîte de l'expéditeur ni une boîte déléguée",
    ),
    Reason.ORIGINATOR_SUSPENDED: Sentence(
        "the originator's box is not open", "la boîte de l'expéditeur n'est pas ouverte"
    ),
    Reason.FROM_MISSING_OR_SEVERAL: Sentence(
        "the From field is missing or names several", "le champ From manque ou nomme plusieurs auteurs"
    ),
    Reason.FROM_NOT_OWNED: Sentence(
        "the From field names an address that is not the originator's",
        "le champ From nomme une adresse qui n'est pas celle de l'expéditeur",
    ),
    Reason.FROM_NOT_ENTITLED: Sentence(
        "the From field is of a domain that the list does not give to this peer",
        "le champ From est d'un domaine que la liste n'accorde pas à ce pair",
    ),
    Reason.NOT_AUTHENTICATED: Sentence("nobody is logged in", "personne n'est authentifié"),
    Reason.PEER_WITHOUT_CERTIFICATE: Sentence(
        "the peer showed no certificate", "le pair n'a présenté aucun certificat"
    ),
    Reason.PEER_CERTIFICATE_REFUSED: Sentence(
        "the peer's certificate is not of our authorities, not in its dates, or not for this use",
        "le certificat du pair n'est pas de nos autorités, hors dates, ou pas pour cet usage",
    ),
    Reason.PEER_CERTIFICATE_REVOKED: Sentence(
        "the peer's certificate is revoked", "le certificat du pair est révoqué"
    ),
    Reason.PEER_REVOCATION_UNKNOWN: Sentence(
        "the revocation lists are too old to tell; fetch the CRLs",
        "les listes de révocation sont trop anciennes ; récupérez les CRL",
    ),
    Reason.PEER_ENTITLED: Sentence(
        "the list gives this domain to the peer's certificate",
        "la liste accorde ce domaine au certificat du pair",
    ),
    Reason.PEER_NOT_ENTITLED: Sentence(
        "the list does not give this domain to the peer's certificate",
        "la liste n'accorde pas ce domaine au certificat du pair",
    ),
    Reason.NULL_PATH_RULE: Sentence(
        "a null return path is for one report to one recipient",
        "un chemin de retour nul sert à un rapport pour un destinataire",
    ),
    Reason.TOO_MANY_RECIPIENTS: Sentence(
        "the letter has too many recipients", "la lettre a trop de destinataires"
    ),
    Reason.TOO_MANY_HOPS: Sentence("the letter passed too many relays", "la lettre a passé trop de relais"),
    Reason.TOO_BIG: Sentence(
        "the letter is larger than this door takes", "la lettre est plus grande que permis"
    ),
    Reason.HEADER_MALFORMED: Sentence(
        "the header could be read in two ways", "l'en-tête peut se lire de deux façons"
    ),
    Reason.HOMONYM_WARNING: Sentence(
        "somebody with nearly the same name has another box: check the recipient",
        "une personne au nom presque identique a une autre boîte : vérifiez le destinataire",
    ),
}


def explain_admission(decision: Admission) -> Sentence:
    """Accepted or refused, with the reply and the reason."""
    why = SENTENCES[decision.reason]
    match decision:
        case Admit():
            return Sentence(f"accepted: {why.english}", f"accepté : {why.french}")
        case Refuse(reply=answer):
            return Sentence(
                f"refused ({answer.code} {answer.status}): {why.english}",
                f"refusé ({answer.code} {answer.status}) : {why.french}",
            )
        case _:
            assert_never(decision)


def explain_action(action: Action) -> Sentence:
    """What would be done for one recipient, and why."""
    why = SENTENCES[action.reason]
    match action:
        case DeliverToMailbox():
            return Sentence(f"put into the mailbox: {why.english}", f"remis dans la boîte : {why.french}")
        case RelayTo(domain=domain):
            return Sentence(
                f"relayed to the operator of {domain} under mutual TLS: {why.english}",
                f"relayé à l'opérateur de {domain} en TLS mutuel : {why.french}",
            )
        case Refuse(reply=answer):
            verb = (
                ("kept and tried again", "gardé et réessayé")
                if answer.is_temporary
                else ("refused", "refusé")
            )
            return Sentence(
                f"{verb[0]} ({answer.code} {answer.status}): {why.english}",
                f"{verb[1]} ({answer.code} {answer.status}) : {why.french}",
            )
        case _:
            assert_never(action)
