"""`vaguemestre import` and `export` on a small operator: every letter once, and octet for octet the same."""

from __future__ import annotations

import csv
import hashlib
import os
from collections import Counter
from pathlib import Path

import pytest

from core.audit import AuditKind
from core.bal import BalKind
from core.errors import ConfigurationError, PermanentError
from core.testing.small_operator import ANNE, DOMAIN, command, deliver, letter, work
from core.unit_of_work import UnitOfWork
from trust_directory.boxes import Actor
from vaguemestre import importing
from vaguemestre.cli.import_letters import password_of
from vaguemestre.wiring import Operator

LOUISE = f"louise.test-goeland@{DOMAIN}"
STRANGE = (
    letter(subject="un"),
    letter("From here\n>From there", subject="deux"),
    letter(subject="trois").replace(b"\r\n", b"\n"),  # as a client may APPEND it
    b"Subject: no end of line\r\n\r\nFrom me",
    b"Subject: only a header\r\n",
    b"\r\nonly a body\r\n\r\n\r\n",
    letter("é" * 40, subject="huit bits"),
)
FLAGS = (
    frozenset[str](),
    frozenset({"\\Seen", "$label1"}),
    frozenset({"\\Flagged", "\\Draft", "$Forwarded"}),
)
Content = Counter[tuple[str, str, tuple[str, ...], int]]


def imported(config: Path, *arguments: str) -> tuple[int, str, str]:
    return command(["import", *arguments, "--config", str(config)])


def exported(config: Path, *arguments: str) -> tuple[int, str, str]:
    return command(["export", *arguments, "--config", str(config)])


async def bal_of(operator: Operator, address: str) -> int:
    from core.address import Mailbox

    bal = await operator.accounts.bal(Mailbox.parse(address))
    assert bal is not None
    return bal.bal_id


def content(config: Path, address: str = str(ANNE)) -> Content:
    """(folder, digest, flags, date) of every letter of a box."""

    async def look(operator: Operator) -> Content:
        store = operator.mail_store
        found: Content = Counter()
        for folder in await store.folders(await bal_of(operator, address)):
            for row in (await store.changes(folder.folder_id)).rows:
                whole = await store.octets(folder.folder_id, row.uid)
                digest = hashlib.sha256(whole).hexdigest()
                found[folder.name, digest, tuple(sorted(row.flags)), row.internal_date] += 1
        return found

    return work(config, look)


@pytest.fixture
def full(operator: Path) -> Path:
    """Anne's box with letters of every kind in folders of every kind; Louise's is empty."""

    async def fill(opened: Operator) -> None:
        from core.address import Mailbox
        from core.folder import NewMessage
        from mta.imap.summary import summarise

        await opened.boxes.create(
            Mailbox.parse(LOUISE), BalKind.PERSONNELLE, name="Dr Louise", by=Actor("test")
        )
        store = opened.mail_store
        bal_id = await bal_of(opened, str(ANNE))
        for name in ("Réseau ville/v1.2", "Sent", "INBOX/dessous", "INBOX", ".cache"):
            folder = await store.folder(bal_id, name) or await store.create_folder(bal_id, name)
            for number, octets in enumerate((*STRANGE, STRANGE[0])):
                stored = await opened.blobs.seal(octets)
                unit = UnitOfWork()
                opened.blobs.keep(unit, stored)
                date = 1_700_000_000 + number
                message = NewMessage(
                    bal_id=bal_id,
                    folder_id=folder.folder_id,
                    octets=stored,
                    summary=summarise(octets, date),
                    flags=FLAGS[number % len(FLAGS)],
                    internal_date=date,
                )
                store.add(unit, message)
                await opened.committer.commit(unit)

    work(operator, fill)
    return operator


@pytest.mark.parametrize("kind", ["maildir", "mbox"])
def test_out_and_in_again_is_the_same(full: Path, tmp_path: Path, kind: str) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    status, said, wrong = exported(full, kind, str(ANNE), "--out", str(first))
    assert (status, wrong) == (0, ""), said
    status, said, _ = imported(full, kind, LOUISE, str(first))
    assert status == 0, said
    assert content(full, LOUISE) == content(full)
    assert exported(full, kind, LOUISE, "--out", str(second))[0] == 0
    assert digests(first) == digests(second)
    status, said, _ = imported(full, kind, LOUISE, str(first))  # once more changes nothing
    assert status == 0
    assert said.startswith("0 letters are imported")
    assert content(full, LOUISE) == content(full)


def digests(root: Path) -> Counter[str]:
    return Counter(
        hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file() and path.suffix != ".jsonl"
    )


def test_the_acts_are_audited(full: Path, tmp_path: Path) -> None:
    exported(full, "maildir", str(ANNE), "--out", str(tmp_path / "out"))
    imported(full, "maildir", LOUISE, str(tmp_path / "out"))

    async def look(operator: Operator) -> list[AuditKind]:
        return [one.event.kind for one in await operator.audit.events_of(message_id=f"<un@{DOMAIN}>")]

    assert work(full, look).count(AuditKind.STORED) == 10
    assert command(["audit", "verify", "--config", str(full)])[0] == 0


def maildir(root: Path, *letters: tuple[str, bytes]) -> Path:
    for name, octets in letters:
        path = root / name
        for half in ("cur", "new", "tmp"):
            (path.parent.parent / half).mkdir(parents=True, exist_ok=True)
        path.write_bytes(octets)
        os.utime(path, (1_600_000_000, 1_600_000_000))
    return root


def test_a_maildir_of_another_server(operator: Path, tmp_path: Path) -> None:
    text = letter().replace(b"\r\n", b"\n")
    root = maildir(
        tmp_path / "Maildir",
        ("new/1.a", text),
        ("cur/2.a:2,FSab", text.replace(b"Bonjour", b"Bonsoir")),
        (".&AMk-l&AOk-ments envoy&AOk-s/cur/3.a:2,S", text),
        (".Plan.2026/cur/4.a:2,", text),
        ("nested/deep/cur/5.a", text),
        ("nested/deep/cur/.hidden", text),
    )
    (root / "dovecot-keywords").write_text("0 $label1\n1 Old\n99 x\nrubbish\n")
    (root / "cur" / "link").symlink_to(root / "new" / "1.a")
    status, said, _ = imported(operator, "maildir", str(ANNE), str(root))
    assert (status, said) == (0, f"5 letters are imported, {5 * len(letter())} octets.\n")
    found = {(folder, flags) for folder, _, flags, _ in content(operator)}
    assert found == {
        ("INBOX", ()),
        ("INBOX", ("$label1", "Old", "\\Flagged", "\\Seen")),
        ("Sent", ("\\Seen",)),
        ("Plan/2026", ()),
        ("nested/deep", ()),
    }
    assert {date for *_, date in content(operator)} == {1_600_000_000}
    assert hashlib.sha256(letter()).hexdigest() in {digest for _, digest, *_ in content(operator)}


def test_what_is_left_out_is_told_with_its_reason(
    operator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = maildir(
        tmp_path / "Maildir",
        ("cur/1", letter()),
        ("cur/2", b""),
        ("cur/3", b"a\0b"),
        ("cur/4", letter("x" * 2000)),
        ("cur/5:2,a", letter("keyword")),
        ("..empty/cur/6", letter()),
    )
    (root / "dovecot-keywords").write_text("0 " + "k" * 200 + "\n")
    monkeypatch.setattr("vaguemestre.maildir.MAX_LETTER", 1500)
    report = tmp_path / "report.csv"
    status, said, wrong = imported(operator, "maildir", str(ANNE), str(root), "--report", str(report))
    assert status == 1
    assert "2 letters are imported" in said
    assert "Not every letter" in wrong
    with report.open(newline="") as file:
        rows = {(row["place"], row["reason"]) for row in csv.DictReader(file)}
    assert rows == {
        ("cur/2", "empty"),
        ("cur/3", "holds-nul"),
        ("cur/4", "too-big"),
        ("cur/5:2,a", "keyword-dropped"),
        ("..empty/cur/6", "not-a-folder-name"),
    }


def test_a_dry_run_changes_nothing(operator: Path, tmp_path: Path) -> None:
    root = maildir(tmp_path / "Maildir", ("cur/1", letter()), (".Plan/cur/2", letter()))
    before = content(operator)
    status, said, _ = imported(operator, "maildir", str(ANNE), str(root), "--dry-run")
    assert (status, said.split(",")[0]) == (0, "2 letters would be imported")
    assert content(operator) == before


def test_a_killed_import_goes_on(operator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    letters = [(f"cur/{number}", letter(f"numéro {number}")) for number in range(7)]
    root = maildir(tmp_path / "Maildir", *letters)
    monkeypatch.setattr(importing, "UNIT_LETTERS", 2)
    put = importing.Importer._put
    left = iter(range(5))

    async def die(self: importing.Importer, *arguments: object) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        await put(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(importing.Importer, "_put", die)
    assert imported(operator, "maildir", str(ANNE), str(root))[0] == 130
    assert content(operator).total() == 4
    monkeypatch.setattr(importing.Importer, "_put", put)
    assert imported(operator, "maildir", str(ANNE), str(root))[1].startswith("3 letters are imported")
    assert content(operator).total() == 7


def test_a_full_box_takes_what_it_can_and_stops(operator: Path, tmp_path: Path) -> None:
    letters = [(f"cur/{number}", letter("x" * 400 + str(number))) for number in range(3)]
    root = maildir(tmp_path / "Maildir", *letters)

    async def shrink(opened: Operator) -> None:
        await opened.mail_store.set_quota(await bal_of(opened, str(ANNE)), 2 * len(letters[0][1]) + 10)

    work(operator, shrink)
    status, said, _ = imported(operator, "maildir", str(ANNE), str(root))
    assert (status, said.splitlines()[-1]) == (1, "1 box-full")
    assert content(operator).total() == 2


def test_a_store_that_refuses_ends_the_import(
    operator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = maildir(tmp_path / "Maildir", ("cur/1", letter()), (".Plan/cur/2", letter()))
    once = iter([PermanentError("this folder has no UIDs left")])

    async def refuse(self: importing.Importer) -> None:
        for error in once:
            raise error

    monkeypatch.setattr(importing.Importer, "_write", refuse)
    status, said, wrong = imported(operator, "maildir", str(ANNE), str(root))
    assert (status, said) == (1, "")
    assert "no UIDs left" in wrong


MBOX = (
    b"From anne Mon Mar  2 08:00:05 2026\nSubject: un\nStatus: RO\nX-Status: AF\nX-Keywords: $label1, Old\n\n"
    b">From the start\nFrom nothing, inside a line\n\n"
    b"From - Tue Mar  3 08:00 2026\r\nSubject: deux\r\n\r\ntexte\r\n\r\n"
    b"From nobody\nSubject: trois\n\nfin"
)


def test_an_mbox_of_another_program(operator: Path, tmp_path: Path) -> None:
    path = tmp_path / "vieux"
    path.write_bytes(MBOX)
    status, said, _ = imported(operator, "mbox", str(ANNE), str(path), "--folder", "Plan")
    assert (status, said.split(",")[0]) == (0, "3 letters are imported")
    wanted = {
        b"Subject: un\r\nStatus: RO\r\nX-Status: AF\r\nX-Keywords: $label1, Old\r\n\r\n"
        b"From the start\r\nFrom nothing, inside a line\r\n": (
            ("$label1", "Old", "\\Answered", "\\Flagged", "\\Seen"),
            1_772_438_405,
        ),
        b"Subject: deux\r\n\r\ntexte\r\n": ((), 1_772_524_800),
        b"Subject: trois\r\n\r\nfin": ((), 0),
    }
    expected = {("Plan", hashlib.sha256(octets).hexdigest(), *rest) for octets, rest in wanted.items()}
    assert set(content(operator)) == expected


def test_a_folder_of_mboxes_and_one_too_big(
    operator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vaguemestre.mbox.MAX_LETTER", 100)
    (tmp_path / "mail" / "Plan.sbd").mkdir(parents=True)
    (tmp_path / "mail" / "Plan.sbd" / "2026").write_bytes(MBOX + b"\n\nFrom x\n" + b"x" * 200 + b"\n")
    (tmp_path / "mail" / "Plan.msf").write_bytes(b"no mbox")
    status, said, _ = imported(operator, "mbox", str(ANNE), str(tmp_path / "mail"))
    assert status == 1
    assert "2 too-big" in said
    assert {folder for folder, *_ in content(operator)} == {"Plan/2026"}


def test_what_is_no_source_or_no_box_is_told(operator: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no Maildir" in imported(operator, "maildir", str(ANNE), str(empty))[2]
    assert "not a folder" in imported(operator, "maildir", str(ANNE), str(empty / "no"))[2]
    assert "no mbox" in imported(operator, "mbox", str(ANNE), str(empty))[2]
    root = maildir(tmp_path / "Maildir", ("cur/1", letter()))
    assert imported(operator, "maildir", f"nobody@{DOMAIN}", str(root))[0] == 1
    assert "local.part@domain" in imported(operator, "maildir", "nobody", str(root))[2]
    bad = imported(operator, "maildir", str(ANNE), str(root), "--report", str(tmp_path / "no" / "r.csv"))
    assert bad[0] == 78


def test_an_export_never_overwrites(operator: Path, tmp_path: Path) -> None:
    work(operator, lambda opened: deliver(opened, letter()))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "file").touch()
    status, _, wrong = exported(operator, "mbox", str(ANNE), "--out", str(tmp_path / "out"))
    assert status == 78
    assert "never overwrite" in wrong


def test_the_password_of_another_server(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("houle grise\n")
    assert password_of(file) == "houle grise"
    file.write_text("\n")
    for wrong in (file, tmp_path / "absent"):
        with pytest.raises(ConfigurationError):
            password_of(wrong)
