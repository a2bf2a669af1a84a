"""From a command to what does it: one handler for each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from mta.imap.commands import connection as c
from mta.imap.commands import fetch as f
from mta.imap.commands import folders as d
from mta.imap.commands import listing as s
from mta.imap.commands import messages as m
from mta.imap.commands import search as q
from mta.imap.commands import sort as o
from mta.imap.handlers import append, connection, fetch, folders, listing, messages, search, sort

Handler = Callable[[Any, Any], Awaitable[bytes]]
"""Takes the conversation and the command; gives the tagged answer without its tag, or raises."""

HANDLERS: dict[type, Handler] = {
    c.Capability: connection.capability,
    c.Noop: connection.noop,
    c.Logout: connection.logout,
    c.Identify: connection.identify,
    c.StartTls: connection.start_tls,
    c.Authenticate: connection.authenticate,
    c.Login: connection.login,
    c.Enable: connection.enable,
    c.Compress: connection.compress,
    d.Select: folders.select,
    d.Create: folders.create,
    d.Delete: folders.delete,
    d.Rename: folders.rename,
    d.Subscribe: folders.subscribe,
    d.Status: folders.status,
    d.Namespace: folders.namespace,
    d.GetQuota: folders.get_quota,
    d.GetQuotaRoot: folders.get_quota_root,
    s.List: listing.list_folders,
    s.Lsub: listing.lsub,
    m.Check: messages.check,
    m.Close: folders.close,
    m.Expunge: messages.expunge,
    m.Store: messages.store,
    m.Copy: messages.copy,
    m.Append: append.append,
    m.Idle: messages.idle,
    f.Fetch: fetch.fetch,
    q.Search: search.search,
    o.Sort: sort.sort,
    o.Thread: sort.thread,
}
