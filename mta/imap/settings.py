"""What an operator may set for the IMAP listeners. Limits that the standards fix stand beside their use."""

from __future__ import annotations

from dataclasses import dataclass

MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every field has a default that suits a hospital; a unit stands in the name or in the words below it."""

    server_name: str = "localhost"
    """Told in the greeting."""
    max_message_octets: int = 35 * MEBIBYTE
    """Largest message of APPEND (RFC 7889); 25 MB of documents grow by a third in base64."""
    max_literal_memory: int = 256 * MEBIBYTE
    """Octets of literals under way in the whole process; beyond it APPEND answers [LIMIT]."""
    max_connections: int = 8192
    """Connections of one listener; beyond it a new one is told BYE."""
    max_unauthenticated_per_network: int = 64
    """Connections of one IPv4 address or IPv6 /64 that have not logged in yet."""
    max_connections_per_account: int = 48
    """Thunderbird opens 5, a phone 2 or 3; a team may read one box."""
    login_seconds: float = 60.0
    """From the connection to the login; a slow or silent stranger is cut then."""
    autologout_seconds: float = 1800.0
    """RFC 3501 §5.4: at least 30 minutes without a command, IDLE included."""
    command_seconds: float = 60.0
    """From the first octet of a command to its end, beside what its literals need at `min_octets_per_second`."""
    min_octets_per_second: int = 500
    """Slower than this, a literal is an attack and not a line."""
    write_seconds: float = 300.0
    """A client that reads nothing for so long is cut."""
    record_cache_octets: int = 64 * MEBIBYTE
    """Memory for ENVELOPE and BODYSTRUCTURE records, shared by all sessions of the process."""
    search_scan_octets: int = 256 * MEBIBYTE
    """What one SEARCH of BODY or TEXT may read; beyond it the answer is NO [LIMIT]."""
