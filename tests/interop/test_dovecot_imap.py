"""A second opinion: the same varied letters through our IMAP and Dovecot's, every answer compared as values.

Dovecot runs as a pre-authenticated session on a Maildir of this test (its `imap` program on a pipe). Answers are
compared after reading them: whether a string came quoted or as a literal is not a difference.
"""

from __future__ import annotations

import imaplib
import os
import pwd
import random
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vaguemestre.demo.cast import EHPAD
from vaguemestre.demo.mail_clients import trusting
from vaguemestre.demo.space import OperatorProcess, Space

LETTERS = 40
IMAP = "/usr/lib/dovecot/imap"
PEOPLE = (
    "Anne TEST-RIVAGE <anne.test-rivage@ch-rivage.mssante.example>", "paul.test-dune@cabinet.mssante.example",
    '"TEST, Paule" <paule.test-dune@cabinet.mssante.example>', "=?utf-8?q?Zo=C3=A9?= <a@b.example>",
    "équipe: a@b.example, Anne <c@d.example>;", "undisclosed-recipients:;", "a@b.example (Anne)",
    '"A \\"B\\" C" <x@y.example>',
)  # fmt: skip
DATES = (
    "Sat, 21 Nov 2026 10:00:00 +0100", "21 Nov 2026 10:00 GMT", "hier", "Sat, 32 Nov 2026 99:00:00 +0100", "",
    "Sat,  1 Jan 00 00:00:00 -0000 (UTC)",
)  # fmt: skip
SUBJECTS = (
    "Compte rendu",
    "=?utf-8?b?w6l0w6k=?=",
    "été à l'hôpital",
    "",
    "plié\r\n sur deux lignes",
    '"entre guillemets"',
    "\\ {5}",
)
TYPES = (
    "text/plain", "text/plain; charset=utf-8; format=flowed", 'text/html; charset="iso-8859-1"',
    "application/pdf; name*0*=utf-8''r%C3%A9; name*1=sultat.pdf", "image/jpeg; name=x.jpg",
    "application/octet-stream",
)  # fmt: skip
DISPOSITIONS = (
    "inline", 'attachment; filename="compte rendu.pdf"', "attachment; filename*=utf-8''%C3%A9t%C3%A9.pdf", "",
    "attachment;\r\n\tfilename=a.pdf; size=12",
)  # fmt: skip
ENCODINGS = ("7bit", "8bit", "base64", "quoted-printable", "")
BOUNDARIES = ("b", "----=_Part_1", "a b", "'()+_,-./:=?", "x" * 60)


def _entity(dice: random.Random, depth: int) -> str:
    kind = dice.choices(("leaf", "multipart", "letter"), (5, 3 if depth < 3 else 0, 1 if depth < 3 else 0))[0]
    if kind == "letter":
        return "Content-Type: message/rfc822\r\n\r\n" + _letter(dice, depth + 1)
    if kind == "multipart":
        boundary = f"{dice.choice(BOUNDARIES)}{depth}"
        subtype = dice.choice(("mixed", "alternative", 'related; type="text/html"'))
        parts = [_entity(dice, depth + 1) for _ in range(dice.randint(1, 3))]
        body = "".join(f"--{boundary}\r\n{part}\r\n" for part in parts)
        preamble = dice.choice(("", "Ceci est une lettre en plusieurs parties.\r\n"))
        return f'Content-Type: multipart/{subtype}; boundary="{boundary}"\r\n\r\n{preamble}{body}--{boundary}--\r\n'
    fields = [f"Content-Type: {dice.choice(TYPES)}\r\n"]
    if disposition := dice.choice(DISPOSITIONS):
        fields.append(f"Content-Disposition: {disposition}\r\n")
    if encoding := dice.choice(ENCODINGS):
        fields.append(f"Content-Transfer-Encoding: {encoding}\r\n")
    if dice.random() < 0.2:
        fields.append("Content-ID: <1@x>\r\nContent-Description: pièce\r\nContent-Language: fr, en\r\n")
    body = dice.choice(("", "une ligne\r\n", "deux\r\nlignes", ".\r\n", "été\r\n" * 5, "QUJD\r\n"))
    return "".join(fields) + "\r\n" + body


def _letter(dice: random.Random, depth: int = 0) -> str:
    def some(count: int) -> str:
        return ", ".join(dice.choice(PEOPLE) for _ in range(count))

    fields = [f"From: {dice.choice(PEOPLE[:3])}\r\n", f"Date: {dice.choice(DATES)}\r\n"]
    fields += [
        f"{name}: {some(dice.randint(1, 3))}\r\n" for name in ("To", "Cc", "Reply-To") if dice.random() < 0.7
    ]
    fields.append(
        f"Subject: {dice.choice(SUBJECTS)}\r\nMessage-ID: <{dice.randint(0, 10**9)}@demo.example>\r\n"
    )
    if dice.random() < 0.3:
        fields.append("In-Reply-To: <1@demo.example>\r\n <2@demo.example>\r\n")
    dice.shuffle(fields)
    return "".join(fields) + "MIME-Version: 1.0\r\n" + _entity(dice, depth)


def letters() -> list[bytes]:
    """The same forty at every run."""
    return [_letter(random.Random(number)).encode() for number in range(LETTERS)]


# --- reading answers ----------------------------------------------------------------------------------------
_TOKEN = re.compile(rb'\(|\)|"((?:[^"\\]|\\.)*)"|([^\s()"]+(?:\[[^\]]*\](?:<\d+>)?)?)')


def _values(data: list[Any]) -> Any:
    """One FETCH answer as nested lists of bytes; NIL is None."""
    stack: list[list[Any]] = [[]]

    def text(octets: bytes) -> None:
        for found in _TOKEN.finditer(octets):
            if found[0] == b"(":
                stack.append([])
            elif found[0] == b")":
                done = stack.pop()
                stack[-1].append(done)
            elif found[1] is not None:
                stack[-1].append(re.sub(rb"\\(.)", rb"\1", found[1]))
            else:
                stack[-1].append(None if found[2].upper() == b"NIL" else found[2])

    for item in data:
        if isinstance(item, tuple):
            text(re.sub(rb"\{\d+\}$", b"", item[0]))
            stack[-1].append(item[1])
        elif item is not None:
            text(item)
    return stack[0]


def _fetch(client: imaplib.IMAP4, number: int, items: str) -> dict[bytes, Any]:
    _, data = client.fetch(str(number), f"({items})")
    flat = next(value for value in _values(data) if isinstance(value, list))
    return {key.upper(): value for key, value in zip(flat[::2], flat[1::2], strict=True)}


def _sections(structure: Any, path: str = "") -> list[str]:
    """Every section below a letter (RFC 3501 §6.4.5): the parts of a multipart, or part 1."""
    if not isinstance(structure[0], list):
        inner = f"{path}.1".lstrip(".")
        return [inner, *_inside(structure, inner)]
    found: list[str] = []
    for number, part in enumerate((p for p in structure if isinstance(p, list) and _is_body(p)), 1):
        inner = f"{path}.{number}".lstrip(".")
        found += [inner, f"{inner}.MIME", *_inside(part, inner)]
    return found


def _inside(part: Any, path: str) -> list[str]:
    if isinstance(part[0], list):
        return _sections(part, path)
    if (part[0].lower(), part[1].lower()) == (b"message", b"rfc822"):
        return [f"{path}.HEADER", f"{path}.TEXT", *_sections(part[8], path)]
    return []


def _is_body(value: list[Any]) -> bool:
    return bool(value) and (isinstance(value[0], list) or (len(value) >= 7 and isinstance(value[0], bytes)))


# --- the two servers ----------------------------------------------------------------------------------------
_CONFIGURATION = """base_dir = {0}/run
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
def dovecot() -> Iterator[imaplib.IMAP4]:
    folder = Path(tempfile.mkdtemp(prefix="vm-dovecot-"))
    user = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    for part in ("cur", "new", "tmp"):
        (folder / "Maildir" / part).mkdir(parents=True)
    for number, octets in enumerate(letters()):
        (folder / "Maildir" / "cur" / f"{1_700_000_000 + number}.M1.localhost:2,").write_bytes(octets)
    (folder / "dovecot.conf").write_text(_CONFIGURATION.format(folder, user.pw_uid, user.pw_gid))
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user.pw_uid, user.pw_gid)
    client = imaplib.IMAP4_stream(
        f"env HOME={folder} USER={user.pw_name} doveadm -c {folder}/dovecot.conf exec imap"
        if os.geteuid()
        else f"setpriv --reuid {user.pw_uid} --regid {user.pw_gid} --clear-groups "
        f"env HOME={folder} USER={user.pw_name} {IMAP} -c {folder}/dovecot.conf"
    )
    client.select("INBOX", readonly=True)
    yield client
    client.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def ours(space: Space, hospital: OperatorProcess) -> Iterator[imaplib.IMAP4]:
    client = imaplib.IMAP4_SSL(
        "127.0.0.1", hospital.ports["imaps"], ssl_context=trusting(space.ca), timeout=30
    )
    client.login(EHPAD.address, space.password_of(EHPAD))
    client.create("Avis")
    for octets in letters():
        assert client.append("Avis", None, None, octets)[0] == "OK"
    client.select("Avis", readonly=True)
    yield client
    client.logout()


@pytest.mark.parametrize("number", range(1, LETTERS + 1))
def test_both_say_the_same(number: int, ours: imaplib.IMAP4, dovecot: imaplib.IMAP4) -> None:
    items = "RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY"
    mine, theirs = _fetch(ours, number, items), _fetch(dovecot, number, items)
    for item in items.split():
        assert mine[item.encode()] == theirs[item.encode()], item
    size = len(letters()[number - 1])
    sections = ["", "HEADER", "TEXT", *_sections(theirs[b"BODYSTRUCTURE"])]
    for section in sections:
        for partial in ("", "<3.10>", f"<{size}.5>"):
            item = f"BODY.PEEK[{section}]{partial}"
            assert list(_fetch(ours, number, item).values()) == list(
                _fetch(dovecot, number, item).values()
            ), item


def test_a_part_that_is_not_there(ours: imaplib.IMAP4, dovecot: imaplib.IMAP4) -> None:
    """A known difference: we say NIL, as for every nstring without a value (RFC 3501 §4.5); Dovecot says ""."""
    assert list(_fetch(ours, 1, "BODY.PEEK[99]").values()) == [None]
    assert list(_fetch(dovecot, 1, "BODY.PEEK[99]").values()) == [b""]
