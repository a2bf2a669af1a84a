"""A PostgreSQL server of the tests' own, run by an unprivileged user, in a temporary folder, gone afterwards.

What it is: start, URL of a database, stop, kill. What it is not: durable (fsync is off) nor reachable by network:
it listens on a Unix socket only.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

BINARIES = Path("/usr/lib/postgresql/15/bin")
START_SECONDS = 20.0
_OPTIONS = ("listen_addresses=", "fsync=off", "full_page_writes=off", "synchronous_commit=on", "max_connections=60",
            "shared_buffers=32MB", "autovacuum=off", "lock_timeout=8s")  # fmt: skip


class PostgresqlServer:
    """One server. Call `start`, then `url`; `stop` removes everything."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="vm-pg-", dir="/tmp"))
        self._data = self.folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._user = _unprivileged()
        if self._user is not None:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)

    def _command(self, *arguments: str) -> list[str]:
        prefix = ["setpriv", "--pdeathsig", "QUIT"]
        if self._user is not None:
            prefix += ["--reuid", str(self._user.pw_uid), "--regid", str(self._user.pw_gid), "--clear-groups"]
        return [*prefix, *arguments]

    def start(self) -> None:
        """Make the cluster when there is none yet, run the server, wait until it answers."""
        if not self._data.exists():
            subprocess.run(
                self._command(str(BINARIES / "initdb"), "-D", str(self._data), "-U", "postgres", "-A", "trust",
                              "-E", "UTF8", "--no-sync", "--locale=C"),
                check=True, stdout=subprocess.DEVNULL, cwd="/",
            )  # fmt: skip
        options = [word for option in _OPTIONS for word in ("-c", option)]
        log = (self.folder / "log").open("ab")
        self._process = subprocess.Popen(
            self._command(str(BINARIES / "postgres"), "-D", str(self._data), "-k", str(self.folder), *options),
            stdout=log, stderr=log, cwd="/",
        )  # fmt: skip
        log.close()
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        ready = [str(BINARIES / "pg_isready"), "-q", "-h", str(self.folder)]
        while subprocess.run(ready, check=False).returncode != 0:
            if time.monotonic() > deadline or (self._process and self._process.poll() is not None):
                raise RuntimeError((self.folder / "log").read_text(errors="replace"))
            time.sleep(0.05)

    def url(self, database: str) -> str:
        """The URL for `vaguemestre.database.Database`."""
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run one statement with psql; its output, unaligned."""
        done = subprocess.run(
            [str(BINARIES / "psql"), "-h", str(self.folder), "-U", "postgres", "-d", database, "-qAt",
             "-v", "ON_ERROR_STOP=1", "-c", statement],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        return done.stdout

    def kill(self) -> None:
        """As a power cut would: no checkpoint, no farewell (pg_ctl stop -m immediate)."""
        self._end(signal.SIGQUIT)

    def stop(self) -> None:
        """End the server and remove its folder."""
        self._end(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(START_SECONDS)
            self._process = None


def _unprivileged() -> pwd.struct_passwd | None:
    """Whom to become when we are root; PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")
