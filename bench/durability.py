"""Shows that every 250 after a letter comes after that letter was synced: by the order of system calls.

How it is decided. A server is watched by strace(1) while letters are submitted one after the other over one TLS
connection. TLS hides the text of the replies, so a letter is told by the calls on the connection's own socket:

    begin  the client starts to send the letter; it has read the 354, so the server has nothing more to say
    reply  the *first* write of the server on that socket after `begin`: the 250, and nothing else
    last   the last read on that socket that gave octets and ended before `reply`: the end of data is in it

The letter was durable before it was acknowledged when there are fsync or fdatasync calls which succeeded, began
after `last`, ended before `reply` began, and which cover at least as many octets, written to the synced files
since `begin`, as the letter has. Which process writes does not matter (Postfix: smtpd replies, cleanup syncs), nor
which file (a queue file, a write-ahead log, a folder of blobs). Between two letters the server is left to go
quiet, so that a sync which belongs to the delivery of an earlier letter cannot be taken for one of this letter.

What it cannot see: writes through a memory map or io_uring (their calls are counted and shown), and whether the
disk keeps its promise. It is necessary evidence, from outside; the kill tests are the other half.

`python -m bench.durability [--server vaguemestre|peer]` prints the table; `watch_letters` is for tests.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.table import Table

from bench.ground import lay_ground, run_folder
from bench.letters import letter_form
from bench.ours import Vaguemestre
from bench.peers.postfix import PostfixAndDovecot
from bench.servers import HOST, Account, BenchError, Running, Server
from bench.system_calls import BLIND, READS, SYNCS, TRACED, WRITES, SystemCall, parse_trace

ATTACH_SECONDS = 20.0
REPLY_SECONDS = 60.0
END_OF_DATA = 3  # the octets ".", CR, LF are not part of the letter
LETTERS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class SentLetter:
    """One letter as its sender saw it: octets, the client's port, seconds since the epoch."""

    size: int
    client_port: int
    begin: float
    acknowledged: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncedFile:
    """A file that was synced between the last octet of a letter and its 250; `octets` written to it before."""

    path: str
    call: str
    octets: int
    milliseconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterOrder:
    """What the system calls say about one letter; moments in milliseconds after its last octet was read."""

    size: int
    synced: tuple[SyncedFile, ...]
    synced_at: float | None
    reply_at: float | None
    unsynced: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether the whole letter was synced before the server said 250."""
        return self.reply_at is not None and sum(file.octets for file in self.synced) >= self.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Durability:
    """The evidence about one server: an order for each letter, and calls that this method cannot see through."""

    server: str
    letters: tuple[LetterOrder, ...]
    blind_calls: int

    @property
    def holds(self) -> bool:
        """Whether there was a letter and every one was durable before its 250."""
        return bool(self.letters) and all(letter.holds for letter in self.letters)


def order_of(letter: SentLetter, calls: Sequence[SystemCall]) -> LetterOrder:
    """The order of system calls about one letter; see the module for the definition."""
    client = f"->{HOST}:{letter.client_port}]"
    during = [
        call for call in calls if letter.begin <= call.begin <= letter.acknowledged and call.result >= 0
    ]
    on_socket = [call for call in during if client in call.target]
    reply = next((call for call in on_socket if call.name in WRITES and call.result > 0), None)
    if reply is None:
        return LetterOrder(size=letter.size, synced=(), synced_at=None, reply_at=None, unsynced=())
    reads = [call for call in on_socket if call.name in READS and call.result > 0 and call.end <= reply.begin]
    last = max((call.end for call in reads), default=letter.begin)
    before = [call for call in during if call.end <= reply.begin and call.is_file()]
    syncs = [call for call in before if call.name in SYNCS and call.begin >= last]
    written = [call for call in before if call.name in WRITES]
    synced = tuple(_synced(path, syncs, written) for path in dict.fromkeys(call.target for call in syncs))
    covered = {file.path for file in synced}
    return LetterOrder(
        size=letter.size,
        synced=synced,
        synced_at=max((call.end - last) * 1000 for call in syncs) if syncs else None,
        reply_at=(reply.begin - last) * 1000,
        unsynced=tuple(dict.fromkeys(call.target for call in written if call.target not in covered)),
    )


def _synced(path: str, syncs: Sequence[SystemCall], written: Sequence[SystemCall]) -> SyncedFile:
    last = [call for call in syncs if call.target == path][-1]
    return SyncedFile(
        path=path, call=last.name, milliseconds=(last.end - last.begin) * 1000,
        octets=sum(call.result for call in written if call.target == path and call.end <= last.begin),
    )  # fmt: skip


def watch_letters(server: Running, file: Path, *, letters: int = LETTERS) -> Durability:
    """Submit `letters` letters under strace, whose output goes to `file`. Raises BenchError."""
    account = server.variants[0].senders[0]
    with traced(server.pids(), file):
        sent = _submit(server, account, letters)
        time.sleep(0.2)
    return judge(server.name, sent, parse_trace(file.read_text(errors="replace").splitlines()))


def judge(server: str, sent: Sequence[SentLetter], calls: Sequence[SystemCall]) -> Durability:
    """The orders of all letters; a blind call counts when it fell between a letter's begin and its 250."""
    blind = [call for call in calls if call.name in BLIND]
    return Durability(
        server=server,
        letters=tuple(order_of(letter, calls) for letter in sent),
        blind_calls=sum(
            any(letter.begin <= call.begin <= letter.acknowledged for letter in sent) for call in blind
        ),
    )


@contextmanager
def traced(pids: Sequence[int], file: Path) -> Iterator[None]:
    """strace on `pids` and all that they fork, while the block runs. Raises BenchError when it cannot attach."""
    if shutil.which("strace") is None:
        raise BenchError("strace is not installed (Debian: strace)")
    command = ["strace", "-f", "-ttt", "-T", "-yy", "-s", "0", "-e", "signal=none",
               "-e", f"trace={','.join(TRACED)}", "-o", str(file)]  # fmt: skip
    for pid in pids:
        command += ["-p", str(pid)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        _await_attached(process, pids)
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=ATTACH_SECONDS)


def _await_attached(process: subprocess.Popen[str], pids: Sequence[int]) -> None:
    deadline = time.monotonic() + ATTACH_SECONDS
    while not all(_tracer(pid) == process.pid for pid in pids if Path("/proc", str(pid)).exists()):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise BenchError(f"strace could not attach: {process.communicate()[1].strip()}")
        time.sleep(0.02)


def _tracer(pid: int) -> int:
    for line in Path("/proc", str(pid), "status").read_text().splitlines():
        if line.startswith("TracerPid:"):
            return int(line.split()[1])
    return 0


def _submit(server: Running, account: Account, letters: int) -> list[SentLetter]:
    form = letter_form(account.address)
    token = b64encode(f"\0{account.login}\0{account.password}".encode()).decode()
    sent = []
    try:
        with _Dialogue(server) as talk:
            talk.expect("220")
            talk.say("EHLO poste.ch-rivage.mssante.example", "250")
            talk.say(f"AUTH PLAIN {token}", "235")
            for number in range(letters):
                server.settled_cpu_seconds()
                octets = form.letter(os.getpid() << 20 | number)
                talk.say(f"MAIL FROM:<{account.address}>", "250")
                talk.say(f"RCPT TO:<{account.address}>", "250")
                talk.say("DATA", "354")
                begin = time.time()
                talk.send(octets)
                talk.expect("250")
                sent.append(
                    SentLetter(size=len(octets) - END_OF_DATA, client_port=talk.port, begin=begin,
                               acknowledged=time.time())
                )  # fmt: skip
            talk.say("QUIT", "221")
    except OSError as error:
        raise BenchError(f"{server.name}: {error}") from error
    return sent


class _Dialogue:
    """One command, one reply, over TLS: nothing is pipelined, so no reply can be mistaken for another."""

    def __init__(self, server: Running) -> None:
        plain = socket.create_connection((HOST, server.submissions), timeout=REPLY_SECONDS)
        self.port: int = plain.getsockname()[1]
        self._socket = server.tls().wrap_socket(plain, server_hostname=server.server_name)
        self._lines = self._socket.makefile("rb")

    def __enter__(self) -> _Dialogue:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.close()
        self._socket.close()

    def say(self, command: str, code: str) -> None:
        """One command and the reply it must have."""
        self.send(command.encode() + b"\r\n")
        self.expect(code)

    def send(self, octets: bytes) -> None:
        """Octets as they are."""
        self._socket.sendall(octets)

    def expect(self, code: str) -> None:
        """One reply, of one or more lines. Raises BenchError for another code."""
        while (line := self._lines.readline())[3:4] == b"-":
            continue
        if not line.startswith(code.encode()):
            raise BenchError(f"expected {code}, read {line.decode(errors='replace').strip() or 'nothing'}")


def print_durability(console: Console, found: Durability, base: Path) -> None:
    """The table: one line for each letter, moments after its last octet was read; paths below `base` cut."""
    table = Table(title=f"{found.server}: order of system calls, ms after the end of data was read")
    for heading in ("letter", "octets", "synced files (octets, ms)", "synced", "250", "not synced", ""):
        table.add_column(heading, overflow="fold")
    for number, letter in enumerate(found.letters, 1):
        files = "\n".join(
            f"{file.call} {_short(file.path, base)} ({file.octets}, {file.milliseconds:.2f})"
            for file in letter.synced
        )
        table.add_row(
            str(number), str(letter.size), files, _moment(letter.synced_at), _moment(letter.reply_at),
            "\n".join(_short(path, base) for path in letter.unsynced),
            "[green]✔[/green]" if letter.holds else "[red]✘[/red]",
        )  # fmt: skip
    console.print(table)
    if found.blind_calls:
        console.print(f"[yellow]{found.blind_calls} calls that this method cannot see through[/yellow]")


def _short(path: str, base: Path) -> str:
    return path.removeprefix(f"{base}/")


def _moment(value: float | None) -> str:
    return "never" if value is None else f"{value:.2f}"


def main(arguments: Sequence[str]) -> int:
    """Start a server, watch it, print the table. Exit status 1 when it did not run."""
    parser = argparse.ArgumentParser(prog="python -m bench.durability", description=__doc__.splitlines()[0])
    parser.add_argument("--server", choices=["vaguemestre", "peer"], default="vaguemestre")
    parser.add_argument("--letters", type=int, default=LETTERS)
    options = parser.parse_args(arguments)
    server: Server = Vaguemestre() if options.server == "vaguemestre" else PostfixAndDovecot()
    console = Console()
    with run_folder(None, keep=False) as folder:
        try:
            missing = server.missing()
            if missing:
                raise BenchError(missing)
            running = server.start(lay_ground(folder, "watched", senders=1))
            try:
                found = watch_letters(running, folder / "strace.txt", letters=options.letters)
            finally:
                running.stop()
        except BenchError as error:
            console.print(f"[red]did not run:[/red] {error}", highlight=False)
            return 1
        print_durability(console, found, folder / "watched")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
