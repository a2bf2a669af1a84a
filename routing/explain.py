"""A decision as sentences, for operators, the command line and the audit trail.

What it is: one French and one English sentence per `Reason` (a test holds the list complete). What it is not:
what a peer reads (`core.reply`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from core.plan import (
    Action,
    Admission,
    Admit,
    DeliverToMailbox,
    KeySource,
    LeaveAsIs,
    Reason,
    Refuse,
    RelayTo,
    SealKind,
    SealWith,
)


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
    Reason.SEAL_REQUIRED: Sentence(
        "a seal is required for this domain, and it opens one",
        "un sceau est exigé pour ce domaine, et il l'ouvre",
    ),
    Reason.SEAL_POSSIBLE: Sentence("this domain opens a seal", "ce domaine ouvre un sceau"),
    Reason.SEAL_AROUND_CLIENT_SIGNATURE: Sentence(
        "a seal is required; it goes around the author's own signature, which stays as it is",
        "un sceau est exigé ; il entoure la signature de l'auteur, qui reste telle quelle",
    ),
    Reason.SEAL_MADE_BY_CLIENT: Sentence(
        "the author's software encrypted the letter already",
        "le logiciel de l'auteur a déjà chiffré la lettre",
    ),
    Reason.SEAL_SIGNED_BY_CLIENT: Sentence(
        "the author's software signed the letter, and a seal would hide that signature",
        "le logiciel de l'auteur a signé la lettre, et un sceau cacherait cette signature",
    ),
    Reason.SEAL_STAYS_AT_HOME: Sentence(
        "the letter does not leave this operator", "la lettre ne quitte pas cet opérateur"
    ),
    Reason.SEAL_OFF: Sentence(
        "seals are off for this domain by configuration", "le scellement est désactivé pour ce domaine"
    ),
    Reason.SEAL_OFF_BY_PROFILE: Sentence(
        "in the profile mssante, a domain that declares no seal gets none",
        "dans le profil mssante, un domaine qui ne déclare pas de sceau n'en reçoit pas",
    ),
    Reason.SEAL_NOT_DECLARED: Sentence(
        "the annuaire des sceaux has no entry for this domain, and no key is configured",
        "l'annuaire des sceaux ne connaît pas ce domaine, et aucune clé n'est configurée",
    ),
    Reason.SEAL_DECLARED_NONE: Sentence(
        "this domain declares that it opens no seal", "ce domaine déclare n'ouvrir aucun sceau"
    ),
    Reason.SEAL_LIST_STALE: Sentence(
        "the annuaire des sceaux is too old to tell; refresh it",
        "l'annuaire des sceaux est trop ancien pour le dire ; rafraîchissez-le",
    ),
    Reason.SEAL_ENTRY_OUT_OF_DATES: Sentence(
        "this domain's entry in the annuaire des sceaux is out of its dates",
        "l'entrée de ce domaine dans l'annuaire des sceaux est hors de ses dates",
    ),
    Reason.SEAL_NO_KEY: Sentence(
        "this domain's entry holds no key of the kind it declares",
        "l'entrée de ce domaine n'a pas de clé du genre qu'elle déclare",
    ),
    Reason.SEAL_KEY_EXPIRED: Sentence(
        "this domain's certificate or key is expired", "le certificat ou la clé de ce domaine a expiré"
    ),
    Reason.SEAL_KEY_REFUSED: Sentence(
        "this domain's certificate is not of our authorities, too weak, or not for this use",
        "le certificat de ce domaine n'est pas de nos autorités, trop faible, ou pas pour cet usage",
    ),
    Reason.SEAL_KEY_REVOKED: Sentence(
        "this domain's certificate or key is revoked", "le certificat ou la clé de ce domaine est révoqué"
    ),
    Reason.SEAL_REVOCATION_UNKNOWN: Sentence(
        "whether this domain's certificate is revoked cannot be told now; fetch the CRLs",
        "on ne peut dire si le certificat de ce domaine est révoqué ; récupérez les CRL",
    ),
    Reason.SEAL_NO_OWN_KEY: Sentence(
        "we have no valid key to sign with; see `vaguemestre certs check`",
        "nous n'avons pas de clé valable pour signer ; voyez `vaguemestre certs check`",
    ),
    Reason.SEAL_TOO_BIG: Sentence(
        "sealed, the letter would be larger than this domain takes",
        "scellée, la lettre serait plus grande que ce domaine ne l'accepte",
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


_SEALS = {SealKind.NONE: "", SealKind.SMIME: "S/MIME", SealKind.OPENPGP: "OpenPGP"}
_SOURCES = {
    KeySource.SEALS_LIST: Sentence("from the annuaire des sceaux", "de l'annuaire des sceaux"),
    KeySource.CONFIGURED: Sentence("from the configuration", "de la configuration"),
}
SHOWN_FINGERPRINT = 16  # characters: enough to tell two certificates of one domain apart


def explain_seal(decision: SealWith | LeaveAsIs | Refuse) -> Sentence:
    """Which seal, for which certificate, found where and why; or why none."""
    why = SENTENCES[decision.reason]
    match decision:
        case SealWith(kind=kind, domain=domain, recipient=recipient, source=source):
            seal, key, where = _SEALS[kind], recipient[:SHOWN_FINGERPRINT], _SOURCES[source]
            subject = Sentence("; the subject stays readable", " ; l'objet reste lisible")
            rest = subject if decision.subject_readable else Sentence("", "")
            return Sentence(
                f"sealed by {seal} for {domain} (key {key}, {where.english}): {why.english}{rest.english}",
                f"scellé en {seal} pour {domain} (clé {key}, {where.french}) : {why.french}{rest.french}",
            )
        case LeaveAsIs():
            return Sentence(
                f"not sealed, under mutual TLS only: {why.english}",
                f"non scellé, sous TLS mutuel seulement : {why.french}",
            )
        case Refuse():
            return explain_action(decision)
        case _:
            assert_never(decision)
