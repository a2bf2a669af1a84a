"""From a name to a parser: every command that the server knows, in one table."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from mta.imap.commands import connection, fetch, folders, listing, messages, search, sort
from mta.imap.grammar import Cursor, SyntaxInvalid
from mta.imap.literals import Received

Command = (
    connection.Capability
    | connection.Noop
    | connection.Logout
    | connection.Identify
    | connection.StartTls
    | connection.Authenticate
    | connection.Login
    | connection.Enable
    | connection.Compress
    | folders.Select
    | folders.Create
    | folders.Delete
    | folders.Rename
    | folders.Subscribe
    | folders.Status
    | folders.Namespace
    | folders.GetQuota
    | folders.GetQuotaRoot
    | listing.List
    | listing.Lsub
    | messages.Check
    | messages.Close
    | messages.Expunge
    | messages.Store
    | messages.Copy
    | messages.Append
    | messages.Idle
    | fetch.Fetch
    | search.Search
    | sort.Sort
    | sort.Thread
)


class CommandUnknown(SyntaxInvalid):
    """There is no command of this name."""


_ALONE: dict[bytes, Command] = {
    b"CAPABILITY": connection.Capability(),
    b"NOOP": connection.Noop(),
    b"LOGOUT": connection.Logout(),
    b"STARTTLS": connection.StartTls(),
    b"NAMESPACE": folders.Namespace(),
    b"CHECK": messages.Check(),
    b"CLOSE": messages.Close(),
    b"UNSELECT": messages.Close(expunge=False),
    b"EXPUNGE": messages.Expunge(),
    b"IDLE": messages.Idle(),
}
_PARSERS: dict[bytes, Callable[[Cursor], Command]] = {
    b"ID": connection.identify,
    b"AUTHENTICATE": connection.authenticate,
    b"LOGIN": connection.login,
    b"ENABLE": connection.enable,
    b"COMPRESS": connection.compress,
    b"SELECT": folders.select,
    b"EXAMINE": partial(folders.select, read_only=True),
    b"CREATE": folders.create,
    b"DELETE": folders.delete,
    b"RENAME": folders.rename,
    b"SUBSCRIBE": folders.subscribe,
    b"UNSUBSCRIBE": folders.unsubscribe,
    b"STATUS": folders.status,
    b"GETQUOTA": folders.get_quota,
    b"GETQUOTAROOT": folders.get_quota_root,
    b"LIST": listing.list_folders,
    b"LSUB": listing.lsub,
    b"APPEND": messages.append,
    b"STORE": partial(messages.store, by_uid=False),
    b"COPY": partial(messages.copy, by_uid=False),
    b"MOVE": partial(messages.copy, by_uid=False, move=True),
    b"FETCH": partial(fetch.fetch, by_uid=False),
    b"SEARCH": partial(search.search, by_uid=False),
    b"SORT": partial(sort.sort, by_uid=False),
    b"THREAD": partial(sort.thread, by_uid=False),
}
# RFC 3501 §9: uid = "UID" SP (copy / fetch / search / store); RFC 4315 §4, RFC 6851 §4
_BY_UID: dict[bytes, Callable[[Cursor], Command]] = {
    b"STORE": partial(messages.store, by_uid=True),
    b"COPY": partial(messages.copy, by_uid=True),
    b"MOVE": partial(messages.copy, by_uid=True, move=True),
    b"FETCH": partial(fetch.fetch, by_uid=True),
    b"SEARCH": partial(search.search, by_uid=True),
    b"SORT": partial(sort.sort, by_uid=True),
    b"THREAD": partial(sort.thread, by_uid=True),
    b"EXPUNGE": messages.uid_expunge,
}


def parse(received: Received) -> Command:
    """The command as a value. Raises `SyntaxInvalid` (BAD) or `search.CharsetUnknown` (NO)."""
    alone = _ALONE.get(received.name)
    if alone is not None:
        if received.text:
            raise SyntaxInvalid("this command has no arguments")
        return alone
    name, text, parsers = received.name, received.text, _PARSERS
    if name == b"UID":
        word, _, text = text.partition(b" ")
        name, parsers = word.upper(), _BY_UID
    parser = parsers.get(name)
    if parser is None:
        raise CommandUnknown("there is no such command")
    # The reader took the space behind the name; the rules of the standard begin with it.
    cursor = Cursor(b" " + text, received.literals)
    command = parser(cursor)
    cursor.end()
    return command
