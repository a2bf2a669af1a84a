"""The harness's side of a load generator: start it, tell it to go, read its report.

What it is: `LoadProcess`. What it is not: a load; see `submit.py` and `reader.py`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from bench.servers import HOST, BenchError, Running


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a load generator connects, and whose certificate it trusts."""

    host: str
    port: int
    server_name: str
    authority: str

    @classmethod
    def submissions(cls, server: Running) -> Endpoint:
        """The submission listener of `server`."""
        return cls(host=HOST, port=server.submissions, server_name=server.server_name,
                   authority=str(server.authority))  # fmt: skip

    @classmethod
    def imaps(cls, server: Running) -> Endpoint:
        """The IMAP listener of `server`."""
        return cls(host=HOST, port=server.imaps, server_name=server.server_name,
                   authority=str(server.authority))  # fmt: skip


class LoadProcess:
    """One load generator. The dialogue: specification in, `{"ready"}` out, `go` in, report out."""

    def __init__(self, module: str, specification: Mapping[str, Any]) -> None:
        """Start `python -m module` and wait until it is connected and authenticated. Raises BenchError."""
        self._module = module
        self._process = subprocess.Popen(
            [sys.executable, "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )  # fmt: skip
        self._say(json.dumps(specification))
        if not self._hear().get("ready"):
            raise BenchError(f"{module} did not get ready")

    def __enter__(self) -> LoadProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def go(self) -> None:
        """Let it begin."""
        self._say("go")

    def halt(self) -> None:
        """Ask a load that repeats itself to stop after the round it is in."""
        self._say("halt")

    def report(self) -> dict[str, Any]:
        """Wait for its report. Raises BenchError when it failed."""
        return self._hear()

    def end(self) -> None:
        """Make sure that it is gone."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None and not stream.closed:
                stream.close()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BenchError(f"{self._module} ended with status {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise BenchError(f"{self._module}: {answer['error']}")
        return answer
