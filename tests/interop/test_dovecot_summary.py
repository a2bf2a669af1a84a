"""Our ENVELOPE and BODYSTRUCTURE beside Dovecot's, letter by letter (doveadm reads a folder, no server runs).

Letters where we differ on purpose are not here: Dovecot writes strings with a quote as literals, guesses where
MIME has two readings (here such a part is opaque), and takes a delimiter line by its prefix (here by the line).
"""

import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mta.imap.summary import summarise

FROM = b"From: Anne TEST-RIVAGE <anne.test-rivage@ch-rivage.mssante.example>\r\n"
MULTIPART = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
LETTERS = {
    "simple": FROM + b"Subject: x\r\nDate: Fri, 14 Nov 2025 09:12:00 +0100\r\nMessage-ID: <1@b>\r\n\r\nbody\r\n",
    "no line end": FROM + b"Subject: \r\n\r\nbody",
    "groups": FROM + b"To: undisclosed-recipients:;\r\nCc: t: a@b.example, Anne <c@d.example>;, x@y.example\r\n\r\nb",
    "names": FROM
    + b"To: a@b.example (Anne (TEST)), Anne  T <a@b.example> (y), <@x.example,@y.example:a@b.example>\r\n\r\n",
    "broken names": FROM + b"To: Anne, Anne <>\r\n\r\nb",
    "reply-to": FROM + b"Sender: s@t.example\r\nReply-To: \r\nIn-Reply-To: <a@b>\r\n <c@d>\r\n\r\nb",
    "utf-8": "From: Zoé <a@b.example>\r\nSubject: été\r\n\r\nb\r\n".encode(),
    "html": FROM + b"Content-Type: text/html; format=flowed\r\n\r\n<p>\r\n",
    "all fields": FROM
    + b"Content-Type: text/plain; charset=utf-8\r\nContent-Language: fr, en\r\nContent-Location: http://x\r\n"
    b"Content-MD5: abc\r\nContent-ID: <x>\r\nContent-Description: d e\r\nContent-Disposition: inline\r\n"
    b"Content-Transfer-Encoding: 8bit\r\n\r\nb\r\n",
    "comments": FROM + b'Content-Type: text/plain (comment); charset="utf-8" (x)\r\n\r\nb\r\n',
    "continuations": FROM
    + b"Content-Type: application/pdf\r\nContent-Disposition: attachment;\r\n"
    b' filename*0="a";\r\n filename*1="b.pdf"\r\n'
    b"Content-Transfer-Encoding: base64\r\n\r\nQQ==\r\n",
    "no close": FROM + MULTIPART + b"--b\r\n\r\nx\r\n--b\r\n\r\ny",
    "empty parts": FROM + MULTIPART + b"--b\r\n--b\r\nContent-Type: text/plain\r\n\r\n--b--\r\n",
    "digest": FROM
    + b"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: x\r\n\r\ny\r\n--b--\r\n",
    "letter in letter": FROM
    + b"Content-Type: message/rfc822\r\n\r\nSubject: in\r\nFrom: c@d.example\r\nContent-Type: message/rfc822\r\n\r\n"
    b"To: a@b.example\r\n\r\nbody\r\n",
    "outer delimiter first": FROM + MULTIPART
    + b"--b\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n"
    b"--i\r\n\r\nx\r\n--b\r\n\r\ny\r\n--i\r\n\r\nz\r\n--b--\r\n",
}  # fmt: skip

CONFIGURATION = """base_dir = {0}/run
log_path = {0}/log
mail_home = {0}
mail_location = maildir:{0}/Maildir
mail_uid = {1}
mail_gid = {2}
first_valid_uid = {1}
first_valid_gid = {2}
ssl = no
"""


@pytest.fixture(scope="module")
def dovecot() -> Iterator[dict[str, tuple[bytes, bytes]]]:
    """Letter → (ENVELOPE, BODYSTRUCTURE), both without their parentheses, as Dovecot writes them."""
    # Not in pytest's own folder: that one is closed to the unprivileged user that Dovecot reads as.
    with tempfile.TemporaryDirectory(prefix="dovecot-", ignore_cleanup_errors=True) as name:
        yield _read_by_dovecot(Path(name))


def _read_by_dovecot(folder: Path) -> dict[str, tuple[bytes, bytes]]:
    user = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    for part in ("cur", "new", "tmp"):
        (folder / "Maildir" / part).mkdir(parents=True)
    for number, octets in enumerate(LETTERS.values()):
        (folder / "Maildir" / "cur" / f"{1_700_000_000 + number}.M1.localhost:2,").write_bytes(octets)
    configuration = folder / "dovecot.conf"
    configuration.write_text(CONFIGURATION.format(folder, user.pw_uid, user.pw_gid))
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user.pw_uid, user.pw_gid)
    done = subprocess.run(
        ["/usr/bin/doveadm", "-c", configuration, "fetch", "imap.envelope imap.bodystructure", "all"],
        env={"HOME": str(folder), "USER": user.pw_name},
        capture_output=True,
        timeout=30,
        check=True,
    )
    return dict(zip(LETTERS, map(_answer, done.stdout.split(b"\f")), strict=False))


def _answer(record: bytes) -> tuple[bytes, bytes]:
    envelope, _, structure = record.strip(b"\n").partition(b"\nimap.bodystructure: ")
    return envelope.removeprefix(b"imap.envelope: "), structure


@pytest.mark.parametrize("name", LETTERS)
def test_dovecot_reads_the_same(name: str, dovecot: dict[str, tuple[bytes, bytes]]) -> None:
    ours = summarise(LETTERS[name], 0)
    envelope, structure = dovecot[name]
    assert ours.envelope == b"(" + envelope + b")"
    assert ours.body_structure == b"(" + structure + b")"
