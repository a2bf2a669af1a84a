"""Every sentence that an IMAP client may show to a person, in one table: French first, then English.

What it is: the response code (RFC 3501 §7.1, RFC 5530) and the text, by meaning. What it is not: a cause; why
something happened goes to the log. On the wire French loses its accents: the text is ASCII (RFC 3501 §9).
"""

from __future__ import annotations

from dataclasses import dataclass

from core import reply
from core.reply import ascii_only


@dataclass(frozen=True, slots=True)
class StatusText:
    """One answer: `NO`, `BAD`, `OK` or `BYE`, the code in brackets, the words."""

    condition: str
    code: str
    english: str
    french: str = ""

    @property
    def wire(self) -> bytes:
        """`NO [CODE] text`, without tag and line end."""
        words = f"{ascii_only(self.french)} / {self.english}" if self.french else self.english
        code = f"[{self.code}] " if self.code else ""
        return f"{self.condition} {code}{words}".encode("ascii")


# --- the client's mistakes (RFC 3501 §7.1.3) ----------------------------------------------------------------
SYNTAX = StatusText("BAD", "CLIENTBUG", "Syntax error in this command", "Erreur de syntaxe dans la commande")
UNKNOWN = StatusText("BAD", "CLIENTBUG", "Command not known here", "Commande inconnue")
WRONG_STATE = StatusText("BAD", "CLIENTBUG", "Not possible in this state", "Impossible dans cet état")
CHARSET_NAMED = StatusText(
    "BAD", "CLIENTBUG", "No CHARSET after ENABLE UTF8=ACCEPT", "Pas de CHARSET après ENABLE UTF8=ACCEPT"
)
COMPRESSION_ACTIVE = StatusText(
    "NO", "COMPRESSIONACTIVE", "DEFLATE is active already", "DEFLATE est déjà actif"
)
NOT_ENABLED = StatusText("BAD", "CLIENTBUG", "ENABLE this first", "À activer d'abord par ENABLE")
NO_SUCH_NUMBER = StatusText(
    "BAD", "CLIENTBUG", "No message has this number", "Aucun message ne porte ce numéro"
)
LINE_TOO_LONG = StatusText("BAD", "CLIENTBUG", "This line is too long", "Ligne trop longue")
TOO_MANY_LITERALS = StatusText("BAD", "CLIENTBUG", "Too many literals", "Trop de littéraux")
BAD_BASE64 = StatusText("BAD", "CLIENTBUG", "Cannot decode this base64", "Base64 illisible")
CANCELLED = StatusText("BAD", "", "Authentication cancelled", "Authentification annulée")
NUL_IN_MESSAGE = StatusText("BAD", "CLIENTBUG", "A message holds no NUL", "Un message ne contient pas de NUL")

# --- logging in (RFC 5530 §3) -------------------------------------------------------------------------------
AUTHENTICATION_FAILED = StatusText(
    "NO", "AUTHENTICATIONFAILED", reply.AUTHENTICATION_FAILED.english, reply.AUTHENTICATION_FAILED.french
)
AUTHENTICATION_LOCKED = StatusText(
    "NO", "AUTHENTICATIONFAILED", reply.AUTHENTICATION_LOCKED.english, reply.AUTHENTICATION_LOCKED.french
)
PRIVACY_REQUIRED = StatusText("NO", "PRIVACYREQUIRED", "Use TLS first", "Utilisez d'abord TLS")
UNKNOWN_MECHANISM = StatusText("NO", "CANNOT", "Mechanism not offered", "Mécanisme non proposé")
TOO_MANY_SESSIONS = StatusText(
    "NO", "LIMIT", "Too many sessions of this account", "Trop de sessions pour ce compte"
)
TLS_ALREADY = StatusText("BAD", "CLIENTBUG", "TLS is active already", "TLS est déjà actif")

# --- folders ------------------------------------------------------------------------------------------------
NONEXISTENT = StatusText("NO", "NONEXISTENT", "No such folder", "Dossier inexistant")
TRY_CREATE = StatusText(
    "NO", "TRYCREATE", "No such folder, create it first", "Dossier inexistant, à créer d'abord"
)
ALREADY_EXISTS = StatusText("NO", "ALREADYEXISTS", "This folder exists already", "Ce dossier existe déjà")
BAD_NAME = StatusText("NO", "CANNOT", "A folder cannot have this name", "Nom de dossier impossible")
INBOX_STAYS = StatusText("NO", "CANNOT", "INBOX cannot be deleted", "INBOX ne peut être supprimée")
USE_UNKNOWN = StatusText("NO", "USEATTR", "This special use is not possible", "Usage spécial impossible")
CANNOT = StatusText("NO", "CANNOT", "This is not possible", "Opération impossible")
READ_ONLY = StatusText("NO", "READ-ONLY", "Opened for reading only", "Ouvert en lecture seule")
NO_SUCH_QUOTA = StatusText("NO", "NONEXISTENT", "No such quota root", "Racine de quota inexistante")

# --- limits and troubles (RFC 5530 §3) ----------------------------------------------------------------------
OVER_QUOTA = StatusText("NO", "OVERQUOTA", reply.MAILBOX_FULL.english, reply.MAILBOX_FULL.french)
TOO_BIG = StatusText("NO", "TOOBIG", "This message is too big", "Message trop grand")  # RFC 4469 §4.2
LIMIT = StatusText("NO", "LIMIT", "Beyond a limit of this service", "Au-delà d'une limite du service")
BUSY = StatusText(
    "NO", "LIMIT", "Too much is being received now, try again later", "Trop de réceptions en cours, réessayez"
)
UNAVAILABLE = StatusText("NO", "UNAVAILABLE", reply.LOCAL_ERROR.english, reply.LOCAL_ERROR.french)
EXPUNGE_ISSUED = StatusText(
    "NO", "EXPUNGEISSUED", "Some of these messages are gone", "Certains de ces messages n'existent plus"
)
BAD_CHARSET = StatusText(
    "NO", "BADCHARSET (US-ASCII UTF-8)", "Charset not known", "Jeu de caractères inconnu"
)

# --- the server speaks first (RFC 3501 §7.1.5) --------------------------------------------------------------
BYE_LOGOUT = StatusText("BYE", "", "Goodbye", "Au revoir")
BYE_IDLE = StatusText("BYE", "", "Too long without a command", "Trop longtemps sans commande")
BYE_SLOW = StatusText("BYE", "", "Too slow, closing", "Trop lent, fermeture")
BYE_ERRORS = StatusText("BYE", "", "Too many errors, closing", "Trop d'erreurs, fermeture")
BYE_SHUTDOWN = StatusText("BYE", "UNAVAILABLE", reply.SHUTTING_DOWN.english, reply.SHUTTING_DOWN.french)
BYE_CONNECTIONS = StatusText(
    "BYE", "UNAVAILABLE", reply.TOO_MANY_CONNECTIONS.english, reply.TOO_MANY_CONNECTIONS.french
)
BYE_BROKEN = StatusText("BYE", "UNAVAILABLE", reply.LOCAL_ERROR.english, reply.LOCAL_ERROR.french)
BYE_BOX = StatusText(
    "BYE", "", "This mailbox is no longer open to you", "Cette boîte ne vous est plus ouverte"
)
BYE_DELETED = StatusText("BYE", "", "The selected folder was deleted", "Le dossier ouvert a été supprimé")

BY_REPLY = {
    reply.AUTHENTICATION_FAILED.name: AUTHENTICATION_FAILED,
    reply.AUTHENTICATION_LOCKED.name: AUTHENTICATION_LOCKED,
    reply.MAILBOX_FULL.name: OVER_QUOTA,
    reply.STORAGE_FULL.name: OVER_QUOTA,
    reply.TOO_BIG.name: TOO_BIG,
}
"""Which text stands for a reply that a port raised; others are `UNAVAILABLE`."""
