"""Backups of a small operator: made beside its work, restored into an empty place, rehearsed."""

from __future__ import annotations

import json
import shutil
import stat
import tarfile
from pathlib import Path

import pytest

from core.testing.small_operator import command, deliver, letter, spool, work
from vaguemestre import backup as backups
from vaguemestre.backup_manifest import BackupDamaged, Manifest
from vaguemestre.config.load import load
from vaguemestre.config.schema import Configuration
from vaguemestre.restoring import source_at, verify
from vaguemestre.wiring import Operator

LARGE = letter("x" * 100_000, subject="image")


@pytest.fixture
def busy(operator: Path) -> Path:
    """An operator with three messages, one of them large, and a letter in the spool."""

    async def fill(operator: Operator) -> None:
        await deliver(operator, letter())
        await deliver(operator, letter(subject="bilan"))
        await deliver(operator, LARGE)
        await spool(operator, "aaaa", octets=LARGE)

    work(operator, fill)
    return operator


def create(config: Path, out: Path, *arguments: str) -> tuple[int, str, str]:
    return command(["backup", "create", "--out", str(out), *arguments, "--config", str(config)])


def restore(source: Path, *arguments: str) -> tuple[int, str, str]:
    return command(["backup", "restore", str(source), *arguments])


def manifest_of(folder: Path) -> Manifest:
    return Manifest.read((folder / "manifest.json").read_bytes())


# --- create -------------------------------------------------------------------------------------------------
def test_a_folder_holds_everything_but_the_keys(busy: Path, tmp_path: Path) -> None:
    target = tmp_path / "copies" / "monday"
    status, said, _ = create(busy, target)
    assert status == 0
    assert "1 boxes, 3 messages, 1 letters in the spool" in said
    assert "The key-encryption key is not in it" in said
    manifest = manifest_of(target)
    assert manifest.counts.messages == 3
    assert not manifest.with_keys
    assert not manifest.missing
    paths = {entry.path for entry in manifest.files}
    assert sum(path.startswith("blobs/") for path in paths) == 2
    assert {"database/vaguemestre.db", "trust/liste-blanche.xml", "config/vaguemestre.toml"} <= paths
    assert {"anchors/anchors.pem", "crl/root.crl", "certificates/0.pem", "public/audit.key.pub"} <= paths
    assert not any(path.startswith("keys/") for path in paths)
    secret = (busy.parent / "keys" / "kek.key").read_bytes()
    assert all(secret not in file.read_bytes() for file in target.rglob("*") if file.is_file())


def test_nobody_else_may_read_it_and_nothing_is_left_over(busy: Path, tmp_path: Path) -> None:
    target = tmp_path / "copies" / "monday"
    create(busy, target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in target.rglob("*") if file.is_file()} == {0o600}
    assert [file.name for file in target.parent.iterdir()] == ["monday"]
    assert not [file for file in target.rglob("*") if file.name.endswith(("-wal", "-shm"))]


def test_letters_are_as_sealed_in_it_as_at_rest(busy: Path, tmp_path: Path) -> None:
    create(busy, tmp_path / "b")
    for file in (tmp_path / "b").rglob("*"):
        if file.is_file():
            octets = file.read_bytes()
            assert b"xxxxxxxxxxxxxxxx" not in octets
            assert b"Bonjour" not in octets
            assert b"paul.test-dune" not in octets


def test_the_act_is_audited_and_in_the_copy(busy: Path, tmp_path: Path) -> None:
    before = backups.counts_of(backups._read_only(busy.parent / "data" / "vaguemestre.db")).audit_events
    create(busy, tmp_path / "b")
    assert manifest_of(tmp_path / "b").counts.audit_events == before + 1


def test_a_folder_that_is_there_gets_a_dated_one(busy: Path, tmp_path: Path) -> None:
    (tmp_path / "copies").mkdir()
    assert create(busy, tmp_path / "copies")[0] == 0
    (made,) = (tmp_path / "copies").iterdir()
    assert made.name.startswith("vaguemestre-20")
    assert manifest_of(made).counts.boxes == 1


def test_nothing_is_overwritten(busy: Path, tmp_path: Path) -> None:
    (tmp_path / "there.tar").write_bytes(b"mine")
    status, _, error = create(busy, tmp_path / "there.tar")
    assert status == 78
    assert "backups never overwrite" in error
    assert (tmp_path / "there.tar").read_bytes() == b"mine"


async def test_postgresql_has_its_own_tools(busy: Path, tmp_path: Path) -> None:
    from types import SimpleNamespace

    from core.errors import ConfigurationError
    from vaguemestre.cli.backup import _create

    class OnPostgresql:
        configuration = load(busy, Configuration)
        database = SimpleNamespace(path=None)

    with pytest.raises(ConfigurationError, match=r"pg_basebackup .* pg_dump"):
        await _create(OnPostgresql(), tmp_path / "b", with_keys=False)  # type: ignore[arg-type]


def test_a_letter_that_is_deleted_meanwhile_makes_the_snapshot_start_again(
    busy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its blob is gone when it is copied, so the first snapshot names what cannot be had any more."""
    steps = []
    first_copy = backups._copy_blobs

    def copy(source: Path, target: Path, names: set[str], progress: backups.Progress) -> set[str]:
        steps.append("blobs")
        if len(steps) == 1:
            return set()  # as if no large letter had been there yet
        if len(steps) == 2:
            _expunge_all(busy)
        return first_copy(source, target, names, progress)

    monkeypatch.setattr(backups, "_copy_blobs", copy)
    assert create(busy, tmp_path / "b")[0] == 0
    monkeypatch.undo()
    manifest = manifest_of(tmp_path / "b")
    assert len(steps) == 3
    assert manifest.missing == ()
    assert manifest.counts.messages == 0
    assert sum(entry.path.startswith("blobs/") for entry in manifest.files) == 1  # the spool's
    status, said, error = restore(tmp_path / "b", "--rehearse", "--all", "--config", str(busy))
    assert (status, error) == (0, "")
    assert "brings the operator back" in said


def _expunge_all(config: Path) -> None:
    from core.ports import FlagChange
    from core.testing.small_operator import ANNE

    async def expunge(operator: Operator) -> None:
        bal = await operator.accounts.bal(ANNE)
        assert bal is not None
        inbox = await operator.mail_store.folder(bal.bal_id, "INBOX")
        assert inbox is not None
        rows = (await operator.mail_store.changes(inbox.folder_id)).rows
        change = FlagChange(operation="add", flags=frozenset({"\\Deleted"}))
        await operator.mail_store.store_flags(inbox.folder_id, [row.uid for row in rows], change)
        await operator.mail_store.expunge(inbox.folder_id)
        await operator.blobs.close()

    work(config, expunge)


def test_blobs_that_the_snapshot_does_not_name_leave_the_backup(
    busy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_snapshot = backups._snapshot

    def snapshot(source: Path, target: Path, progress: backups.Progress) -> None:
        _expunge_all(busy)
        first_snapshot(source, target, progress)

    monkeypatch.setattr(backups, "_snapshot", snapshot)
    assert create(busy, tmp_path / "b")[0] == 0
    assert sum(entry.path.startswith("blobs/") for entry in manifest_of(tmp_path / "b").files) == 1


def test_the_snapshot_is_of_one_moment_while_others_write(busy: Path, tmp_path: Path) -> None:
    import sqlite3

    live = sqlite3.connect(busy.parent / "data" / "vaguemestre.db", isolation_level=None)
    live.execute("CREATE TABLE noise (octets BLOB)")
    live.execute("BEGIN")
    for _ in range(3000):
        live.execute("INSERT INTO noise VALUES (randomblob(4000))")
    live.execute("COMMIT")
    writes = []

    def write(what: str, done: int, total: int) -> None:
        live.execute("INSERT INTO noise VALUES (randomblob(4000))")
        writes.append(what)

    backups._snapshot(busy.parent / "data" / "vaguemestre.db", tmp_path / "copy.db", write)
    live.close()
    copy = sqlite3.connect(tmp_path / "copy.db")
    assert copy.execute("SELECT count(*) FROM noise").fetchone() == (3000,)
    assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    copy.close()
    assert writes


def test_a_damaged_database_is_not_backed_up(busy: Path, tmp_path: Path) -> None:
    from core.errors import StoreError

    database = busy.parent / "data" / "vaguemestre.db"
    octets = bytearray(database.read_bytes())
    octets[4096:] = b"\0" * (len(octets) - 4096)
    (tmp_path / "broken.db").write_bytes(octets)
    with pytest.raises(StoreError, match=r"cannot be copied|damaged"):
        backups._snapshot(tmp_path / "broken.db", tmp_path / "copy.db", backups.silent)


def test_a_backup_with_keys_says_what_that_means_and_needs_no_lender(busy: Path, tmp_path: Path) -> None:
    status, said, _ = create(busy, tmp_path / "b.tar", "--with-keys")
    assert status == 0
    assert "whoever has this backup can read every letter" in said
    shutil.rmtree(busy.parent)
    status, said, error = restore(tmp_path / "b.tar", "--rehearse", "--all")
    assert (status, error) == (0, "")
    assert "brings the operator back" in said


def test_a_backup_with_keys_wants_all_of_them(busy: Path, tmp_path: Path) -> None:
    configuration = load(busy, Configuration)
    (busy.parent / "keys" / "audit.key").rename(tmp_path / "elsewhere")
    with pytest.raises(backups.ConfigurationError, match=r"audit\.key is not there"):
        backups._copy_keys(configuration, tmp_path / "b")


# --- restore ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["b", "b.tar"])
def test_a_restored_operator_is_whole(busy: Path, tmp_path: Path, name: str) -> None:
    create(busy, tmp_path / name, "--with-keys")
    shutil.move(busy.parent, tmp_path / "away")
    status, said, error = restore(tmp_path / name, "--to", str(tmp_path / "again"))
    assert (status, error) == (0, "")
    config = tmp_path / "again" / "vaguemestre.toml"
    assert f"The configuration is {config}" in said
    assert "stop the old operator for good" in said
    assert "Missing" not in said
    configuration = load(config, Configuration)
    assert configuration.operator.data_dir == tmp_path / "again" / "data"
    assert configuration.keys.key_encryption_key == tmp_path / "again" / "keys" / "kek.key"
    assert "aaaa" in command(["queue", "list", "--config", str(config)])[1]
    assert "whole" in command(["audit", "verify", "--config", str(config)])[1]
    checks = json.loads(command(["doctor", "--json", "--config", str(config)])[1])["checks"]
    assert [check for check in checks if check["level"] == "FAIL"] == []
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".")]


def test_without_its_keys_it_says_which_are_missing(busy: Path, tmp_path: Path) -> None:
    create(busy, tmp_path / "b")
    kek = busy.parent / "keys" / "kek.key"
    kek.rename(tmp_path / "kek.kept")
    status, said, _ = restore(tmp_path / "b", "--to", str(tmp_path / "again"))
    assert status == 0
    assert f"Missing: {kek}." in said
    (tmp_path / "kek.kept").rename(kek)
    assert (
        "whole" in command(["audit", "verify", "--config", str(tmp_path / "again" / "vaguemestre.toml")])[1]
    )


def test_an_empty_folder_will_do_and_a_full_one_will_not(busy: Path, tmp_path: Path) -> None:
    create(busy, tmp_path / "b")
    (tmp_path / "empty").mkdir()
    assert restore(tmp_path / "b", "--to", str(tmp_path / "empty"))[0] == 0
    status, _, error = restore(tmp_path / "b", "--to", str(tmp_path / "empty"))
    assert status == 78
    assert "never overwrites" in error


def test_somewhere_must_be_said(busy: Path, tmp_path: Path) -> None:
    assert restore(tmp_path / "b")[0] == 78
    status, _, error = restore(tmp_path / "b", "--to", str(tmp_path / "again"))
    assert (status, "there is no backup at" in error) == (78, True)


def _flip(folder: Path) -> None:
    file = next((folder / "blobs").rglob("??/*"))
    octets = bytearray(file.read_bytes())
    octets[5000] ^= 1
    file.write_bytes(octets)


def _remove(folder: Path) -> None:
    (folder / "trust" / "liste-blanche.xml").unlink()


def _add(folder: Path) -> None:
    (folder / "anchors" / "mine.pem").write_bytes(b"")


def _link(folder: Path) -> None:
    (folder / "anchors" / "link.pem").symlink_to("/etc/passwd")


def _unfinished(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def _unreadable(folder: Path) -> None:
    (folder / "manifest.json").write_bytes(b"{}")


def _of_later(folder: Path) -> None:
    form = json.loads((folder / "manifest.json").read_bytes())
    (folder / "manifest.json").write_text(json.dumps(form | {"format": 99}))


def _outside(folder: Path) -> None:
    form = json.loads((folder / "manifest.json").read_bytes())
    form["files"].append({"path": "../outside", "size": 1, "sha256": ""})
    (folder / "manifest.json").write_text(json.dumps(form))


def _no_size(folder: Path) -> None:
    form = json.loads((folder / "manifest.json").read_bytes())
    form["files"][0]["size"] = "1"
    (folder / "manifest.json").write_text(json.dumps(form))


@pytest.mark.parametrize(
    "damage", [_flip, _remove, _add, _link, _unfinished, _unreadable, _of_later, _outside, _no_size]
)
def test_what_is_not_what_was_written_is_not_restored(busy: Path, tmp_path: Path, damage: object) -> None:
    create(busy, tmp_path / "b")
    assert callable(damage)
    damage(tmp_path / "b")
    status, _, error = restore(tmp_path / "b", "--to", str(tmp_path / "again"))
    assert status == 1
    assert error.startswith("vaguemestre: ")
    assert not (tmp_path / "again").exists()


def test_an_archive_that_was_cut_or_stuffed(busy: Path, tmp_path: Path) -> None:
    create(busy, tmp_path / "b.tar")
    octets = (tmp_path / "b.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(octets[: len(octets) // 2])
    with pytest.raises(BackupDamaged):
        verify(source_at(tmp_path / "cut.tar"))
    (tmp_path / "no.tar").write_bytes(b"no archive" * 100)
    with pytest.raises(BackupDamaged, match="not a whole backup archive"):
        verify(source_at(tmp_path / "no.tar"))
    with tarfile.open(tmp_path / "b.tar", "a") as archive:
        member = tarfile.TarInfo("anchors/link.pem")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(BackupDamaged, match="not a file"):
        verify(source_at(tmp_path / "b.tar"))


def test_a_file_that_stands_twice(busy: Path, tmp_path: Path) -> None:
    create(busy, tmp_path / "b.tar")
    with tarfile.open(tmp_path / "b.tar", "a") as archive:
        archive.add(busy, "config/vaguemestre.toml")
    with pytest.raises(BackupDamaged, match="stands twice"):
        verify(source_at(tmp_path / "b.tar"))


# --- rehearse -----------------------------------------------------------------------------------------------
def test_a_rehearsal_reads_letters_and_leaves_nothing(busy: Path, tmp_path: Path) -> None:
    create(busy, tmp_path / "b")
    (tmp_path / "room").mkdir()
    status, said, error = restore(
        tmp_path / "b", "--rehearse", "--sample", "2", "--to", str(tmp_path / "room"), "--config", str(busy)
    )
    assert (status, error) == (0, "")
    assert "2 of the 3 messages were read and authenticated (2)." in said
    assert "1 letters of the spool were read and authenticated." in said
    assert "The audit trail in it is whole" in said
    assert "The counts are those of the manifest: 1 boxes, 3 messages" in said
    assert list((tmp_path / "room").iterdir()) == []


def test_a_rehearsal_without_keys_says_what_is_needed(busy: Path, tmp_path: Path) -> None:
    create(busy, tmp_path / "b")
    (busy.parent / "keys" / "kek.key").unlink()
    status, _, error = restore(tmp_path / "b", "--rehearse")
    assert status == 78
    assert "without its keys nothing of a backup can be read" in error


def _rehashed(folder: Path) -> None:
    """Whoever can change a file can change its hash; what is sealed finds it all the same."""
    form = json.loads((folder / "manifest.json").read_bytes())
    for entry in form["files"]:
        octets = (folder / entry["path"]).read_bytes()
        import hashlib

        entry["size"], entry["sha256"] = len(octets), hashlib.sha256(octets).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(form))


def test_an_altered_letter_is_found_even_with_a_forged_manifest(busy: Path, tmp_path: Path) -> None:
    create(busy, tmp_path / "b")
    for file in (tmp_path / "b" / "blobs").rglob("??/*"):
        octets = bytearray(file.read_bytes())
        octets[5000] ^= 1
        file.write_bytes(octets)
    _rehashed(tmp_path / "b")
    status, _, error = restore(tmp_path / "b", "--rehearse", "--all", "--config", str(busy))
    assert status == 1
    assert "does not open" in error


def test_a_bent_trail_and_other_counts_are_found(busy: Path, tmp_path: Path) -> None:
    import sqlite3

    create(busy, tmp_path / "b")
    database = sqlite3.connect(tmp_path / "b" / "database" / "vaguemestre.db")
    database.execute("DELETE FROM audit_event WHERE sequence = 1")
    database.commit()
    database.close()
    _rehashed(tmp_path / "b")
    status, _, error = restore(tmp_path / "b", "--rehearse", "--config", str(busy))
    assert (status, "holds others" in error) == (1, True)
    form = json.loads((tmp_path / "b" / "manifest.json").read_bytes())
    counted = sqlite3.connect(tmp_path / "b" / "database" / "vaguemestre.db")
    form["counts"]["audit_events"] = backups.counts_of(counted).audit_events
    counted.close()
    (tmp_path / "b" / "manifest.json").write_text(json.dumps(form))
    status, _, error = restore(tmp_path / "b", "--rehearse", "--config", str(busy))
    assert (status, "the audit trail in it does not hold" in error) == (1, True)


def test_a_blob_that_is_in_neither_is_a_failure(busy: Path, tmp_path: Path) -> None:
    create(busy, tmp_path / "b")
    form = json.loads((tmp_path / "b" / "manifest.json").read_bytes())
    gone = [entry for entry in form["files"] if entry["path"].startswith("blobs/")]
    form["files"] = [entry for entry in form["files"] if entry not in gone]
    for entry in gone:
        (tmp_path / "b" / entry["path"]).unlink()
    (tmp_path / "b" / "manifest.json").write_text(json.dumps(form))
    status, _, error = restore(tmp_path / "b", "--rehearse", "--all", "--config", str(busy))
    assert (status, "are not in the backup" in error) == (1, True)
    form["missing"] = [Path(entry["path"]).name for entry in gone]
    (tmp_path / "b" / "manifest.json").write_text(json.dumps(form))
    status, said, _ = restore(tmp_path / "b", "--rehearse", "--all", "--config", str(busy))
    assert status == 0
    assert "2 letters were lost already when the backup was made" in said


def test_letters_that_are_lost_on_the_machine_are_said(busy: Path, tmp_path: Path) -> None:
    for file in (busy.parent / "data" / "blobs").rglob("*"):
        if file.is_file():
            file.unlink()
    status, said, _ = create(busy, tmp_path / "b")
    assert status == 0
    assert "Attention: the files of 2 large letters are lost on this machine" in said
    assert len(manifest_of(tmp_path / "b").missing) == 2
