"""Where the trust list comes from: a file beside us or an HTTP server.

What it is: `Source` and its two kinds. What it is not: trust; the octets are verified by their signature,
whatever the way they came. Start at `source_for`.
"""

from __future__ import annotations

import asyncio
import http.client
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from core.clock import Clock
from core.errors import ConfigurationError, TemporaryError
from trust_directory.trusted_domains.parse import MAX_LIST

CHUNK = 64 * 1024


class SourceAway(TemporaryError):
    """The source did not give a list now; the message says why, for the log."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A list as it came. `mark` names this state of the source (an entity tag, a date, a file's times)."""

    octets: bytes
    mark: str


class Source(Protocol):
    """Gives the list, or says that it is the one we have."""

    async def fetch(self, mark: str) -> Fetched | None:
        """None when the source is still in the state that `mark` names. Raises `SourceAway`."""
        ...


class FileSource:
    """A file that something else puts there; looked at by its times and size before it is read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def fetch(self, mark: str) -> Fetched | None:
        """See `Source`."""
        try:
            return await asyncio.to_thread(self._read, mark)
        except OSError as error:
            raise SourceAway(f"the list's file cannot be read: {error.strerror}") from error

    def _read(self, mark: str) -> Fetched | None:
        with self._path.open("rb") as stream:
            found = self._path.stat()
            seen = f"{found.st_ino}-{found.st_mtime_ns}-{found.st_size}"
            if seen == mark:
                return None
            # One octet more than allowed, so that a longer list is seen and refused as too large.
            return Fetched(stream.read(MAX_LIST + 1), seen)


class HttpSource:
    """An HTTP server asked with If-None-Match or If-Modified-Since; no redirection is followed."""

    def __init__(self, url: str, *, timeout: float, tls: Callable[[], ssl.SSLContext], clock: Clock) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise ConfigurationError("the trust list's URL begins with https:// and has no user name")
        self._is_tls = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._timeout = timeout
        self._tls = tls
        self._clock = clock

    async def fetch(self, mark: str) -> Fetched | None:
        """See `Source`."""
        try:
            return await asyncio.to_thread(self._get, mark)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise SourceAway(f"the list's server did not answer: {type(error).__name__}") from error

    def _get(self, mark: str) -> Fetched | None:
        connection: http.client.HTTPConnection
        if self._is_tls:
            connection = http.client.HTTPSConnection(
                self._host, self._port, timeout=self._timeout, context=self._tls()
            )
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        deadline = self._clock.monotonic() + self._timeout
        try:
            connection.request("GET", self._target, headers=_conditions(mark))
            response = connection.getresponse()
            if response.status == http.HTTPStatus.NOT_MODIFIED and mark:
                return None
            if response.status != http.HTTPStatus.OK:
                raise SourceAway(f"the list's server answered {response.status}")
            return Fetched(self._body(response, deadline), _mark(response))
        finally:
            connection.close()

    def _body(self, response: http.client.HTTPResponse, deadline: float) -> bytes:
        """At most one octet more than a list may have; the whole answer within the time allowed."""
        parts: list[bytes] = []
        size = 0
        while size <= MAX_LIST and (part := response.read(min(CHUNK, MAX_LIST + 1 - size))):
            parts.append(part)
            size += len(part)
            if self._clock.monotonic() > deadline:
                raise SourceAway("the list's server is too slow")
        if response.length and size <= MAX_LIST:
            raise SourceAway("the list was cut short on its way")
        return b"".join(parts)


def _conditions(mark: str) -> dict[str, str]:
    headers = {"Accept": "application/xml, text/xml", "Accept-Encoding": "identity"}
    kind, _, value = mark.partition(" ")
    if kind == "etag":
        headers["If-None-Match"] = value  # RFC 9110 §13.1.2
    elif kind == "date":
        headers["If-Modified-Since"] = value  # RFC 9110 §13.1.3
    return headers


def _mark(response: http.client.HTTPResponse) -> str:
    etag, date = response.getheader("ETag"), response.getheader("Last-Modified")
    return f"etag {etag}" if etag else f"date {date}" if date else ""


def source_for(text: str, *, timeout: float, tls: Callable[[], ssl.SSLContext], clock: Clock) -> Source:
    """The source that a setting names: a path, `file:`, `https:` or `http:`. Raises ConfigurationError.

    `tls` gives the context that knows the publisher's authority. The list is signed, so `http:` is allowed for
    a private space; it lets others read and delay the list, nothing more.
    """
    scheme = urlsplit(text).scheme
    if scheme in ("http", "https"):
        return HttpSource(text, timeout=timeout, tls=tls, clock=clock)
    if scheme == "file":
        if urlsplit(text).netloc not in ("", "localhost"):
            raise ConfigurationError("a file: URL of the trust list has three slashes: file:///path")
        return FileSource(Path(unquote(urlsplit(text).path)))
    if scheme and "/" not in text.partition(":")[0] and "://" in text:
        raise ConfigurationError("the trust list comes from a path, a file: or an https: URL")
    return FileSource(Path(text))
