"""`vaguemestre directory …`: the health directory's extract and the trust list.

What it is: words in, words out. What it is not: the rules (`trust_directory.annuaire.importer`,
`trust_directory.refresh`). A running `serve` uses a new directory at once and follows a new list in two seconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from core.address import AddressInvalid, Mailbox
from core.errors import PermanentError, TemporaryError
from core.identity import Finess, IdentityInvalid, Rpps
from vaguemestre.cli.config import DEFAULT_CONFIG, ConfigFile
from vaguemestre.cli.tables import console

if TYPE_CHECKING:
    from trust_directory.annuaire.importer import ImportReport
    from trust_directory.annuaire.mapping import DirectoryEntry
    from vaguemestre.wiring import Operator

app = typer.Typer(
    help="The health directory (import, find) and the trust list (list …).", no_args_is_help=True
)
trust_list = typer.Typer(help="The liste blanche: who we may talk to.", no_args_is_help=True)
app.add_typer(trust_list, name="list")
PROBLEMS_SHOWN = 10


# --- the health directory -----------------------------------------------------------------------------------
@app.command("import")
def import_extract(
    extract: Annotated[Path, typer.Argument(help="Extraction_Correspondance_MSSante*.txt, plain or zipped.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would change, change nothing.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Import even if many entries are lost or bad.")
    ] = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Take a new extract of the directory; searches see the old or the new one, never a mixture."""
    from vaguemestre.cli.context import acting_operator, with_operator

    columns = (TextColumn("{task.completed:,} rows read"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("rows", total=None)

        async def work(operator: Operator) -> ImportReport:
            def progress(rows: int) -> None:
                shown.update(task, completed=rows)

            if dry_run:
                return await operator.importer.compare(extract, progress=progress)
            return await operator.importer.run(extract, by=acting_operator(), force=force, progress=progress)

        report = with_operator(config, work)
    _tell(report)


def _tell(report: ImportReport) -> None:
    difference = report.difference
    assert difference is not None
    typer.echo(f"{report.rows} rows read, {report.bad} left out, {report.repeated} repeated.")
    for problem in report.problems[:PROBLEMS_SHOWN]:
        typer.echo(f"  line {problem.line}: {problem.reason}")
    if report.bad > PROBLEMS_SHOWN:
        typer.echo(f"  … and {report.bad - PROBLEMS_SHOWN} more")
    typer.echo(
        f"Entries: {difference.before} → {difference.after} "
        f"(+{difference.added} −{difference.removed} ~{difference.changed})."
    )
    for address in report.removed_examples[:PROBLEMS_SHOWN]:
        typer.echo(f"  − {address}")
    typer.echo(
        "In force." if report.is_in_force else "Nothing was changed. To import it, leave --dry-run out."
    )


@app.command()
def find(
    text: Annotated[str, typer.Argument(help="An address, an RPPS, a FINESS, or a family name.")],
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Find boxes in the directory, with those that are easily taken for them."""
    from vaguemestre.cli.context import with_operator

    async def work(operator: Operator) -> tuple[Sequence[DirectoryEntry], list[DirectoryEntry]]:
        if await operator.annuaire.state() is None:
            raise PermanentError("no directory yet. Next: vaguemestre directory import FILE")
        found = await _search(operator, text)
        homonyms = [alike for entry in found for alike in await operator.annuaire.homonyms(entry)]
        return found, [entry for entry in dict.fromkeys(homonyms) if entry not in found]

    found, homonyms = with_operator(config, work)
    if not found:
        typer.echo("Nobody is found. Family names are searched whole, whatever their accents and case.")
        raise typer.Exit(1)
    console().print(_entries(found, "Found"))
    if homonyms:
        console().print(_entries(homonyms, "Take care: easily taken for them"))


async def _search(operator: Operator, text: str) -> Sequence[DirectoryEntry]:
    index = operator.annuaire
    try:
        if "@" in text:
            return await index.by_address(Mailbox.parse(text))
        if text.isdigit() and len(text) == 11:
            return await index.by_rpps(Rpps(text))
        if text.isdigit() and len(text) == 9:
            return await index.by_finess(Finess(text))
    except (AddressInvalid, IdentityInvalid) as error:
        raise PermanentError(str(error)) from error
    return await index.by_family_name(text)


def _entries(found: Sequence[DirectoryEntry], title: str) -> Table:
    table = Table("Address", "Type", "Name", "RPPS", "Profession", "Structure", "FINESS", "City", title=title)
    for entry in found:
        name = f"{entry.given_name} {entry.family_name}".strip()
        table.add_row(
            str(entry.address), entry.kind.value, name, entry.rpps, entry.speciality or entry.profession,
            entry.structure or entry.service, entry.finess, entry.city,
        )  # fmt: skip
    return table


# --- the trust list -----------------------------------------------------------------------------------------
@trust_list.command()
def status(config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Say how the list in force stands, and what the last look at the source brought."""
    from vaguemestre.cli.context import with_operator

    typer.echo(with_operator(config, _status))


async def _status(operator: Operator) -> str:
    current, directory = operator.directory.current, operator.directory
    kept = operator.refresher.kept
    last = kept.status()
    if current is None:
        said = "There is no trust list: every decision answers 451. Next: vaguemestre directory list refresh"
        return said + (f"\nLast look: {last.looked_at or 'never'} {last.outcome}" if last.looked_at else "")
    octets = kept.octets() or b""
    lines = [
        f"Trust list: {len(current)} entries, {directory.freshness().value}",
        f"Made:       {current.generated_at.isoformat()}",
        f"Confirmed:  {current.confirmed_at.isoformat()} by its source",
        f"Signer:     {current.signer}",
        f"SHA-256:    {hashlib.sha256(octets).hexdigest()}",
        f"Last look:  {last.looked_at or 'never'} {last.outcome}",
    ]
    if current.problems:
        lines.append(f"Left out:   {len(current.problems)} entries that cannot be read")
    if last.waiting is not None:
        lines.append(
            f"WAITING:    a list without {last.waiting.lost} of {last.waiting.before} grants. "
            "If this is right: vaguemestre directory list confirm"
        )
    return "\n".join(lines)


@trust_list.command()
def refresh(
    source: Annotated[
        str | None,
        typer.Option("--source", help="A path or URL to look at this once; default: trust.source."),
    ] = None,
    accept_losses: Annotated[
        bool, typer.Option("--accept-losses", help="Take it even if it lost many entries; I compared them.")
    ] = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Look at the source now, by the same rules as the service; a refused list changes nothing."""
    from vaguemestre.cli.context import with_operator

    typer.echo(with_operator(config, lambda operator: _refresh(operator, source, accept_losses)))


@trust_list.command()
def confirm(config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Take the list that waits because it lost many entries. Compare it with the publisher first."""
    from vaguemestre.cli.context import with_operator

    async def work(operator: Operator) -> str:
        waiting = operator.refresher.kept.status().waiting
        if waiting is None:
            raise PermanentError("no list waits for you; see: vaguemestre directory list status")
        return _outcome(operator, await operator.refresher.look(confirmed_digest=waiting.digest))

    typer.echo(with_operator(config, work))


async def _refresh(operator: Operator, source: str | None, accept_losses: bool) -> str:
    from trust_directory.sources import source_for

    refresher = operator.refresher
    if source is not None:
        tls = operator.material.tls.relay_client
        refresher = refresher.with_source(source_for(source, timeout=30.0, tls=tls, clock=operator.clock))
    outcome = await refresher.look()
    if accept_losses and refresher.waiting is not None:
        outcome = await refresher.look(confirmed_digest=refresher.waiting.digest)
    return _outcome(operator, outcome)


def _outcome(operator: Operator, outcome: str) -> str:
    from trust_directory.refresh import CHANGED, NOT_NOW, SOURCE_AWAY, UNCHANGED
    from trust_directory.trusted_domains.reasons import Reason

    entries = operator.directory.state().entries
    at = operator.clock.now().isoformat(timespec="seconds")
    if outcome == CHANGED:
        return f"A new list is in force: {entries} entries ({at})."
    if outcome == UNCHANGED:
        return f"The list in force is confirmed: {entries} entries ({at})."
    if outcome in (SOURCE_AWAY, NOT_NOW):
        raise TemporaryError(
            "the source did not answer" if outcome == SOURCE_AWAY else "the list cannot be judged or kept now"
        )
    reason = Reason(outcome)
    hint = ""
    if reason is Reason.LOST_TOO_MANY:
        hint = " If this is right: vaguemestre directory list confirm, or refresh --accept-losses."
    raise PermanentError(f"refused, the list in force stays. {reason.english}{hint} / {reason.french}")
