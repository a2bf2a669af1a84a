"""The letters of a box on another IMAP server, read only, over TLS.

What it is: `ImapSource`, one connection that lists the folders, and fetches the letters one by one (EXAMINE and
BODY.PEEK: nothing changes there, not even \\Seen). What it is not: a way to do this without TLS, or to skip the check
of the server's certificate. Start at `ImapSource.open`. Memory holds one letter and the UIDs of one folder.
"""

from __future__ import annotations

import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import aioimaplib

from core.errors import ConfigurationError, TemporaryError
from core.folder import INBOX, SPECIAL_USES
from mta.imap.names import NameInvalid, decode_utf7
from vaguemestre.importing import MAX_LETTER, Incoming, LeftOut, Reason

PATIENCE = 60.0  # seconds without an octet from the server
SIZES_AT_ONCE = (
    100  # ours: messages asked for their size together; the client reads an answer line by line, deeply
)
_LIST = re.compile(rb'\(([^)]*)\) (?:"(\\?.)"|NIL) (.*)\Z', re.DOTALL)  # RFC 3501 §7.2.2
_LITERAL = re.compile(rb"\{\d+\+?\}\Z")
_UID = re.compile(rb"\bUID (\d+)")
_SIZE = re.compile(rb"\bRFC822\.SIZE (\d+)")
_FLAGS = re.compile(rb"\bFLAGS \(([^)]*)\)")
_DATE = re.compile(rb'\bINTERNALDATE "([^"]*)"')
_PREFIX = re.compile(rb'\(\("((?:[^"\\]|\\.)*)"')  # RFC 2342 §5: the first personal namespace
_MESSAGES = re.compile(rb"\bMESSAGES (\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where the letters are, and as whom."""

    host: str
    port: int
    user: str
    password: str
    authorities: Path | None = None
    """PEM file of the authorities that may have signed its certificate; None: those of this machine."""

    def __repr__(self) -> str:
        return f"Server({self.host}:{self.port})"


@dataclass(frozen=True, slots=True)
class RemoteFolder:
    """A folder there: its name on the wire, and in Unicode with `/` (None when it cannot be read), and its use."""

    wire: bytes
    name: str | None
    use: str


class ImapSource:
    """See the module. `open`, import, `close`."""

    def __init__(self, server: Server, client: aioimaplib.IMAP4_SSL) -> None:
        self._server = server
        self._client = client
        self._folders: list[RemoteFolder] = []

    @classmethod
    async def open(cls, server: Server) -> ImapSource:
        """Connect, log in, list the folders. Raises ConfigurationError, TemporaryError."""
        try:
            context = ssl.create_default_context(cafile=server.authorities)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(f"the authorities in {server.authorities} cannot be read") from error
        client = aioimaplib.IMAP4_SSL(server.host, server.port, timeout=PATIENCE, ssl_context=context)
        source = cls(server, client)
        await source._answer(client.wait_hello_from_server())
        answer = await source._answer(client.login(_quoted(server.user.encode()), server.password))
        if answer.result != "OK":
            await source.close()
            raise ConfigurationError(f"{server.host} refuses this user and password")
        await source._list()
        return source

    async def close(self) -> None:
        """Say goodbye; whatever the server says to that."""
        with contextlib.suppress(TemporaryError):
            await self._answer(self._client.logout())

    async def _answer(self, asked: Awaitable[Any]) -> Any:
        """What the server said. Raises TemporaryError for whatever went wrong on the line."""
        try:
            return await asked
        except ssl.SSLCertVerificationError as error:
            raise ConfigurationError(
                f"the certificate of {self._server.host} is not of an authority that we know: "
                "name its authorities with --ca"
            ) from error
        except (OSError, TimeoutError, aioimaplib.AioImapException) as error:
            raise TemporaryError(f"the connection to {self._server.host} failed") from error

    async def _list(self) -> None:
        prefix = b""
        if self._client.has_capability("NAMESPACE"):
            told = await self._answer(self._client.namespace())
            found = _PREFIX.search(b" ".join(bytes(line) for line in told.lines))
            prefix = _unquoted(b'"' + found[1] + b'"') if found else b""
        answer = await self._answer(self._client.list('""', '"*"'))
        if answer.result != "OK":
            raise TemporaryError(f"{self._server.host} does not list its folders")
        self._folders = listed_folders(answer.lines, prefix)

    async def count(self) -> int:
        """See `Source.count`."""
        total = 0
        for folder in self._folders:
            answer = await self._answer(self._client.status(_quoted(folder.wire), "(MESSAGES)"))
            told = _MESSAGES.search(b" ".join(bytes(line) for line in answer.lines))
            total += int(told[1]) if told and answer.result == "OK" else 0
        return total

    async def letters(self) -> AsyncIterator[Incoming | LeftOut]:
        """See `Source.letters`. Raises TemporaryError when the connection ends; another run goes on."""
        for folder in self._folders:
            shown = folder.name or folder.wire.decode("ascii", "replace")
            if folder.name is None:
                yield LeftOut(place=shown, folder=shown, reason=Reason.NOT_A_FOLDER_NAME)
                continue
            answer = await self._answer(self._client.examine(_quoted(folder.wire)))
            if answer.result != "OK":
                yield LeftOut(place=shown, folder=shown, reason=Reason.UNREADABLE)
                continue
            # The library knows SELECT only; EXAMINE leads to the same state (RFC 3501 §6.3.2).
            self._client.protocol.state = aioimaplib.SELECTED
            uids = await self._uids()
            for start in range(0, len(uids), SIZES_AT_ONCE):
                part = uids[start : start + SIZES_AT_ONCE]
                sizes = await self._sizes(part)
                for uid in part:
                    yield await self._letter(folder, uid, sizes.get(uid))

    async def _uids(self) -> list[int]:
        answer = await self._answer(self._client.uid_search("ALL", charset=None))
        words = b" ".join(bytes(line) for line in answer.lines[:-1]).replace(b"SEARCH", b" ").split()
        return sorted({int(word) for word in words if word.isdigit()})

    async def _sizes(self, uids: list[int]) -> dict[int, int]:
        wanted = ",".join(map(str, uids))
        answer = await self._answer(self._client.uid("fetch", wanted, "(UID RFC822.SIZE)"))
        found = {}
        for line in answer.lines:
            uid, size = _UID.search(bytes(line)), _SIZE.search(bytes(line))
            if uid and size:
                found[int(uid[1])] = int(size[1])
        return found

    async def _letter(self, folder: RemoteFolder, uid: int, size: int | None) -> Incoming | LeftOut:
        name = folder.name or ""
        place = f"{name}#{uid}"
        if size is None:
            return LeftOut(place=place, folder=name, reason=Reason.VANISHED)
        if size > MAX_LETTER:
            return LeftOut(place=place, folder=name, reason=Reason.TOO_BIG, octets=size)
        items = "(UID FLAGS INTERNALDATE BODY.PEEK[])"
        answer = await self._answer(self._client.uid("fetch", str(uid), items))
        octets, told = fetched(answer.lines, uid)
        if octets is None:
            reason = Reason.VANISHED if answer.result == "OK" else Reason.UNREADABLE
            return LeftOut(place=place, folder=name, reason=reason, octets=size)
        return Incoming(
            place=place,
            folder=name,
            octets=octets,
            flags=flags_of(told),
            internal_date=date_of(told),
            use=folder.use,
        )


# --- what the server says -----------------------------------------------------------------------------------
def listed_folders(lines: list[Any], prefix: bytes = b"") -> list[RemoteFolder]:
    """The folders of a LIST answer that hold letters, INBOX first; `prefix` of the namespace is left out."""
    found: list[RemoteFolder] = []
    for number, line in enumerate(lines):
        match = _LIST.match(line) if isinstance(line, bytes) else None
        if match is None:
            continue
        wire = match[3]
        if _LITERAL.search(wire) and number + 1 < len(lines):
            wire = bytes(lines[number + 1])
        elif wire.startswith(b'"'):
            wire = _unquoted(wire)
        attributes = {word.lower() for word in match[1].decode("ascii", "replace").split()}
        if {"\\noselect", "\\nonexistent"} & attributes:
            continue
        use = next((use for use in SPECIAL_USES if use.lower() in attributes), "")
        separator = match[2][-1:] if match[2] else b""
        found.append(RemoteFolder(wire, _name(wire, separator, prefix), use))
    return sorted(found, key=lambda folder: (folder.name != INBOX, folder.name or ""))


def _name(wire: bytes, separator: bytes, prefix: bytes) -> str | None:
    if wire.upper() == INBOX.encode():
        return INBOX
    own = wire[len(prefix) :] if prefix and wire.startswith(prefix) else wire
    try:
        levels = [decode_utf7(level) for level in (own.split(separator) if separator else [own])]
    except (NameInvalid, UnicodeError):
        return None
    return None if any("/" in level or not level for level in levels) else "/".join(levels)


def fetched(lines: list[Any], uid: int) -> tuple[bytes | None, bytes]:
    """(the literal of the FETCH answer of this UID, what else it says). Other messages' news are passed over."""
    octets: bytes | None = None
    told: list[bytes] = []
    for line in lines:
        if isinstance(line, bytearray):
            octets = bytes(line)
        else:
            told.append(bytes(line))
    whole = b" ".join(told)
    match = _UID.search(whole)
    return (octets, whole) if match and int(match[1]) == uid else (None, b"")


def flags_of(told: bytes) -> frozenset[str]:
    """The flags of a FETCH answer, \\Recent apart, which is of no session of ours."""
    match = _FLAGS.search(told)
    words = match[1].decode("ascii", "replace").split() if match else []
    return frozenset(words) - {"\\Recent"}


def date_of(told: bytes) -> int:
    """INTERNALDATE in seconds since 1970 (RFC 3501 §9: date-time); 0 when it cannot be read."""
    match = _DATE.search(told)
    try:
        text = match[1].decode("ascii") if match else ""
        return int(datetime.strptime(text.strip(), "%d-%b-%Y %H:%M:%S %z").timestamp())
    except ValueError:
        return 0


def _quoted(wire: bytes) -> str:
    """A quoted string (RFC 3501 §9)."""
    text = wire.decode("utf-8", "surrogateescape").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _unquoted(wire: bytes) -> bytes:
    return re.sub(rb"\\(.)", rb"\1", wire[1:-1], flags=re.DOTALL)
