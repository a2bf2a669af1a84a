"""Every answer that a peer or a person can read, named by its meaning.

What it is: `EnhancedStatus`, `Reply` and the one table of replies. What it is not: a place for causes; why
something happened goes to the log and to the audit trail, never into a text of this table. Start at the
table. On the wire both languages are sent, French first, without accents (SMTP replies are ASCII).
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

MAX_REPLY_LINE = 512  # RFC 5321 §4.5.3.1.5


@dataclass(frozen=True, slots=True)
class EnhancedStatus:
    """class.subject.detail of RFC 3463 §2."""

    klass: int
    subject: int
    detail: int

    def __str__(self) -> str:
        return f"{self.klass}.{self.subject}.{self.detail}"

    @classmethod
    def parse(cls, text: str) -> EnhancedStatus:
        """Read `5.7.1`; raises ValueError."""
        klass, subject, detail = (int(part) for part in text.split("."))
        return cls(klass, subject, detail)


@dataclass(frozen=True, slots=True)
class Reply:
    """A named SMTP reply: code, enhanced status (absent where RFC 2034 forbids it), a sentence in two languages."""

    name: str
    code: int
    status: EnhancedStatus | None
    english: str
    french: str

    @property
    def is_temporary(self) -> bool:
        """4yz: the peer may try again."""
        return 400 <= self.code < 500

    @property
    def is_permanent(self) -> bool:
        """5yz: the peer must not try again as it is."""
        return self.code >= 500

    @property
    def text(self) -> str:
        """The sentence as it goes on the wire, ASCII."""
        return f"{ascii_only(self.french)} / {self.english}" if self.french else self.english

    def wire(self, detail: str = "") -> bytes:
        """The reply line with CRLF. `detail` is machine-made ASCII (a spool id, a size), never a cause."""
        status = f"{self.status} " if self.status else ""
        tail = f" {detail}" if detail else ""
        return f"{self.code} {status}{self.text}{tail}\r\n".encode("ascii")

    def __str__(self) -> str:
        return f"{self.code} {self.status} {self.text}" if self.status else f"{self.code} {self.text}"


def ascii_only(text: str) -> str:
    """French without its accents, for the wire."""
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")


TABLE: dict[str, Reply] = {}


def _reply(name: str, code: int, status: str, english: str, french: str) -> Reply:
    row = Reply(name, code, EnhancedStatus.parse(status) if status else None, english, french)
    TABLE[name] = row
    return row


# --- conversation (RFC 5321 §4.2, RFC 2034, RFC 4954) -------------------------------------------------------
READY = _reply("READY", 220, "", "Vaguemestre ESMTP", "")
START_TLS = _reply("START_TLS", 220, "2.0.0", "Ready to start TLS", "")
CLOSING = _reply("CLOSING", 221, "2.0.0", "Goodbye", "Au revoir")
HELLO = _reply("HELLO", 250, "", "Hello", "")
OK = _reply("OK", 250, "2.0.0", "OK", "")
SENDER_OK = _reply("SENDER_OK", 250, "2.1.0", "Originator accepted", "")
RECIPIENT_OK = _reply("RECIPIENT_OK", 250, "2.1.5", "Recipient accepted", "")
QUEUED = _reply("QUEUED", 250, "2.0.0", "Queued as", "")
ALREADY_RECEIVED = _reply("ALREADY_RECEIVED", 250, "2.0.0", "Already received and kept", "")
VERIFY_NOTHING = _reply("VERIFY_NOTHING", 252, "2.5.0", "Will not say, but will try delivery", "Non divulgué")
HELP = _reply("HELP", 214, "2.0.0", "See RFC 5321; the operator's documentation tells the rest", "")
AUTHENTICATED = _reply("AUTHENTICATED", 235, "2.7.0", "Authentication succeeded", "Authentification réussie")
CHALLENGE = _reply("CHALLENGE", 334, "", "", "")
START_MAIL_INPUT = _reply("START_MAIL_INPUT", 354, "", "End data with <CR><LF>.<CR><LF>", "")

# --- temporary --------------------------------------------------------------------------------------------
SHUTTING_DOWN = _reply(
    "SHUTTING_DOWN",
    421,
    "4.3.2",
    "Service closing, try again shortly",
    "Service en cours d'arrêt, réessayez bientôt",
)
TOO_MANY_CONNECTIONS = _reply(
    "TOO_MANY_CONNECTIONS",
    421,
    "4.7.0",
    "Too many connections from your network, try later",
    "Trop de connexions depuis votre réseau, réessayez plus tard",
)
TIMEOUT = _reply(
    "TIMEOUT", 421, "4.4.2", "Too long without a command, closing", "Trop longtemps sans commande, fermeture"
)
TOO_MANY_ERRORS = _reply(
    "TOO_MANY_ERRORS", 421, "4.7.0", "Too many errors, closing", "Trop d'erreurs, fermeture"
)
MAILBOX_BUSY = _reply("MAILBOX_BUSY", 450, "4.2.1", "Mailbox busy, try again", "Boîte occupée, réessayez")
LOCAL_ERROR = _reply(
    "LOCAL_ERROR",
    451,
    "4.3.0",
    "Could not do it now, try again later",
    "Impossible pour l'instant, réessayez plus tard",
)
TRUST_LIST_STALE = _reply(
    "TRUST_LIST_STALE",
    451,
    "4.4.3",
    "The trust list is too old to decide, try again later",
    "La liste blanche est trop ancienne pour décider, réessayez plus tard",
)
REVOCATION_UNKNOWN = _reply(
    "REVOCATION_UNKNOWN",
    451,
    "4.7.5",
    "Cannot tell now whether your certificate is revoked, try again later",
    "Impossible de savoir si votre certificat est révoqué, réessayez plus tard",
)
AUTHENTICATION_LOCKED = _reply(
    "AUTHENTICATION_LOCKED",
    454,
    "4.7.0",
    "Too many failed attempts, wait before trying again",
    "Trop de tentatives échouées, patientez avant de réessayer",
)
TLS_NOT_AVAILABLE = _reply(
    "TLS_NOT_AVAILABLE", 454, "4.7.0", "TLS not available now", "TLS indisponible pour l'instant"
)
MAILBOX_FULL = _reply("MAILBOX_FULL", 452, "4.2.2", "Mailbox full", "Boîte aux lettres pleine")
STORAGE_FULL = _reply(
    "STORAGE_FULL",
    452,
    "4.3.1",
    "No room left to store mail, try later",
    "Plus de place, réessayez plus tard",
)
TOO_MANY_RECIPIENTS = _reply(
    "TOO_MANY_RECIPIENTS",
    452,
    "4.5.3",
    "Too many recipients, send the rest in another letter",
    "Trop de destinataires, envoyez la suite dans une autre lettre",
)

# --- syntax and order ---------------------------------------------------------------------------------------
UNKNOWN_COMMAND = _reply("UNKNOWN_COMMAND", 500, "5.5.2", "Command not recognised", "Commande inconnue")
LINE_TOO_LONG = _reply("LINE_TOO_LONG", 500, "5.5.2", "Line too long", "Ligne trop longue")
BARE_LINE_END = _reply(
    "BARE_LINE_END",
    521,
    "5.5.2",
    "Lines end with CR LF; a bare CR, LF or a NUL was found, closing",
    "Les lignes finissent par CR LF ; CR, LF ou NUL isolé, fermeture",
)
SYNTAX = _reply("SYNTAX", 501, "5.5.4", "Syntax error in arguments", "Erreur de syntaxe dans les arguments")
BAD_MAILBOX_SYNTAX = _reply(
    "BAD_MAILBOX_SYNTAX", 501, "5.1.3", "This is not a mailbox address", "Ceci n'est pas une adresse"
)
BAD_ORIGINATOR_SYNTAX = _reply(
    "BAD_ORIGINATOR_SYNTAX",
    501,
    "5.1.7",
    "This is not an originator address",
    "Ceci n'est pas une adresse d'expéditeur",
)
CANCELLED = _reply("CANCELLED", 501, "5.7.0", "Authentication cancelled", "Authentification annulée")
BAD_BASE64 = _reply("BAD_BASE64", 501, "5.5.2", "Cannot decode this base64", "Base64 illisible")
NOT_IMPLEMENTED = _reply(
    "NOT_IMPLEMENTED", 502, "5.5.1", "Command not offered here", "Commande non proposée ici"
)
BAD_SEQUENCE = _reply(
    "BAD_SEQUENCE", 503, "5.5.1", "Bad sequence of commands", "Ordre des commandes incorrect"
)
OUT_OF_STEP = _reply(
    "OUT_OF_STEP",
    554,
    "5.5.0",
    "Wait for the reply before saying more, closing",
    "Attendez la réponse avant de continuer, fermeture",
)
UNKNOWN_MECHANISM = _reply(
    "UNKNOWN_MECHANISM", 504, "5.5.4", "Mechanism not offered", "Mécanisme non proposé"
)
UNKNOWN_PARAMETER = _reply("UNKNOWN_PARAMETER", 555, "5.5.4", "Parameter not recognised", "Paramètre inconnu")
NEEDS_SMTPUTF8 = _reply(
    "NEEDS_SMTPUTF8", 550, "5.6.7", "This address needs SMTPUTF8", "Cette adresse demande SMTPUTF8"
)
NO_VALID_RECIPIENTS = _reply(
    "NO_VALID_RECIPIENTS", 554, "5.5.1", "No valid recipients", "Aucun destinataire valable"
)

# --- identity and rights ------------------------------------------------------------------------------------
TLS_REQUIRED = _reply("TLS_REQUIRED", 530, "5.7.0", "Issue STARTTLS first", "Commencez par STARTTLS")
CERTIFICATE_REQUIRED = _reply(
    "CERTIFICATE_REQUIRED",
    530,
    "5.7.0",
    "Present your operator's certificate",
    "Présentez le certificat de votre opérateur",
)
AUTHENTICATION_REQUIRED = _reply(
    "AUTHENTICATION_REQUIRED", 530, "5.7.0", "Authenticate first", "Authentifiez-vous d'abord"
)
AUTHENTICATION_FAILED = _reply(
    "AUTHENTICATION_FAILED",
    535,
    "5.7.8",
    "Login or password incorrect",
    "Identifiant ou mot de passe incorrect",
)
ENCRYPTION_REQUIRED_FOR_AUTH = _reply(
    "ENCRYPTION_REQUIRED_FOR_AUTH",
    538,
    "5.7.11",
    "Authentication needs TLS",
    "L'authentification demande TLS",
)
CERTIFICATE_REFUSED = _reply(
    "CERTIFICATE_REFUSED",
    550,
    "5.7.1",
    "Your certificate is not accepted here",
    "Votre certificat n'est pas accepté ici",
)
CERTIFICATE_REVOKED = _reply(
    "CERTIFICATE_REVOKED", 550, "5.7.1", "Your certificate is revoked", "Votre certificat est révoqué"
)
PEER_NOT_ENTITLED = _reply(
    "PEER_NOT_ENTITLED",
    550,
    "5.7.1",
    "The trust list does not give this domain to your certificate",
    "La liste blanche n'accorde pas ce domaine à votre certificat",
)
DOMAIN_NOT_TRUSTED = _reply(
    "DOMAIN_NOT_TRUSTED",
    550,
    "5.7.1",
    "This recipient's domain is outside the trust space",
    "Le domaine de ce destinataire est hors de l'espace de confiance",
)
NOT_YOUR_ADDRESS = _reply(
    "NOT_YOUR_ADDRESS",
    550,
    "5.7.1",
    "You may not send as this address",
    "Vous ne pouvez pas écrire au nom de cette adresse",
)
FROM_NOT_YOURS = _reply(
    "FROM_NOT_YOURS",
    550,
    "5.7.1",
    "The From field must be exactly one address that is yours",
    "Le champ From doit être une seule adresse qui vous appartient",
)
FROM_NOT_ENTITLED = _reply(
    "FROM_NOT_ENTITLED",
    550,
    "5.7.1",
    "The From field is not of a domain of your operator",
    "Le champ From n'est pas d'un domaine de votre opérateur",
)
RELAYING_DENIED = _reply(
    "RELAYING_DENIED", 550, "5.7.1", "This domain is not served here", "Ce domaine n'est pas desservi ici"
)
POLICY = _reply("POLICY", 550, "5.7.1", "Refused by policy", "Refusé par la politique du service")
NULL_PATH_RULES = _reply(
    "NULL_PATH_RULES",
    550,
    "5.7.1",
    "A null return path carries one report to one recipient",
    "Un chemin de retour nul porte un seul rapport à un seul destinataire",
)

# --- mailboxes ----------------------------------------------------------------------------------------------
UNKNOWN_MAILBOX = _reply(
    "UNKNOWN_MAILBOX", 550, "5.1.1", "No such mailbox here", "Boîte aux lettres inconnue ici"
)
MAILBOX_SUSPENDED = _reply(
    "MAILBOX_SUSPENDED", 550, "5.2.1", "This mailbox is suspended", "Cette boîte est suspendue"
)
MAILBOX_CLOSED = _reply("MAILBOX_CLOSED", 550, "5.2.1", "This mailbox is closed", "Cette boîte est fermée")
SENDER_SUSPENDED = _reply(
    "SENDER_SUSPENDED", 550, "5.7.1", "Your mailbox may not send", "Votre boîte ne peut pas émettre"
)

# --- the letter ---------------------------------------------------------------------------------------------
TOO_BIG = _reply("TOO_BIG", 552, "5.3.4", "Message too big; largest octets", "Message trop grand")
HEADER_TOO_BIG = _reply("HEADER_TOO_BIG", 552, "5.3.4", "Header too big", "En-tête trop grand")
LOOP = _reply("LOOP", 554, "5.4.6", "Too many hops: a mail loop", "Trop de relais : une boucle de courrier")
MALFORMED = _reply("MALFORMED", 554, "5.6.0", "This letter is malformed", "Cette lettre est mal formée")

# --- what delivery learns (used in reports, traces and retries) ---------------------------------------------
DELIVERED = _reply("DELIVERED", 250, "2.1.5", "Delivered", "Remis")
RELAYED = _reply(
    "RELAYED", 250, "2.0.0", "Taken over by the next operator", "Pris en charge par l'opérateur suivant"
)
NO_ROUTE = _reply(
    "NO_ROUTE", 450, "4.4.4", "No route to this domain for now", "Aucune route vers ce domaine pour l'instant"
)
PEER_UNREACHABLE = _reply(
    "PEER_UNREACHABLE", 450, "4.4.1", "The other operator does not answer", "L'autre opérateur ne répond pas"
)
PEER_NOT_VERIFIED = _reply(
    "PEER_NOT_VERIFIED",
    450,
    "4.7.5",
    "The other operator's certificate is not the one the trust list gives",
    "Le certificat de l'autre opérateur n'est pas celui de la liste blanche",
)
PEER_WITHOUT_TLS = _reply(
    "PEER_WITHOUT_TLS",
    450,
    "4.7.5",
    "The other operator offers no TLS; never sent in clear",
    "L'autre opérateur ne propose pas TLS ; jamais envoyé en clair",
)
PEER_DEFERRED = _reply(
    "PEER_DEFERRED", 450, "4.0.0", "The other operator asks to wait", "L'autre opérateur demande d'attendre"
)
PEER_REFUSED = _reply(
    "PEER_REFUSED", 550, "5.0.0", "The other operator refused it", "L'autre opérateur l'a refusé"
)
NEEDS_8BITMIME = _reply(
    "NEEDS_8BITMIME",
    554,
    "5.6.3",
    "The other operator takes no 8-bit letters, and letters are never converted",
    "L'autre opérateur n'accepte pas les lettres sur 8 bits, et aucune n'est convertie",
)
TOO_BIG_FOR_PEER = _reply(
    "TOO_BIG_FOR_PEER",
    552,
    "5.3.4",
    "The letter is bigger than the other operator takes",
    "La lettre dépasse la taille admise par l'autre opérateur",
)
DOMAIN_TAKES_NO_MAIL = _reply(
    "DOMAIN_TAKES_NO_MAIL",
    556,
    "5.1.10",
    "This domain says that it takes no mail",
    "Ce domaine déclare ne pas recevoir de courrier",
)
HELD_FOR_OPERATOR = _reply(
    "HELD_FOR_OPERATOR",
    450,
    "4.3.0",
    "Kept here until an operator has looked at it",
    "Conservé ici jusqu'à l'examen d'un exploitant",
)
SEAL_NOT_NOW = _reply(
    "SEAL_NOT_NOW",
    451,
    "4.7.5",
    "This letter must be sealed and cannot be now, it will be tried again",
    "Cette lettre doit être scellée et ne peut l'être maintenant, nouvel essai à venir",
)
SEAL_IMPOSSIBLE = _reply(
    "SEAL_IMPOSSIBLE",
    550,
    "5.7.4",
    "This letter must be sealed for this domain, which opens no seal of ours",
    "Cette lettre doit être scellée pour ce domaine, qui n'ouvre aucun de nos sceaux",
)
DOMAIN_LEFT_TRUST = _reply(
    "DOMAIN_LEFT_TRUST",
    550,
    "5.7.1",
    "This domain is no longer in the trust space",
    "Ce domaine n'est plus dans l'espace de confiance",
)
EXPIRED = _reply(
    "EXPIRED",
    550,
    "5.4.7",
    "Could not be delivered in the time allowed",
    "N'a pas pu être remis dans le délai permis",
)
DELETED_BY_OPERATOR = _reply(
    "DELETED_BY_OPERATOR", 550, "5.7.1", "Withdrawn by an operator", "Retiré par un exploitant"
)
