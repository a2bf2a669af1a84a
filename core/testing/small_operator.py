"""A whole small operator in a folder: keys, authority, trust list, configuration, tables, a box, letters.

What it is: `build`, some two seconds, best done once for a session and then copied (`copy`); `command`, the command
line in a thread of its own; and the few things to put into it. What it is not: a server. Paths in its configuration
are relative, so that a copied folder is another operator.
"""

from __future__ import annotations

import asyncio
import io
import shutil
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from certs import authority_folder
from certs.authority import Authority, KeyAlgorithm, Request
from certs.keystore import IdentityFiles, load_identity
from certs.profiles import ProfileName
from core.address import Domain, Mailbox
from core.bal import BalKind
from core.clock import SystemClock
from core.envelope import Envelope, ForwardPath
from core.folder import NewMessage
from core.identity import DistinguishedName
from core.testing.keys import key_factory
from core.unit_of_work import UnitOfWork
from mta.imap.summary import summarise
from mta.spool.item import Origin, OriginKind, RecipientState, SpoolItem, State
from trust_directory.boxes import Actor
from trust_directory.trusted_domains.parse import Entry
from trust_directory.trusted_domains.write import publish
from vaguemestre.cli import run
from vaguemestre.config.load import load
from vaguemestre.config.schema import Configuration
from vaguemestre.wiring import Operator

T = TypeVar("T")
DOMAIN = "ch-rivage.mssante.example"
CITY = "cabinet.mssante.example"
SUBJECT = f"CN=mss.{DOMAIN},OU=1990000010,O=CH DU RIVAGE TEST,ST=Finistère (29),C=FR"
SIGNER = "CN=alb.mssante.example,OU=1990000036,O=LISTE BLANCHE TEST,ST=Paris (75),C=FR"
ANNE = Mailbox.parse(f"anne.test-rivage@{DOMAIN}")
PAUL = Mailbox.parse(f"paul.test-dune@{CITY}")
CONFIGURATION = f"""
[operator]
name = "Centre hospitalier du Rivage"
hostname = "mss.{DOMAIN}"
domains = ["{DOMAIN}"]
environment = "test"
node = "rivage"
[keys]
key_encryption_key = "keys/kek.key"
audit_signing_key = "keys/audit.key"
[listen]
host = "127.0.0.1"
submission = 0
submissions = 0
relay = 0
imap = 0
imaps = 0
management = 0
[tls]
anchors = "igc/anchors.pem"
crls = "igc/crl"
[[tls.identity]]
certificate = "keys/operator.pem"
key = "keys/operator.key"
[trust]
source = "liste.xml"
signers = ["{SIGNER}"]
"""
_FIRST_KEY = 700  # of the pool of cached keys, apart from those of other tests


def build(folder: Path, *, more: str = "") -> None:
    """Make it all. `more` ends the configuration; the certificate ends in a year, the CRLs in a week."""
    folder.mkdir(parents=True, exist_ok=True)
    clock = SystemClock()
    authority = Authority.create(clock=clock, algorithm=KeyAlgorithm.EC_P256, keys=key_factory(_FIRST_KEY))
    authority_folder.save(authority, folder / "igc")
    authority_folder.write_crls(authority, folder / "igc")
    _issue(authority, folder / "keys", "operator", SUBJECT, ProfileName.SSL_SERV)
    _issue(authority, folder / "igc", "alb", SIGNER, ProfileName.LIST_SIGNER)
    config = folder / "vaguemestre.toml"
    config.write_text(CONFIGURATION + more, "utf-8")
    status, _, said = command(["init", "--config", str(config)])
    assert status == 0, said
    put_list(folder, [(DOMAIN, SUBJECT), (CITY, SUBJECT.replace(DOMAIN, CITY))])
    work(config, lambda operator: operator.boxes.create(ANNE, BalKind.PERSONNELLE, name="Dr Anne", by=_ACTOR))


_ACTOR = Actor("test")


def _issue(authority: Authority, folder: Path, name: str, subject: str, profile: ProfileName) -> None:
    is_signer = profile is ProfileName.LIST_SIGNER
    request = Request(
        subject=subject,
        profile=profile,
        algorithm=KeyAlgorithm.RSA_2048 if is_signer else KeyAlgorithm.EC_P256,
        not_after=SystemClock().now() + timedelta(days=365),
        names=(f"mss.{DOMAIN}",),
    )
    authority_folder.write_identity(authority.issue(request), folder, name)


def put_list(folder: Path, entries: list[tuple[str, str]], *, at: datetime | None = None) -> None:
    """Keep this signed trust list, as `serve` does."""
    moment = at or SystemClock().now()
    signer = load_identity(
        IdentityFiles(certificate=folder / "igc" / "alb.pem", key=folder / "igc" / "alb.key")
    )
    made = [
        Entry(
            domain=Domain.parse(domain),
            name=DistinguishedName.parse(name),
            as_written=domain,
            description="TEST",
            responsible="TEST",
            support="TEST",
            updated_at=moment,
        )
        for domain, name in entries
    ]
    (folder / "data" / "liste-blanche.xml").write_bytes(publish(made, generated_at=moment, signer=signer))


def copy(template: Path, folder: Path) -> Path:
    """Another operator with the same content; its configuration file."""
    shutil.copytree(template, folder)
    return folder / "vaguemestre.toml"


def command(arguments: list[str], *, typed: str = "") -> tuple[int, str, str]:
    """(exit status, standard output, standard error) of the command line; in a thread, for it has its own loop."""

    def call() -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            status = run(arguments)
        return status, out.getvalue(), err.getvalue()

    return _in_thread(call) if not typed else _in_thread(lambda: _with_input(call, typed))


def _with_input(call: Callable[[], T], typed: str) -> T:
    import sys

    before, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(typed.encode()))
    try:
        return call()
    finally:
        sys.stdin = before


def work(config: Path, doing: Callable[[Operator], Awaitable[T]]) -> T:
    """Do something with the operator open, beside whatever else runs on it."""

    async def open_and_do() -> T:
        operator = await Operator.open(load(config, Configuration), SystemClock())
        try:
            return await doing(operator)
        finally:
            await operator.close()

    return _in_thread(lambda: asyncio.run(open_and_do()))


def _in_thread(call: Callable[[], T]) -> T:
    with ThreadPoolExecutor(max_workers=1) as one:
        return one.submit(call).result()


# --- what lies in it ----------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """How a recipient of a spooled letter stands."""

    state: State = State.WAITING
    attempts: int = 0
    reply: str = ""
    due_in: float = 600.0
    answer: Any = None


def letter(text: str = "Bonjour", *, subject: str = "visite") -> bytes:
    """A small letter from Anne to Paul."""
    return (
        f"From: {ANNE}\r\nTo: {PAUL}\r\nSubject: {subject}\r\nMessage-ID: <{subject}@{DOMAIN}>\r\n"
        f"Date: Mon, 02 Mar 2026 08:00:00 +0000\r\n\r\n{text}\r\n"
    ).encode()


async def deliver(operator: Operator, octets: bytes) -> None:
    """Put a letter into Anne's INBOX."""
    bal = await operator.accounts.bal(ANNE)
    assert bal is not None
    inbox = await operator.mail_store.folder(bal.bal_id, "INBOX")
    assert inbox is not None
    stored = await operator.blobs.seal(octets)
    unit = UnitOfWork()
    operator.blobs.keep(unit, stored)
    now = int(operator.clock.now().timestamp())
    operator.mail_store.add(
        unit,
        NewMessage(
            bal_id=bal.bal_id,
            folder_id=inbox.folder_id,
            octets=stored,
            summary=summarise(octets, now),
            internal_date=now,
        ),
    )
    await operator.committer.commit(unit)


async def spool(
    operator: Operator,
    spool_id: str,
    *,
    to: tuple[Mailbox, ...] = (PAUL,),
    accepted_ago: float = 3600.0,
    stands: Waiting | None = None,
    octets: bytes | None = None,
) -> None:
    """Put a letter from Anne into the spool, standing like this for every recipient."""
    await operator.spool.open(recover=False)
    stands = stands or Waiting()
    now = operator.spool.now()
    stored = await operator.blobs.seal(letter() if octets is None else octets)
    item = SpoolItem(
        spool_id=spool_id,
        envelope=Envelope(reverse_path=ANNE, forward_paths=tuple(ForwardPath(one) for one in to)),
        octets=stored,
        message_id=f"<visite@{DOMAIN}>",
        accepted_at=now - accepted_ago,
        origin=Origin(OriginKind.ACCOUNT, "1"),
    )
    unit = UnitOfWork()
    operator.blobs.keep(unit, stored)
    claim = operator.spool.put(unit, item)
    await operator.committer.commit(unit)
    unit = UnitOfWork()
    for before in claim.recipients:
        operator.spool.change(unit, item, before, _standing(before, stands, now))
    await operator.committer.commit(unit)


def _standing(before: RecipientState, stands: Waiting, now: float) -> RecipientState:
    held = stands.state is State.HELD
    return RecipientState(
        index=before.index,
        state=stands.state,
        domain=before.domain,
        action="relay",
        attempts=stands.attempts,
        next_due=None if held else now + stands.due_in,
        fence=before.fence + 1,
        owner="rivage/serve-0/abc" if stands.state is State.LEASED else "",
        reply=stands.reply,
        answer=stands.answer,
    )
