"""SEARCH with the secret index and without it give the same, whatever is asked, on both engines."""

from __future__ import annotations

import quopri
import random
from base64 import b64encode
from itertools import pairwise
from typing import Any

import pytest

from core.message import fold
from core.ports import Verdicts
from mailstore.index import SecretIndex
from mailstore.mailboxes import BoxKeys
from mailstore.storage.index import IndexApplier
from mta.imap.commands import search
from mta.imap.indexed import MAX_ASKED, narrowed
from mta.imap.letter_text import body_texts, field_texts
from mta.imap.matching import Candidate, compile_key, needs
from mta.imap.row_table import RowTable

BAL = 33
WORDS = ("Épaule", "cœur", "bilan", "Martin", "l'œdème", "x_y", "2026-03-02", "µmol/l", "ﬁn", "straße", "été")
NEEDLES = (
    "epaule",
    "CŒUR",
    "oedeme",
    "l'oe",
    "mol/",
    "martin bilan",
    "STRASSE",
    "fin",
    "ete",
    "@",
    "<b>",
    "résu",
    "",
)


def letter(dice: random.Random) -> bytes:
    words = " ".join(dice.choices(WORDS, k=6))
    subject = b64encode(dice.choice(WORDS).encode()).decode()
    head = f"From: anne@ch-rivage.mssante.example\r\nSubject: =?utf-8?b?{subject}?=\r\nMIME-Version: 1.0\r\n"
    match dice.randrange(4):
        case 0:
            return (head + "\r\n" + words).encode()
        case 1:
            body = quopri.encodestring(words.encode()).decode()
            field = (
                "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n"
            )
            return (head + field + "\r\n" + body).encode()
        case 2:
            text = f"<p><b>{words}</b> r&eacute;sultat</p>"
            return (head + "Content-Type: text/html; charset=iso-8859-15\r\n\r\n" + text).encode("utf-8")
        case _:
            inner = (head + "\r\n" + words).encode()
            part = b"--b\r\nContent-Type: application/pdf; name*=utf-8''r%C3%A9su.pdf\r\n\r\nYWJj\r\n"
            kind = b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'
            return (
                head.encode()
                + kind
                + part
                + b"--b\r\nContent-Type: message/rfc822\r\n\r\n"
                + inner
                + b"\r\n--b--"
            )


class View:
    """What `compile_key` asks of a folder's view."""

    def __init__(self, rows: RowTable) -> None:
        self.rows = rows

    def positions(self, messages: Any, *, by_uid: bool) -> list[int]:
        assert by_uid
        found: list[int] = messages.positions_of_uids(self.rows.uids)
        return found


@pytest.fixture
def box(mail: Any, await_now: Any) -> Any:
    """A mail room with one box of letters of every form."""
    mail.committer.register(IndexApplier())
    await_now(mail.store.create_box(BAL, 0))
    inbox = await_now(mail.folder_id(BAL, "INBOX"))
    dice = random.Random(5)
    for _ in range(25):
        await_now(mail.put(BAL, inbox, letter(dice)))
    return mail


async def found(box: Any, key: search.Key, *, may_read: bool = True) -> set[int]:
    """The UIDs that a key means, decided as `handlers.search` does; what must be read is read."""
    inbox = await box.folder_id(BAL, "INBOX")
    rows = RowTable()
    rows.extend((await box.store.changes(inbox)).rows)
    test = compile_key(key, View(rows))  # type: ignore[arg-type]
    uids = set()
    for position in range(len(rows)):
        candidate = Candidate(position, rows)
        verdict = test(candidate)
        if verdict is None:
            assert may_read
            assert needs(key).header or needs(key).text
            candidate.header = candidate.text = await box.store.octets(inbox, candidate.uid)
            verdict = test(candidate)
        if verdict:
            uids.add(candidate.uid)
    return uids


async def test_the_same_with_and_without_the_index(box: Any) -> None:
    index = SecretIndex(
        box.database,
        box.committer,
        box.clock,
        keys=BoxKeys(box.vault),
        letters=box.store,
        texts=lambda whole: (field_texts(whole), body_texts(whole)),
    )
    inbox = await box.folder_id(BAL, "INBOX")
    keys: list[search.Key] = []
    for needle in map(fold, NEEDLES):
        keys += [search.Text(needle, with_header=True), search.Text(needle, with_header=False)]
        keys.append(search.Field(b"subject", needle))
    keys += [search.Or(search.Not(one), search.And((other, one))) for one, other in pairwise(list(keys))]
    total = 0
    for key in keys:
        expected = await found(box, key)
        assert await found(box, await narrowed(key, index, inbox)) == expected, key
        total += len(expected)
    assert total > 300  # the letters and the needles do meet
    one_word = await narrowed(search.Text("epaule", with_header=True), index, inbox)
    assert await found(box, one_word, may_read=False)


class Nothing:
    """An index in which nothing is; it counts."""

    def __init__(self) -> None:
        self.count = 0

    async def verdicts(self, folder_id: int, text: str, *, with_header: bool) -> Verdicts:
        self.count += 1
        return Verdicts(sure=frozenset(), candidates=frozenset())


async def test_an_index_is_not_asked_without_end() -> None:
    index = Nothing()
    texts = tuple(search.Text(f"t{number}", with_header=True) for number in range(2 * MAX_ASKED))
    key = await narrowed(search.And((*texts, *texts)), index, 1)
    assert index.count == MAX_ASKED
    assert isinstance(key, search.And)
    assert key.keys[-1] == texts[-1]
    assert await narrowed(texts[0], None, 1) == texts[0]
