"""The list's file and server: asked with their mark, never read beyond the limit, never followed elsewhere."""

from __future__ import annotations

import http.server
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import trust_directory.sources as sources
from core.clock import SystemClock
from core.errors import ConfigurationError
from core.testing.clock import FakeClock
from trust_directory.sources import FileSource, HttpSource, SourceAway, source_for


def no_tls() -> ssl.SSLContext:
    raise AssertionError("no TLS in this test")


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers by path; `asked` holds the request headers."""

    asked: list[dict[str, str]] = []  # noqa: RUF012 - one test server at a time

    def do_GET(self) -> None:
        self.asked.append(dict(self.headers))
        match self.path:
            case "/etag" if self.headers["If-None-Match"] == '"one"':
                self.answer(304, b"")
            case "/date" if self.headers["If-Modified-Since"]:
                self.answer(304, b"")
            case "/etag":
                self.answer(200, b"list", ETag='"one"')
            case "/date":
                self.answer(200, b"list", **{"Last-Modified": "Mon, 02 Mar 2026 08:00:00 GMT"})
            case "/plain?a=b":
                self.answer(200, b"list")
            case "/long":
                self.answer(200, b"x" * 100)
            case "/cut":
                self.answer(200, b"half", length=100)
            case "/moved":
                self.answer(302, b"", Location="http://127.0.0.1:1/")
            case _:
                self.answer(404, b"")

    def answer(self, status: int, body: bytes, *, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        return


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.server_address[1]}"
    listening.shutdown()
    listening.server_close()
    thread.join()


def at(url: str) -> HttpSource:
    return HttpSource(url, timeout=5.0, tls=no_tls, clock=SystemClock())


@pytest.mark.parametrize(("path", "header"), [("/etag", "If-None-Match"), ("/date", "If-Modified-Since")])
async def test_the_server_is_asked_with_what_it_said(server: str, path: str, header: str) -> None:
    source = at(server + path)
    first = await source.fetch("")
    assert first is not None
    assert first.octets == b"list"
    assert await source.fetch(first.mark) is None
    assert header in Answers.asked[-1]
    assert header not in Answers.asked[-2]


async def test_a_server_without_marks_is_read_each_time(server: str) -> None:
    found = await at(server + "/plain?a=b").fetch("")
    assert found is not None
    assert (found.octets, found.mark) == (b"list", "")


@pytest.mark.parametrize("path", ["/moved", "/nothing", "/cut"])
async def test_other_answers_are_no_list(server: str, path: str) -> None:
    with pytest.raises(SourceAway):
        await at(server + path).fetch("")


async def test_no_more_is_read_than_a_list_may_have(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_LIST", 10)
    found = await at(server + "/long").fetch("")
    assert found is not None
    assert len(found.octets) == 11


async def test_a_server_that_is_slow_as_a_whole_is_given_up(server: str) -> None:
    class Racing(FakeClock):
        def monotonic(self) -> float:
            self.advance(10.0)
            return super().monotonic()

    with pytest.raises(SourceAway, match="slow"):
        await HttpSource(server + "/etag", timeout=5.0, tls=no_tls, clock=Racing()).fetch("")


async def test_a_server_that_is_not_there_is_away() -> None:
    with pytest.raises(SourceAway):
        await at("http://127.0.0.1:1/").fetch("")


async def test_https_goes_through_the_given_context(server: str) -> None:
    context = ssl.create_default_context()
    source = HttpSource(
        server.replace("http:", "https:"), timeout=5.0, tls=lambda: context, clock=SystemClock()
    )
    with pytest.raises(SourceAway, match="SSLError"):
        await source.fetch("")


async def test_a_file_is_read_when_it_changed(tmp_path: Path) -> None:
    path = tmp_path / "list.xml"
    path.write_bytes(b"one")
    source = FileSource(path)
    first = await source.fetch("")
    assert first is not None
    assert await source.fetch(first.mark) is None
    path.write_bytes(b"another")
    second = await source.fetch(first.mark)
    assert second is not None
    assert second.octets == b"another"
    path.unlink()
    with pytest.raises(SourceAway):
        await source.fetch(second.mark)


@pytest.mark.parametrize(
    "text", ["/var/list.xml", "file:///var/list.xml", "file://localhost/var/list.xml", "listes/blanche.xml"]
)
def test_paths_and_file_urls_are_files(text: str) -> None:
    found = source_for(text, timeout=1.0, tls=no_tls, clock=FakeClock())
    assert isinstance(found, FileSource)


def test_urls_are_servers() -> None:
    found = source_for("https://liste.mssante.example/l.xml", timeout=1.0, tls=no_tls, clock=FakeClock())
    assert isinstance(found, HttpSource)


@pytest.mark.parametrize(
    "text",
    [
        "file://ailleurs/l.xml",
        "ftp://liste.mssante.example/",
        "https://",
        "https://a:b@liste.mssante.example/",
    ],
)
def test_other_urls_are_a_configuration_error(text: str) -> None:
    with pytest.raises(ConfigurationError):
        source_for(text, timeout=1.0, tls=no_tls, clock=FakeClock())
