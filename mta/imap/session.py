"""The IMAP session as a pure state machine: what may be said when, and what is advertised.

What it is: RFC 3501 §3 as a table (not authenticated → authenticated → selected → logout), and who is logged
in. What it is not: the doing; `handlers` carry commands out, `conversation` runs them in order. Start at
`PERMITTED`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from core.bal import Account
from mta.imap.commands import connection, fetch, folders, listing, messages, search, sort
from mta.imap.commands.table import Command
from mta.imap.manner import Manner
from mta.imap.responses import status_text
from mta.imap.responses.capability import capabilities
from mta.imap.responses.status_text import StatusText
from mta.imap.view import FolderView


class State(enum.Enum):
    """RFC 3501 §3."""

    NOT_AUTHENTICATED = "not-authenticated"
    AUTHENTICATED = "authenticated"
    SELECTED = "selected"
    LOGOUT = "logout"


_ANY = frozenset({State.NOT_AUTHENTICATED, State.AUTHENTICATED, State.SELECTED})
_BEFORE = frozenset({State.NOT_AUTHENTICATED})
_AFTER = frozenset({State.AUTHENTICATED, State.SELECTED})
_SELECTED = frozenset({State.SELECTED})

# RFC 3501 §6.1 any state, §6.2 not authenticated, §6.3 authenticated, §6.4 selected
PERMITTED: dict[type, frozenset[State]] = {
    connection.Capability: _ANY,
    connection.Noop: _ANY,
    connection.Logout: _ANY,
    connection.Identify: _ANY,
    connection.StartTls: _BEFORE,
    connection.Authenticate: _BEFORE,
    connection.Login: _BEFORE,
    connection.Enable: _AFTER,
    connection.Compress: _AFTER,
    folders.Select: _AFTER,
    folders.Create: _AFTER,
    folders.Delete: _AFTER,
    folders.Rename: _AFTER,
    folders.Subscribe: _AFTER,
    folders.Status: _AFTER,
    folders.Namespace: _AFTER,
    folders.GetQuota: _AFTER,
    folders.GetQuotaRoot: _AFTER,
    listing.List: _AFTER,
    listing.Lsub: _AFTER,
    messages.Append: _AFTER,
    messages.Idle: _AFTER,
    messages.Check: _SELECTED,
    messages.Close: _SELECTED,
    messages.Expunge: _SELECTED,
    messages.Store: _SELECTED,
    messages.Copy: _SELECTED,
    fetch.Fetch: _SELECTED,
    search.Search: _SELECTED,
    sort.Sort: _SELECTED,
    sort.Thread: _SELECTED,
}
_CHANGES_FOLDER = (messages.Expunge, messages.Store)
# RFC 3501 §7.4.1: an EXPUNGE must not be sent during FETCH, STORE or SEARCH (by number; by UID it may, §6.4.8)
# RFC 5256 §3 says the same of SORT and THREAD
_KEEPS_NUMBERS = (fetch.Fetch, messages.Store, search.Search, sort.Sort, sort.Thread)
MAX_LOGIN_FAILURES = 5  # ours: per connection; the account's own lock is in `core.ports.Accounts`
MAX_ERRORS = 50  # ours: BAD answers of one connection


@dataclass(slots=True, kw_only=True)
class Session:
    """What one connection is allowed. `network` is the peer's address, `session_id` names it in logs."""

    session_id: str
    network: str
    listener: str
    is_tls: bool
    max_message_octets: int
    state: State = State.NOT_AUTHENTICATED
    account: Account | None = None
    bal_id: int = 0
    """The box that is read; the account's own, until shared boxes are named."""
    view: FolderView | None = None
    manner: Manner = field(default_factory=Manner)
    login_failures: int = 0
    errors: int = 0
    persons: dict[str, str] = field(default_factory=dict)
    """Who reads, for the audit trail."""

    def objection(self, command: Command) -> StatusText | None:
        """Why this command may not be carried out now, or None."""
        if self.state not in PERMITTED[type(command)]:
            return status_text.WRONG_STATE
        if isinstance(command, connection.StartTls) and self.is_tls:
            return status_text.TLS_ALREADY
        if isinstance(command, connection.Login | connection.Authenticate) and not self.is_tls:
            return status_text.PRIVACY_REQUIRED  # RFC 3501 §6.2.3: LOGINDISABLED
        read_only = self.view is not None and self.view.read_only
        is_change = isinstance(command, _CHANGES_FOLDER) or (
            isinstance(command, messages.Copy) and command.move
        )
        if read_only and is_change:
            return status_text.READ_ONLY  # RFC 3501 §6.3.2
        return None

    def may_announce_expunges(self, command: Command) -> bool:
        """Whether EXPUNGE may be told before the answer to this command."""
        if isinstance(command, _KEEPS_NUMBERS):
            return command.by_uid
        return True

    @property
    def capabilities(self) -> str:
        """What is offered in this state."""
        return capabilities(
            is_tls=self.is_tls,
            is_authenticated=self.state in _AFTER,
            max_message_octets=self.max_message_octets,
        )

    # --- transitions ----------------------------------------------------------------------------------------
    def tls_started(self) -> None:
        """RFC 3501 §6.2.1: what was known before TLS is forgotten."""
        self.is_tls = True
        self.login_failures = self.errors = 0

    def logged_in(self, account: Account) -> None:
        """RFC 3501 §6.2.2, §6.2.3: not authenticated → authenticated."""
        self.account = account
        self.bal_id = account.bal.bal_id
        self.persons = {"login": str(account.bal.mailbox)}
        self.state = State.AUTHENTICATED

    def selected(self, view: FolderView) -> None:
        """RFC 3501 §6.3.1: → selected."""
        self.view = view
        self.state = State.SELECTED

    def unselected(self) -> None:
        """RFC 3501 §6.4.2, and a SELECT that fails: selected → authenticated."""
        self.view = None
        if self.state is State.SELECTED:
            self.state = State.AUTHENTICATED

    def logged_out(self) -> None:
        """RFC 3501 §3.4."""
        self.state = State.LOGOUT
        self.view = None

    def counts_as_broken(self) -> bool:
        """Count one BAD answer; whether there were too many."""
        self.errors += 1
        return self.errors >= MAX_ERRORS
