"""python-gnupg, with the status on a descriptor of its own, limits of time and octets, and no logging.

What it is: `Gnupg`, a `gnupg.GPG` that starts processes and reads what they write in another way. What it is not: a
judge; it hands out what the status descriptor said, and octets that nobody may release before `certs.openpgp.status`
has judged it. As it comes, python-gnupg mixes status and text for people on one stream, ends lines at characters that
a user ID may hold (U+0085, U+2028), waits for ever, and logs the beginnings of what it carries.
"""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import IO, Any

import gnupg

from certs.openpgp.status import MAX_STATUS, Line, read_status
from core.errors import ConfigurationError

GPG = "/usr/bin/gpg"
CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one operation may take."""

    octets: int = 64 * 1024 * 1024
    """Largest letter in, and largest plaintext out: a compressed bomb is cut here."""
    seconds: float = 60.0
    """Longest time of one process."""
    processes: int = 4
    """Processes side by side; further callers wait."""
    waiting_seconds: float = 120.0
    """How long a caller waits for a free process before it gives up."""


class Told(gnupg.StatusHandler):  # type: ignore[misc]  # the library has no types
    """What one process told: its status lines, its output, how it ended."""

    def __init__(self, gpg: Any) -> None:
        super().__init__(gpg)
        self.lines: tuple[Line, ...] = ()
        self.data: bytes = b""
        self.returncode: int = -1
        self.stderr = ""

    def words(self, keyword: str) -> tuple[tuple[str, ...], ...]:
        """The words of every line of that keyword."""
        return tuple(words for found, words in self.lines if found == keyword)


class _Process(Popen[bytes]):
    told: IO[bytes]
    timer: threading.Timer


class Gnupg(gnupg.GPG):  # type: ignore[misc]  # the library has no types
    """One GnuPG home. May be used by several threads; each call is one process."""

    result_map = {**gnupg.GPG.result_map, "crypt": Told, "verify": Told, "sign": Told, "import": Told}  # noqa: RUF012

    def __init__(self, home: Path, limits: Limits, options: list[str]) -> None:
        # Its debug lines hold the first octets of letters and keys.
        logging.getLogger("gnupg").setLevel(logging.CRITICAL + 1)
        self._limits = limits
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "GNUPGHOME": str(home)}
        try:
            super().__init__(
                gpgbinary=GPG, gnupghome=str(home), options=options, env=environment, encoding="utf-8"
            )
        except (OSError, ValueError) as error:
            raise ConfigurationError("GnuPG cannot be run; install Debian's package gnupg") from error
        self.buffer_size = CHUNK

    def _open_subprocess(self, args: list[str], passphrase: bool = False) -> _Process:
        reading, writing = os.pipe()
        try:
            command = self.make_args(args, passphrase)
            command[command.index("--status-fd") + 1] = str(writing)
            process = _Process(
                command,
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                env=self.env,
                pass_fds=(writing,),
                start_new_session=True,
            )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        process.told = os.fdopen(reading, "rb")
        process.timer = threading.Timer(self._limits.seconds, process.kill)
        process.timer.daemon = True
        process.timer.start()
        return process

    def _collect_output(self, process: _Process, result: Any, writer: Any = None, stdin: Any = None) -> int:
        # Three pipes, three readers or writers: status here in a thread, output in this one, input in `writer`.
        status: list[bytes] = []
        arguments = (process, process.told, MAX_STATUS, status)
        reader = threading.Thread(target=_read_to_end, args=arguments, daemon=True)
        reader.start()
        output: list[bytes] = []
        assert process.stdout is not None
        _read_to_end(process, process.stdout, 2 * self._limits.octets, output)
        reader.join(self._limits.seconds)
        returncode = process.wait()
        process.timer.cancel()
        result.data, result.returncode = b"".join(output), returncode
        told = b"".join(status)
        if isinstance(result, Told):
            result.lines = read_status(told)
        else:
            result.stderr = ""
            for keyword, words in read_status(told):
                result.handle_status(keyword, " ".join(words))
        self._close(process, writer, stdin)
        return returncode

    @staticmethod
    def _close(process: _Process, writer: Any, stdin: Any) -> None:
        if writer is not None:
            writer.join(1.0)
        for stream in (stdin, process.stdout, process.told):
            try:
                if stream is not None:
                    stream.close()
            except (OSError, ValueError):  # the process went before it had read everything
                continue


def _read_to_end(process: Popen[bytes], stream: IO[bytes], longest: int, into: list[bytes]) -> None:
    """Keep what the process writes; when that is more than `longest` octets, end it and keep nothing."""
    size = 0
    while chunk := stream.read(CHUNK):
        size += len(chunk)
        if size > longest:
            process.kill()
            into.clear()
            return
        into.append(chunk)
