"""`vaguemestre import …`: letters of another server into a box of ours, with a report of what was left out.

What it is: words in, words out. What it is not: the rules (`vaguemestre.importing`). It may be repeated: what is
there already stays as it is.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from core.address import AddressInvalid, Mailbox
from core.errors import ConfigurationError, NotStored, PermanentError
from vaguemestre.cli.config import DEFAULT_CONFIG, ConfigFile

if TYPE_CHECKING:
    from vaguemestre.importing import LeftOut, Source, Tally
    from vaguemestre.wiring import Operator

app = typer.Typer(
    help="Bring letters of another server into a box; repeat it as often as you like.", no_args_is_help=True
)
COLUMNS = ("place", "folder", "reason", "octets")
EX_LEFT_OUT = 1
MAX_PASSWORD_LINE = 4096  # as cli.bal

Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="The box of ours, as local.part@domain.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Read and count everything, change nothing.")]
Report = Annotated[
    Path | None, typer.Option("--report", help="A CSV file: each letter that was left out, and why.")
]


@app.command()
def maildir(
    address: Address,
    path: Annotated[Path, typer.Argument(help="The folder that holds cur, new and tmp.")],
    dry_run: DryRun = False,
    report: Report = None,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Import a Maildir with the folders below it."""
    from vaguemestre.maildir import MaildirSource

    _import(address, nullcontext(MaildirSource(path)), "maildir", config, dry_run=dry_run, report=report)


@app.command()
def mbox(
    address: Address,
    path: Annotated[Path, typer.Argument(help="An mbox file, or a folder of them.")],
    folder: Annotated[str, typer.Option("--folder", help="For one file: the folder it goes to.")] = "INBOX",
    dry_run: DryRun = False,
    report: Report = None,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Import an mbox file, or every one in a folder."""
    from vaguemestre.mbox import MboxSource

    _import(
        address, nullcontext(MboxSource(path, folder=folder)), "mbox", config, dry_run=dry_run, report=report
    )


@app.command()
def imap(
    address: Address,
    host: Annotated[str, typer.Option("--host", help="The other server; its certificate must name it.")],
    user: Annotated[str, typer.Option("--user", help="The login there.")],
    port: Annotated[int, typer.Option("--port", help="Its port for IMAP over TLS.")] = 993,
    password_file: Annotated[
        Path | None,
        typer.Option("--password-file", help="Its first line; default: the first line of standard input."),
    ] = None,
    ca: Annotated[
        Path | None, typer.Option("--ca", help="PEM file of its authorities; default: those of this machine.")
    ] = None,
    dry_run: DryRun = False,
    report: Report = None,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Import a box of another server over TLS; nothing changes there."""
    from vaguemestre.imap_source import ImapSource, Server

    password = password_of(password_file)
    server = Server(host=host, port=port, user=user, password=password, authorities=ca)

    @asynccontextmanager
    async def opened() -> AsyncIterator[Source]:
        source = await ImapSource.open(server)
        try:
            yield source
        finally:
            await source.close()

    _import(address, opened(), "imap", config, dry_run=dry_run, report=report)


def _import(
    address: str,
    opened: AbstractAsyncContextManager[Source],
    kind: str,
    config: Path,
    *,
    dry_run: bool,
    report: Path | None,
) -> None:
    from vaguemestre.cli.context import acting_operator, with_operator
    from vaguemestre.importing import Importer, Rooms

    async def work(operator: Operator) -> Tally:
        rooms = Rooms(
            store=operator.mail_store,
            blobs=operator.blobs,
            committer=operator.committer,
            audit=operator.audit,
            clock=operator.clock,
        )
        bal_id = await box_of(operator, address)
        async with opened as source:
            with _told(report) as told, bar("Import", await source.count()) as moved:
                importer = Importer(
                    rooms, bal_id, operator=acting_operator(), dry_run=dry_run, told=told, moved=moved
                )
                return await importer.run(source, kind=kind)

    tally = with_operator(config, work)
    would = "would be" if dry_run else "are"
    typer.echo(f"{tally.imported} letters {would} imported, {tally.octets} octets.")
    for reason, number in sorted(tally.left_out.items(), key=lambda pair: pair[0].value):
        typer.echo(f"{number} {reason.value}")
    if not tally.is_whole:
        where = f"; {report} names them" if report else "; --report FILE names them"
        typer.echo(f"Not every letter is in the box{where}.", err=True)
        raise typer.Exit(EX_LEFT_OUT)


async def box_of(operator: Operator, address: str) -> int:
    """The number of a box. Raises NotStored, PermanentError."""
    try:
        mailbox = Mailbox.parse(address)
    except AddressInvalid as error:
        raise PermanentError(f"{error}; write it as local.part@domain") from error
    bal = await operator.accounts.bal(mailbox)
    if bal is None:
        raise NotStored(f"there is no box {mailbox}; see `vaguemestre bal list`")
    return bal.bal_id


@contextmanager
def bar(title: str, total: int) -> Iterator[Callable[[], None]]:
    """A progress bar on standard error, when somebody watches; call what it gives for each letter."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=total)
        yield lambda: progress.advance(task)


@contextmanager
def _told(report: Path | None) -> Iterator[Callable[[LeftOut], None]]:
    """Writes the report line by line; nothing without a report."""
    if report is None:
        yield lambda left_out: None
        return
    try:
        file: TextIO = report.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise ConfigurationError(f"the report {report} cannot be written") from error
    with file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)

        def told(one: LeftOut) -> None:
            writer.writerow((_plain(one.place), _plain(one.folder), one.reason.value, one.octets))

        yield told


def _plain(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    printable = "".join(c if c.isprintable() else "\ufffd" for c in text)
    return "'" + printable if printable.startswith(("=", "+", "-", "@")) else printable


def password_of(path: Path | None) -> str:
    """The other server's password: the first line of a file, or of standard input."""
    if path is None:
        line = sys.stdin.readline(MAX_PASSWORD_LINE)
    else:
        try:
            with path.open(encoding="utf-8") as file:
                line = file.readline(MAX_PASSWORD_LINE)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"the password file {path} cannot be read") from error
    password = line.rstrip("\r\n")
    if not password:
        raise ConfigurationError("no password: write it as the first line of standard input or of the file")
    return password
