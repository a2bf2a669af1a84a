"""`vaguemestre simulate …`: the rest of the world, for demonstrations, tests and private spaces.

What it is: an authority modelled on IGC-Santé, its certificates and CRLs, a signed liste blanche, and an extract
of the directory. What it is not: allowed to be trusted in production; every file it writes says TEST.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from certs import authority_folder
from certs.authority import Authority, KeyAlgorithm, Request
from certs.keystore import load_identity
from certs.profiles import ProfileName
from core.address import Domain, Mailbox
from core.bal import BalKind
from core.clock import SystemClock
from core.errors import ConfigurationError
from core.identity import DistinguishedName
from trust_directory.annuaire.export import write_extract_file
from trust_directory.annuaire.mapping import DirectoryEntry
from trust_directory.trusted_domains.parse import Entry
from trust_directory.trusted_domains.write import publish, render

app = typer.Typer(
    help="Play the rest of the world: an authority, a trust list, a directory. For tests.",
    no_args_is_help=True,
)

Folder = Annotated[Path, typer.Option("--dir", help="Folder of the authority.")]


@app.command()
def igc(
    folder: Folder,
    algorithm: Annotated[
        KeyAlgorithm, typer.Option(help="RSA-2048 is what the field's TLS suites demand.")
    ] = KeyAlgorithm.RSA_2048,
) -> None:
    """Make an authority modelled on IGC-Santé: a root, an intermediate for organisations, and their CRLs."""
    made = Authority.create(clock=SystemClock(), algorithm=algorithm)
    authority_folder.save(made, folder)
    authority_folder.write_crls(made, folder)
    typer.echo(
        f"Authority made in {folder}: anchors.pem, crl/. Next: vaguemestre simulate certificate --dir {folder} …"
    )


@app.command()
def certificate(
    folder: Folder,
    out: Annotated[Path, typer.Option("--out", help="Folder for NAME.pem and NAME.key.")],
    name: Annotated[str, typer.Option("--name", help="File name without its ending.")],
    subject: Annotated[
        str, typer.Option("--subject", help="CN=…,OU=…,O=…,ST=…,C=FR, as the trust list names it.")
    ],
    profile: Annotated[ProfileName, typer.Option(help="What the certificate is for.")] = ProfileName.SSL_SERV,
    dns: Annotated[list[str] | None, typer.Option("--dns", help="A host name; may be repeated.")] = None,
    email: Annotated[list[str] | None, typer.Option("--email", help="An address; may be repeated.")] = None,
    algorithm: Annotated[KeyAlgorithm, typer.Option(help="Kind of key.")] = KeyAlgorithm.RSA_2048,
) -> None:
    """Issue a certificate of one of the profiles SSL_SERV, AUTH_CLI, SIGN, CONF, LIST_SIGNER."""
    authority = authority_folder.open_authority(folder, clock=SystemClock())
    request = Request(
        subject=subject,
        profile=profile,
        names=tuple(dns or ()),
        emails=tuple(email or ()),
        algorithm=algorithm,
    )
    files = authority_folder.write_identity(authority.issue(request), out, name)
    typer.echo(f"{files.certificate} and {files.key}")


@app.command()
def revoke(
    folder: Folder, certificate_file: Annotated[Path, typer.Argument(help="The certificate to revoke (PEM).")]
) -> None:
    """Revoke a certificate and write fresh CRLs."""
    from certs.certificate import parse_certificate

    authority = authority_folder.open_authority(folder, clock=SystemClock())
    authority.revoke(parse_certificate(certificate_file.read_bytes()).serial_number)
    typer.echo(f"Revoked. Fresh CRLs in {authority_folder.write_crls(authority, folder)}")


@app.command()
def crl(folder: Folder) -> None:
    """Write fresh CRLs, good for a week."""
    authority = authority_folder.open_authority(folder, clock=SystemClock())
    typer.echo(f"Fresh CRLs in {authority_folder.write_crls(authority, folder)}")


@app.command("trust-list")
def trust_list(
    out: Annotated[Path, typer.Option("--out", help="The list to write.")],
    entry: Annotated[list[str], typer.Option("--entry", help="DOMAIN|DN; may be repeated.")],
    signer: Annotated[
        Path | None, typer.Option("--signer", help="NAME.pem of the signer; NAME.key lies beside it.")
    ] = None,
) -> None:
    """Write a liste blanche in the real format, signed (or, without --signer, unsigned, for refusals)."""
    now = SystemClock().now()
    entries = [_entry(text) for text in entry]
    if signer is None:
        octets = render(entries, generated_at=now)
    else:
        from certs.keystore import IdentityFiles

        identity = load_identity(IdentityFiles(certificate=signer, key=signer.with_suffix(".key")))
        octets = publish(entries, generated_at=now, signer=identity)
    authority_folder.write_atomically(out, octets, authority_folder.PUBLIC)
    typer.echo(f"{out}: {len(entries)} entries, {'signed' if signer else 'UNSIGNED'}")


@app.command()
def annuaire(
    out: Annotated[Path, typer.Option("--out", help="The extract to write.")],
    row: Annotated[
        list[str],
        typer.Option("--row", help="ADDRESS|KIND|RPPS|FINESS|FAMILY|GIVEN|PROFESSION|STRUCTURE; repeat."),
    ],
) -> None:
    """Write a directory extract in the format of Extraction_Correspondance_MSSante."""
    written = write_extract_file(out, [_directory_entry(text) for text in row])
    typer.echo(f"{out}: {written} boxes")


def _directory_entry(text: str) -> DirectoryEntry:
    cells = text.split("|")
    if len(cells) != 8:
        raise ConfigurationError(
            "a row has eight cells: ADDRESS|KIND|RPPS|FINESS|FAMILY|GIVEN|PROFESSION|STRUCTURE"
        )
    address, kind, rpps, finess, family, given, profession, structure = cells
    return DirectoryEntry(
        address=Mailbox.parse(address),
        kind=BalKind(kind),
        rpps=rpps,
        finess=finess,
        family_name=family,
        given_name=given,
        profession=profession,
        structure=structure,
    )


def _entry(text: str) -> Entry:
    domain, sign, name = text.partition("|")
    if not sign:
        raise ConfigurationError("an entry is written DOMAIN|CN=…,OU=…,O=…,ST=…,C=FR")
    return Entry(
        domain=Domain.parse(domain),
        name=DistinguishedName.parse(name),
        as_written=domain,
        description="TEST",
        responsible="TEST",
        support="TEST",
        updated_at=SystemClock().now(),
    )
