"""`vaguemestre bal …`: the boxes of this operator; every act is audited, listing too.

What it is: words in, words out. What it is not: the rules (`trust_directory.boxes`). A running `serve` sees each
change within two seconds.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from core.address import AddressInvalid, Mailbox
from core.bal import Bal, BalKind, Right
from core.errors import PermanentError
from vaguemestre.cli.config import DEFAULT_CONFIG, ConfigFile
from vaguemestre.cli.tables import console

if TYPE_CHECKING:
    from trust_directory.boxes import Actor, ListedBox
    from trust_directory.sealed_boxes import KnownBox
    from vaguemestre.wiring import Operator

app = typer.Typer(
    help="Create, suspend, reopen, close and list boxes; delegate them; set their passwords.",
    no_args_is_help=True,
)
MAX_PASSWORD_LINE = 4096  # ours: what is read of standard input
MEGABYTE = 1024 * 1024

Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="The box, as local.part@domain.")]
FromStdin = Annotated[
    bool,
    typer.Option("--password-stdin", help="Read a chosen password from the first line of standard input."),
]
Generate = Annotated[
    bool, typer.Option("--generate", help="Make a password, print it once, keep only its hash.")
]
Label = Annotated[str, typer.Option("--label", help="For which device the generated password is.")]


@app.command()
def create(
    address: Address,
    kind: Annotated[BalKind, typer.Option("--kind", help="PER, ORG, APP, CAB or CIT.")],
    name: Annotated[str, typer.Option("--name", help="The name that correspondents see.")],
    quota: Annotated[
        int | None, typer.Option("--quota", help="Room in megabytes; default: letters.quota.")
    ] = None,
    password_stdin: FromStdin = False,
    generate: Generate = False,
    label: Label = "first device",
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Open a box in one of our domains, with its folders and, if asked, its first password."""
    from vaguemestre.cli.context import with_operator

    mailbox = _mailbox(address)
    chosen = _password_of(password_stdin, generate, needed=False)

    async def work(operator: Operator) -> str:
        if chosen is not None:
            operator.boxes.judge_password(chosen, mailbox)
        octets = quota * MEGABYTE if quota is not None else None
        await operator.boxes.create(mailbox, kind, name=name, by=_actor(), quota_octets=octets)
        return await _set_password(operator, mailbox, chosen, label if generate else None)

    printed = with_operator(config, work)
    typer.echo(f"{mailbox} is open.")
    if printed:
        _print_generated(printed)
    elif chosen is None:
        typer.echo(f"Nobody can log in yet. Next: vaguemestre bal passwd {mailbox} --generate")


@app.command()
def suspend(address: Address, config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Stop a box for a time: letters to it are refused (550 5.2.1), nobody logs in."""
    from vaguemestre.cli.context import with_operator

    with_operator(config, lambda operator: operator.boxes.suspend(_mailbox(address), by=_actor()))
    typer.echo(f"{address} is suspended. To open it again: vaguemestre bal reopen {address}")


@app.command()
def reopen(
    address: Address,
    same_holder: Annotated[
        bool, typer.Option("--same-holder", help="A closed box: I checked that the same holder comes back.")
    ] = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Open a suspended box again, or a closed one for the very person or structure that held it."""
    from vaguemestre.cli.context import with_operator

    with_operator(
        config,
        lambda operator: operator.boxes.reopen(_mailbox(address), by=_actor(), same_holder=same_holder),
    )
    typer.echo(f"{address} is open.")
    if same_holder:
        typer.echo(f"Its old passwords stay revoked. Next: vaguemestre bal passwd {address} --generate")


@app.command()
def close(address: Address, config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Close a box: its passwords and delegations end, its address is never given to somebody else."""
    from vaguemestre.cli.context import with_operator

    with_operator(config, lambda operator: operator.boxes.close(_mailbox(address), by=_actor()))
    typer.echo(f"{address} is closed. Its letters stay until their retention ends.")


@app.command()
def delegate(
    owner: Address,
    to: Annotated[str, typer.Option("--to", help="The box whose holder receives the right.")],
    right: Annotated[list[Right], typer.Option("--right", help="read or send; may be repeated.")],
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Let the holder of another box send as this one, or read it (kept, without effect until shared mailboxes)."""
    from vaguemestre.cli.context import with_operator

    async def work(operator: Operator) -> None:
        for each in right:
            await operator.boxes.delegate(_mailbox(owner), _mailbox(to), each, by=_actor())

    with_operator(config, work)
    typer.echo(f"{to} may now {' and '.join(each.value for each in right)} on {owner}.")


@app.command()
def revoke(
    owner: Address,
    to: Annotated[str, typer.Option("--to", help="The box whose holder loses the right.")],
    right: Annotated[Right | None, typer.Option("--right", help="read or send; default: both.")] = None,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Take a delegation back."""
    from vaguemestre.cli.context import with_operator

    with_operator(
        config, lambda operator: operator.boxes.revoke(_mailbox(owner), _mailbox(to), right, by=_actor())
    )
    typer.echo(f"{to} has no {right.value if right else 'more'} right on {owner}.")


@app.command()
def passwd(
    address: Address,
    password_stdin: FromStdin = False,
    generate: Generate = False,
    label: Label = "device",
    days: Annotated[
        int | None, typer.Option("--days", help="A generated password ends after so many days.")
    ] = None,
    show: Annotated[
        bool, typer.Option("--list", help="List the passwords that hold; never their text.")
    ] = False,
    end: Annotated[
        str | None, typer.Option("--revoke", metavar="ID", help="End one password, by its id.")
    ] = None,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Set the chosen password, make one for a device, list those that hold, or end one."""
    from vaguemestre.cli.context import with_operator

    mailbox = _mailbox(address)
    if sum((password_stdin, generate, show, end is not None)) != 1:
        raise PermanentError("say one of --password-stdin, --generate, --list, --revoke ID")
    if show:
        box = with_operator(config, lambda operator: operator.boxes.look(mailbox, by=_actor()))
        console().print(_passwords(box))
        return
    if end is not None:
        with_operator(config, lambda operator: operator.boxes.revoke_password(mailbox, end, by=_actor()))
        typer.echo(f"The password {end} of {mailbox} ended; the others go on.")
        return
    chosen = _password_of(password_stdin, generate, needed=True)
    printed = with_operator(
        config, lambda operator: _set_password(operator, mailbox, chosen, label if generate else None, days)
    )
    if printed:
        _print_generated(printed)
    else:
        typer.echo(f"The chosen password of {mailbox} is set; the former one ended.")


@app.command("list")
def list_boxes(
    domain: Annotated[str | None, typer.Option("--domain", help="Only this domain.")] = None,
    delegations: Annotated[
        str | None, typer.Option("--delegations", metavar="ADDRESS", help="Who may act for it.")
    ] = None,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """List the boxes, or who may act for one of them. That you looked is written to the audit trail."""
    from vaguemestre.cli.context import with_operator

    if delegations is not None:
        owner = _mailbox(delegations)

        async def delegates(operator: Operator) -> Sequence[tuple[Bal, Right, int]]:
            await operator.boxes.look(owner, by=_actor())
            return await operator.boxes.delegates(owner)

        console().print(_delegations(with_operator(config, delegates)))
        return
    listed = with_operator(config, lambda operator: operator.boxes.list_boxes(by=_actor(), domain=domain))
    if not listed:
        typer.echo("No box yet. Next: vaguemestre bal create ADDRESS --kind PER --name NAME --generate")
        return
    console().print(_table(listed))


async def _set_password(
    operator: Operator, mailbox: Mailbox, chosen: bytes | None, label: str | None, days: int | None = None
) -> str:
    """The generated password's text, or nothing."""
    if chosen is not None:
        await operator.boxes.set_password(mailbox, chosen, by=_actor())
        return ""
    if label is None:
        return ""
    ends = operator.clock.now() + timedelta(days=days) if days is not None else None
    made = await operator.boxes.generate_password(
        mailbox, label=label, by=_actor(), expires_at=int(ends.timestamp()) if ends else None
    )
    return made.text


def _password_of(from_stdin: bool, generate: bool, *, needed: bool) -> bytes | None:
    if from_stdin and generate:
        raise PermanentError("say --password-stdin or --generate, not both")
    if not from_stdin:
        if needed and not generate:
            raise PermanentError("say --password-stdin or --generate")
        return None
    line = sys.stdin.buffer.readline(MAX_PASSWORD_LINE).rstrip(b"\r\n")
    if not line:
        raise PermanentError("standard input held no password; write it as one line")
    return line


def _print_generated(text: str) -> None:
    typer.echo("The password, shown this once (hyphens and capitals do not matter):")
    typer.echo(f"    {text}")


def _actor() -> Actor:
    from trust_directory.boxes import Actor
    from vaguemestre.cli.context import acting_operator

    return Actor(acting_operator())


def _mailbox(text: str) -> Mailbox:
    try:
        return Mailbox.parse(text)
    except AddressInvalid as error:
        raise PermanentError(f"{error}; write it as local.part@domain") from error


def _table(listed: Sequence[ListedBox]) -> Table:
    table = Table("Box", "Type", "State", "Name", "Quota", "Created", "Changed")
    for line in listed:
        bal = line.bal
        table.add_row(
            str(bal.mailbox),
            bal.kind.value,
            bal.state.value,
            bal.display_name,
            f"{bal.quota_octets // MEGABYTE} MB",
            _day(line.created_at),
            _day(line.changed_at),
        )
    return table


def _passwords(box: KnownBox) -> Table:
    table = Table("Id", "For", "Made", "Last used", "Ends", title=str(box.bal.mailbox))
    for known in box.credentials:
        if known.revoked_at is None:
            used = _day(known.last_used_day * 86_400) if known.last_used_day else "never"
            ends = _day(known.expires_at) if known.expires_at is not None else "–"
            table.add_row(known.credential_id, known.label, _day(known.created_at), used, ends)
    return table


def _delegations(found: Sequence[tuple[Bal, Right, int]]) -> Table:
    table = Table("Who", "May", "Since")
    for bal, right, since in found:
        table.add_row(str(bal.mailbox), right.value, _day(since))
    return table


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()
