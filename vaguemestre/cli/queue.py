"""`vaguemestre queue …`: the letters that wait here, why they wait, and what a person may do about it.

What it is: words in, words out. What it is not: the acts (`vaguemestre.spool_desk`) or the sentences
(`vaguemestre.spool_words`). Coming from Postfix: `list` is mailq, `why` and `show` postcat -qe, `retry` postqueue -i,
`hold`, `release` and `delete` are postsuper -h, -H and -d.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from core.errors import ConfigurationError, GatewayError, PermanentError
from vaguemestre.cli.config import DEFAULT_CONFIG, ConfigFile
from vaguemestre.spool_words import Act, Motive

if TYPE_CHECKING:
    from mta.spool.item import ListedRecipient, State
    from vaguemestre.spool_desk import Done, SpoolDesk
    from vaguemestre.wiring import Operator

T = TypeVar("T")

app = typer.Typer(
    help="The letters that wait here: list, show, why, retry, hold, release, delete.", no_args_is_help=True
)
LISTED = 1000  # ours: lines; a longer list is not read but filtered


class ListedState(Enum):
    """The states that stand in the list."""

    WAITING = "waiting"
    LEASED = "leased"
    HELD = "held"


SpoolId = Annotated[str, typer.Argument(metavar="SPOOL_ID", help="As `queue list` and the 250 name it.")]
SpoolIds = Annotated[list[str], typer.Argument(metavar="SPOOL_ID…", help="One letter or several.")]
Reason = Annotated[Motive, typer.Option("--reason", help="Why, for the audit trail.")]


@app.command("list")
def list_letters(
    domain: Annotated[str, typer.Option("--domain", help="Only to this domain.")] = "",
    state: Annotated[ListedState | None, typer.Option("--state", help="Only in this state.")] = None,
    older_than: Annotated[
        str, typer.Option("--older-than", help="Only letters accepted longer ago: 30m, 2h, 3d.")
    ] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many lines.")] = LISTED,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """List what waits, oldest first: a line for each recipient. No address is shown; `show` does that."""
    from core.address import AddressInvalid, Domain
    from mta.spool.item import State
    from vaguemestre.spool_words import seconds_of

    try:
        wanted = Domain.parse(domain).ascii if domain else ""
        seconds = seconds_of(older_than) if older_than else None
    except (AddressInvalid, ValueError) as error:
        raise PermanentError(f"that filter cannot be read: {error}") from error

    async def work(operator: Operator, desk: SpoolDesk) -> tuple[list[ListedRecipient], float]:
        now = operator.spool.now()
        found = await operator.spool.listing(
            domain=wanted,
            state=State(state.value) if state else None,
            accepted_before=None if seconds is None else now - seconds,
            limit=limit + 1,
        )
        return found, now

    found, now = _at_the_desk(config, work)
    _print_list(found[:limit], now, filtered=bool(wanted or state or older_than))
    if len(found) > limit:
        typer.echo(f"… and more; these are the {limit} oldest.")


def _print_list(found: list[ListedRecipient], now: float, *, filtered: bool) -> None:
    from rich.table import Table

    from vaguemestre.cli.tables import console
    from vaguemestre.spool_words import age, distance

    if not found:
        typer.echo("Empty: no letter matches." if filtered else "Empty: no letter waits.")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("Spool id", "Domain", "State", "Age", "Attempts", "Last reply", "Next attempt", "Octets"):
        table.add_column(
            column, no_wrap=True, justify="right" if column in ("Attempts", "Octets") else "left"
        )
    for line in found:
        recipient = line.recipient
        table.add_row(
            line.spool_id,
            recipient.domain,
            recipient.state.value,
            age(now - line.accepted_at),
            str(recipient.attempts),
            recipient.reply or "-",
            distance(recipient.next_due, now) if _waits(recipient.state) and recipient.next_due else "-",
            str(line.size),
        )
    console().print(table)
    letters = len({line.spool_id for line in found})
    typer.echo(f"{letters} letter{'' if letters == 1 else 's'}, {len(found)} of their recipients.")


def _waits(state: State) -> bool:
    return state.value == ListedState.WAITING.value


@app.command()
def show(spool_id: SpoolId, config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Show a letter's envelope and how it stands for each recipient, never its content. Audited."""
    from vaguemestre.spool_words import age, moment

    async def work(operator: Operator, desk: SpoolDesk) -> list[str]:
        item, recipients = await desk.look(spool_id, Act.SHOW)
        now = operator.spool.now()
        lines = [
            f"Letter      {item.spool_id}",
            f"Accepted    {moment(item.accepted_at)} ({age(now - item.accepted_at)} ago)",
            f"From        {str(item.envelope.reverse_path) or '<> (a report)'}",
            f"Message-ID  {item.message_id or '-'}",
            f"Size        {item.size} octets",
            f"Came from   {item.origin.kind.value} {item.origin.name}".rstrip(),
        ]
        for each in recipients:
            path = item.envelope.forward_paths[each.index]
            due = f", next attempt {moment(each.next_due)}" if _waits(each.state) and each.next_due else ""
            lines.append(
                f"To          {path.mailbox}: {each.state.value}, attempts {each.attempts}, "
                f"last reply {each.reply or '-'}{due}"
            )
        return lines

    for line in _at_the_desk(config, work):
        typer.echo(line)


@app.command()
def why(spool_id: SpoolId, config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Say in sentences why a letter is still here, when it is tried again, and what to do. Audited."""
    from vaguemestre.spool_words import why as sentences

    async def work(operator: Operator, desk: SpoolDesk) -> list[str]:
        item, recipients = await desk.look(spool_id, Act.WHY)
        lines = []
        for each in recipients:
            try:
                (plan,) = (await operator.facts.plan(item, [each])).actions
            except GatewayError:
                plan = None
            lines.append(f"{item.spool_id} to {item.envelope.forward_paths[each.index].mailbox}")
            lines += [f"  {line}" for line in sentences(item, each, plan, now=operator.spool.now())]
        return lines

    for line in _at_the_desk(config, work):
        typer.echo(line)


@app.command()
def retry(
    spool_ids: Annotated[list[str] | None, typer.Argument(metavar="[SPOOL_ID…]", help="Letters.")] = None,
    domain: Annotated[str, typer.Option("--domain", help="Every letter that waits for this domain.")] = "",
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Try these letters now; a running `serve` takes them up within two seconds."""
    if bool(spool_ids) == bool(domain):
        raise ConfigurationError("name spool ids, or --domain and a domain")
    _act(Act.RETRY, spool_ids or [], config, said="will be tried now", domain=domain)


@app.command()
def hold(spool_ids: SpoolIds, reason: Reason = Motive.NOT_SAID, config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Keep these letters here until they are released."""
    _act(Act.HOLD, spool_ids, config, said="is held", reason=reason)


@app.command()
def release(
    spool_ids: SpoolIds, reason: Reason = Motive.NOT_SAID, config: ConfigFile = DEFAULT_CONFIG
) -> None:
    """Let held letters go on; they are tried now."""
    _act(Act.RELEASE, spool_ids, config, said="is released and will be tried now", reason=reason)


@app.command()
def delete(
    spool_ids: SpoolIds,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    reason: Reason = Motive.NOT_SAID,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Withdraw letters for good; each author gets a report that says so."""
    if not yes:
        many = "this letter" if len(spool_ids) == 1 else f"these {len(spool_ids)} letters"
        typer.confirm(f"Withdraw {many} for good, with a report to the author?", abort=True)
    _act(Act.DELETE, spool_ids, config, said="is withdrawn", reason=reason)


def _act(
    act: Act,
    spool_ids: list[str],
    config: ConfigFile,
    *,
    said: str,
    domain: str = "",
    reason: Motive = Motive.NOT_SAID,
) -> None:
    """One act on each letter; a letter that it cannot be done to does not stop the others."""

    async def work(operator: Operator, desk: SpoolDesk) -> tuple[list[str], GatewayError | None]:
        from mta.spool.item import State

        lines: list[str] = []
        failure: GatewayError | None = None
        chosen = spool_ids
        if domain:
            found = await operator.spool.listing(domain=domain.lower(), state=State.WAITING, limit=LISTED)
            chosen = list(dict.fromkeys(line.spool_id for line in found))
        for spool_id in chosen:
            try:
                done = await desk.act(spool_id, act, motive=reason)
            except GatewayError as error:
                failure = error
                lines.append(f"{error}.")
                continue
            lines.append(f"{spool_id} {said}{_besides(done)}.")
        return lines, failure

    lines, failure = _at_the_desk(config, work)
    if failure is not None and len(lines) == 1:
        raise failure
    for line in lines:
        typer.echo(line)
    if not lines:
        typer.echo(f"Empty: no letter waits for {domain}.")
    if failure is not None:
        raise PermanentError("not every letter could be taken: see the lines above")


def _besides(done: Done) -> str:
    report = f"; report {done.report} goes to the author" if done.report else ""
    return report + (f"; {len(done.in_hand)} recipients are being delivered now" if done.in_hand else "")


def _at_the_desk(config: ConfigFile, work: Callable[[Operator, SpoolDesk], Awaitable[T]]) -> T:
    from vaguemestre.cli.context import acting_operator, with_operator
    from vaguemestre.spool_desk import SpoolDesk
    from vaguemestre.spool_ids import spool_ids

    async def at_the_desk(operator: Operator) -> T:
        desk = SpoolDesk(operator, by=acting_operator(), new_spool_id=spool_ids(operator.clock))
        await desk.open()
        return await work(operator, desk)

    return with_operator(config, at_the_desk)
