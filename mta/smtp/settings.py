"""The settings of one SMTP listener; `vaguemestre.config` composes them.

What it is: every limit that an operator may change, with its default, its unit and its source. Limits that
are part of the protocol are constants beside the rule that obeys them.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.address import Mailbox
from mta.rooms import Listener

SUBMISSION_MESSAGE = 25 * 1024 * 1024  # ours: what 18 MB of files need once they are base64
RELAY_MESSAGE = SUBMISSION_MESSAGE + 1024 * 1024  # ours: a letter grows by the trace of each operator
SUBMISSION_PER_NETWORK = 500  # ours: a hospital comes from one address
RELAY_PER_NETWORK = 50  # Postfix smtpd_client_connection_count_limit


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpSettings:
    """How one listener behaves. Times in seconds, sizes in octets."""

    hostname: str
    """The name of this server in the greeting and the EHLO answer."""
    postmaster: Mailbox | None = None
    """Who answers for `<Postmaster>` without a domain; None refuses it."""
    max_message_octets: int = SUBMISSION_MESSAGE
    """Announced as SIZE; a larger letter is refused with 552."""
    max_recipients: int = 1000
    """Of one letter; the next one is answered 452. RFC 5321 §4.5.3.1.8 asks for 100 at least; Postfix: 1,000."""
    command_timeout: float = 300.0
    """Waiting for a whole command. RFC 5321 §4.5.3.2.7 asks for 5 minutes."""
    stress_timeout: float = 10.0
    """The same when nearly all connections are taken. Postfix smtpd_timeout under stress."""
    data_silence: float = 180.0
    """Waiting for the next octet of a letter. RFC 5321 §4.5.3.2.5."""
    min_data_rate: int = 500
    """Octets a second that a letter must come in, after `command_timeout`. Postfix smtpd_min_data_rate."""
    handshake_timeout: float = 30.0
    """For a TLS handshake."""
    closing_timeout: float = 10.0
    """For the peer to take our last octets; then the connection is cut."""
    linger: float = 2.0
    """After a refusal in the middle of what the peer sends, what comes is thrown away so long, so that the
    peer reads the refusal and not a reset."""
    max_connections: int = 2000
    """Of this listener; the next one is answered 421."""
    max_connections_per_network: int = RELAY_PER_NETWORK
    """From one IPv4 address or one IPv6 /64."""
    max_octets_in_flight: int = 256 * 1024 * 1024
    """Of all large letters being received at once; beyond, a letter is answered 452."""
    soft_errors: int = 10
    """Permanent refusals after which each answer waits `error_delay`. Postfix smtpd_soft_error_limit."""
    hard_errors: int = 20
    """Permanent refusals after which the connection is closed. Postfix smtpd_hard_error_limit."""
    junk_commands: int = 100
    """Commands that bring no letter, after which each counts as an error. Postfix smtpd_junk_command_limit."""
    error_delay: float = 1.0
    """Postfix smtpd_error_sleep_time."""
    max_authentication_failures: int = 5
    """On one connection, then it is closed."""

    @classmethod
    def for_listener(cls, listener: Listener, hostname: str) -> SmtpSettings:
        """The defaults of this kind of listener."""
        if listener.is_submission:
            return cls(hostname=hostname, max_connections_per_network=SUBMISSION_PER_NETWORK)
        return cls(hostname=hostname, max_message_octets=RELAY_MESSAGE)
